/* Install tickets: see ticket.h. */
#include "csrd/ticket.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

void tickets_deinit(struct tickets *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].node);
	free(t->v);
	*t = (struct tickets){ .required = t->required };
}

const struct ticket *tickets_find(const struct tickets *t, const char *node)
{
	const struct ticket *best = NULL;

	for (size_t i = 0; i < t->n; i++) {
		if (str_eq(t->v[i].node, node) &&
		    (!best || t->v[i].fetched_at > best->fetched_at))
			best = &t->v[i];
	}
	return best;
}

static int read_list(struct tickets *t, const json_t *list)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > TICKETS_MAX)
		return -EBADMSG;
	t->v = calloc(json_array_size(list) + 1, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	json_array_foreach(list, i, item)
	{
		const char *node = json_string_value(json_object_get(item, "node"));
		const json_t *at = json_object_get(item, "fetched_at");

		if (!node || !json_is_number(at))
			return -EBADMSG;
		t->v[t->n].node = strdup(node);
		if (!t->v[t->n].node)
			return -ENOMEM;
		t->v[t->n++].fetched_at = (int64_t)json_number_value(at);
	}
	return 0;
}

int tickets_parse(struct tickets *t, const char *text, size_t n, struct err *e)
{
	struct tickets next = { .required = t->required, .known = true };
	json_t *doc = json_loadb(text, n, 0, NULL);
	int r;

	r = doc ? read_list(&next, json_object_get(doc, "tickets")) : -EBADMSG;
	json_decref(doc);
	if (r < 0) {
		tickets_deinit(&next);
		return err_set(e, r, "what okd-ignd says is no list of tickets");
	}
	tickets_deinit(t);
	*t = next;
	return 0;
}
