/* PROXY headers as HAProxy sends them, cut at every byte, and broken ones. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "lbd/proxyproto.h"

static void expect(const char *p, size_t n, const char *from, const char *to)
{
	char tail[256];
	struct proxyproto h;

	for (size_t i = 1; i < n; i++)
		CHECK(proxyproto_parse(p, i, &h) == -EAGAIN);
	memcpy(tail, p, n);
	memcpy(tail + n, "more", 4);
	CHECK(proxyproto_parse(tail, n + 4, &h) == (ssize_t)n);
	if (!from) {
		CHECK(!h.from.ip.family);
		return;
	}
	CHECK(strcmp(net_endpoint_str(&h.from), from) == 0);
	CHECK(strcmp(net_endpoint_str(&h.to), to) == 0);
}

#define EXPECT(text, from, to) expect(text, sizeof(text) - 1, from, to)

TEST(version_1)
{
	EXPECT("PROXY TCP4 127.0.0.77 127.0.0.1 52295 17003\r\n", "127.0.0.77:52295",
	    "127.0.0.1:17003");
	EXPECT("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2");
	EXPECT("PROXY UNKNOWN\r\n", NULL, NULL);
	EXPECT("PROXY UNKNOWN 1 2 3 whatever\r\n", NULL, NULL);
}

TEST(version_2)
{
	EXPECT("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x4d\x7f\0\0\x01\xcc\x47\x42"
	       "\x6b",
	    "127.0.0.77:52295", "127.0.0.1:17003");
	EXPECT("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", NULL, NULL);
	EXPECT("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\x7f\0\0\x4d\x7f\0\0\x01\0\x01\0\x02"
	       "\x04\0\0",
	    "127.0.0.77:1", "127.0.0.1:2");
}

static bool is_bad(const char *p, size_t n)
{
	struct proxyproto h;

	return proxyproto_parse(p, n, &h) == -EBADMSG;
}

#define BAD(text) CHECK(is_bad(text, sizeof(text) - 1))

TEST(broken_ones)
{
	BAD("GET / HTTP/1.1\r\n");
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n");
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n");
	BAD("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n");
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n");
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n");
	BAD("PROXY TCP4 ::1 ::1 1 2\r\n");
	BAD("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n");
	BAD("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n");
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n");
	BAD("\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c");
	BAD("\r\n\r\n\0\r\nQUIT\n\x22\x11\0\x0c");
	BAD("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x02\0\0");
}

TEST(a_line_without_an_end_is_bounded)
{
	char long_line[200];

	memset(long_line, ' ', sizeof(long_line));
	memcpy(long_line, "PROXY UNKNOWN", 13);
	CHECK(is_bad(long_line, sizeof(long_line)));
}

TEST(both_families_meet)
{
	struct proxyproto h = { .from.port = 1, .to.port = 2 };
	char buf[PROXYPROTO_FORMAT_MAX];

	CHECK(net_ip_parse("192.0.2.1", &h.from.ip) == 0);
	CHECK(net_ip_parse("2001:db8::1", &h.to.ip) == 0);
	proxyproto_format(&h, 1, buf);
	CHECK(strcmp(buf, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n") == 0);
	CHECK(proxyproto_format(&h, 2, buf) == 52);
}
