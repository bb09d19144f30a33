/* SkyDNS's keys as records, after CoreDNS's own tables (lookup_test, group_test, other_test,
 * cname_test) and where we differ on purpose. */
#include <errno.h>

#include "tests/unit/test.h"

#include "tests/unit/dnsd/dns.h"

#include "dnsd/skydns.h"

static enum skydns_place place(const struct name_buf *n, void *arg)
{
	struct name_buf apex = name(ORIGIN);

	if (n->len == apex.len)
		return memcmp(n->wire, apex.wire, apex.len) ? SKYDNS_BELOW
							    : SKYDNS_APEX;
	return n->len < apex.len ? SKYDNS_ABOVE : SKYDNS_BELOW;
}

static struct skydns *tree_of(const char *const *pairs)
{
	struct skydns *s;

	if (skydns_new(&s, "/skydns", RECORDS_ETCD, place, NULL) < 0)
		abort();
	for (; *pairs; pairs += 2) {
		struct err e = ERR_INIT;
		struct str key = STR_INIT;

		str_addf(&key, "/skydns/com/example/okd/%s", pairs[0]);
		if (skydns_put(s, key.s, key.len, pairs[1], strlen(pairs[1]), 1, &e) <
		    0) {
			printf("# %s: %s\n", pairs[0], e.text);
			abort();
		}
		str_deinit(&key);
	}
	return s;
}

static const struct ldns_struct_rr_descriptor *descript(uint16_t type)
{
	return ldns_rr_descript(type);
}

/* The records of a name and type as "rdata ttl; rdata ttl", in their order. */
static char *records_of(
    const struct skydns *s, const char *owner, uint16_t type, bool wildcard)
{
	struct name_buf n = name(owner);
	struct str out = STR_INIT;
	struct records_one one;
	struct records *r;

	if (records_new(&r) < 0 ||
	    (wildcard ? skydns_wildcard(s, &n, r) : skydns_records(s, &n, r)) < 0)
		abort();
	for (size_t i = 0; records_get(r, i, &one); i++) {
		uint8_t wire[DNS_MESSAGE_MAX];
		ldns_rr *rr = NULL;
		size_t pos = 0;
		char *text;

		if (one.type != type)
			continue;
		/* .. as a record of the root, for ldns to print. */
		wire[0] = 0;
		put16(wire + 1, one.type);
		put16(wire + 3, DNS_IN);
		put32(wire + 5, one.ttl);
		put16(wire + 9, one.n);
		memcpy(wire + 11, one.rdata, one.n);
		if (ldns_wire2rr(&rr, wire, 11u + one.n, &pos, LDNS_SECTION_ANSWER) !=
		    LDNS_STATUS_OK)
			abort();
		text = ldns_rr2str(rr);
		text[strcspn(text, "\n")] = '\0';
		if (out.len)
			str_addz(&out, "; ");
		/* Behind owner, TTL, class and type. */
		for (int tab = 0, k = 0; text[k]; k++) {
			if (tab == 4)
				str_addc(&out, text[k]);
			tab += text[k] == '\t' && tab < 4;
		}
		str_addf(&out, " %u", one.ttl);
		free(text);
		ldns_rr_free(rr);
	}
	records_free(r);
	return str_take(&out);
}

static bool are(const struct skydns *s, const char *owner, uint16_t type, bool wildcard,
    const char *want)
{
	char *got = records_of(s, owner, type, wildcard);
	bool same = strcmp(got ? got : "", want) == 0;

	if (!same)
		printf("# %s %s: got %s, want %s\n", owner, descript(type)->_name, got,
		    want);
	free(got);
	return same;
}
#define ARE(owner, type, want) CHECK(are(s, owner "." ORIGIN, type, false, want))
#define WILD(owner, type, want) CHECK(are(s, owner "." ORIGIN, type, true, want))

