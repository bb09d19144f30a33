/* data: URLs, gzip, verification. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "ignd/resource.h"

static bool decodes(const char *url, const char *to)
{
	struct str out = STR_INIT;
	bool ok = resource_decode(url, strlen(url), &out, NULL) == 0 &&
	    out.len == strlen(to) && memcmp(str_get(&out), to, out.len) == 0;

	str_deinit(&out);
	return ok;
}

TEST(data_urls)
{
	CHECK(decodes("data:,", ""));
	CHECK(decodes("data:,hello%2C%20w", "hello, w"));
	CHECK(decodes("DATA:text/plain;charset=utf-8,a+b", "a+b"));
	CHECK(decodes("data:;base64,aGVsbG8=", "hello"));
	CHECK(decodes("data:text/plain;charset=utf-8;base64,aGVsbG8=", "hello"));
	CHECK(decodes("data:;base64,", ""));
	CHECK(decodes("data:;base64,aGVs%0AbG8%3D", "hello"));
	CHECK(decodes("data:;base64,aGVs\r\nbG8=", "hello"));
	CHECK(!decodes("data:;base64,aGVsbG8", "hello"));
	CHECK(!decodes("data:;base64,aGVs bG8=", "hello"));
	CHECK(!decodes("data:x", ""));
	CHECK(!decodes("data:,%2", ""));
	CHECK(!decodes("data:,%", ""));
	CHECK(!decodes("http://x/,", ""));
	CHECK(!decodes("", ""));
	CHECK(resource_is_data("data:,x") && !resource_is_data("dat"));
}

/* printf hello | gzip -n */
static const uint8_t hello_gz[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48,
	0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0 };

TEST(gzip)
{
	uint8_t twice[2 * sizeof(hello_gz)];
	struct str out = STR_INIT;

	CHECK(resource_gunzip(hello_gz, sizeof(hello_gz), 100, &out, NULL) == 0);
	CHECK(str_eq(str_get(&out), "hello"));
	str_reset(&out);
	memcpy(twice, hello_gz, sizeof(hello_gz));
	memcpy(twice + sizeof(hello_gz), hello_gz, sizeof(hello_gz));
	CHECK(resource_gunzip(twice, sizeof(twice), 100, &out, NULL) == 0);
	CHECK(str_eq(str_get(&out), "hellohello"));
	str_reset(&out);
	CHECK(resource_gunzip(hello_gz, sizeof(hello_gz), 4, &out, NULL) == -EFBIG);
	for (size_t n = 0; n < sizeof(hello_gz); n++)
		CHECK(resource_gunzip(hello_gz, n, 100, &out, NULL) == -EBADMSG);
	CHECK(resource_gunzip("hello", 5, 100, &out, NULL) == -EBADMSG);
	str_deinit(&out);
}

TEST(verify)
{
	static const char abc[] =
	    "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

	CHECK(resource_verify(abc, "abc", 3, NULL) == 0);
	CHECK(resource_verify(abc, "abd", 3, NULL) == -EBADMSG);
	CHECK(resource_verify("sha256", "abc", 3, NULL) == -EINVAL);
	CHECK(resource_verify("sha512-00", "abc", 3, NULL) == -EINVAL);
	CHECK(resource_verify("md5-00", "abc", 3, NULL) == -EINVAL);
}
