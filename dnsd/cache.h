/*
 * Answers of upstreams by their question, one cache for each worker, so that nothing is
 * locked.  Bounded in bytes; what was not asked for the longest time goes first.  Time is
 * the caller's, in milliseconds.
 */
#pragma once

#include "common/base.h"
#include "common/htable.h"
#include "common/list.h"
#include "dnsd/answer.h"

struct cache;

struct cache_entry {
	struct hnode node;
	struct list_link used;
	struct answer *answer;
	uint64_t stored_ms, expires_ms;
	uint64_t retry_ms; /* upstreams failed: they are not asked before */
	/* How often it was asked for, without a long gap in between. */
	uint64_t asked_ms;
	uint32_t asked;
	uint16_t type, len;
	uint8_t flags;
	uint8_t name[];
};

int cache_new(struct cache **ret) _mustcheck_;
struct cache *cache_free(struct cache *c);
DEFINE_FREEP(cache)

/* max_bytes 0: nothing is kept.  stale_ms: how long an entry is kept beyond its time. */
void cache_limit(struct cache *c, size_t max_bytes, uint64_t stale_ms);
/* NULL, or an entry, which may be beyond its time.  It holds until the next put. */
struct cache_entry *cache_find(
    struct cache *c, const struct answer_question *q, uint64_t now_ms);
/* Takes the answer, and keeps it for its ttl. */
void cache_put(struct cache *c, const struct answer_question *q, struct answer *a,
    uint64_t now_ms);
void cache_clear(struct cache *c);
size_t cache_count(const struct cache *c);
size_t cache_bytes(const struct cache *c);