TEST(addresses_and_union)
{
	static const char *const pairs[] = { "a", "{\"host\":\"10.0.0.1\",\"ttl\":60}",
		"a/x1", "{\"host\":\"10.0.0.2\"}", "a/x2", "{\"host\":\"fd00::1\"}",
		"a/deep/er", "{\"host\":\"::ffff:10.0.0.3\"}", "ab",
		"{\"host\":\"10.0.0.9\"}", "n", "null", "o", "{}", "trail/",
		"{\"host\":\"10.0.0.4\"}", NULL };
	struct skydns *s = tree_of(pairs);

	/* The record at the exact key stands beside its children. */
	ARE("a", DNS_A, "10.0.0.1 60; 10.0.0.2 300; 10.0.0.3 300");
	ARE("a", DNS_AAAA, "fd00::1 300");
	ARE("deep.a", DNS_A, "10.0.0.3 300");
	ARE("n", DNS_A, "");
	ARE("o", DNS_A, "");
	ARE("trail", DNS_A, "10.0.0.4 300");
	skydns_free(s);
}

TEST(srv)
{
	static const char *const pairs[] = { "one/a",
		"{\"host\":\"t.example.org\",\"port\":80,\"weight\":10}", "one/b",
		"{\"host\":\"u.example.org\",\"port\":80,\"weight\":10}", "one/c",
		"{\"host\":\"v.example.org\",\"port\":80,\"weight\":10}", "two/a",
		"{\"host\":\"10.0.0.1\",\"port\":8080,\"weight\":1}", "two/b",
		"{\"host\":\"10.0.0.2\",\"port\":8080,\"weight\":999}", "two/c",
		"{\"host\":\"10.0.0.3\",\"port\":8080,\"priority\":0}", "none/a",
		"{\"host\":\"10.0.0.1\",\"port\":-1}", "strip/b/a",
		"{\"host\":\"10.0.0.1\",\"port\":1,\"targetstrip\":2}", "over/a",
		"{\"host\":\"10.0.0.1\",\"port\":1,\"targetstrip\":9}", NULL };
	struct skydns *s = tree_of(pairs);

	ARE("one", DNS_SRV,
	    "10 33 80 t.example.org. 300; 10 33 80 u.example.org. 300; "
	    "10 33 80 v.example.org. 300");
	/* At least one, and priority 0 is one of its own. */
	ARE("two", DNS_SRV,
	    "10 1 8080 a.two." ORIGIN " 300; 10 99 8080 b.two." ORIGIN " 300; "
	    "0 100 8080 c.two." ORIGIN " 300");
	ARE("none", DNS_SRV, "");
	ARE("strip", DNS_SRV, "10 100 1 strip." ORIGIN " 300");
	ARE("over", DNS_SRV, "10 100 1 a.over." ORIGIN " 300");
	skydns_free(s);
}

TEST(groups)
{
	static const char *const pairs[] = { "dom/a",
		"{\"host\":\"10.0.0.1\",\"group\":\"g1\"}", "dom/b",
		"{\"host\":\"10.0.0.2\",\"group\":\"g1\"}", "dom/sub/c",
		"{\"host\":\"10.0.0.3\",\"group\":\"g2\"}", "dom/sub/d",
		"{\"host\":\"10.0.0.4\"}", "mixed/a",
		"{\"host\":\"10.0.0.1\",\"group\":\"g1\"}", "mixed/b",
		"{\"host\":\"10.0.0.2\",\"group\":\"g2\"}", NULL };
	struct skydns *s = tree_of(pairs);

	/* The shortest key decides; without a group one is always there. */
	ARE("dom", DNS_A, "10.0.0.1 300; 10.0.0.2 300; 10.0.0.4 300");
	ARE("sub.dom", DNS_A, "10.0.0.3 300; 10.0.0.4 300");
	/* Disagreement on one level: no grouping. */
	ARE("mixed", DNS_A, "10.0.0.1 300; 10.0.0.2 300");
	skydns_free(s);
}

