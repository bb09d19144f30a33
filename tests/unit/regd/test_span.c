/* Content-Range of an upload. */
#include "tests/unit/test.h"

#include "common/base.h"
#include "regd/span.h"

TEST(both_forms)
{
	uint64_t a, b;

	CHECK(span_parse("0-0", &a, &b) == 0 && a == 0 && b == 0);
	CHECK(span_parse("100-1999", &a, &b) == 0 && a == 100 && b == 1999);
	CHECK(span_parse("bytes 5-9/10", &a, &b) == 0 && a == 5 && b == 9);
	CHECK(span_parse("bytes 5-9/*", &a, &b) == 0);
	CHECK(span_parse("bytes 5-9", &a, &b) == 0);
}

TEST(what_is_none)
{
	static const char *const bad[] = { "", "-", "5", "5-", "-5", "9-5", "a-b",
		"0-5 ", " 0-5", "0-5/10", "bytes=0-5", "bytes 0-5/", "bytes 0-5/x",
		"0--5", "+0-5", "0-99999999999999999999", "18446744073709551616-5",
		"0x0-5", "bytes 0-5/10x" };
	uint64_t a, b;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(span_parse(bad[i], &a, &b) < 0);
}
