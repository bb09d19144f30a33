/* Ranges: the verdicts of nginx. */
#include "common/http_range.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

TEST(verdicts)
{
	static const struct {
		const char *value;
		uint64_t size;
		int verdict;
		unsigned n;
		struct http_range first;
	} table[] = {
		{ "bytes=0-0", 10, 206, 1, { 0, 1 } },
		{ "bytes=0-", 10, 206, 1, { 0, 10 } },
		{ "bytes=9-", 10, 206, 1, { 9, 1 } },
		{ "bytes=2-4", 10, 206, 1, { 2, 3 } },
		{ "Bytes=2-4", 10, 206, 1, { 2, 3 } },
		{ "bytes=2-400", 10, 206, 1, { 2, 8 } },
		{ "bytes=-3", 10, 206, 1, { 7, 3 } },
		{ "bytes=-300", 10, 206, 1, { 0, 10 } },
		{ "bytes= 0 - 1 , 3-3", 10, 206, 2, { 0, 2 } },
		{ "bytes=0-0,9999999-", 10, 206, 1, { 0, 1 } },
		{ "bytes=5-1,0-0", 10, 206, 1, { 0, 1 } },
		{ "bytes=0-5,0-5", 10, 200, 2, { 0, 6 } },
		{ "bytes=0-,0-,0-,0-,0-", 10, 200, 4, { 0, 10 } },
		{ "items=0-1", 10, 200, 0, { 0, 0 } },
		{ "bytes", 10, 200, 0, { 0, 0 } },
		{ "bytes=", 10, 416, 0, { 0, 0 } },
		{ "bytes=abc", 10, 416, 0, { 0, 0 } },
		{ "bytes=5-1", 10, 416, 0, { 0, 0 } },
		{ "bytes=-0", 10, 416, 0, { 0, 0 } },
		{ "bytes=-", 10, 416, 0, { 0, 0 } },
		{ "bytes=10-", 10, 416, 0, { 0, 0 } },
		{ "bytes=99-100", 10, 416, 0, { 0, 0 } },
		{ "bytes=0-1x", 10, 416, 1, { 0, 0 } },
		{ "bytes=0-1,", 10, 416, 1, { 0, 0 } },
		{ "bytes=0-1;2-3", 10, 416, 0, { 0, 0 } },
		{ "bytes=+0-1", 10, 416, 0, { 0, 0 } },
		{ "bytes=0--1", 10, 416, 0, { 0, 0 } },
		{ "bytes=99999999999999999999-", 10, 416, 0, { 0, 0 } },
		{ "bytes=0-99999999999999999999", 10, 416, 0, { 0, 0 } },
		{ "bytes=0-9223372036854775807", 10, 206, 1, { 0, 10 } },
		{ "bytes=0-", 0, 200, 0, { 0, 0 } },
		{ "bytes=-5", 0, 200, 0, { 0, 0 } },
		{ "bytes=5-", 0, 416, 0, { 0, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct http_range ranges[4];
		unsigned n = 99;
		int v = http_range_parse(table[i].value, table[i].size, ranges, 4, &n);
		bool ok = v == table[i].verdict &&
		    (v != 206 ||
			(n == table[i].n && ranges[0].offset == table[i].first.offset &&
			    ranges[0].length == table[i].first.length));

		CHECK(ok);
		if (!ok)
			printf("# %d (%u) for %s of %d\n", v, n, table[i].value,
			    (int)table[i].size);
	}
}
