/* htpasswd files, the Authorization header, rights by pattern. */
#include "tests/unit/test.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "regd/acl.h"
#include "regd/basic.h"
#include "regd/htpasswd.h"

/* htpasswd -nbB -C 4 admin admin; mkpasswd -m sha512crypt -R 1000 secret */
#define BCRYPT "$2y$04$abcdefghijklmnopqrstuuFGPdGgxWUa6VbVCNfV/7wAsCSwN.zPG"

static struct htpasswd *parse(const char *text, struct err *e)
{
	struct htpasswd *h = NULL;

	CHECK((htpasswd_parse(&h, "users", text, strlen(text), e) == 0) == (h != NULL));
	return h;
}

TEST(a_file_of_users)
{
	static const char text[] = "# people\nzoe:$6$x$y\r\n\nadmin:" BCRYPT "\n";
	struct htpasswd *h = parse(text, NULL);
	const char *dummy;

	CHECK(h && htpasswd_count(h) == 2);
	CHECK(h && str_eq(htpasswd_find(h, "zoe", &dummy), "$6$x$y"));
	CHECK(h && str_eq(htpasswd_find(h, "admin", &dummy), BCRYPT));
	CHECK(h && !htpasswd_find(h, "nobody", &dummy) &&
	    (str_eq(dummy, BCRYPT) || str_eq(dummy, "$6$x$y")));
	htpasswd_free(h);
	h = parse("", NULL);
	CHECK(h && htpasswd_count(h) == 0 && !htpasswd_find(h, "x", &dummy));
	htpasswd_free(h);
}

/* Costs differ by user, so they must differ by name where there is no such user; and the
 * same name costs the same each time. */
TEST(names_that_nobody_has_cost_what_some_user_does)
{
	struct htpasswd *h = parse("a:" BCRYPT "\nb:$6$x$y\n", NULL);
	const char *dummy = NULL, *again = NULL;
	unsigned slow = 0;
	char name[16];

	for (int i = 0; h && i < 200; i++) {
		snprintf(name, sizeof(name), "nobody%d", i);
		CHECK(!htpasswd_find(h, name, &dummy));
		CHECK(!htpasswd_find(h, name, &again) && again == dummy);
		slow += str_eq(dummy, BCRYPT);
	}
	CHECK(slow > 50 && slow < 150);
	htpasswd_free(h);
}

static void refused(const char *text, unsigned line, const char *says)
{
	struct err e = ERR_INIT;
	struct htpasswd *h = parse(text, &e);

	CHECK(!h && e.line == line && strstr(e.text, says));
	htpasswd_free(h);
}

TEST(files_that_are_none)
{
	refused("admin\n", 1, "user:hash");
	refused("#\n:x\n", 2, "user:hash");
	refused("a:plain\n", 1, "of no kind that is taken");
	refused("a:$apr1$x$y\n", 1, "htpasswd -nB");
	refused("a:{SHA}x\n", 1, "of no kind");
	refused("a:rqXexS6ZhobKA\n", 1, "of no kind");
	refused("a:$6$x$y\na:$6$x$y\n", 0, "twice");
}

TEST(what_was_made_verifies)
{
	char hash[HTPASSWD_HASH_MAX];

	CHECK(htpasswd_make("open sesame", hash) == 0);
	CHECK(str_starts(hash, "$2b$05$"));
	CHECK(htpasswd_verify(hash, "open sesame"));
	CHECK(!htpasswd_verify(hash, "open sesamE"));
	CHECK(!htpasswd_verify(hash, ""));
	CHECK(!htpasswd_verify("*", "x") && !htpasswd_verify("", ""));
	CHECK(!htpasswd_verify("$2y$04$short", "x"));
}

/* As mkpasswd(1) makes them, at their lowest cost. */
TEST(every_kind_of_slow_hash_verifies)
{
	static const struct {
		const char *prefix;
		unsigned long cost;
	} kinds[] = { { "$2b$", 4 }, { "$5$", 1000 }, { "$6$", 1000 }, { "$y$", 1 },
		{ "$gy$", 1 }, { "$7$", 6 } };
	static struct crypt_data data;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char salt[CRYPT_GENSALT_OUTPUT_SIZE], line[512];
		struct htpasswd *h;
		const char *dummy;

		CHECK(crypt_gensalt_rn(kinds[i].prefix, kinds[i].cost,
			  "0123456789abcdef", 16, salt, sizeof(salt)) != NULL);
		snprintf(
		    line, sizeof(line), "a:%s\n", crypt_r("open sesame", salt, &data));
		h = parse(line, NULL);
		CHECK(
		    h && htpasswd_verify(htpasswd_find(h, "a", &dummy), "open sesame"));
		CHECK(h && !htpasswd_verify(htpasswd_find(h, "a", &dummy), "open"));
		htpasswd_free(h);
	}
}

