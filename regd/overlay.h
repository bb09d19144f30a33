/*
 * Overlays: folders and archives of other registries (see scan.h) that are served where
 * they lie, read-only, beneath what is our own.  Each has an index, a database like ours
 * made at the start on the working thread; until it is complete the overlay holds
 * nothing.  What is ours beats an overlay, an earlier overlay a later one.
 *
 * Manifests are verified when they are indexed, blobs by the scrubber after each start.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "regd/meta.h"
#include "regd/name.h"

struct conf;
struct digest_set;
struct manifest;
struct overlay;
struct overlays;
struct regd;

/* Each thread has its own connection to an index. */
enum overlay_side {
	OVERLAY_LOOP,
	OVERLAY_WORK,  /* the working thread */
	OVERLAY_SCRUB, /* the scrubber's */
	OVERLAY_SIDES,
};

int overlays_new(struct overlays **ret, struct regd *g) _mustcheck_;
/* The working thread has ended. */
struct overlays *overlays_free(struct overlays *os);
DEFINE_FREEP(overlays)
bool overlays_any(const struct overlays *os);

/* The bytes of a blob: 0 with a descriptor that is the caller's, -ENOENT, or -errno. */
struct overlay_blob {
	int fd;
	uint64_t offset, size;
};
int overlays_blob(struct overlays *os, enum overlay_side side, const char *repo,
    const struct oci_digest *d, struct overlay_blob *ret) _mustcheck_;
/*
 * For the scrubber's thread: the blob of the overlays in the set that was not read for the
 * longest time, before cutoff.  0 with its bytes, 1 when they cannot be had (blob.fd is
 * -1), -ENOENT when none is due, or another -errno.
 */
struct overlay_due {
	struct overlay *overlay;
	struct oci_digest digest;
	int64_t before;
	struct overlay_blob blob;
};
int overlays_due(struct overlays *os, unsigned set, int64_t cutoff,
    struct overlay_due *ret) _mustcheck_;
/* What came of it; a bad blob is not served any more. */
int overlays_checked(const struct overlay_due *d, bool bad, int64_t now) _mustcheck_;
const char *overlay_path(const struct overlay *o);
/* On the loop: the set of those that are served, a bit each. */
unsigned overlays_served(const struct overlays *os);
/* The index of one of them, for meta's functions; NULL when it is not served. */
struct db *overlays_index(const struct overlays *os, size_t i);
const char *overlays_path(const struct overlays *os, size_t i);

/* Like meta_manifest_find(). */
int overlays_manifest(struct overlays *os, enum overlay_side side, const char *repo,
    const char *reference, struct meta_manifest *ret) _mustcheck_;
/* Adds what the manifest refers to and an overlay holds: 0 or -errno. */
int overlays_held(struct overlays *os, const char *repo, const struct manifest *m,
    struct digest_set *ret) _mustcheck_;
bool overlays_repo(struct overlays *os, const char *repo);
int overlays_referrers(struct overlays *os, const char *repo, const char *subject,
    const char *artifact_type, const char *last,
    bool (*add)(void *arg, const struct meta_referrer *r), void *arg) _mustcheck_;

/* Like meta_tags() and meta_catalog(), over our own names and the overlays'. */
int overlays_names(struct overlays *os, const char *repo, const char *last, uint64_t n,
    bool (*add)(void *arg, const char *name), void *arg, bool *more) _mustcheck_;

/* [{"path","kind","state","repositories","manifests","tags","blobs","bad_blobs","skipped","error"}] */
json_t *overlays_status(const struct overlays *os);
/* False with a sentence per overlay that is being indexed. */
bool overlays_ready(const struct overlays *os, struct str *reasons);
