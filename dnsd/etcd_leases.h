/*
 * Keys that end with a lease, and what is known of these leases.  The TTL of such a key's
 * records is at most the time that its lease was granted for, between 30 seconds and a day,
 * as CoreDNS has it.
 */
#pragma once

#include "common/base.h"
#include "common/htable.h"
#include "common/list.h"

struct etcd_leases {
	struct htable keys, leases;
	struct list_link unknown; /* leases to ask for, the next one first */
};

void etcd_leases_init(struct etcd_leases *l);
void etcd_leases_deinit(struct etcd_leases *l);
/* The key has this lease: the most that its TTL may be, or 0 while that is not known. */
uint32_t etcd_leases_add(
    struct etcd_leases *l, int64_t lease, const char *key, size_t n);
/* The key has none any more. */
void etcd_leases_forget(struct etcd_leases *l, const char *key, size_t n);
/* The lease to ask for, or 0. */
int64_t etcd_leases_next(const struct etcd_leases *l);
/* What etcd says of a lease, in seconds: limit() is called for each of its keys. */
void etcd_leases_known(struct etcd_leases *l, int64_t lease, int64_t granted,
    void (*limit)(const char *key, size_t n, uint32_t ttl, void *arg), void *arg);
