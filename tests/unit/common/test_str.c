/* Growing strings, the error that sticks, numbers, the nearest word. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/err.h"
#include "common/str.h"

TEST(grows)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	char expected[3016] = "", *taken;

	CHECK(str_eq(str_get(&s), ""));
	for (int i = 0; i < 1000; i++) {
		str_addf(&s, "%03d", i);
		snprintf(expected + 3 * i, 12, "%03d", i);
	}
	CHECK(s.len == 3000 && str_eq(str_get(&s), expected));
	str_reset(&s);
	CHECK(s.len == 0 && str_eq(str_get(&s), ""));
	str_addc(&s, 'a');
	str_add(&s, "b\0c", 3);
	str_add(&s, NULL, 0);
	str_addz(&s, "");
	CHECK(s.len == 4 && memcmp(s.s, "ab\0c", 5) == 0);
	taken = str_take(&s);
	CHECK(taken && memcmp(taken, "ab\0c", 5) == 0);
	free(taken);
	CHECK(!s.s && !s.len && !s.cap);
	taken = str_take(&s);
	CHECK(taken && str_eq(taken, ""));
	free(taken);
}

TEST(error_sticks)
{
	struct str s = STR_INIT;

	str_addz(&s, "kept");
	CHECK(!str_reserve(&s, SIZE_MAX));
	CHECK(str_err(&s) == -ENOMEM);
	str_addz(&s, "lost");
	str_addf(&s, "%s", "lost");
	CHECK(str_eq(str_get(&s), "kept"));
	CHECK(!str_take(&s));
	CHECK(str_err(&s) == -ENOMEM);
	str_reset(&s);
	CHECK(str_err(&s) == 0);
	CHECK(!str_reserve(&s, SIZE_MAX - 1) && str_err(&s) == -ENOMEM);
	str_reset(&s);
	CHECK(!str_reserve(&s, SIZE_MAX / 2) && str_err(&s) == -ENOMEM);
	str_deinit(&s);
	CHECK(str_err(&s) == 0);
}

TEST(ends)
{
	CHECK(str_ends("abc", "bc") && str_ends("abc", "") && str_ends("", ""));
	CHECK(!str_ends("c", "bc") && !str_ends("abc", "ab"));
	CHECK(
	    str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("a", "ab"));
}

TEST(to_u64)
{
	static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "0x1", "1a",
		"a" };
	uint64_t v = 42;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(str_to_u64(bad[i], UINT64_MAX, &v) == -EINVAL);
	CHECK(str_to_u64("18446744073709551616", UINT64_MAX, &v) == -ERANGE);
	CHECK(str_to_u64("99999999999999999999999", UINT64_MAX, &v) == -ERANGE);
	CHECK(str_to_u64("11", 10, &v) == -ERANGE);
	CHECK(v == 42);
	CHECK(
	    str_to_u64("18446744073709551615", UINT64_MAX, &v) == 0 && v == UINT64_MAX);
	CHECK(str_to_u64("10", 10, &v) == 0 && v == 10);
	CHECK(str_to_u64("007", 10, &v) == 0 && v == 7);
	CHECK(str_to_u64("0", 0, &v) == 0 && v == 0);
}

TEST(nearest)
{
	static const char *const words[] = { "forward", "format", "name", "to", "cache",
		NULL };
	char longer[100];
	const char *near;

	near = str_nearest("forwrad", words);
	CHECK(near && str_eq(near, "forward"));
	near = str_nearest("nmae", words);
	CHECK(near && str_eq(near, "name"));
	near = str_nearest("names", words);
	CHECK(near && str_eq(near, "name"));
	near = str_nearest("formt", words);
	CHECK(near && str_eq(near, "format"));
	near = str_nearest("forwar", words);
	CHECK(near && str_eq(near, "forward"));
	near = str_nearest("cash", words);
	CHECK(near && str_eq(near, "cache"));
	CHECK(!str_nearest("frwrd_x", words));
	CHECK(!str_nearest("t", words));
	CHECK(!str_nearest("", words));
	CHECK(!str_nearest("x", (const char *const[]){ NULL }));
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	CHECK(!str_nearest(longer, words));
}

TEST(eq_secret)
{
	CHECK(str_eq_secret("abc", "abd", 2) && !str_eq_secret("abc", "abd", 3));
	CHECK(str_eq_secret("a", "b", 0));
}

TEST(err_may_quote_itself)
{
	struct err e = ERR_INIT;

	CHECK(err_set(&e, -EINVAL, "inner %d", 1) == -EINVAL);
	CHECK(err_at(&e, -EIO, "f", 3, 4, "outer: %s", e.text) == -EIO);
	CHECK(str_eq(err_str(&e), "f:3:4: outer: inner 1"));
	CHECK(err_at(&e, -EIO, e.file, 5, 0, "%s", e.text) == -EIO);
	CHECK(str_eq(err_str(&e), "f:5: outer: inner 1"));
	err_at(&e, 0, "f", 0, 0, "x");
	CHECK(str_eq(err_str(&e), "f: x"));
	err_at(&e, 0, NULL, 0, 0, "x");
	CHECK(str_eq(err_str(&e), "x"));
	CHECK(err_set(NULL, -EINVAL, "x") == -EINVAL);
}
