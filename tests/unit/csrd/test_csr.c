/* Request objects: nulls and unknown fields, conditions, times, what is refused. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "common/str.h"
#include "csrd/csr.h"

#define META                                                                      \
	"\"metadata\":{\"name\":\"a b\",\"uid\":\"u\",\"resourceVersion\":\"5\"," \
	"\"creationTimestamp\":\"2023-11-14T22:13:20Z\",\"labels\":null}"
#define SPEC                                                                  \
	"\"spec\":{\"request\":null,\"signerName\":\"s\",\"username\":\"x\"," \
	"\"groups\":"                                                         \
	"[\"g\",\"h\"],\"usages\":null,\"extra\":{\"k\":[\"v\"]}}"

static int parse(const char *text, struct csr **ret)
{
	json_t *doc = json_loads(text, 0, NULL);
	struct err e = ERR_INIT;
	int r;

	if (!doc)
		abort();
	r = csr_new(ret, doc, &e);
	CHECK((r < 0) == (e.text[0] != '\0'));
	json_decref(doc);
	return r;
}

TEST(nulls_and_unknown_fields)
{
	struct csr *c;

	CHECK(parse("{" META "," SPEC ",\"status\":null,\"more\":1}", &c) == 0);
	CHECK(str_eq(c->name, "a b") && str_eq(c->version, "5"));
	CHECK(c->created == 1700000000 && c->groups.n == 2 && c->usages.n == 0);
	CHECK(csr_is_pending(c) && !c->request && c->why && !c->conditions);
	csr_free(c);
}

TEST(conditions)
{
	struct csr *c;

	CHECK(parse("{" META "," SPEC
		    ",\"status\":{\"certificate\":\"QQ==\",\"conditions\":[{\"type\":"
		    "\"Approved\",\"reason\":\"R\",\"lastUpdateTime\":"
		    "\"2023-11-14T22:13:20Z\"},{\"type\":\"Odd\"}]}}",
		  &c) == 0);
	CHECK(c->approved && c->issued && c->approved_at == 1700000000);
	CHECK(str_eq(c->approved_by, "R") && json_array_size(c->conditions) == 2);
	CHECK(!csr_is_pending(c));
	csr_free(c);
	CHECK(
	    parse("{" META "," SPEC ",\"status\":{\"conditions\":[{\"type\":\"Denied\","
		  "\"status\":\"True\"},{\"type\":\"Failed\",\"status\":\"True\","
		  "\"message\":\"m\"}]}}",
		&c) == 0);
	CHECK(c->denied && c->failed && !c->approved && str_eq(c->failed_text, "m"));
	csr_free(c);
	/* A condition that does not hold decides nothing. */
	CHECK(parse("{" META "," SPEC ",\"status\":{\"conditions\":[{\"type\":"
		    "\"Approved\",\"status\":\"False\"}]}}",
		  &c) == 0);
	CHECK(csr_is_pending(c));
	csr_free(c);
}

/* No server writes a key twice; Go's readers, and we, take the last. */
TEST(keys_that_are_there_twice)
{
	struct csr *c;

	CHECK(parse("{" META ",\"spec\":{\"username\":\"a\",\"groups\":[\"a\"]},"
		    "\"spec\":{\"username\":\"b\",\"username\":\"c\"}}",
		  &c) == 0);
	CHECK(str_eq(c->username, "c") && !c->groups.n);
	csr_free(c);
}

TEST(what_no_server_sends)
{
	static const char *const all[] = {
		"{}",
		"[]",
		"{" META "}",
		"{" SPEC "}",
		"{" META ",\"spec\":[]}",
		"{" META ",\"spec\":{\"groups\":\"g\"}}",
		"{" META ",\"spec\":{\"groups\":[1]}}",
		"{" META ",\"spec\":{\"username\":7}}",
		"{" META "," SPEC ",\"status\":{\"conditions\":{}}}",
		"{\"metadata\":{\"name\":\"\",\"uid\":\"u\",\"creationTimestamp\":"
		"\"2023-11-14T22:13:20Z\"}," SPEC "}",
		"{\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"creationTimestamp\":"
		"null},"
		"" SPEC "}",
	};
	struct csr *c;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		CHECK(parse(all[i], &c) == -EBADMSG);
}

TEST(requests_beyond_bounds)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct csr *c;

	str_addz(&text, "{" META ",\"spec\":{\"request\":\"");
	for (int i = 0; i < 30000; i++)
		str_addc(&text, 'A');
	str_addz(&text, "\"}}");
	CHECK(parse(str_get(&text), &c) == 0);
	CHECK(!c->request && strstr(c->why, "16 KiB"));
	csr_free(c);
	str_reset(&text);
	str_addz(&text, "{" META ",\"spec\":{\"groups\":[\"a\"");
	for (int i = 0; i < CSR_LIST_MAX; i++)
		str_addz(&text, ",\"a\"");
	str_addz(&text, "]}}");
	CHECK(parse(str_get(&text), &c) == -EBADMSG);
}

TEST(times)
{
	char buf[CSR_TIME_MAX];

	CHECK(csr_time_parse("2023-11-14T22:13:20Z") == 1700000000);
	CHECK(csr_time_parse("2023-11-14T22:13:20.123456Z") == 1700000000);
	CHECK(csr_time_parse("2023-11-14T23:13:20+01:00") == 1700000000);
	CHECK(csr_time_parse("2023-11-14T17:13:20-05:00") == 1700000000);
	CHECK(csr_time_parse("2023-11-14 22:13:20Z") == -1);
	CHECK(csr_time_parse("2023-11-14T22:13:20") == -1);
	CHECK(csr_time_parse("") == -1);
	CHECK(str_eq(csr_time_format(1700000000, buf), "2023-11-14T22:13:20Z"));
}
