/* Request heads: what is accepted and what it means, and every way to smuggle refused.
 */
#include "common/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

static struct http_head h;
static char buf[65536];

/* Parses text; its length is given for texts with NULs.  -1: never complete. */
static int parse_n(const char *text, size_t n)
{
	size_t scanned = 0;
	ssize_t len;

	memcpy(buf, text, n);
	buf[n] = '\0';
	len = http_head_find(buf, n, &scanned);
	if (len == -EAGAIN)
		return -1;
	if (len < 0)
		return 400;
	return http_head_parse(&h, buf, (size_t)len, HTTP_TARGET_DEFAULT);
}

static int parse(const char *text)
{
	return parse_n(text, strlen(text));
}

#define GET(lines) "GET / HTTP/1.1\r\nHost: a\r\n" lines "\r\n"
#define POST(lines) "POST / HTTP/1.1\r\nHost: a\r\n" lines "\r\n"

TEST(accepted)
{
	CHECK(parse("GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nX-Y:  z "
		    "\t\r\n\r\n") == 0);
	CHECK(h.method == HTTP_GET && strcmp(h.method_name, "GET") == 0);
	CHECK(strcmp(h.target, "/a/b?c=d") == 0);
	CHECK(strcmp(h.host, "example.com:8080") == 0);
	CHECK(h.minor == 1 && h.keep_alive && !h.chunked && !h.has_length);
	CHECK(strcmp(http_head_get(&h, "x-y"), "z") == 0);
	CHECK(!http_head_get(&h, "x"));
	CHECK(h.n_headers == 2);
}

