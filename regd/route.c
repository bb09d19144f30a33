/* Paths of the registry: see route.h. */
#include "regd/route.h"

#include <string.h>

#include "common/str.h"

/* The last component of the n bytes at s: its start; n when there is none. */
static size_t last_component(const char *s, size_t n)
{
	while (n > 0 && s[n - 1] != '/')
		n--;
	return n;
}

static bool span_is(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(s, word, n) == 0;
}

/*
 * Cuts "word/" off the end of the n bytes at s, which end in a slash: the length of
 * what stands before it, 0 when the word is another or nothing stands there.
 */
static size_t cut(const char *s, size_t n, const char *word)
{
	size_t len = strlen(word);

	if (n < len + 3 || s[n - 1] != '/' || s[n - len - 2] != '/' ||
	    memcmp(s + n - len - 1, word, len) != 0)
		return 0;
	return n - len - 1;
}

static enum route_kind before_last(const char *s, size_t *n)
{
	size_t cut1;

	if ((cut1 = cut(s, *n, "manifests")) != 0) {
		*n = cut1;
		return ROUTE_MANIFEST;
	}
	if ((cut1 = cut(s, *n, "referrers")) != 0) {
		*n = cut1;
		return ROUTE_REFERRERS;
	}
	if ((cut1 = cut(s, *n, "uploads")) != 0 &&
	    (cut1 = cut(s, cut1, "blobs")) != 0) {
		*n = cut1;
		return ROUTE_UPLOAD;
	}
	if ((cut1 = cut(s, *n, "blobs")) != 0) {
		*n = cut1;
		return ROUTE_BLOB;
	}
	if ((cut1 = cut(s, *n, "tags")) != 0) {
		*n = cut1;
		return ROUTE_TAGS;
	}
	return ROUTE_NONE;
}

static enum route_kind parse_named(const char *s, struct route *ret)
{
	size_t len = strlen(s), last, n;
	enum route_kind kind;

	/* ".../blobs/uploads/" ends in a slash; the same without it is meant alike. */
	if (len && s[len - 1] == '/')
		len--;
	last = n = last_component(s, len);
	kind = before_last(s, &n);
	if (kind == ROUTE_BLOB && span_is(s + last, len - last, "uploads"))
		kind = ROUTE_UPLOADS;
	else if (s[len] == '/' || len == last)
		return ROUTE_NONE;
	if (kind == ROUTE_TAGS && !str_eq(s + last, "list"))
		return ROUTE_NONE;
	if (kind == ROUTE_NONE || len - last >= REST_MAX)
		return ROUTE_NONE;
	if (!name_is_repository(s, n - 1))
		return ROUTE_BAD_NAME;
	memcpy(ret->name, s, n - 1);
	ret->name[n - 1] = '\0';
	if (kind != ROUTE_UPLOADS && kind != ROUTE_TAGS)
		memcpy(ret->rest, s + last, len - last + 1);
	return kind;
}

void route_parse(const char *path, struct route *ret)
{
	ret->kind = ROUTE_NONE;
	ret->name[0] = '\0';
	ret->rest[0] = '\0';
	if (str_eq(path, "/"))
		ret->kind = ROUTE_PAGE;
	else if (str_eq(path, "/token"))
		ret->kind = ROUTE_TOKEN;
	else if (str_eq(path, "/v2") || str_eq(path, "/v2/"))
		ret->kind = ROUTE_BASE;
	else if (str_eq(path, "/v2/_catalog"))
		ret->kind = ROUTE_CATALOG;
	else if (str_starts(path, "/v2/"))
		ret->kind = parse_named(path + 4, ret);
}
