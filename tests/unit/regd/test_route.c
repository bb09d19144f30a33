/* Paths under /v2, names, tags and digests. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"
#include "regd/route.h"

#define SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct path_case {
	const char *path;
	enum route_kind kind;
	const char *name, *rest;
};

static const struct path_case paths[] = {
	{ "/v2", ROUTE_BASE, "", "" },
	{ "/v2/", ROUTE_BASE, "", "" },
	{ "/v2/_catalog", ROUTE_CATALOG, "", "" },
	{ "/v2/a/tags/list", ROUTE_TAGS, "a", "" },
	{ "/v2/a/b/c/tags/list", ROUTE_TAGS, "a/b/c", "" },
	{ "/v2/a/manifests/latest", ROUTE_MANIFEST, "a", "latest" },
	{ "/v2/a/manifests/" SHA, ROUTE_MANIFEST, "a", SHA },
	{ "/v2/a/blobs/" SHA, ROUTE_BLOB, "a", SHA },
	{ "/v2/a/blobs/uploads/", ROUTE_UPLOADS, "a", "" },
	{ "/v2/a/blobs/uploads", ROUTE_UPLOADS, "a", "" },
	{ "/v2/a/blobs/uploads/x-y", ROUTE_UPLOAD, "a", "x-y" },
	{ "/v2/a/referrers/" SHA, ROUTE_REFERRERS, "a", SHA },
	/* Components with the endpoints' own words. */
	{ "/v2/blobs/blobs/x", ROUTE_BLOB, "blobs", "x" },
	{ "/v2/a/blobs/uploads/blobs/uploads/", ROUTE_UPLOADS, "a/blobs/uploads", "" },
	{ "/v2/manifests/manifests/manifests", ROUTE_MANIFEST, "manifests",
	    "manifests" },
	{ "/v2/tags/tags/list", ROUTE_TAGS, "tags", "" },
	{ "/v2/a/tags/manifests/list", ROUTE_MANIFEST, "a/tags", "list" },
	{ "/v2/uploads/manifests/uploads", ROUTE_MANIFEST, "uploads", "uploads" },
	{ "/v2/uploads/x/blobs/y", ROUTE_BLOB, "uploads/x", "y" },
	/* No endpoint. */
	{ "/", ROUTE_PAGE, "", "" },
	{ "/x", ROUTE_NONE, "", "" },
	{ "/v3/", ROUTE_NONE, "", "" },
	{ "/v2x", ROUTE_NONE, "", "" },
	{ "/v2/a", ROUTE_NONE, "", "" },
	{ "/v2/a/tags/liste", ROUTE_NONE, "", "" },
	{ "/v2/a/manifests/", ROUTE_NONE, "", "" },
	{ "/v2/a/blobs/", ROUTE_NONE, "", "" },
	{ "/v2/blobs/uploads/", ROUTE_NONE, "", "" },
	{ "/v2/manifests/latest", ROUTE_NONE, "", "" },
	{ "/v2/a/manifests/latest/", ROUTE_NONE, "", "" },
	/* Names that cannot be. */
	{ "/v2/A/manifests/latest", ROUTE_BAD_NAME, "", "" },
	{ "/v2/_catalog/tags/list", ROUTE_BAD_NAME, "", "" },
	{ "/v2/a..b/tags/list", ROUTE_BAD_NAME, "", "" },
	{ "/v2/a%2fb/tags/list", ROUTE_BAD_NAME, "", "" },
	{ "/v2/-a/blobs/x", ROUTE_BAD_NAME, "", "" },
};

TEST(every_path_finds_its_endpoint)
{
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path_case *c = &paths[i];
		struct route r;

		route_parse(c->path, &r);
		if (r.kind != c->kind || !str_eq(r.name, c->name) ||
		    !str_eq(r.rest, c->rest))
			printf("# %s: kind %d name \"%s\" rest \"%s\"\n", c->path,
			    r.kind, r.name, r.rest);
		CHECK(r.kind == c->kind);
		CHECK(str_eq(r.name, c->name));
		CHECK(str_eq(r.rest, c->rest));
	}
}

TEST(a_name_is_at_most_255_bytes)
{
	char path[400] = "/v2/";
	struct route r;

	memset(path + 4, 'a', 255);
	strcpy(path + 4 + 255, "/tags/list");
	route_parse(path, &r);
	CHECK(r.kind == ROUTE_TAGS && strlen(r.name) == 255);
	memset(path + 4, 'a', 256);
	strcpy(path + 4 + 256, "/tags/list");
	route_parse(path, &r);
	CHECK(r.kind == ROUTE_BAD_NAME);
}

TEST(names)
{
	static const char *const good[] = { "a", "0", "a.b", "a_b", "a__b", "a-b",
		"a---b", "a/b", "openshift/okd", "a.b_c-d/e__f" };
	static const char *const bad[] = { "", "/", "a/", "/a", "a//b", "a..b", "a___b",
		"a._b", ".a", "a.", "-a", "a-", "_a", "a_", "A", "a b", "a:b", "a\nb",
		"a/../b", "a\\b", "\xc3\xa4" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK(name_is_repository(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!name_is_repository(bad[i], strlen(bad[i])));
}

TEST(tags)
{
	char longest[131];

	memset(longest, 'a', 130);
	longest[128] = '\0';
	CHECK(name_is_tag("latest") && name_is_tag("_") && name_is_tag("4.5.0-0.okd"));
	CHECK(name_is_tag("A-B_c.d") && name_is_tag("sha256-abc.sig"));
	CHECK(name_is_tag(longest));
	longest[128] = 'a';
	longest[129] = '\0';
	CHECK(!name_is_tag(longest));
	CHECK(!name_is_tag("") && !name_is_tag(".a") && !name_is_tag("-a"));
	CHECK(!name_is_tag("a:b") && !name_is_tag("a/b") && !name_is_tag("a b"));
}

TEST(digests)
{
	struct oci_digest d;
	char text[200];

	CHECK(oci_digest_parse(&d, SHA) == 0 && d.alg == DIGEST_SHA256);
	CHECK(str_eq(oci_digest_hex(&d), &SHA[7]));
	CHECK(oci_digest_matches(&d, "", 0) && !oci_digest_matches(&d, "x", 1));
	strcpy(text, "sha512:");
	memset(text + 7, '0', 128);
	text[135] = '\0';
	CHECK(oci_digest_parse(&d, text) == 0 && d.alg == DIGEST_SHA512);
	text[134] = '\0';
	CHECK(oci_digest_parse(&d, text) == -EINVAL);
	strcpy(text, SHA);
	text[10] = 'A';
	CHECK(oci_digest_parse(&d, text) == -EINVAL);
	CHECK(oci_digest_parse(&d, "sha256:") == -EINVAL);
	CHECK(oci_digest_parse(&d, "sha256") == -EINVAL);
	CHECK(oci_digest_parse(&d,
		  ":"
		  "aa") == -EINVAL);
	CHECK(oci_digest_parse(&d, "md5:d41d8cd98f00b204e9800998ecf8427e") == -ENOTSUP);
	CHECK(oci_digest_parse(&d, SHA "0") == -EINVAL);
	CHECK(oci_digest_parse(&d, "sha256:../../etc/passwd") == -EINVAL);
}
