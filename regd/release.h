/*
 * Is a mirrored release complete?  Reads release-manifests/image-references out of the
 * release image's layers and checks that every image it names, the release image itself,
 * and every blob of all of them is in the repository.
 *
 * Blocks: for a thread of a pool.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "regd/name.h"

struct db;
struct overlays;
struct store;

/* A blob whose bytes are wrong, and when it had been checked before. */
struct release_damage {
	struct oci_digest digest;
	int64_t checked; /* for meta_blob_checked() */
};

struct release_damages {
	struct release_damage *v;
	size_t n;
};

struct release_query {
	const char *repository, *reference; /* of the release image */
	const char *registry;      /* host:port in the commands that repair, or NULL */
	struct overlays *overlays; /* that count too */
	bool rehash; /* read every blob again, instead of looking at its size */
	/* Where blobs of our own go whose bytes are found to be wrong, or NULL.  Until
	 * they are known to be bad, clients are told that they need not push them. */
	struct release_damages *damaged;
};

/*
 * The image stream that the release q names holds, owned by the caller, and the digest of
 * the release image.  Errors as of release_verify().
 */
int release_stream(json_t **ret, struct oci_digest *own, struct db *db,
    struct store *store, const struct release_query *q, struct err *err) _mustcheck_;

/*
 * 0 with what was found, owned by the caller:
 *
 *   {"release":..., "version":..., "images":N, "present":N, "blobs":N, "bytes":N,
 *    "complete":bool, "missing":[{"image","digest","blob","reason","repair"}]}
 *
 * "image" is "release" for the release image itself.  -ENOENT when there is no such
 * release or a layer of its image is missing, -EUCLEAN when a layer that had to be read
 * is damaged or cannot be unpacked, -EBADMSG when it is none; each with a sentence, which
 * names the layer and the command that repairs it.
 */
int release_verify(json_t **ret, struct db *db, struct store *store,
    const struct release_query *q, struct err *err) _mustcheck_;
