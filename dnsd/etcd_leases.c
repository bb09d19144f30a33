/* Leases: see etcd_leases.h. */
#include "dnsd/etcd_leases.h"

#include <string.h>

#define TTL_MIN 30
#define TTL_MAX 86400

struct lease {
	struct hnode node;
	struct list_link unknown; /* in the list until it was asked for */
	struct list_link keys;
	int64_t id;
	uint32_t ttl; /* 0: not known */
};

struct leased_key {
	struct hnode node;
	struct list_link link; /* of its lease */
	struct lease *lease;
	size_t n;
	char key[];
};

void etcd_leases_init(struct etcd_leases *l)
{
	htable_init(&l->keys);
	htable_init(&l->leases);
	list_init(&l->unknown);
}

static struct lease *find_lease(const struct etcd_leases *l, int64_t id)
{
	struct hnode *h = htable_first(&l->leases, htable_hash(&id, sizeof(id)));

	for (; h; h = htable_next(h)) {
		struct lease *x = CONTAINER_OF(h, struct lease, node);

		if (x->id == id)
			return x;
	}
	return NULL;
}

static struct leased_key *find_key(
    const struct etcd_leases *l, const char *key, size_t n)
{
	struct hnode *h = htable_first(&l->keys, htable_hash(key, n));

	for (; h; h = htable_next(h)) {
		struct leased_key *k = CONTAINER_OF(h, struct leased_key, node);

		if (k->n == n && memcmp(k->key, key, n) == 0)
			return k;
	}
	return NULL;
}

/* A lease without keys is of no interest. */
static void remove_unused(struct etcd_leases *l, struct lease *x)
{
	if (!list_empty(&x->keys))
		return;
	htable_remove(&l->leases, &x->node);
	list_remove(&x->unknown);
	free(x);
}

static void remove_key(struct etcd_leases *l, struct leased_key *k)
{
	struct lease *x = k->lease;

	htable_remove(&l->keys, &k->node);
	list_remove(&k->link);
	free(k);
	remove_unused(l, x);
}

void etcd_leases_deinit(struct etcd_leases *l)
{
	htable_for_each (h, &l->keys)
		remove_key(l, CONTAINER_OF(h, struct leased_key, node));
	htable_deinit(&l->keys);
	htable_deinit(&l->leases);
}

static struct lease *lease_of(struct etcd_leases *l, int64_t id)
{
	struct lease *x = find_lease(l, id);

	if (x)
		return x;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->id = id;
	list_init(&x->keys);
	list_init(&x->unknown);
	if (htable_insert(&l->leases, &x->node, htable_hash(&id, sizeof(id))) < 0) {
		free(x);
		return NULL;
	}
	list_append(&l->unknown, &x->unknown);
	return x;
}

uint32_t etcd_leases_add(
    struct etcd_leases *l, int64_t lease, const char *key, size_t n)
{
	struct leased_key *k = find_key(l, key, n);
	struct lease *x;

	if (k && k->lease->id == lease)
		return k->lease->ttl;
	if (k)
		remove_key(l, k);
	/* Without memory the key has the TTL that it says. */
	x = lease_of(l, lease);
	if (!x)
		return 0;
	k = calloc(1, sizeof(*k) + n);
	if (k) {
		memcpy(k->key, key, n);
		k->n = n;
		k->lease = x;
		list_init(&k->link);
	}
	if (!k || htable_insert(&l->keys, &k->node, htable_hash(key, n)) < 0) {
		free(k);
		remove_unused(l, x);
		return 0;
	}
	list_append(&x->keys, &k->link);
	return x->ttl;
}

void etcd_leases_forget(struct etcd_leases *l, const char *key, size_t n)
{
	struct leased_key *k = find_key(l, key, n);

	if (k)
		remove_key(l, k);
}

int64_t etcd_leases_next(const struct etcd_leases *l)
{
	return list_empty(&l->unknown)
	    ? 0
	    : CONTAINER_OF(l->unknown.next, struct lease, unknown)->id;
}

void etcd_leases_known(struct etcd_leases *l, int64_t lease, int64_t granted,
    void (*limit)(const char *key, size_t n, uint32_t ttl, void *arg), void *arg)
{
	struct lease *x = find_lease(l, lease);

	/* Its keys may have gone in the meantime. */
	if (!x)
		return;
	list_remove(&x->unknown);
	x->ttl = (uint32_t)MIN(MAX(granted, (int64_t)TTL_MIN), (int64_t)TTL_MAX);
	list_for_each (i, &x->keys) {
		struct leased_key *k = CONTAINER_OF(i, struct leased_key, link);

		limit(k->key, k->n, x->ttl, arg);
	}
}