TEST(names_mail_and_text)
{
	static const char *const pairs[] = { "alias",
		"{\"host\":\"api.okd.example.com\"}", "leaf/x1",
		"{\"host\":\"api.okd.example.com\"}", "self",
		"{\"host\":\"self.okd.example.com\"}", "mx/a",
		"{\"host\":\"10.0.0.5\",\"mail\":true,\"priority\":5}", "mx/b",
		"{\"host\":\"m.example.org\",\"mail\":true}", "notmail",
		"{\"host\":\"10.0.0.5\"}", "text/a", "{\"text\":\"one\"}", "text/b",
		"{\"text\":\"two\",\"ttl\":5}", "line/=1",
		"7 IN CAA 0 issue \"ca.example\"", NULL };
	struct skydns *s = tree_of(pairs);

	ARE("alias", DNS_CNAME, "api." ORIGIN " 300");
	ARE("leaf", DNS_CNAME, "api." ORIGIN " 300");
	ARE("self", DNS_CNAME, "");
	ARE("mx", DNS_MX, "5 a.mx." ORIGIN " 300; 10 m.example.org. 300");
	ARE("notmail", DNS_MX, "");
	ARE("text", DNS_TXT, "\"one\" 300; \"two\" 5");
	ARE("line", 257, "0 issue \"ca.example\" 7");
	skydns_free(s);
}

TEST(apex)
{
	static const char *const pairs[] = { "host", "{\"host\":\"10.0.0.1\"}",
		"dns/apex/x1", "{\"host\":\"10.0.0.2\"}", "dns/ns/a",
		"{\"host\":\"10.0.0.3\"}", "dns/ns/b",
		"{\"host\":\"elsewhere.example.org\"}", NULL };
	struct skydns *s = tree_of(pairs);

	CHECK(are(s, ORIGIN, DNS_A, false, "10.0.0.2 300"));
	CHECK(are(s, ORIGIN, DNS_NS, false, "a.ns.dns." ORIGIN " 300"));
	CHECK(are(s, "example.com.", DNS_A, false, ""));
	CHECK(are(s, ".", DNS_A, false, ""));
	ARE("host", DNS_NS, "");
	skydns_free(s);
}

TEST(zones_and_hiding)
{
	static const char *const pairs[] = { "in/a", "{\"host\":\"10.0.0.1\"}", "out",
		"{\"host\":\"10.0.0.2\"}", NULL };
	struct skydns *s = tree_of(pairs);
	struct name_buf *zones = calloc(1, sizeof(*zones));

	zones[0] = name("in." ORIGIN);
	free(skydns_set_zones(s, zones, 1));
	ARE("out", DNS_A, "");
	/* A zone is an apex, which is not united. */
	ARE("in", DNS_A, "");
	ARE("a.in", DNS_A, "10.0.0.1 300");
	skydns_hide(s, true);
	ARE("a.in", DNS_A, "");
	skydns_hide(s, false);
	free(skydns_set_zones(s, NULL, 0));
	ARE("out", DNS_A, "10.0.0.2 300");
	skydns_free(s);
}

TEST(wildcards)
{
	static const char *const pairs[] = { "r1/prod/svc/a",
		"{\"host\":\"10.0.0.1\",\"weight\":100}", "r1/prod/svc/b",
		"{\"host\":\"10.0.0.2\",\"weight\":700}", "r2/prod/svc/a",
		"{\"host\":\"10.0.1.1\"}", "r2/prod/web", "{\"host\":\"10.0.1.2\"}",
		NULL };
	struct skydns *s = tree_of(pairs);

	WILD("svc.prod.*", DNS_A, "10.0.0.1 300; 10.0.0.2 300; 10.0.1.1 300");
	WILD("a.svc.any.*", DNS_A, "10.0.0.1 300; 10.0.1.1 300");
	WILD("*.prod.r2", DNS_A, "10.0.1.1 300; 10.0.1.2 300");
	WILD("x.*.r1", DNS_A, "");
	WILD("a.a.a.svc.prod.*", DNS_A, "");
	/* Not the whole tree, however it is asked for. */
	WILD("*", DNS_A, "");
	WILD("*.any", DNS_A, "");
	CHECK(are(s, "*.example.com.", DNS_A, true, ""));
	CHECK(are(s, "svc.prod.*.example.com.", DNS_A, true, ""));
	CHECK(are(s, "*.", DNS_A, true, ""));
	WILD("svc.*.r1", DNS_SRV,
	    "10 12 0 a.svc.prod.r1." ORIGIN " 300; 10 87 0 b.svc.prod.r1." ORIGIN
	    " 300");
	skydns_free(s);
}

