/* Paths of registry:2's storage: see dist_path.h. */
#include "regd/dist_path.h"

#include <stdio.h>
#include <string.h>

#include "common/str.h"

/* "<alg>/<hex><tail>": whether s is that, with its digest. */
static bool parse_digest(const char *s, const char *tail, struct oci_digest *ret)
{
	const char *slash = strchr(s, '/');
	size_t len = strlen(s), n = strlen(tail);
	char text[DIGEST_TEXT_MAX];

	if (!slash || len < n || !str_eq(s + len - n, tail) || slash >= s + len - n ||
	    len - n >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(len - n), s);
	text[slash - s] = ':';
	return oci_digest_parse(ret, text) == 0;
}

/* "<alg>/<two digits of hex>/<hex>/data" */
static void parse_data(const char *s, struct dist_path *ret)
{
	const char *slash = strchr(s, '/');
	char text[DIGEST_TEXT_MAX + 16];

	if (!slash || strlen(s) >= sizeof(text) || strnlen(slash, 4) < 4 ||
	    slash[3] != '/')
		return;
	snprintf(text, sizeof(text), "%.*s%s", (int)(slash - s), s, slash + 3);
	if (parse_digest(text, "/data", &ret->digest) &&
	    memcmp(oci_digest_hex(&ret->digest), slash + 1, 2) == 0)
		ret->kind = DIST_DATA;
}

/* "<tag>/current/link" */
static void parse_tag(const char *s, struct dist_path *ret)
{
	const char *slash = strchr(s, '/');

	if (!slash || !str_eq(slash, "/current/link") ||
	    (size_t)(slash - s) >= sizeof(ret->tag))
		return;
	memcpy(ret->tag, s, (size_t)(slash - s));
	ret->tag[slash - s] = '\0';
	if (name_is_tag(ret->tag))
		ret->kind = DIST_TAG;
}

/* Behind the repository's name. */
static void parse_own(const char *s, struct dist_path *ret)
{
	if (str_starts(s, "/_layers/")) {
		if (parse_digest(s + 9, "/link", &ret->digest))
			ret->kind = DIST_LAYER;
	} else if (str_starts(s, "/_manifests/revisions/")) {
		if (parse_digest(s + 22, "/link", &ret->digest))
			ret->kind = DIST_REVISION;
	} else if (str_starts(s, "/_manifests/tags/")) {
		parse_tag(s + 17, ret);
	}
}

void dist_path_parse(const char *path, struct dist_path *ret)
{
	static const char top[] = "docker/registry/v2/";
	const char *own;

	*ret = (struct dist_path){ .kind = DIST_NONE };
	if (str_starts(path, top))
		path += sizeof(top) - 1;
	if (str_starts(path, "blobs/")) {
		parse_data(path + 6, ret);
		return;
	}
	if (!str_starts(path, "repositories/"))
		return;
	path += 13;
	/* No component of a repository's name begins with an underscore. */
	own = strstr(path, "/_");
	if (!own || !name_is_repository(path, (size_t)(own - path)))
		return;
	memcpy(ret->repository, path, (size_t)(own - path));
	ret->repository[own - path] = '\0';
	parse_own(own, ret);
}
