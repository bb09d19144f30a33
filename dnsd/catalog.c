/* Joining the sources of records: see catalog.h. */
#include "dnsd/catalog.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"

#define BATCH_MS 5
#define RETRY_MS 1000 /* without memory */
#define SOURCES_MAX 16

struct source {
	struct skydns *tree;
	bool held;
};

struct catalog {
	struct loop *loop;
	const struct catalog_ops *ops;
	void *arg;
	struct zone *zone;
	const struct zone *apexes; /* whose apexes are in force */
	const struct records *base;
	struct records *one; /* a name's, while it is put together */
	uint32_t max_ttl, serial;
	struct source sources[SOURCES_MAX];
	unsigned n_sources;
	struct event timer;
	struct zone_edit *edit; /* of the flush at hand */
};

static uint32_t next_serial(struct catalog *c)
{
	uint32_t now = (uint32_t)clock_real_s();

	c->serial = c->serial < now ? now : c->serial + 1;
	return c->serial;
}

/* The root is above all, whether there is another apex or not. */
static enum skydns_place place(const struct name_buf *name, void *arg)
{
	const struct catalog *c = arg;
	bool above = name->len == 1;

	for (unsigned i = 0; c->apexes && i < c->apexes->n_apexes; i++) {
		const struct zone_apex *a = &c->apexes->apexes[i];
		size_t off = 0;

		while (a->len - off > name->len)
			off += a->name[off] + 1u;
		if (a->len - off != name->len ||
		    memcmp(a->name + off, name->wire, name->len) != 0)
			continue;
		if (off == 0)
			return SKYDNS_APEX;
		above = true;
	}
	return above ? SKYDNS_ABOVE : SKYDNS_BELOW;
}

static int put_name(const struct name_buf *name, void *arg)
{
	struct catalog *c = arg;
	struct err e = ERR_INIT;
	int r = records_copy(c->one, c->base, name);

	for (unsigned i = 0; r == 0 && i < c->n_sources; i++)
		r = skydns_records(c->sources[i].tree, name, c->one);
	if (r == 0 && records_count(c->one)) {
		r = records_build(c->one, c->edit, &e);
		if (r == -E2BIG || r == -EINVAL) {
			log_err("%s", err_str(&e));
			r = 0;
		}
	} else if (r == 0) {
		r = zone_edit_put(c->edit, name, NULL, 0);
	}
	records_reset(c->one);
	return r;
}

/* The changes of all sources, or of those that are not held, in an edit of base; NULL
 * without memory: then they are still to be made. */
static struct zone *make_next(struct catalog *c, struct zone *base, bool held)
{
	struct zone *next = NULL;
	int r = zone_edit_new(&c->edit, base);

	for (unsigned i = 0; r == 0 && i < c->n_sources; i++)
		if (held || !c->sources[i].held)
			r = skydns_changed(c->sources[i].tree, put_name, c);
	for (unsigned i = 0; r == 0 && i < c->n_sources; i++)
		if (held || !c->sources[i].held)
			skydns_settle(c->sources[i].tree);
	if (r < 0)
		log_err("records are not updated: %s", strerror(-r));
	else
		next = zone_edit_commit(TAKE(c->edit), next_serial(c));
	c->edit = zone_edit_free(c->edit);
	return next;
}

static bool has_changes(const struct catalog *c)
{
	for (unsigned i = 0; i < c->n_sources; i++)
		if (!c->sources[i].held && skydns_has_changes(c->sources[i].tree))
			return true;
	return false;
}

static void flush_in(struct catalog *c, unsigned ms)
{
	struct timeval tv = ms_to_tv(ms);

	if (!event_pending(&c->timer, EV_TIMEOUT, NULL))
		event_add(&c->timer, &tv);
}

