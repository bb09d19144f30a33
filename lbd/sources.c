/* Connections by client address: see sources.h. */
#include "lbd/sources.h"

#include <errno.h>
#include <string.h>

#include "common/htable.h"
#include "common/ratelimit.h"

struct source {
	struct hnode node;
	struct net_ip ip;
	unsigned n;
};

struct sources {
	struct htable table;
	unsigned max, burst;
	struct ratelimit *rate; /* NULL: no bound */
};

int sources_new(struct sources **ret, unsigned connections, unsigned rate)
{
	struct ratelimit_options o = { .rate = rate, .burst = rate };
	_cleanup_(sources_freep) struct sources *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	htable_init(&s->table);
	s->max = connections ? connections : UINT32_MAX;
	s->burst = rate;
	if (rate) {
		r = ratelimit_new(&s->rate, &o);
		if (r < 0)
			return r;
	}
	*ret = TAKE(s);
	return 0;
}

struct sources *sources_free(struct sources *s)
{
	if (!s)
		return NULL;
	htable_for_each (it, &s->table) {
		struct source *src = CONTAINER_OF(it, struct source, node);

		htable_remove(&s->table, it);
		free(src);
	}
	htable_deinit(&s->table);
	ratelimit_free(s->rate);
	free(s);
	return NULL;
}

static struct net_ip client_of(const struct net_ip *ip)
{
	struct net_ip key = *ip;

	if (key.family == 6)
		memset(key.bytes + 8, 0, 8);
	return key;
}

static struct source *find(struct sources *s, const struct net_ip *key, uint64_t hash)
{
	for (struct hnode *h = htable_first(&s->table, hash); h; h = htable_next(h)) {
		struct source *src = CONTAINER_OF(h, struct source, node);

		if (net_ip_eq(&src->ip, key))
			return src;
	}
	return NULL;
}

static bool enter_table(struct sources *s, const struct net_ip *ip)
{
	struct net_ip key = client_of(ip);
	uint64_t hash = htable_hash(&key, sizeof(key));
	struct source *src = find(s, &key, hash);

	if (!src) {
		src = calloc(1, sizeof(*src));
		if (!src)
			return true;
		src->ip = key;
		if (htable_insert(&s->table, &src->node, hash) < 0) {
			free(src);
			return true;
		}
	}
	if (src->n >= s->max)
		return false;
	src->n++;
	return true;
}

bool sources_enter(struct sources *s, const struct net_ip *ip, uint64_t now_ms)
{
	if (s->rate && !ratelimit_take(s->rate, ip, 1, now_ms))
		return false;
	return enter_table(s, ip);
}

void sources_leave(struct sources *s, const struct net_ip *ip)
{
	struct net_ip key = client_of(ip);
	struct source *src = find(s, &key, htable_hash(&key, sizeof(key)));

	if (!src || --src->n)
		return;
	htable_remove(&s->table, &src->node);
	free(src);
}

void sources_each(const struct sources *s, uint64_t now_ms,
    bool (*each)(void *arg, const struct source_count *c), void *arg)
{
	htable_for_each (it, &s->table) {
		const struct source *src = CONTAINER_OF(it, struct source, node);
		struct source_count c = { .ip = src->ip, .open = src->n };

		if (s->rate)
			c.recent = s->burst -
			    (unsigned)ratelimit_available(s->rate, &src->ip, now_ms);
		if (!each(arg, &c))
			return;
	}
}