TEST(basic_credentials)
{
	char buf[BASIC_MAX], *p;
	size_t n;

	p = basic_decode("Basic YWRtaW46YWRtaW4=", buf, &n);
	CHECK(p && str_eq(buf, "admin") && str_eq(p, "admin") && n == 11);
	p = basic_decode("basic   YTpiOmM=", buf, &n);
	CHECK(p && str_eq(buf, "a") && str_eq(p, "b:c"));
	p = basic_decode("Basic YTo=", buf, &n);
	CHECK(p && str_eq(p, ""));
	CHECK(!basic_decode("Basic Og==", buf, &n));     /* ":" */
	CHECK(!basic_decode("Basic YWRtaW4=", buf, &n)); /* "admin" */
	CHECK(!basic_decode("Basic", buf, &n));
	CHECK(!basic_decode("Basic ", buf, &n));
	CHECK(!basic_decode("Basic YWRtaW46YWRtaW4", buf, &n));
	CHECK(!basic_decode("Bearer YWRtaW46YWRtaW4=", buf, &n));
	CHECK(!basic_decode("Basic YQBiOmM=", buf, &n)); /* a NUL inside */
	CHECK(!basic_decode("Basic YQpiOmM=", buf, &n)); /* a line feed */
	CHECK(basic_is_nobody("Basic Og==") && basic_is_nobody("basic  Og=="));
	CHECK(!basic_is_nobody("Basic Ojo=") && !basic_is_nobody("Basic OmE="));
	CHECK(!basic_is_nobody("Basic YTo=") && !basic_is_nobody("Bearer Og=="));
	CHECK(!basic_is_nobody("Basic") && !basic_is_nobody("Og=="));
}

TEST(patterns)
{
	CHECK(acl_pattern_fits("a", "a") && !acl_pattern_fits("a", "ab"));
	CHECK(acl_pattern_fits("*", "okd") && !acl_pattern_fits("*", "openshift/okd"));
	CHECK(acl_pattern_fits("**", "openshift/okd") && acl_pattern_fits("**", ""));
	CHECK(acl_pattern_fits("openshift/*", "openshift/okd"));
	CHECK(!acl_pattern_fits("openshift/*", "openshift/okd/x"));
	CHECK(acl_pattern_fits("openshift/**", "openshift/okd/x"));
	CHECK(acl_pattern_fits("**/okd", "a/b/okd") &&
	    !acl_pattern_fits("**/okd", "okd"));
	CHECK(acl_pattern_fits("a*c/*d", "abc/cd") &&
	    !acl_pattern_fits("a*c/*d", "a/c/d"));
	CHECK(acl_pattern_fits("**b*d", "a/b/bcd") &&
	    !acl_pattern_fits("**b*d", "a/b/d"));
	CHECK(!acl_pattern_fits("", "a") && acl_pattern_fits("", ""));
}

TEST(rights_add_up)
{
	char *ci[] = { "ci" }, *anyone[] = { "*" }, *nobody[] = { "anonymous" };
	char *okd[] = { "openshift/**", "okd" }, *all[] = { "**" };
	int pull[] = { 0 }, push[] = { 1, 0 };
	struct acl_rule rules[] = {
		{ { ci, 1, true }, { okd, 2, true }, { push, 2, true } },
		{ { anyone, 1, true }, { all, 1, true }, { pull, 1, true } },
		{ { nobody, 1, true }, { okd, 2, true }, { pull, 1, true } },
	};
	struct conf_list list = { rules, 3, true };

	CHECK(acl_rights(&list, "ci", "openshift/okd") == (ACCESS_PULL | ACCESS_PUSH));
	CHECK(acl_rights(&list, "ci", "other") == ACCESS_PULL);
	CHECK(acl_rights(&list, "eve", "okd") == ACCESS_PULL);
	CHECK(acl_rights(&list, NULL, "okd") == ACCESS_PULL);
	CHECK(acl_rights(&list, NULL, "other") == 0);
}
