/* Bad keys: see etcd_bad.h. */
#include "dnsd/etcd_bad.h"

#include <string.h>

#include "common/log.h"

struct bad_key {
	struct hnode node;
	uint32_t generation;
	size_t n;
	char key[];
};

static struct bad_key *find(const struct etcd_bad *b, const char *key, size_t n)
{
	/* A list asks for each key, and mostly there is none. */
	struct hnode *h =
	    b->keys.n ? htable_first(&b->keys, htable_hash(key, n)) : NULL;

	for (; h; h = htable_next(h)) {
		struct bad_key *k = CONTAINER_OF(h, struct bad_key, node);

		if (k->n == n && memcmp(k->key, key, n) == 0)
			return k;
	}
	return NULL;
}

static void remove_key(struct etcd_bad *b, struct bad_key *k)
{
	htable_remove(&b->keys, &k->node);
	free(k);
}

void etcd_bad_init(struct etcd_bad *b)
{
	htable_init(&b->keys);
}

void etcd_bad_deinit(struct etcd_bad *b)
{
	htable_for_each (h, &b->keys)
		remove_key(b, CONTAINER_OF(h, struct bad_key, node));
	htable_deinit(&b->keys);
}

void etcd_bad_note(
    struct etcd_bad *b, const char *key, size_t n, uint32_t generation, const char *why)
{
	struct bad_key *k = find(b, key, n);

	if (!k) {
		log_warning("etcd: the record %.*s is left out: %s", (int)MIN(n, 512u),
		    key, why);
		k = calloc(1, sizeof(*k) + n);
		if (!k)
			return;
		memcpy(k->key, key, n);
		k->n = n;
		if (htable_insert(&b->keys, &k->node, htable_hash(key, n)) < 0) {
			free(k);
			return;
		}
	}
	k->generation = generation;
}

void etcd_bad_forget(struct etcd_bad *b, const char *key, size_t n)
{
	struct bad_key *k = find(b, key, n);

	if (k)
		remove_key(b, k);
}

void etcd_bad_sweep(struct etcd_bad *b, uint32_t generation)
{
	htable_for_each (h, &b->keys) {
		struct bad_key *k = CONTAINER_OF(h, struct bad_key, node);

		if (k->generation != generation)
			remove_key(b, k);
	}
}