static void flush(struct catalog *c, bool all_at_once)
{
	struct zone *next, *base = c->zone;

	if (!base || !has_changes(c))
		return;
	next = make_next(c, base, false);
	if (!next) {
		flush_in(c, RETRY_MS);
		return;
	}
	c->zone = next;
	c->apexes = next;
	c->ops->publish(next, base, all_at_once, c->arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	flush(arg, false);
}

void catalog_changed(struct catalog *c)
{
	flush_in(c, BATCH_MS);
}

void catalog_flush(struct catalog *c)
{
	flush(c, true);
}

void catalog_hold(struct catalog *c, const struct skydns *s, bool hold)
{
	for (unsigned i = 0; i < c->n_sources; i++)
		if (c->sources[i].tree == s)
			c->sources[i].held = hold;
	if (!hold)
		catalog_changed(c);
}

struct zone *catalog_join(
    struct catalog *c, struct zone *zone, const struct records *base, uint32_t max_ttl)
{
	const struct zone *apexes = c->apexes;
	const struct records *old_base = c->base;
	uint32_t old_ttl = c->max_ttl;
	struct zone *next;

	c->apexes = zone;
	c->base = base;
	c->max_ttl = max_ttl;
	records_limit_ttl(c->one, max_ttl);
	for (unsigned i = 0; i < c->n_sources; i++)
		skydns_touch_all(c->sources[i].tree);
	next = make_next(c, zone, true);
	if (!next) {
		c->apexes = apexes;
		c->base = old_base;
		c->max_ttl = old_ttl;
		records_limit_ttl(c->one, old_ttl);
		zone_free(zone);
		return NULL;
	}
	c->apexes = next;
	zone_release(zone);
	return next;
}

void catalog_settle(struct catalog *c, struct zone *zone)
{
	zone_free(c->zone);
	c->zone = zone;
	c->apexes = zone;
}

struct zone *catalog_wildcard(struct catalog *c, const struct name_buf *name)
{
	_cleanup_(records_freep) struct records *all = NULL;
	_cleanup_(zone_edit_freep) struct zone_edit *edit = NULL;
	struct err e = ERR_INIT;
	int r = records_new(&all);

	if (r == 0)
		records_limit_ttl(all, c->max_ttl);
	for (unsigned i = 0; r == 0 && i < c->n_sources; i++)
		r = skydns_wildcard(c->sources[i].tree, name, all);
	if (r < 0 || !records_count(all) || zone_edit_new(&edit, NULL) < 0 ||
	    records_build(all, edit, &e) < 0)
		return NULL;
	return zone_edit_commit(TAKE(edit), 1);
}

const struct zone *catalog_zone(const struct catalog *c)
{
	return c->zone;
}

int catalog_add_source(
    struct catalog *c, struct skydns **ret, const char *path, enum records_rank rank)
{
	struct source *s = &c->sources[c->n_sources];
	int r;

	if (c->n_sources == SOURCES_MAX)
		return -E2BIG;
	*s = (struct source){ 0 };
	r = skydns_new(&s->tree, path, rank, place, c);
	if (r == 0) {
		c->n_sources++;
		*ret = s->tree;
	}
	return r;
}

struct skydns *catalog_drop_source(struct catalog *c, struct skydns *s)
{
	for (unsigned i = 0; i < c->n_sources; i++)
		if (c->sources[i].tree == s) {
			skydns_free(s);
			c->n_sources--;
			/* The first of several aliases counts. */
			memmove(&c->sources[i], &c->sources[i + 1],
			    (c->n_sources - i) * sizeof(c->sources[0]));
			return NULL;
		}
	return NULL;
}

int catalog_new(
    struct catalog **ret, struct loop *l, const struct catalog_ops *ops, void *arg)
{
	_cleanup_(catalog_freep) struct catalog *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->loop = l;
	c->ops = ops;
	c->arg = arg;
	evtimer_assign(&c->timer, loop_base(l), on_timer, c);
	r = records_new(&c->one);
	if (r < 0)
		return r;
	*ret = TAKE(c);
	return 0;
}

struct catalog *catalog_free(struct catalog *c)
{
	if (!c)
		return NULL;
	event_del(&c->timer);
	while (c->n_sources)
		skydns_free(c->sources[--c->n_sources].tree);
	c->zone = zone_free(c->zone);
	records_free(c->one);
	free(c);
	return NULL;
}
