/*
 * All that is known, by name: the configuration's records, and those of the embedded store
 * and of etcd, which change.  Lives on the main thread; makes the next snapshot of the
 * zone out of what changed, at most every few milliseconds.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "dnsd/records.h"
#include "dnsd/skydns.h"
#include "dnsd/zone.h"

struct catalog;
struct loop;

/* Puts a snapshot in force in the place of base, which is to be released once nobody
 * reads it any more; all_at_once: it is in force when this returns. */
struct catalog_ops {
	void (*publish)(
	    struct zone *next, struct zone *base, bool all_at_once, void *arg);
};

int catalog_new(struct catalog **ret, struct loop *l, const struct catalog_ops *ops,
    void *arg) _mustcheck_;
struct catalog *catalog_free(struct catalog *c);
DEFINE_FREEP(catalog)

/* A source of records; the tree is the catalog's. */
int catalog_add_source(struct catalog *c, struct skydns **ret, const char *path,
    enum records_rank rank) _mustcheck_;
struct skydns *catalog_drop_source(struct catalog *c, struct skydns *s);

/*
 * Joins the records of a new configuration, of which zone was compiled (it is taken, and
 * the joined one returned), with the sources.  base must live until the next call.  The
 * caller puts the zone in force and then calls catalog_settle().  NULL without memory.
 */
struct zone *catalog_join(
    struct catalog *c, struct zone *zone, const struct records *base, uint32_t max_ttl);
/* What was in force is gone. */
void catalog_settle(struct catalog *c, struct zone *zone);
const struct zone *catalog_zone(const struct catalog *c);

/* A zone of the records that a name with wildcards stands for, and of nothing else; NULL
 * when there are none, or no memory. */
struct zone *catalog_wildcard(struct catalog *c, const struct name_buf *name);

/* A source changed: soon, or now and for every worker. */
void catalog_changed(struct catalog *c);
void catalog_flush(struct catalog *c);
/* While a source is held, its changes wait: a list of many keys is one change.  Others' do
 * not. */
void catalog_hold(struct catalog *c, const struct skydns *s, bool hold);
