/* Keys of etcd whose values are no records: each is said once, and counted. */
#pragma once

#include "common/base.h"
#include "common/htable.h"

struct etcd_bad {
	struct htable keys;
};

void etcd_bad_init(struct etcd_bad *b);
void etcd_bad_deinit(struct etcd_bad *b);
/* Logs why at the key's first time. */
void etcd_bad_note(struct etcd_bad *b, const char *key, size_t n, uint32_t generation,
    const char *why);
void etcd_bad_forget(struct etcd_bad *b, const char *key, size_t n);
/* Forgets what a list of this generation did not meet. */
void etcd_bad_sweep(struct etcd_bad *b, uint32_t generation);
