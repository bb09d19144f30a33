/* Paths in registry:2's storage: what is found obeys the grammar, and leads back. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "regd/dist_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path that such a thing has, below the top. */
static void path_of(const struct dist_path *p, char *out, size_t n)
{
	const char *hex = p->digest.text[0] ? oci_digest_hex(&p->digest) : "";
	int alg = (int)(hex - p->digest.text) - 1;

	if (p->kind == DIST_DATA)
		snprintf(
		    out, n, "blobs/%.*s/%.2s/%s/data", alg, p->digest.text, hex, hex);
	else if (p->kind == DIST_TAG)
		snprintf(out, n, "repositories/%s/_manifests/tags/%s/current/link",
		    p->repository, p->tag);
	else
		snprintf(out, n, "repositories/%s/%s/%.*s/%s/link", p->repository,
		    p->kind == DIST_LAYER ? "_layers" : "_manifests/revisions", alg,
		    p->digest.text, hex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char top[] = "docker/registry/v2/";
	char path[2048], back[2048];
	struct dist_path p;

	if (size >= sizeof(path) || memchr(data, 0, size))
		return 0;
	memcpy(path, data, size);
	path[size] = '\0';
	dist_path_parse(path, &p);
	if (p.kind == DIST_NONE)
		return 0;
	assert(p.kind == DIST_DATA ||
	    name_is_repository(p.repository, strlen(p.repository)));
	assert(p.kind != DIST_TAG || name_is_tag(p.tag));
	path_of(&p, back, sizeof(back));
	assert(
	    strcmp(back,
		path + (strncmp(path, top, sizeof(top) - 1) ? 0 : sizeof(top) - 1)) ==
	    0);
	return 0;
}