TEST(one_empty_line_before)
{
	CHECK(parse("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
	CHECK(strcmp(h.target, "/") == 0);
	CHECK(parse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
}

TEST(request_line)
{
	static const struct {
		const char *text;
		int status;
	} table[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
		{ "FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
		{ "get / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
		{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
		{ "GET / HTTP/1.9\r\nHost: a\r\n\r\n", 0 },
		{ "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
		{ "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET /\r\n\r\n", 400 },
		{ "GET / \r\n\r\n", 400 },
		{ "GET\r\n\r\n", 400 },
		{ "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/1.\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/11\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
		{ "GET / HTTP/0.9\r\n\r\n", 505 },
		{ "GET / HTTP/1.1\rHost: a\r\n\r\n", 400 },
		{ "\r\n\r\n", 400 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int r = parse(table[i].text);

		CHECK(r == table[i].status);
		if (r != table[i].status)
			printf("# %d for %s\n", r, table[i].text);
	}
}

TEST(framing)
{
	static const struct {
		const char *text;
		int status;
	} table[] = {
		{ POST("Content-Length: 5\r\n"), 0 },
		{ POST("Transfer-Encoding: chunked\r\n"), 0 },
		{ POST("Transfer-Encoding: CHUNKED\r\n"), 0 },
		{ POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400 },
		{ POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400 },
		{ POST("Content-Length: 5\r\nContent-Length: 6\r\n"), 400 },
		{ POST("Content-Length: 5\r\nContent-Length: 5\r\n"), 400 },
		{ POST("Content-Length: 5, 5\r\n"), 400 },
		{ POST("Content-Length: +5\r\n"), 400 },
		{ POST("Content-Length: -5\r\n"), 400 },
		{ POST("Content-Length: 0x5\r\n"), 400 },
		{ POST("Content-Length: 5 5\r\n"), 400 },
		{ POST("Content-Length: 5.0\r\n"), 400 },
		{ POST("Content-Length:\r\n"), 400 },
		{ POST("Content-Length: 9223372036854775807\r\n"), 0 },
		{ POST("Content-Length: 9223372036854775808\r\n"), 400 },
		{ POST("Content-Length: 18446744073709551621\r\n"), 400 },
		{ POST("Content-Length : 5\r\n"), 400 },
		{ POST("Content-Length\t: 5\r\n"), 400 },
		{ POST(" Content-Length: 5\r\n"), 400 },
		{ POST("Transfer-Encoding: gzip, chunked\r\n"), 400 },
		{ POST("Transfer-Encoding: chunked, gzip\r\n"), 400 },
		{ POST("Transfer-Encoding: chunked, chunked\r\n"), 400 },
		{ POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
		    400 },
		{ POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
		    400 },
		{ POST("Transfer-Encoding: gzip\r\n"), 501 },
		{ POST("Transfer-Encoding: identity\r\n"), 501 },
		{ POST("Transfer-Encoding: xchunked\r\n"), 501 },
		{ POST("Transfer-Encoding: \"chunked\"\r\n"), 501 },
		{ POST("Transfer-Encoding:\r\n"), 400 },
		{ POST("Transfer-Encoding:\x0b"
		       "chunked\r\n"),
		    400 },
		{ POST("Transfer-Encoding : chunked\r\n"), 400 },
		{ POST("X: y\r\n Transfer-Encoding: chunked\r\n"), 400 },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ POST("Expect: 100-continue\r\n"), 0 },
		{ POST("Expect: 200-ok\r\n"), 417 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int r = parse(table[i].text);

		CHECK(r == table[i].status);
		if (r != table[i].status)
			printf("# %d for %s\n", r, table[i].text);
	}
	CHECK(parse(POST("Content-Length: 5\r\n")) == 0 && h.has_length &&
	    h.content_length == 5 && !h.chunked);
	CHECK(parse(POST("Transfer-Encoding: chunked\r\n")) == 0 && h.chunked);
}

TEST(lines)
{
	static const struct {
		const char *text;
		int status;
	} table[] = {
		{ GET("X: y\r\n"), 0 },
		{ GET("X:\r\n"), 0 },
		{ GET("X:y\r\n"), 0 },
		{ GET("X: \x80\xff\r\n"), 0 },
		{ GET("X y\r\n"), 400 },
		{ GET(": y\r\n"), 400 },
		{ GET("X\r\n"), 400 },
		{ GET("X(y): z\r\n"), 400 },
		{ GET("X: y\r\n z\r\n"), 400 },
		{ GET("X: y\r\n\tz\r\n"), 400 },
		{ GET("X: y\rz\r\n"), 400 },
		{ GET("X: y\x01\r\n"), 400 },
		{ GET("X: y\x7f\r\n"), 400 },
		{ GET("X: y\n"), 400 },
		{ GET("X: y\r\r\n"), 400 },
		{ "GET / HTTP/1.1\nHost: a\n\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\n", 400 },
		{ "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int r = parse(table[i].text);

		CHECK(r == table[i].status);
		if (r != table[i].status)
			printf("# %d for %s\n", r, table[i].text);
	}
	CHECK(parse_n("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29) == 400);
	CHECK(parse_n("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 29) == 400);
	CHECK(parse_n("GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n", 29) == 400);
}

TEST(hosts)
{
	static const struct {
		const char *text;
		int status;
	} table[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
		{ "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0 },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0 },
		{ "GET / HTTP/1.0\r\n\r\n", 0 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400 },
		{ "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400 },
		{ "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET http://a/ HTTP/1.1\r\n\r\n", 400 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int r = parse(table[i].text);

		CHECK(r == table[i].status);
		if (r != table[i].status)
			printf("# %d for %s\n", r, table[i].text);
	}
}

TEST(absolute_form)
{
	static const struct {
		const char *url, *host, *target;
	} table[] = {
		{ "http://b/c?d", "b", "/c?d" },
		{ "HTTP://b:80/", "b:80", "/" },
		{ "https://b", "b", "/" },
		{ "http://b?x=http://c/", "b", "/?x=http://c/" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char text[200];

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
		    table[i].url);
		CHECK(parse(text) == 0);
		CHECK(strcmp(h.host, table[i].host) == 0);
		CHECK(strcmp(h.target, table[i].target) == 0);
	}
}

TEST(keep_alive)
{
	static const struct {
		const char *text;
		bool keep;
	} table[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE ,y\r\n\r\n",
		    false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: "
		  "close\r\n\r\n",
		    false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		CHECK(parse(table[i].text) == 0);
		CHECK(h.keep_alive == table[i].keep);
	}
}

TEST(limits)
{
	static char text[60000];
	size_t n;

	n = (size_t)sprintf(text, "GET /");
	memset(text + n, 'a', HTTP_TARGET_DEFAULT);
	strcpy(text + n + HTTP_TARGET_DEFAULT - 1, " HTTP/1.1\r\nHost: a\r\n\r\n");
	CHECK(parse(text) == 0);
	memset(text + n, 'a', HTTP_TARGET_DEFAULT);
	strcpy(text + n + HTTP_TARGET_DEFAULT, " HTTP/1.1\r\nHost: a\r\n\r\n");
	CHECK(parse(text) == 414);

	n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 1; i < HTTP_HEADERS_MAX; i++)
		n += (size_t)sprintf(text + n, "X: y\r\n");
	strcpy(text + n, "\r\n");
	CHECK(parse(text) == 0);
	CHECK(h.n_headers == HTTP_HEADERS_MAX);
	strcpy(text + n, "X: y\r\n\r\n");
	CHECK(parse(text) == 431);
}

TEST(found_byte_by_byte)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
	size_t scanned = 0, end = sizeof(text) - 5;

	for (size_t n = 0; n < end; n++)
		CHECK(http_head_find(text, n, &scanned) == -EAGAIN);
	CHECK(http_head_find(text, end, &scanned) == (ssize_t)end);
	scanned = 0;
	CHECK(http_head_find(text, sizeof(text) - 1, &scanned) == (ssize_t)end);
}

TEST(moved_and_repeated)
{
	char *to;

	CHECK(parse(GET("X: 1\r\nY: 2\r\nx: 3\r\n")) == 0);
	to = malloc(200);
	memcpy(to, buf, 200);
	http_head_moved(&h, buf, to);
	memset(buf, 'z', 200);
	CHECK(strcmp(h.target, "/") == 0 && strcmp(h.host, "a") == 0);
	CHECK(strcmp(http_head_get(&h, "x"), "1") == 0);
	CHECK(strcmp(http_head_next(&h, "x", http_head_get(&h, "x")), "3") == 0);
	free(to);
}

TEST(vocabulary)
{
	char out[8];

	CHECK(strcmp(http_status_text(416), "Range Not Satisfiable") == 0);
	CHECK(strcmp(http_methods_str(HTTP_GET | HTTP_PUT), "GET, PUT") == 0);
	CHECK(
	    strcmp(http_mime("/a/b.ign"), "application/vnd.coreos.ignition+json") == 0);
	CHECK(strcmp(http_mime("/a.b/c"), "application/octet-stream") == 0);
	CHECK(http_query_get("a=1&b=%41+c&d", "b", out, sizeof(out)) == 3);
	CHECK(strcmp(out, "A c") == 0);
	CHECK(http_query_get("a=1&b", "b", out, sizeof(out)) == 0);
	CHECK(http_query_get("ab=1", "a", out, sizeof(out)) == -ENOENT);
	CHECK(http_query_get(NULL, "a", out, sizeof(out)) == -ENOENT);
	CHECK(http_query_get("a=%0", "a", out, sizeof(out)) == -EINVAL);
	CHECK(http_query_get("a=%00", "a", out, sizeof(out)) == -EINVAL);
	CHECK(http_query_get("a=1234567", "a", out, sizeof(out)) == 7);
	CHECK(http_query_get("a=12345678", "a", out, sizeof(out)) == -ENOSPC);
}
