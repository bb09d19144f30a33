/* Challenges of upstreams, and pull secrets. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "regd/authfile.h"
#include "regd/wwwauth.h"

static struct wwwauth parse(const char *header)
{
	struct wwwauth w;

	wwwauth_parse(&w, header);
	return w;
}

TEST(challenges_of_registries)
{
	struct wwwauth w = parse("Bearer realm=\"https://quay.io/v2/auth\","
				 "service=\"quay.io\",scope=\"repository:a:pull\"");
	_cleanup_(str_deinit) struct str url = STR_INIT;

	CHECK(w.kind == WWWAUTH_BEARER && str_eq(w.realm, "https://quay.io/v2/auth"));
	CHECK(str_eq(w.service, "quay.io"));
	wwwauth_url(&w, "repository:a/b:pull", &url);
	CHECK(str_eq(str_get(&url),
	    "https://quay.io/v2/auth?service=quay.io&scope=repository%3Aa/b%3Apull"));
	w = parse("bearer realm=http://x/token?a=b");
	CHECK(w.kind == WWWAUTH_NONE); /* "?" wants quotes */
	w = parse("bearer Realm=\"http://x/token?a=b\" , service=\"a b&c\"");
	CHECK(w.kind == WWWAUTH_BEARER);
	str_reset(&url);
	wwwauth_url(&w, "s", &url);
	CHECK(str_eq(str_get(&url), "http://x/token?a=b&service=a%20b%26c&scope=s"));
	CHECK(parse("Basic realm=\"Registry Realm\"").kind == WWWAUTH_BASIC);
	CHECK(parse("BASIC").kind == WWWAUTH_BASIC);
	CHECK(parse("Basic realm=\"a, b\", Bearer realm=\"https://y/t\"").kind ==
	    WWWAUTH_BEARER);
	CHECK(parse("Negotiate, Basic realm=\"a\\\"b\"").kind == WWWAUTH_BASIC);
	CHECK(parse("Digest realm=\"x\",nonce=\"y\"").kind == WWWAUTH_NONE);
}

TEST(challenges_that_are_none)
{
	static const char *const bad[] = { "", ",", "=", "\"", "Bearer",
		"Bearer realm=\"https://x", "Bearer realm=\"ftp://x\"",
		"Bearer realm=\"https://x y\"", "Bearer realm=\"https://x\n\"",
		"Bearer realm=\"https://x#y\"", "Bearer realm=" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(parse(bad[i]).kind == WWWAUTH_NONE);
}

static const char secret[] =
    "{\"auths\":{"
    "\"quay.io\":{\"auth\":\"YTphMQ==\",\"email\":\"x@y\"},"   /* a:a1 */
    "\"quay.io/openshift\":{\"auth\":\"YjpiMQ==\"},"           /* b:b1 */
    "\"https://index.docker.io/v1/\":{\"auth\":\"YzpjOjE=\"}," /* c:c:1 */
    "\"reg:5000\":{\"username\":\"d\",\"password\":\"d1\"},"
    "\"bad\":{\"auth\":\"bm9uZQ==\"},\"worse\":{}}}"; /* none */

static int find(
    const char *host, const char *repo, struct authfile_entry *a, struct err *e)
{
	return authfile_lookup(
	    a, "pull-secret.json", secret, sizeof(secret) - 1, host, repo, e);
}

TEST(the_closest_entry_counts)
{
	struct authfile_entry a;

	CHECK(find("quay.io", "x/y", &a, NULL) == 1 && str_eq(a.user, "a"));
	CHECK(find("quay.io", "openshift/okd", &a, NULL) == 1 && str_eq(a.user, "b") &&
	    str_eq(a.password, "b1"));
	CHECK(find("quay.io", "openshift", &a, NULL) == 1 && str_eq(a.user, "b"));
	CHECK(find("quay.io", "openshift2/x", &a, NULL) == 1 && str_eq(a.user, "a"));
	CHECK(find("index.docker.io", "library/x", &a, NULL) == 1 &&
	    str_eq(a.user, "c") && str_eq(a.password, "c:1"));
	CHECK(find("reg:5000", "x", &a, NULL) == 1 && str_eq(a.password, "d1"));
	CHECK(find("reg", "x", &a, NULL) == 0);
	CHECK(find("quay.io.evil.example", "x", &a, NULL) == 0);
}

TEST(files_that_are_none)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"auths\":[]}",
		"{\"auths\":1}" };
	struct authfile_entry a;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(authfile_lookup(&a, "f", bad[i], strlen(bad[i]), "h", "r", &e) ==
			-EINVAL &&
		    e.text[0]);
	CHECK(find("bad", "x", &a, &e) == -EINVAL && strstr(e.text, "\"bad\""));
	CHECK(find("worse", "x", &a, &e) == -EINVAL);
	CHECK(authfile_find(&a, "/nonexistent", "h", "r", &e) == -ENOENT);
}
