/* Texts of strangers inside the API server's answers. */
#include "csrd/answer.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "tests/unit/test.h"

static json_t *parse(const char *text)
{
	_cleanup_(str_deinit) struct str copy = STR_INIT;

	str_addz(&copy, text);
	return answer_parse(&copy);
}

static bool says(const char *text, const char *key, const char *want)
{
	_cleanup_(json_freep) json_t *doc = parse(text);
	const char *is = json_str(doc, key);

	return is && str_eq(is, want);
}

TEST(zeros_are_no_obstacle)
{
	CHECK(says("{\"a\":\"x\\u0000y\"}", "a", "x\xef\xbf\xbdy"));
	CHECK(says("{\"a\\u0000\":\"x\"}", "a\xef\xbf\xbd", "x"));
	CHECK(says("{\"a\":\"\\u0000\\u0000\"}", "a", "\xef\xbf\xbd\xef\xbf\xbd"));
	/* A backslash and then this text. */
	CHECK(says("{\"a\":\"\\\\u0000\"}", "a", "\\u0000"));
	CHECK(says("{\"a\":\"\\\\\\u0000\"}", "a", "\\\xef\xbf\xbd"));
	CHECK(says("{\"a\":\"\\\"\\u0000\"}", "a", "\"\xef\xbf\xbd"));
	CHECK(says("{\"a\":\"\\u00001\"}", "a",
	    "\xef\xbf\xbd"
	    "1"));
	CHECK(says("{\"a\":\"\\u0001\"}", "a", "\x01"));
}

TEST(nor_is_depth)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *at;
	unsigned depth = 0;

	str_addz(&text, "{\"a\":");
	for (int i = 0; i < 5000; i++)
		str_addz(&text, i % 2 ? "{\"]\":" : "[");
	str_addz(&text, "1");
	for (int i = 5000; i-- > 0;)
		str_addc(&text, i % 2 ? '}' : ']');
	str_addz(&text, ",\"b\":\"c\"}");
	doc = answer_parse(&text);
	CHECK(doc && str_eq(json_str(doc, "b"), "c"));
	at = json_object_get(doc, "a");
	for (; json_is_array(at) || json_is_object(at); depth++)
		at = json_is_array(at) ? json_array_get(at, 0)
				       : json_object_get(at, "]");
	CHECK(depth == JSON_MAX_DEPTH - 1);
}

TEST(what_is_no_json_stays_none)
{
	static const char *const texts[] = { "", "{", "{\"a\":\"", "{\"a\":\"\\",
		"{\"a\":\"\\u00", "]", "{\"a\":1}}", "\"\\u0000", "[1,]" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		CHECK(!parse(texts[i]));
}
