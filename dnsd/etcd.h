/*
 * SkyDNS's records in an etcd cluster, over its JSON gateway (etcd 3.2 and later).
 *
 * All keys below the path are listed at one revision, page by page, and watched from
 * there on; a lost connection goes on from the last event seen.  A host that is gone is
 * found by the kernel's keepalive; every second, or every three when no key has changed for
 * twenty, the cluster is asked how far it is, which tells a watch that is dead from one that
 * is quiet, and a member that has lost the others from one that has not; once in a while the
 * keys are compared.  The list is made anew after a compaction, when the revision went back
 * or the cluster is another (restored from a backup, replaced), and when the keys differ.
 *
 * Answers never wait for any of this: they come from the catalog, which holds the last
 * good state, also over a restart, in sqlite.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/conf.h"
#include "common/err.h"
#include "common/str.h"
#include "dnsd/catalog.h"
#include "dnsd/etcd_settings.h"

struct etcd;
struct http_client;
struct mailbox;

/* file keeps the last good state, which is put into the catalog at once; NULL: etcd_move()
 * follows. */
int etcd_new(struct etcd **ret, struct loop *l, struct catalog *c,
    struct http_client *http, struct mailbox *home,
    const struct etcd_settings *settings, const char *file, struct err *e) _mustcheck_;
struct etcd *etcd_free(struct etcd *e);
DEFINE_FREEP(etcd)
/*
 * Other settings, in steps of which only the first can fail: prepare, swap before the
 * catalog is joined with a new configuration, and then settle, or swap back and settle.
 * Settling starts anew with the endpoints, if anything changed.
 */
int etcd_prepare(
    struct etcd *e, const struct etcd_settings *settings, struct err *err) _mustcheck_;
void etcd_swap(struct etcd *e);
void etcd_settle(struct etcd *e);
bool etcd_follows(const struct etcd *e, const struct etcd_settings *settings);
/* Keeps the last good state in another file, whatever that holds, from the next list on. */
void etcd_move(struct etcd *e, const char *file);
/* While it is hidden, no name has records from it. */
void etcd_hide(struct etcd *e, bool hidden);
/* The families of metrics by their numbers, and a cluster's sample; cluster is its label, or
 * NULL. */
#define ETCD_METRICS 7
void etcd_metric_family(unsigned m, struct str *out);
void etcd_metric(
    const struct etcd *e, unsigned m, const char *cluster, struct str *out);
/* NULL without memory. */
json_t *etcd_status(const struct etcd *e);
