/*
 * Other programs' folders of images, as a list of what is in them:
 *
 *   registry:2   docker/registry/v2/{blobs,repositories} below the folder
 *   oc           v2/<repository>/{blobs,manifests} of `oc image mirror --to-dir`
 *   OCI layout   oci-layout, index.json, blobs; the repository's name is the caller's
 *   oc-mirror    a tar file, or a folder of mirror_*.tar: see archive.h
 *
 * Names in these trees are checked as if they came from a client.  Blocks.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "regd/manifest.h"
#include "regd/name.h"

enum scan_kind {
	SCAN_BLOB,
	SCAN_MANIFEST,
	SCAN_TAG, /* digest is what it points to */
};

struct scan_item {
	enum scan_kind kind;
	char *repository, *tag, *path; /* path of the bytes; NULL with SCAN_TAG */
	struct oci_digest digest;
	bool inside; /* its bytes are a part of the file: */
	uint64_t offset, size;
};

/* Blobs come before manifests, manifests before tags. */
struct scan {
	struct scan_item *items;
	size_t n, cap;
	const char *what; /* "registry:2", "oc", "OCI layout", "oc-mirror" */
};

/* -ENOENT with a sentence for a folder that is none of these. */
int scan_folder(struct scan **ret, const char *folder, const char *repository,
    struct err *err) _mustcheck_;
struct scan *scan_free(struct scan *s);
DEFINE_FREEP(scan)
/* For those who scan; what is given is copied. */
int scan_add(struct scan *s, enum scan_kind kind, const char *repository,
    const char *tag, const char *path, const struct oci_digest *d) _mustcheck_;
/* The bytes of a manifest, and what they say; -EILSEQ when they have another digest. */
int scan_item_manifest(
    const struct scan_item *it, struct str *body, struct manifest **ret) _mustcheck_;
/* The item's bytes; -EFBIG for more than max. */
int scan_item_read(const struct scan_item *it, size_t max, struct str *out) _mustcheck_;
