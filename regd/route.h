/* Which endpoint a path under /v2 names.  Pure; parsed from the right end, because a
 * repository's name may hold components called blobs, manifests, uploads or tags. */
#pragma once

#include "common/base.h"
#include "regd/name.h"

enum route_kind {
	ROUTE_NONE,      /* no endpoint of ours */
	ROUTE_BAD_NAME,  /* an endpoint with a name that cannot be */
	ROUTE_PAGE,      /* / */
	ROUTE_TOKEN,     /* /token */
	ROUTE_BASE,      /* /v2/ */
	ROUTE_CATALOG,   /* /v2/_catalog */
	ROUTE_TAGS,      /* /v2/N/tags/list */
	ROUTE_MANIFEST,  /* /v2/N/manifests/R */
	ROUTE_BLOB,      /* /v2/N/blobs/D */
	ROUTE_UPLOADS,   /* /v2/N/blobs/uploads/ */
	ROUTE_UPLOAD,    /* /v2/N/blobs/uploads/S */
	ROUTE_REFERRERS, /* /v2/N/referrers/D */
};

enum { REST_MAX = 192 }; /* more than any reference, digest or session has */

struct route {
	enum route_kind kind;
	char name[NAME_MAX_LEN + 1]; /* "" where the endpoint has none */
	char rest[REST_MAX];         /* R, D or S: the end of the path; else "" */
};

/* path is decoded and starts with "/". */
void route_parse(const char *path, struct route *ret);
