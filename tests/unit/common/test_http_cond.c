/* Dates in three formats, entity tags, and the order in which conditions are judged. */
#include "common/http_cond.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

TEST(dates)
{
	static const struct {
		const char *text;
		int64_t t; /* -1: refused */
	} table[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Wed, 30 Jun 2032 23:59:60 GMT", 1972252799 },
		{ "Wed Nov 16 08:49:37 1994", 784975777 },
		{ "Sun, 31 Feb 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 24:00:00 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49:37", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 CET", -1 },
		{ "Sun, 6 Nov 1994 08:49:37 GMT", -1 },
		{ "Xyz, 06 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT ", -1 },
		{ "784111777", -1 },
		{ "Sun,", -1 },
		{ "Sun, 0", -1 },
		{ "", -1 },
	};
	char buf[HTTP_DATE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int64_t t = -1;
		int r = http_date_parse(table[i].text, &t);
		bool ok = table[i].t < 0 ? r == -EINVAL : r == 0 && t == table[i].t;

		CHECK(ok);
		if (!ok)
			printf("# %d %lld for %s\n", r, (long long)t, table[i].text);
	}
	CHECK(strcmp(http_date_format(784111777, buf), table[0].text) == 0);
}

TEST(etags)
{
	CHECK(http_etag_matches("\"a\"", "\"a\"", false));
	CHECK(http_etag_matches("\"x\", \"a\"", "\"a\"", false));
	CHECK(http_etag_matches("\"x,y\" ,W/\"a\"", "\"a\"", true));
	CHECK(!http_etag_matches("W/\"a\"", "\"a\"", false));
	CHECK(!http_etag_matches("\"a\"", "W/\"a\"", false));
	CHECK(http_etag_matches("*", "\"a\"", false));
	CHECK(!http_etag_matches("a", "\"a\"", true));
	CHECK(!http_etag_matches("\"a", "\"a\"", true));
	CHECK(!http_etag_matches("", "\"a\"", true));
	CHECK(!http_etag_matches("\"b\" \"a\"", "\"a\"", true));
}

static int judge(const char *method, const char *lines)
{
	static const struct http_validator v = { "\"e\"", 784111777 };
	static char buf[1024];
	struct http_head h;
	int n = snprintf(
	    buf, sizeof(buf), "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, lines);

	if (http_head_parse(&h, buf, (size_t)n, 100) != 0)
		return -1;
	return http_cond_judge(&h, &v) + (http_cond_range(&h, &v) ? 0 : 1000);
}

#define AT "Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT\r\n"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT\r\n"

TEST(conditions)
{
	static const struct {
		const char *method, *lines;
		int verdict;
	} table[] = {
		{ "GET", "", 0 },
		{ "GET", "If-None-Match: \"e\"\r\n", 304 },
		{ "GET", "If-None-Match: W/\"e\"\r\n", 304 },
		{ "GET", "If-None-Match: *\r\n", 304 },
		{ "HEAD", "If-None-Match: \"e\"\r\n", 304 },
		{ "PUT", "If-None-Match: *\r\n", 412 },
		{ "GET", "If-None-Match: \"x\"\r\nIf-None-Match: \"e\"\r\n", 304 },
		{ "GET", "If-None-Match: \"x\"\r\nIf-Modified-Since: " AT, 0 },
		{ "GET", "If-Modified-Since: " AT, 304 },
		{ "GET", "If-Modified-Since: " AFTER, 304 },
		{ "GET", "If-Modified-Since: " BEFORE, 0 },
		{ "GET", "If-Modified-Since: yesterday\r\n", 0 },
		{ "POST", "If-Modified-Since: " AT, 0 },
		{ "GET", "If-Match: \"e\"\r\n", 0 },
		{ "GET", "If-Match: *\r\n", 0 },
		{ "GET", "If-Match: \"x\"\r\n", 412 },
		{ "GET", "If-Match: W/\"e\"\r\n", 412 },
		{ "GET", "If-Match: \"e\"\r\nIf-Unmodified-Since: " BEFORE, 0 },
		{ "GET", "If-Unmodified-Since: " AT, 0 },
		{ "GET", "If-Unmodified-Since: " BEFORE, 412 },
		{ "GET", "If-Match: \"e\"\r\nIf-None-Match: \"e\"\r\n", 304 },
		{ "GET", "If-Range: \"e\"\r\n", 0 },
		{ "GET", "If-Range: W/\"e\"\r\n", 1000 },
		{ "GET", "If-Range: \"x\"\r\n", 1000 },
		{ "GET", "If-Range: " AT, 0 },
		{ "GET", "If-Range: " AFTER, 1000 },
		{ "GET", "If-Range: *\r\n", 1000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int v = judge(table[i].method, table[i].lines);

		CHECK(v == table[i].verdict);
		if (v != table[i].verdict)
			printf("# %d for %s %s\n", v, table[i].method, table[i].lines);
	}
}
