/* Hosts files: see hosts.h.  Each record is a key of a tree of its own, which is a source of
 * the catalog. */
#include "dnsd/hosts.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/htable.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/str.h"

#define LOOK_MS 5000
#define FILE_MAX (16u << 20)
#define PATH "/"

struct hosts {
	struct catalog *catalog;
	struct skydns *tree;
	struct hosts_list list;
	struct event timer;
	uint32_t generation;
	uint64_t seen; /* what stat() said of all files */
};

int hosts_list_init(
    struct hosts_list *l, const struct conf_list *paths, uint64_t ttl_ms)
{
	*l = (struct hosts_list){ .ttl = (uint32_t)(ttl_ms / 1000) };
	l->paths = calloc(paths->n + 1, sizeof(*l->paths));
	if (!l->paths)
		return -ENOMEM;
	for (; l->n < paths->n; l->n++) {
		l->paths[l->n] = strdup(conf_list_items(paths, char *)[l->n]);
		if (!l->paths[l->n])
			return -ENOMEM;
	}
	return 0;
}

void hosts_list_deinit(struct hosts_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	free(l->paths);
	*l = (struct hosts_list){ 0 };
}

/* --- lines -------------------------------------------------------------- */

/* The key of a record: the name's labels from the right, then one that is the rest's. */
static void put_key(struct str *key, const struct name_buf *name, const char *rest)
{
	uint8_t starts[DNS_NAME_MAX / 2 + 1];
	unsigned n = 0;

	for (size_t i = 0; name->wire[i]; i += name->wire[i] + 1u)
		starts[n++] = (uint8_t)i;
	str_addz(key, PATH);
	while (n-- > 0) {
		str_add(key, name->wire + starts[n] + 1, name->wire[starts[n]]);
		str_addc(key, '/');
	}
	str_addf(key, "=%s", rest);
}

static int put(struct hosts *h, const struct name_buf *name, const char *id,
    const char *type, const char *data, struct err *e)
{
	_cleanup_(str_deinit) struct str key = STR_INIT, value = STR_INIT;

	put_key(&key, name, id);
	str_addf(&value, "%u IN %s %s", h->list.ttl, type, data);
	if (str_err(&key) || str_err(&value))
		return -ENOMEM;
	return skydns_put(h->tree, str_get(&key), key.len, str_get(&value), value.len,
	    h->generation, e);
}

/* Letters, digits, hyphens and underlines: what else a name in DNS may hold has no place in
 * such a file. */
static bool is_host_name(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
			return false;
	return true;
}

static int add_name(
    struct hosts *h, const struct net_ip *ip, const char *word, struct err *e)
{
	char address[NET_IP_MAX], text[NAME_TEXT_MAX], id[24];
	struct name_buf name, reverse;
	int r;

	if (!is_host_name(word) || name_parse(&name, word) < 0)
		return err_set(e, -EINVAL, "\"%.64s\" is no host name", word);
	net_ip_format(ip, address);
	r = put(h, &name, address, ip->family == 4 ? "A" : "AAAA", address, e);
	if (r < 0)
		return r;
	name_reverse(&reverse, ip);
	name_format(name.wire, text);
	snprintf(id, sizeof(id), "%016llx",
	    (unsigned long long)htable_hash(name.wire, name.len));
	return put(h, &reverse, id, "PTR", text, e);
}

static int add_line(struct hosts *h, char *line, struct err *e)
{
	char *save = NULL, *word;
	struct net_ip ip;
	int r = 0;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r", &save);
	if (!word)
		return 0;
	/* A scope says on which interface it is; that is not ours to tell. */
	word[strcspn(word, "%")] = '\0';
	if (net_ip_parse(word, &ip) < 0)
		return err_set(e, -EINVAL, "\"%.64s\" is no address", word);
	while (r == 0 && (word = strtok_r(NULL, " \t\r", &save)))
		r = add_name(h, &ip, word, e);
	return r;
}

static void read_file(struct hosts *h, const char *path)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	unsigned number = 0;
	char *line, *next;
	int r = file_read(path, FILE_MAX, &text);

	if (r < 0) {
		log_warning("hosts: cannot read %s: %s", path, strerror(-r));
		return;
	}
	for (line = text.s; line && *line; line = next) {
		struct err e = ERR_INIT;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		r = add_line(h, line, &e);
		if (r < 0)
			log_warning("hosts: %s:%u is left out: %s", path, number,
			    e.text[0] ? e.text : strerror(-r));
	}
}

/* --- files that change -------------------------------------------------- */

static uint64_t look(const struct hosts *h)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < h->list.n; i++) {
		struct stat st = { 0 };

		/* A file that is not there looks like none ever does. */
		if (stat(h->list.paths[i], &st) == 0) {
			seen = name_mix(seen ^ (uint64_t)st.st_mtim.tv_nsec,
			    (uint64_t)st.st_mtim.tv_sec | 1);
			seen = name_mix(
			    seen ^ (uint64_t)st.st_size, 2 * (uint64_t)st.st_ino + 1);
		}
		seen++;
	}
	return seen;
}

static void read_all(struct hosts *h)
{
	h->seen = look(h);
	h->generation++;
	for (size_t i = 0; i < h->list.n; i++)
		read_file(h, h->list.paths[i]);
	skydns_prune(h->tree, h->generation);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hosts *h = arg;
	struct timeval tv = ms_to_tv(LOOK_MS);

	if (look(h) != h->seen) {
		read_all(h);
		catalog_changed(h->catalog);
		log_info("hosts: %zu records", skydns_count(h->tree));
	}
	event_add(&h->timer, &tv);
}

void hosts_swap(struct hosts *h, struct hosts_list *l)
{
	struct timeval tv = ms_to_tv(LOOK_MS);
	struct hosts_list old = h->list;

	h->list = *l;
	*l = old;
	read_all(h);
	if (h->list.n)
		event_add(&h->timer, &tv);
	else
		event_del(&h->timer);
}

int hosts_new(struct hosts **ret, struct loop *loop, struct catalog *c)
{
	struct hosts *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->catalog = c;
	evtimer_assign(&h->timer, loop_base(loop), on_timer, h);
	r = catalog_add_source(c, &h->tree, PATH, RECORDS_HOSTS);
	if (r < 0) {
		free(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct hosts *hosts_free(struct hosts *h)
{
	if (!h)
		return NULL;
	event_del(&h->timer);
	catalog_drop_source(h->catalog, h->tree);
	hosts_list_deinit(&h->list);
	free(h);
	return NULL;
}
