/* Request paths are decoded and normalised as nginx does it. */
#include "common/http_path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

TEST(table)
{
	static const struct {
		const char *target, *path; /* NULL: refused */
	} table[] = {
		{ "/", "/" },
		{ "/a/b", "/a/b" },
		{ "/a/b/", "/a/b/" },
		{ "//a///b//", "/a/b/" },
		{ "/./a/./b/.", "/a/b/" },
		{ "/a/../b", "/b" },
		{ "/a/b/..", "/a/" },
		{ "/a/b/../..", "/" },
		{ "/a//../b", "/b" },
		{ "/...", "/..." },
		{ "/..a/.b", "/..a/.b" },
		{ "/%61%2Fb", "/a/b" },
		{ "/%3f%23%25", "/?#%" },
		{ "/a%2e%2E/b", "/a../b" },
		{ "/a/%2e%2e/b", "/b" },
		{ "/a%2f..%2fb", "/b" },
		{ "/%252e%252e/a", "/%2e%2e/a" },
		{ "/a+b", "/a+b" },
		{ "/a?b/../..", "/a" },
		{ "/%e4", "/\xe4" },
		{ "/..", NULL },
		{ "/../..", NULL },
		{ "/a/../..", NULL },
		{ "/%2e%2e", NULL },
		{ "/%2e./x", NULL },
		{ "/..%2f..%2fetc/passwd", NULL },
		{ "/a%00b", NULL },
		{ "/%", NULL },
		{ "/%4", NULL },
		{ "/%4?a", NULL },
		{ "/%zz", NULL },
		{ "/%-1", NULL },
		{ "a", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const char *query;
		char out[64];
		ssize_t n = http_path_decode(table[i].target, out, sizeof(out), &query);
		bool ok = table[i].path ? n == (ssize_t)strlen(table[i].path) &&
			strcmp(out, table[i].path) == 0
					: n == -EINVAL;

		CHECK(ok);
		if (!ok)
			printf(
			    "# %zd %s for %s\n", n, n < 0 ? "" : out, table[i].target);
	}
}

TEST(query_and_room)
{
	const char *query;
	char out[4];

	CHECK(http_path_decode("/a?b=c?d", out, sizeof(out), &query) == 2);
	CHECK(strcmp(query, "b=c?d") == 0);
	CHECK(http_path_decode("/a?", out, sizeof(out), &query) == 2 && !*query);
	CHECK(http_path_decode("/a", out, sizeof(out), &query) == 2 && !query);
	CHECK(http_path_decode("/ab", out, 4, &query) == 3);
	CHECK(http_path_decode("/abc", out, 4, &query) == -ENOSPC);
}
