/* Bounded loading with places, look-ups that nest, 64-bit numbers in strings. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/json.h"

static int load(json_t **v, const char *text, size_t flags, struct err *e)
{
	return json_load_limited(v, "x.json", text, strlen(text), flags, e);
}

TEST(looks_up)
{
	_cleanup_(json_freep) json_t *v = NULL;
	struct err e;

	CHECK(load(&v, "{\"a\": {\"b\": {\"c\": \"x\"}}, \"n\": 1}", 0, &e) == 0);
	CHECK(str_eq(json_str(json_path(v, "a", "b", NULL), "c"), "x"));
	CHECK(json_path(v, NULL) == v);
	CHECK(!json_path(v, "a", "nothing", "c", NULL));
	CHECK(!json_path(v, "n", "c", NULL));
	CHECK(!json_path(NULL, "a", NULL));
	CHECK(!json_str(NULL, "a") && !json_str(v, "n") && !json_str(v, "z"));
}

TEST(faults_have_a_place)
{
	json_t *v = NULL;
	struct err e;

	CHECK(load(&v, "{\n  \"a\": 1,\n  x}", 0, &e) == -EINVAL && !v);
	CHECK(str_eq(e.file, "x.json") && e.line == 3 && e.column == 3);
	CHECK(str_starts(e.text, "not valid JSON: "));
	CHECK(load(&v, "{\"a\": 1, \"a\": 2}", JSON_REJECT_DUPLICATES, &e) == -EINVAL);
	CHECK(strstr(e.text, "duplicate"));
	CHECK(load(&v, "{} x", 0, &e) == -EINVAL);
	CHECK(load(&v, "", 0, &e) == -EINVAL);
	CHECK(load(&v, "[\"\x1b\"]", 0, &e) == -EINVAL && !strchr(e.text, 0x1b));
	CHECK(!v);
}

TEST(depth)
{
	_cleanup_(json_freep) json_t *v = NULL;
	char text[2 * (JSON_MAX_DEPTH + 1) + 1] = "";
	struct err e;

	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	CHECK(load(&v, text, 0, &e) == 0);
	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	CHECK(load(&v, text, 0, &e) == -EINVAL);
	CHECK(e.line == 1 && e.column == JSON_MAX_DEPTH + 1);
	json_freep(&v);
	/* Brackets in strings are no levels. */
	CHECK(load(&v,
		  "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[["
		  "[[[[[[[[[[[[[[[[[[[[[[\\\\\"]",
		  0, &e) == 0);
}

static int i64(const char *text, int64_t *ret)
{
	_cleanup_(json_freep) json_t *v = NULL;
	struct err e;

	return load(&v, text, JSON_DECODE_ANY, &e) < 0 ? -EIO : json_i64(v, ret);
}

TEST(integers)
{
	int64_t n = 7;

	CHECK(json_i64(NULL, &n) == -ENOENT);
	CHECK(i64("\"x\"", &n) == -EINVAL && i64("\"\"", &n) == -EINVAL);
	CHECK(i64("1.5", &n) == -EINVAL && i64("\"-\"", &n) == -EINVAL);
	CHECK(i64("\"--1\"", &n) == -EINVAL && i64("null", &n) == -EINVAL);
	CHECK(i64("\"9223372036854775808\"", &n) == -ERANGE);
	CHECK(i64("\"-9223372036854775809\"", &n) == -ERANGE);
	CHECK(n == 7);
	CHECK(i64("12", &n) == 0 && n == 12);
	CHECK(i64("-12", &n) == 0 && n == -12);
	CHECK(i64("\"-12\"", &n) == 0 && n == -12);
	CHECK(i64("\"9223372036854775807\"", &n) == 0 && n == INT64_MAX);
	CHECK(i64("\"-9223372036854775808\"", &n) == 0 && n == INT64_MIN);
}

TEST(dumps_compactly)
{
	_cleanup_(json_freep) json_t *v = NULL;
	_cleanup_(str_deinit) struct str s = STR_INIT;
	struct err e;

	CHECK(load(&v, "{ \"b\" : [ 1, \"x\" ], \"a\" : null }", 0, &e) == 0);
	CHECK(json_dump_str(v, &s) == 0);
	CHECK(str_eq(str_get(&s), "{\"b\":[1,\"x\"],\"a\":null}"));
}
