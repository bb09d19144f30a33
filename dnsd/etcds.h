/* The etcd clusters that are followed, each with its place in the configuration; what they
 * hold is united. */
#pragma once

#include "dnsd/etcd.h"

struct etcds;

/* folder is where the last good states are kept. */
int etcds_new(struct etcds **ret, struct loop *l, struct catalog *c,
    struct mailbox *home, const char *folder) _mustcheck_;
struct etcds *etcds_free(struct etcds *es);
DEFINE_FREEP(etcds)
/*
 * Other settings, at most ETCD_CLUSTERS of them, in steps of which only the first can fail,
 * and then has changed nothing: prepare, swap before the catalog is joined with a new
 * configuration, and then settle, or swap back and settle.
 */
int etcds_prepare(struct etcds *es, const struct etcd_settings *settings, size_t n,
    struct err *err) _mustcheck_;
void etcds_swap(struct etcds *es);
void etcds_settle(struct etcds *es);
size_t etcds_count(const struct etcds *es);
void etcds_metrics(const struct etcds *es, struct str *out);
void etcds_status(const struct etcds *es, json_t *obj);
