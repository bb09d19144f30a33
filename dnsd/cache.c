/* The cache: see cache.h. */
#include "dnsd/cache.h"

#include <errno.h>
#include <string.h>

struct cache {
	struct htable table;
	struct list_link used; /* the most recent last */
	size_t bytes, max_bytes;
	uint64_t stale_ms;
};

static uint8_t flags_of(const struct answer_question *q)
{
	return (uint8_t)(q->dnssec | q->checking_disabled << 1);
}

static uint64_t hash_of(const struct answer_question *q)
{
	return name_mix(name_hash(&q->name, 0), 2 * (q->type * 4ULL + flags_of(q)) + 1);
}

int cache_new(struct cache **ret)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	name_init();
	htable_init(&c->table);
	list_init(&c->used);
	*ret = c;
	return 0;
}

static size_t entry_size(const struct cache_entry *e)
{
	return sizeof(*e) + e->len + answer_size(e->answer);
}

static void entry_end(struct cache *c, struct cache_entry *e)
{
	c->bytes -= entry_size(e);
	htable_remove(&c->table, &e->node);
	list_remove(&e->used);
	answer_free(e->answer);
	free(e);
}

void cache_clear(struct cache *c)
{
	while (!list_empty(&c->used))
		entry_end(c, CONTAINER_OF(c->used.next, struct cache_entry, used));
}

struct cache *cache_free(struct cache *c)
{
	if (!c)
		return NULL;
	cache_clear(c);
	htable_deinit(&c->table);
	free(c);
	return NULL;
}

static void make_room(struct cache *c)
{
	while (c->bytes > c->max_bytes && !list_empty(&c->used))
		entry_end(c, CONTAINER_OF(c->used.next, struct cache_entry, used));
}

void cache_limit(struct cache *c, size_t max_bytes, uint64_t stale_ms)
{
	c->max_bytes = max_bytes;
	c->stale_ms = stale_ms;
	make_room(c);
}

static struct cache_entry *lookup(
    const struct cache *c, const struct answer_question *q, uint64_t hash)
{
	struct hnode *n = htable_first(&c->table, hash);

	for (; n; n = htable_next(n)) {
		struct cache_entry *e = CONTAINER_OF(n, struct cache_entry, node);

		if (e->type == q->type && e->flags == flags_of(q) &&
		    e->len == q->name.len && memcmp(e->name, q->name.wire, e->len) == 0)
			return e;
	}
	return NULL;
}

struct cache_entry *cache_find(
    struct cache *c, const struct answer_question *q, uint64_t now_ms)
{
	struct cache_entry *e = lookup(c, q, hash_of(q));

	if (!e)
		return NULL;
	if (now_ms >= e->expires_ms + c->stale_ms) {
		entry_end(c, e);
		return NULL;
	}
	list_remove(&e->used);
	list_append(&c->used, &e->used);
	return e;
}

void cache_put(
    struct cache *c, const struct answer_question *q, struct answer *a, uint64_t now_ms)
{
	uint64_t hash = hash_of(q);
	struct cache_entry *e = lookup(c, q, hash);
	uint64_t asked_ms = 0;
	uint32_t asked = 0;

	if (e) {
		asked_ms = e->asked_ms;
		asked = e->asked;
		entry_end(c, e);
	}
	e = a->ttl && c->max_bytes ? malloc(sizeof(*e) + q->name.len) : NULL;
	if (!e || htable_insert(&c->table, &e->node, hash) < 0) {
		free(e);
		answer_free(a);
		return;
	}
	e->answer = a;
	e->stored_ms = now_ms;
	e->expires_ms = now_ms + a->ttl * 1000ULL;
	e->retry_ms = 0;
	e->asked_ms = asked_ms;
	e->asked = asked;
	e->type = q->type;
	e->flags = flags_of(q);
	e->len = q->name.len;
	memcpy(e->name, q->name.wire, e->len);
	list_init(&e->used);
	list_append(&c->used, &e->used);
	c->bytes += entry_size(e);
	make_room(c);
}

size_t cache_count(const struct cache *c)
{
	return c->table.n;
}

size_t cache_bytes(const struct cache *c)
{
	return c->bytes;
}
