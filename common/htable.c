/* Hash table: see htable.h. */
#include "common/htable.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

static uint64_t sip_key[2];

static void make_key(void)
{
	/* Without entropy at early boot the table still works, only guessably. */
	if (getrandom(sip_key, sizeof(sip_key), GRND_NONBLOCK) != sizeof(sip_key))
		sip_key[0] = (uintptr_t)&sip_key ^ 0x9e3779b97f4a7c15ULL;
}

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

uint64_t htable_hash(const void *key, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *p = key;
	uint64_t v[4], m, last = (uint64_t)n << 56;

	pthread_once(&once, make_key);
	v[0] = sip_key[0] ^ 0x736f6d6570736575ULL;
	v[1] = sip_key[1] ^ 0x646f72616e646f6dULL;
	v[2] = sip_key[0] ^ 0x6c7967656e657261ULL;
	v[3] = sip_key[1] ^ 0x7465646279746573ULL;
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void htable_init(struct htable *t)
{
	*t = (struct htable){ 0 };
}

void htable_deinit(struct htable *t)
{
	free(t->buckets);
	htable_init(t);
}

static int grow(struct htable *t)
{
	size_t n = t->n_buckets ? t->n_buckets * 2 : 16;
	struct hnode **b = calloc(n, sizeof(struct hnode *));

	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_buckets; i++) {
		struct hnode *node, *next;

		for (node = t->buckets[i]; node; node = next) {
			next = node->next;
			node->next = b[node->hash & (n - 1)];
			b[node->hash & (n - 1)] = node;
		}
	}
	free(t->buckets);
	t->buckets = b;
	t->n_buckets = n;
	return 0;
}

int htable_insert(struct htable *t, struct hnode *node, uint64_t hash)
{
	struct hnode **b;

	if (t->n >= t->n_buckets && grow(t) < 0 && !t->n_buckets)
		return -ENOMEM;
	b = &t->buckets[hash & (t->n_buckets - 1)];
	node->hash = hash;
	node->next = *b;
	*b = node;
	t->n++;
	return 0;
}

void htable_remove(struct htable *t, struct hnode *node)
{
	struct hnode **b = &t->buckets[node->hash & (t->n_buckets - 1)];

	while (*b != node)
		b = &(*b)->next;
	*b = node->next;
	t->n--;
}

static struct hnode *same_hash(struct hnode *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct hnode *htable_first(const struct htable *t, uint64_t hash)
{
	if (!t->n_buckets)
		return NULL;
	return same_hash(t->buckets[hash & (t->n_buckets - 1)], hash);
}

struct hnode *htable_next(const struct hnode *node)
{
	return same_hash(node->next, node->hash);
}

struct hnode *htable_walk(
    const struct htable *t, size_t *bucket, struct hnode *last_next)
{
	struct hnode *node = last_next;

	while (!node && *bucket < t->n_buckets)
		node = t->buckets[(*bucket)++];
	return node;
}