TEST(pointers_below_reverse_names)
{
	static const char *const keys[] = { "/skydns/arpa/in-addr/10/0/0/5/x1",
		"/skydns/arpa/in-addr/10/0/0/5/x2", "/skydns/arpa/in-addr/10/0/0/6" };
	struct skydns *s;

	if (skydns_new(&s, "/skydns", RECORDS_ETCD, place, NULL) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char value[] = "{\"host\":\"a.example.org\"}";

		value[9] = (char)('a' + i);
		CHECK(skydns_put(s, keys[i], strlen(keys[i]), value, strlen(value), 1,
			  NULL) == 0);
	}
	CHECK(are(s, "5.0.0.10.in-addr.arpa.", DNS_PTR, false,
	    "a.example.org. 300; b.example.org. 300"));
	CHECK(are(s, "6.0.0.10.in-addr.arpa.", DNS_PTR, false, "c.example.org. 300"));
	CHECK(are(s, "0.0.10.in-addr.arpa.", DNS_PTR, false, ""));
	skydns_free(s);
}

TEST(bad_keys_and_values)
{
	static const char *const values[] = { "", "x", "[]", "1", "{\"host\":1}",
		"{\"ttl\":-1}", "{\"ttl\":4294967296}", "{\"ttl\":1.5}",
		"{\"port\":\"1\"}", "{\"mail\":1}", "{\"host\":\"a..b\"}",
		"{\"priority\":70000}" };
	static const char *const keys[] = { "/other/a", "/skydns", "/skydns//a",
		"/skydns/A" };
	struct skydns *s;
	struct err e;

	if (skydns_new(&s, "/skydns", RECORDS_ETCD, place, NULL) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		e = (struct err)ERR_INIT;
		CHECK(skydns_put(
			  s, "/skydns/a", 9, values[i], strlen(values[i]), 1, &e) < 0 &&
		    e.text[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		e = (struct err)ERR_INIT;
		CHECK(skydns_put(s, keys[i], strlen(keys[i]), "{}", 2, 1, &e) < 0 &&
		    e.text[0]);
	}
	/* A bad value takes the good one's place: it counts as absent. */
	CHECK(skydns_put(s, "/skydns/a", 9, "{}", 2, 1, NULL) == 0);
	CHECK(skydns_count(s) == 1);
	CHECK(skydns_put(s, "/skydns/a", 9, "x", 1, 1, NULL) < 0);
	CHECK(skydns_count(s) == 0);
	skydns_free(s);
}

static int count(const struct name_buf *n, void *arg)
{
	++*(int *)arg;
	return 0;
}

static int make_changes(struct skydns *s, void *n)
{
	int r = skydns_changed(s, count, n);

	skydns_settle(s);
	return r;
}

TEST(what_changes_is_told_once)
{
	static const char *const pairs[] = { "a/b/x1",
		"{\"host\":\"10.0.0.1\",\"ttl\":500}", NULL };
	static const char key[] = "/skydns/com/example/okd/a/b/x1";
	struct skydns *s = tree_of(pairs);
	int n = 0;

	/* x1, b, a, okd, example, com and the root. */
	CHECK(make_changes(s, &n) == 0 && n == 7);
	CHECK(!skydns_has_changes(s));
	skydns_limit_ttl(s, key, strlen(key), 600);
	CHECK(!skydns_has_changes(s));
	skydns_limit_ttl(s, key, strlen(key), 100);
	ARE("x1.b.a", DNS_A, "10.0.0.1 100");
	n = 0;
	CHECK(make_changes(s, &n) == 0 && n == 7);
	/* Of another generation: away, and its empty nodes with it. */
	CHECK(skydns_prune(s, 2) == 1);
	n = 0;
	CHECK(make_changes(s, &n) == 0 && n >= 7);
	CHECK(skydns_count(s) == 0 && !skydns_has_changes(s));
	skydns_free(s);
}

static int fail_at_last(const struct name_buf *n, void *arg)
{
	return --*(int *)arg ? 0 : -ENOMEM;
}

TEST(changes_that_came_to_nothing_are_told_again)
{
	static const char *const pairs[] = { "a/b", "{\"host\":\"10.0.0.1\"}", NULL };
	struct skydns *s = tree_of(pairs);
	int n = 5;

	/* b, a, okd, example, com and the root. */
	CHECK(skydns_changed(s, fail_at_last, &n) == -ENOMEM && n == 0);
	CHECK(make_changes(s, &n) == 0 && n == 6);
	/* What is gone is known until others know. */
	CHECK(skydns_prune(s, 2) == 1);
	n = 2;
	CHECK(skydns_changed(s, fail_at_last, &n) == -ENOMEM && n == 0);
	CHECK(skydns_changed(s, count, &n) == 0 && n == 6);
	n = 0;
	CHECK(make_changes(s, &n) == 0 && n == 6 && !skydns_has_changes(s));
	CHECK(make_changes(s, &n) == 0 && n == 6);
	skydns_free(s);
}

TEST(what_is_put_again_is_no_change)
{
	static const char *const values[] = { "{\"host\":\"10.0.0.1\"}",
		"{\"host\":\"10.0.0.1\",\"ttl\":60}", "{\"host\":\"10.0.0.2\"}",
		"{\"host\":\"a.example.org\"}", "{\"host\":\"b.example.org\"}",
		"{\"text\":\"x\"}", "{\"text\":\"y\"}", "{\"group\":\"g\"}", "{}",
		"{\"port\":1}", "{\"priority\":1}", "{\"weight\":1}", "{\"mail\":true}",
		"{\"targetstrip\":1}", "60 IN A 10.0.0.1", "61 IN A 10.0.0.1",
		"60 IN A 10.0.0.2", "60 IN TXT x" };
	static const char *const pairs[] = { "a", "{}", NULL };
	static const char key[] = "/skydns/com/example/okd/a";
	struct skydns *s = tree_of(pairs);
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		for (unsigned again = 0; again < 2; again++) {
			CHECK(skydns_put(s, key, strlen(key), values[i],
				  strlen(values[i]), 2, NULL) == 0);
			CHECK(skydns_has_changes(s) == !again);
			CHECK(make_changes(s, &n) == 0);
		}
	}
	/* It counts as put all the same. */
	CHECK(n > 0 && skydns_prune(s, 2) == 0 && skydns_prune(s, 3) == 1);
	skydns_free(s);
}

TEST(lines_of_a_name_with_many_others_below_it)
{
	static const char *const pairs[] = { "b", "{\"host\":\"10.0.0.9\"}", "=1",
		"60 IN TXT one", "a", "{\"host\":\"10.0.0.8\"}", "=2", "60 IN TXT two",
		"=3", "60 IN TXT three", NULL };
	struct skydns *s = tree_of(pairs);

	CHECK(are(s, ORIGIN, DNS_TXT, false, "\"one\" 60; \"two\" 60; \"three\" 60"));
	CHECK(are(s, ORIGIN, DNS_A, false, ""));
	skydns_free(s);
}
