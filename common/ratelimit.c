/* Token buckets: see ratelimit.h. */
#include "common/ratelimit.h"

#include <errno.h>

#include "common/htable.h"
#include "common/list.h"

#define LARGEST (1ULL << 40)
#define MILLI 1000u

/* Levels count thousandths of a token, of which a millisecond brings exactly `rate`. */
struct bucket {
	struct hnode node;
	struct list_link used; /* the one used last is in front */
	struct net_ip ip;
	uint64_t level, at_ms;
};

struct ratelimit {
	struct ratelimit_options o;
	uint64_t full;
	struct htable by_ip;
	struct list_link used;
};

int ratelimit_new(struct ratelimit **ret, const struct ratelimit_options *options)
{
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;

	if (options->rate > LARGEST || options->burst > LARGEST || !options->burst ||
	    options->v6_prefix > 128)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->o = *options;
	if (!r->o.max_keys)
		r->o.max_keys = 4096;
	if (!r->o.v6_prefix)
		r->o.v6_prefix = 64;
	r->full = r->o.burst * MILLI;
	htable_init(&r->by_ip);
	list_init(&r->used);

	*ret = TAKE(r);
	return 0;
}

static void bucket_drop(struct ratelimit *r, struct bucket *b)
{
	htable_remove(&r->by_ip, &b->node);
	list_remove(&b->used);
	free(b);
}

static struct bucket *least_used(const struct ratelimit *r)
{
	return CONTAINER_OF(r->used.prev, struct bucket, used);
}

struct ratelimit *ratelimit_free(struct ratelimit *r)
{
	if (!r)
		return NULL;
	while (!list_empty(&r->used))
		bucket_drop(r, least_used(r));
	htable_deinit(&r->by_ip);
	free(r);
	return NULL;
}

/* The address that a client is known by. */
static struct net_ip key_of(const struct ratelimit *r, const struct net_ip *ip)
{
	struct net_ip key = *ip;

	if (ip->family != 6)
		return key;
	for (unsigned i = 0; i < 16; i++) {
		unsigned bits = r->o.v6_prefix > i * 8 ? r->o.v6_prefix - i * 8 : 0;

		key.bytes[i] &= (uint8_t)(0xff00 >> MIN(bits, 8u));
	}
	return key;
}

static struct bucket *find(const struct ratelimit *r, const struct net_ip *key)
{
	struct hnode *n = htable_first(&r->by_ip, htable_hash(key, sizeof(*key)));

	for (; n; n = htable_next(n)) {
		struct bucket *b = CONTAINER_OF(n, struct bucket, node);

		if (net_ip_eq(&b->ip, key))
			return b;
	}
	return NULL;
}

static uint64_t level_at(
    const struct ratelimit *r, const struct bucket *b, uint64_t now_ms)
{
	uint64_t ms = now_ms > b->at_ms ? now_ms - b->at_ms : 0, come;

	if (__builtin_mul_overflow(ms, r->o.rate, &come) || come >= r->full - b->level)
		return r->full;
	return b->level + come;
}

static struct bucket *add(
    struct ratelimit *r, const struct net_ip *key, uint64_t now_ms)
{
	struct bucket *b;

	if (r->by_ip.n >= r->o.max_keys)
		bucket_drop(r, least_used(r));
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->ip = *key;
	b->level = r->full;
	b->at_ms = now_ms;
	if (htable_insert(&r->by_ip, &b->node, htable_hash(key, sizeof(*key))) < 0) {
		free(b);
		return NULL;
	}
	list_prepend(&r->used, &b->used);
	return b;
}

/* The bucket, filled up to now and marked as used; NULL without memory. */
static struct bucket *touch(
    struct ratelimit *r, const struct net_ip *ip, uint64_t now_ms)
{
	struct net_ip key = key_of(r, ip);
	struct bucket *b = find(r, &key);

	if (!b)
		return add(r, &key, now_ms);
	b->level = level_at(r, b, now_ms);
	b->at_ms = MAX(b->at_ms, now_ms);
	list_remove(&b->used);
	list_prepend(&r->used, &b->used);
	return b;
}

bool ratelimit_take(
    struct ratelimit *r, const struct net_ip *ip, uint64_t n, uint64_t now_ms)
{
	struct bucket *b = touch(r, ip, now_ms);

	if (!b)
		return true;
	if (n > b->level / MILLI)
		return false;
	b->level -= n * MILLI;
	return true;
}

uint64_t ratelimit_take_upto(
    struct ratelimit *r, const struct net_ip *ip, uint64_t n, uint64_t now_ms)
{
	struct bucket *b = touch(r, ip, now_ms);

	if (!b)
		return n;
	n = MIN(n, b->level / MILLI);
	b->level -= n * MILLI;
	return n;
}

static uint64_t level_of(
    const struct ratelimit *r, const struct net_ip *ip, uint64_t now_ms)
{
	struct net_ip key = key_of(r, ip);
	const struct bucket *b = find(r, &key);

	return b ? level_at(r, b, now_ms) : r->full;
}

uint64_t ratelimit_available(
    const struct ratelimit *r, const struct net_ip *ip, uint64_t now_ms)
{
	return level_of(r, ip, now_ms) / MILLI;
}

uint64_t ratelimit_wait_ms(
    const struct ratelimit *r, const struct net_ip *ip, uint64_t n, uint64_t now_ms)
{
	uint64_t level = level_of(r, ip, now_ms);

	if (n <= level / MILLI)
		return 0;
	if (n > r->o.burst || !r->o.rate)
		return UINT64_MAX;
	return (n * MILLI - level + r->o.rate - 1) / r->o.rate;
}

void ratelimit_forget(struct ratelimit *r, const struct net_ip *ip)
{
	struct net_ip key = key_of(r, ip);
	struct bucket *b = find(r, &key);

	if (b)
		bucket_drop(r, b);
}

unsigned ratelimit_count(const struct ratelimit *r)
{
	return (unsigned)r->by_ip.n;
}
