/* Settings of an etcd cluster: see etcd_settings.h. */
#include "dnsd/etcd_settings.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"

static void list_free(struct conf_list *list)
{
	for (size_t i = 0; list->items && i < list->n; i++)
		free(conf_list_items(list, char *)[i]);
	free(list->items);
}

void etcd_settings_deinit(struct etcd_settings *s)
{
	list_free(&s->endpoints);
	list_free(&s->zones);
	free(s->path);
	free(s->username);
	free(s->password_file);
	free(s->ca);
	free(s->certificate);
	free(s->key);
}

static int copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int copy_list(struct conf_list *to, const struct conf_list *from)
{
	*to = (struct conf_list){ calloc(from->n + 1, sizeof(char *)), 0, true };
	if (!to->items)
		return -ENOMEM;
	for (; to->n < from->n; to->n++)
		if (copy_text(&conf_list_items(to, char *)[to->n],
			conf_list_items(from, char *)[to->n]) < 0)
			return -ENOMEM;
	return 0;
}

int etcd_settings_copy(struct etcd_settings *to, const struct etcd_settings *from)
{
	to->fallthrough = from->fallthrough;
	return copy_list(&to->endpoints, &from->endpoints) < 0 ||
		copy_list(&to->zones, &from->zones) < 0 ||
		copy_text(&to->path, from->path) < 0 ||
		copy_text(&to->username, from->username) < 0 ||
		copy_text(&to->password_file, from->password_file) < 0 ||
		copy_text(&to->ca, from->ca) < 0 ||
		copy_text(&to->certificate, from->certificate) < 0 ||
		copy_text(&to->key, from->key) < 0
	    ? -ENOMEM
	    : 0;
}

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
	for (size_t i = 0; i < MIN(a->n, b->n); i++)
		if (!str_eq(
			conf_list_items(a, char *)[i], conf_list_items(b, char *)[i]))
			return false;
	return a->n == b->n;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

bool etcd_settings_same(const struct etcd_settings *a, const struct etcd_settings *b)
{
	return same_list(&a->endpoints, &b->endpoints) &&
	    same_list(&a->zones, &b->zones) && same_text(a->path, b->path) &&
	    same_text(a->username, b->username) &&
	    same_text(a->password_file, b->password_file) && same_text(a->ca, b->ca) &&
	    same_text(a->certificate, b->certificate) && same_text(a->key, b->key);
}
