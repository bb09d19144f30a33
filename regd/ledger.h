/*
 * Who pulled what: for each client address and manifest when it was last pulled, and how
 * often.  Kept in memory, bounded, written to the database now and then, and joined with the cluster's nodes when asked for;
 * so that one can see which node already has an image, and which not.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/net.h"

struct cluster;
struct ledger;
struct regd;

/* With what the database remembers. */
int ledger_new(struct ledger **ret, struct regd *g) _mustcheck_;
/* The writer has ended. */
struct ledger *ledger_free(struct ledger *l);
DEFINE_FREEP(ledger)
/* Now and then: writes what changed, a part at a time. */
void ledger_tick(struct ledger *l);
/* Before the writer ends: all of it. */
void ledger_save(struct ledger *l);
/* A client got a manifest. */
void ledger_pull(struct ledger *l, const struct net_ip *client, const char *repository,
    const char *digest, int64_t now);
/*
 * [{"client","node","repository","digest","pulls","first","last"}], oldest first; node
 * is null for addresses that are none's.  digest NULL: all of them.
 */
json_t *ledger_list(
    const struct ledger *l, const struct cluster *cluster, const char *digest);
/* When that digest was last pulled by anybody; 0: not that we knew. */
int64_t ledger_last(const struct ledger *l, const char *digest);
/* Names of the cluster's nodes that have not pulled that digest. */
json_t *ledger_lacking(
    const struct ledger *l, const struct cluster *cluster, const char *digest);
