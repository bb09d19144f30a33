/* What a file of registry:2's storage is, by its path.  Pure. */
#pragma once

#include "common/base.h"
#include "regd/name.h"

enum dist_kind {
	DIST_NONE,
	DIST_DATA,     /* blobs/sha256/ab/abcd.../data */
	DIST_LAYER,    /* repositories/N/_layers/sha256/abcd.../link */
	DIST_REVISION, /* repositories/N/_manifests/revisions/sha256/abcd.../link */
	DIST_TAG,      /* repositories/N/_manifests/tags/T/current/link */
};

struct dist_path {
	enum dist_kind kind;
	char repository[NAME_MAX_LEN + 1], tag[TAG_MAX_LEN + 1];
	struct oci_digest digest; /* not of a tag, whose file holds it */
};

/* path may begin with docker/registry/v2/, as in an archive of oc-mirror. */
void dist_path_parse(const char *path, struct dist_path *ret);
