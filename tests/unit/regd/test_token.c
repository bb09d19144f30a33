/* Scopes, and what makes a token's claims count. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/json.h"
#include "common/str.h"
#include "regd/token.h"

static unsigned asked(const char *text, const char *repository)
{
	struct scope s = { .grants = NULL };
	unsigned rights;

	CHECK(scope_parse(&s, text) == 0);
	rights = scope_rights(&s, repository);
	scope_deinit(&s);
	return rights;
}

TEST(scopes_of_clients)
{
	CHECK(asked("repository:a/b:pull", "a/b") == ACCESS_PULL);
	CHECK(asked("repository:a/b:pull,push", "a/b") == (ACCESS_PULL | ACCESS_PUSH));
	CHECK(asked("repository:a/b:*", "a/b") == ACCESS_ALL);
	CHECK(asked("repository:a:pull repository:a:delete", "a") ==
	    (ACCESS_PULL | ACCESS_DELETE));
	CHECK(asked("repository(plugin):a:pull", "a") == ACCESS_PULL);
	CHECK(asked(" repository:a:pull ", "a") == ACCESS_PULL);
	CHECK(asked("repository:a:pull", "a/b") == 0);
	CHECK(asked("repository:a", "a") == 0);
	CHECK(asked("repository::pull", "") == 0);
	CHECK(asked("repository:../a:pull", "../a") == 0);
	CHECK(asked("repositoryx:a:pull", "a") == 0);
	CHECK(asked("repository:a:fly,pull,", "a") == ACCESS_PULL);
	CHECK(asked("registry:a:pull", "a") == 0);
	CHECK(asked("", "a") == 0);
}

TEST(the_catalog_and_the_way_back)
{
	struct scope s = { .grants = NULL }, back = { .grants = NULL };
	json_t *access;

	CHECK(scope_parse(&s, "registry:catalog:* repository:x/y:push,delete") == 0);
	CHECK(s.catalog);
	access = scope_to_json(&s);
	CHECK(scope_from_json(&back, access) == 0);
	CHECK(back.catalog && back.n == 1);
	CHECK(scope_rights(&back, "x/y") == (ACCESS_PUSH | ACCESS_DELETE));
	json_decref(access);
	scope_deinit(&s);
	scope_deinit(&back);
	CHECK(scope_parse(&s, "registry:catalog:pull") == 0 && !s.catalog);
	scope_deinit(&s);
}

TEST(too_many_repositories)
{
	struct scope s = { .grants = NULL };
	char text[32];
	int r = 0;

	for (int i = 0; i <= SCOPE_GRANTS_MAX && r == 0; i++) {
		snprintf(text, sizeof(text), "repository:r%d:pull", i);
		r = scope_parse(&s, text);
		CHECK(r == (i < SCOPE_GRANTS_MAX ? 0 : -E2BIG));
	}
	scope_deinit(&s);
}

static char *audience[] = { "registry" };
static const struct conf_list audiences = { .items = audience, .n = 1 };
static const struct token_demand demand = {
	.issuer = "me", .audience = &audiences, .now = 1000, .leeway = 60
};

/* The result of judging what text claims; the token in *ret, if any. */
static int judge(const char *text, struct token **ret, struct err *e)
{
	_cleanup_(json_freep) json_t *claims = NULL;

	*ret = NULL;
	CHECK(json_load_limited(&claims, NULL, text, strlen(text), 0, e) == 0);
	return token_judge(ret, claims, &demand, e);
}

TEST(claims_that_count)
{
	struct err e = ERR_INIT;
	struct token *t;

	CHECK(judge("{\"iss\":\"me\",\"aud\":[\"x\",\"registry\"],\"exp\":2000,"
		    "\"nbf\":1050,\"sub\":\"ci\",\"access\":[{\"type\":\"repository\","
		    "\"name\":\"a/b\",\"actions\":[\"pull\"],\"class\":\"\"}]}",
		  &t, &e) == 0);
	CHECK(t && str_eq(t->user, "ci") && !t->own && !t->seal[0]);
	CHECK(t && scope_rights(&t->scope, "a/b") == ACCESS_PULL && t->expires == 2060);
	token_unref(t);
	CHECK(judge("{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":940.5}", &t, &e) ==
	    -ETIME);
	CHECK(judge("{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":941}", &t, &e) == 0);
	CHECK(t && !t->user[0] && !t->scope.n);
	token_unref(t);
}

TEST(claims_that_do_not)
{
	static const struct {
		const char *text;
		int r;
	} bad[] = {
		{ "{\"iss\":\"you\",\"aud\":\"registry\",\"exp\":2000}", -EACCES },
		{ "{\"aud\":\"registry\",\"exp\":2000}", -EACCES },
		{ "{\"iss\":\"me\",\"aud\":\"x\",\"exp\":2000}", -EACCES },
		{ "{\"iss\":\"me\",\"exp\":2000}", -EACCES },
		{ "{\"iss\":\"me\",\"aud\":\"registry\"}", -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":\"2000\"}", -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":-1}", -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":1e300}", -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":100}", -ETIME },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":2000,\"nbf\":1061}",
		    -ETIME },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":2000,\"nbf\":[]}",
		    -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":2000,\"sub\":1}",
		    -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":2000,"
		  "\"sub\":\"a\\nb\"}",
		    -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":2000,\"access\":{}}",
		    -EINVAL },
		{ "{\"iss\":\"me\",\"aud\":\"registry\",\"exp\":2000,\"access\":[{}]}",
		    -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = ERR_INIT;
		struct token *t;

		CHECK(judge(bad[i].text, &t, &e) == bad[i].r && !t && e.text[0]);
	}
}
