/*
 * An intrusive hash table.  Elements embed a struct hnode and are never owned by the
 * table.  Keys are hashed by htable_hash(), keyed per process, so that nobody outside
 * can choose names that collide.
 */
#pragma once

#include "common/base.h"

struct hnode {
	struct hnode *next;
	uint64_t hash;
};

struct htable {
	struct hnode **buckets;
	size_t n_buckets, n;
};

/* SipHash-1-3 under a random key of this process. */
uint64_t htable_hash(const void *key, size_t n);

void htable_init(struct htable *t);
void htable_deinit(struct htable *t);
/* 0 or -ENOMEM; a table that has elements may grow late instead of failing. */
int htable_insert(struct htable *t, struct hnode *node, uint64_t hash) _mustcheck_;
void htable_remove(struct htable *t, struct hnode *node);

/* The elements of one hash value; the caller compares the keys. */
struct hnode *htable_first(const struct htable *t, uint64_t hash);
struct hnode *htable_next(const struct hnode *node);

/* Every element once, in no order; the one at hand may be removed. */
struct hnode *htable_walk(
    const struct htable *t, size_t *bucket, struct hnode *last_next);
#define htable_for_each(it, t)                                               \
	for (size_t it##_b_ = 0, it##_once_ = 1; it##_once_; it##_once_ = 0) \
		for (struct hnode *it = htable_walk((t), &it##_b_, NULL),    \
				  *it##_next_ = it ? it->next : NULL;        \
		     it; it = htable_walk((t), &it##_b_, it##_next_),        \
				  it##_next_ = it ? it->next : NULL)
