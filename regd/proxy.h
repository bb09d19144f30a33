/*
 * Pull-through: what a repository below a prefix does not hold is fetched from that
 * prefix's upstream, given to whoever waits for it, and kept.
 *
 * A blob goes to its clients while it comes in; each reads from the file that grows, at
 * its own pace, and gets the last byte only when the digest was right.  There is one
 * fetch of a thing at a time, however many wait.  A tag that came from upstream is asked
 * for anew after tag_ttl, and the one that is there serves while the upstream is down;
 * a tag that was pushed here is never asked for.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "regd/name.h"

struct call;
struct conf;
struct proxy;
struct upstreams;
struct regd;
struct str;

int proxy_new(struct proxy **ret, struct regd *g, struct err *err) _mustcheck_;
/* No connection of a client is left. */
struct proxy *proxy_free(struct proxy *p);
DEFINE_FREEP(proxy)
/* The upstreams of a new configuration, checked; proxy_take() takes them over, and fetches
 * under way go on. */
int upstreams_new(struct upstreams **ret, struct proxy *p, const struct conf *conf,
    struct err *err) _mustcheck_;
struct upstreams *upstreams_unref(struct upstreams *us);
void proxy_take(struct proxy *p, struct upstreams *us);

/* Where a caller says ns=, the repository below the prefix of that upstream is meant,
 * unless the one that was named is here. */
void proxy_name_call(struct call *c);
/* Fetches what the call asks for and replies: true, or false when there is nothing to
 * fetch it from, and then it was not replied to. */
bool proxy_get_blob(struct call *c, const struct oci_digest *d, int *result);
/* The same; have says that it is here, so that only a tag that is no longer fresh is
 * fetched. */
bool proxy_get_manifest(struct call *c, bool have, int *result);
