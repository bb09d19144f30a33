/*
 * What a manifest says: its type, what it refers to, and what it is about.  Knows OCI
 * images, indexes and artifacts, Docker's schema 2, manifest lists and schema 1; any
 * other JSON object is kept as a manifest that refers to nothing.  Pure.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "regd/name.h"

#define MANIFEST_MAX (4u * 1024 * 1024)
#define TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define TYPE_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define TYPE_DOCKER_SIGNED "application/vnd.docker.distribution.manifest.v1+prettyjws"

enum {
	MANIFEST_TYPE_MAX = 256,  /* of a media type, with its NUL */
	MANIFEST_REFS_MAX = 4096, /* descriptors of one manifest */
};

enum manifest_ref_kind {
	REF_BLOB,    /* config or layer: must be in the repository */
	REF_FOREIGN, /* a layer that may be fetched elsewhere: never required */
	REF_CHILD,   /* a manifest of an index */
	REF_SUBJECT, /* need not exist */
};

struct manifest_ref {
	struct oci_digest digest;
	enum manifest_ref_kind kind;
	int64_t size;
};

struct manifest {
	char type[MANIFEST_TYPE_MAX];          /* without parameters */
	char artifact_type[MANIFEST_TYPE_MAX]; /* as referrers show it; "" for none */
	char *annotations; /* JSON object of texts, as text, or NULL */
	struct manifest_ref *refs;
	size_t n_refs;
};

/*
 * content_type is the request's header or NULL; the body's mediaType counts where that
 * is missing.  JSON of more levels than json_load_limited() takes is none.  -EBADMSG with a sentence for what is no manifest; -ENOMEM.
 */
int manifest_parse(struct manifest **ret, const char *content_type, const char *body,
    size_t n, struct err *err) _mustcheck_;
struct manifest *manifest_free(struct manifest *m);
DEFINE_FREEP(manifest)
/* The digest of what it is about, or NULL. */
const struct oci_digest *manifest_subject(const struct manifest *m);
