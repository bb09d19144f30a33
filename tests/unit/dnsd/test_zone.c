/* Snapshots: what an edit changes, what it leaves alone, and that nothing leaks. */
#include "tests/unit/test.h"

#include "tests/unit/dnsd/dns.h"

static struct zone_soa soa(void)
{
	return soa_of("ns." ORIGIN, "hostmaster." ORIGIN);
}

static int put(struct zone_edit *e, const char *owner, uint8_t last)
{
	uint8_t a[4] = { 10, 0, 0, last };
	struct zone_rdata d = { a, 4 };
	struct zone_rrset s = { DNS_A, 60, 1, &d };

	return zone_edit_put(e, (struct name_buf[]){ name(owner) }, &s, 1);
}

static int take(struct zone_edit *e, const char *owner)
{
	return zone_edit_put(e, (struct name_buf[]){ name(owner) }, NULL, 0);
}

/* The last byte of its address; -1: exists without, -2: does not exist. */
static int get(const struct zone *z, const char *owner)
{
	struct name_buf b = name(owner);
	const struct zone_name *n = zone_find(z, &b, 0);
	const struct zone_set *s;

	if (!n)
		return -2;
	s = zone_set_find(n, DNS_A);
	return s ? zone_set_wire(n, s)[15] : -1;
}

static struct zone_edit *edit(struct zone *base)
{
	struct zone_edit *e;

	if (zone_edit_new(&e, base) < 0)
		abort();
	return e;
}

static struct zone *first(void)
{
	struct zone_soa s = soa();
	struct zone_edit *e = edit(NULL);

	CHECK(zone_edit_apex(e, (struct name_buf[]){ name(ORIGIN) }, &s) == 0);
	return zone_edit_commit(e, 1);
}

TEST(an_edit_leaves_the_base_alone)
{
	struct zone *a = first(), *b, *c;
	struct zone_edit *e = edit(a);

	CHECK(put(e, "x.okd.example.com", 1) == 0);
	CHECK(put(e, "y.okd.example.com", 2) == 0);
	CHECK(get(a, "x.okd.example.com") == -2);
	b = zone_edit_commit(e, 2);
	CHECK(get(a, "x.okd.example.com") == -2);
	CHECK(get(b, "x.okd.example.com") == 1);
	e = edit(b);
	CHECK(put(e, "x.okd.example.com", 3) == 0);
	CHECK(take(e, "y.okd.example.com") == 0);
	c = zone_edit_commit(e, 3);
	CHECK(get(b, "x.okd.example.com") == 1);
	CHECK(get(b, "y.okd.example.com") == 2);
	CHECK(get(c, "x.okd.example.com") == 3);
	CHECK(get(c, "y.okd.example.com") == -2);
	CHECK(get(a, "x.okd.example.com") == -2);
	zone_release(a);
	CHECK(get(b, "x.okd.example.com") == 1);
	zone_release(b);
	CHECK(get(c, "x.okd.example.com") == 3);
	zone_free(c);
}

TEST(an_edit_that_is_given_up_changes_nothing)
{
	struct zone *a = first();
	struct zone_edit *e = edit(a);
	char n[64];

	for (int i = 0; i < 300; i++) {
		snprintf(n, sizeof(n), "n%d.okd.example.com", i);
		CHECK(put(e, n, 1) == 0);
	}
	zone_edit_free(e);
	CHECK(get(a, "n1.okd.example.com") == -2);
	CHECK(a->n_names == 4);
	zone_free(a);
}

TEST(empty_nonterminals_come_and_go)
{
	struct zone *a = first(), *b, *c;
	struct zone_edit *e = edit(a);

	CHECK(put(e, "a.b.c.okd.example.com", 1) == 0);
	CHECK(put(e, "d.b.c.okd.example.com", 2) == 0);
	b = zone_edit_commit(e, 2);
	CHECK(get(b, "b.c.okd.example.com") == -1);
	CHECK(get(b, "c.okd.example.com") == -1);
	e = edit(b);
	CHECK(take(e, "a.b.c.okd.example.com") == 0);
	CHECK(take(e, "nobody.okd.example.com") == 0);
	CHECK(put(e, "c.okd.example.com", 3) == 0);
	c = zone_edit_commit(e, 3);
	zone_release(a);
	zone_release(b);
	a = c;
	CHECK(get(a, "b.c.okd.example.com") == -1);
	e = edit(a);
	CHECK(take(e, "d.b.c.okd.example.com") == 0);
	b = zone_edit_commit(e, 4);
	zone_release(a);
	CHECK(get(b, "b.c.okd.example.com") == -2);
	CHECK(get(b, "c.okd.example.com") == 3);
	e = edit(b);
	CHECK(take(e, "c.okd.example.com") == 0);
	c = zone_edit_commit(e, 5);
	zone_release(b);
	/* The apex stays without records and children. */
	CHECK(get(c, "okd.example.com") == -1);
	CHECK(c->n_names == 4 && c->n_records == 0);
	zone_free(c);
}

TEST(a_name_with_children_loses_its_records_and_stays)
{
	struct zone *a = first(), *b;
	struct zone_edit *e = edit(a);

	CHECK(put(e, "p.okd.example.com", 1) == 0);
	CHECK(put(e, "q.p.okd.example.com", 2) == 0);
	CHECK(take(e, "p.okd.example.com") == 0);
	b = zone_edit_commit(e, 2);
	zone_release(a);
	CHECK(get(b, "p.okd.example.com") == -1);
	CHECK(get(b, "q.p.okd.example.com") == 2);
	CHECK(b->n_records == 1);
	zone_free(b);
}

TEST(wildcards_are_found_below_their_parent)
{
	struct zone *a = first(), *b;
	struct zone_edit *e = edit(a);
	struct name_buf q = name("x.y.w.okd.example.com");
	const struct zone_name *above;
	size_t off = 0;

	CHECK(put(e, "*.w.okd.example.com", 1) == 0);
	b = zone_edit_commit(e, 2);
	zone_release(a);
	above = zone_encloser(b, &q, &off);
	CHECK(above && off == 4 && zone_wildcard(b, above));
	e = edit(b);
	CHECK(put(e, "z.w.okd.example.com", 1) == 0);
	CHECK(take(e, "*.w.okd.example.com") == 0);
	a = zone_edit_commit(e, 3);
	zone_release(b);
	above = zone_encloser(a, &q, &off);
	CHECK(above && off == 4 && !zone_wildcard(a, above));
	zone_free(a);
}

TEST(apexes_come_in_any_order)
{
	static const char *const names[] = { "a.b.x.y.example.com", "example.com",
		"y.example.com" };
	static const char *const owners[] = { "a.b.x.y.example.com",
		"b.x.y.example.com", "x.y.example.com", "y.example.com", "example.com",
		"com" };
	static const unsigned orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	static const int apex_of[] = { 0, 2, 2, 2, 1, -1 };
	struct zone_soa s = soa();

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct zone_edit *e = edit(NULL);
		struct zone *z;

		for (unsigned k = 0; k < 3; k++)
			CHECK(zone_edit_apex(e,
				  (struct name_buf[]){ name(names[orders[i][k]]) },
				  &s) == 0);
		z = zone_edit_commit(e, 1);
		for (size_t k = 0; k < ARRAY_SIZE(owners); k++) {
			struct name_buf b = name(owners[k]);
			const struct zone_name *n = zone_find(z, &b, 0);

			CHECK(n && (n->apex == ZONE_NO_APEX) == (apex_of[k] < 0));
			if (n && apex_of[k] >= 0)
				CHECK(n->apex < 3 &&
				    orders[i][n->apex] == (unsigned)apex_of[k]);
		}
		zone_free(z);
	}
}

/* Against a plain array: a thousand names come, change and go in edits of all sizes. */
TEST(many_edits_agree_with_a_model)
{
	static int model[1000];
	struct zone *z = first(), *next;
	unsigned seed = 1;
	char n[64];
	size_t have = 0;

	memset(model, 0xff, sizeof(model));
	for (int round = 0; round < 400; round++) {
		struct zone_edit *e = edit(z);

		for (int k = rand_r(&seed) % 40; k >= 0; k--) {
			int i = rand_r(&seed) % 1000, v = rand_r(&seed) % 400;

			snprintf(n, sizeof(n), "n%d.s%d.okd.example.com", i, i % 7);
			have += (v < 256) - (model[i] >= 0);
			CHECK((v < 256 ? put(e, n, (uint8_t)v) : take(e, n)) == 0);
			model[i] = v < 256 ? v : -1;
		}
		next = zone_edit_commit(e, 2);
		zone_release(z);
		z = next;
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(n, sizeof(n), "n%d.s%d.okd.example.com", i, i % 7);
		CHECK(get(z, n) == (model[i] < 0 ? -2 : model[i]));
	}
	CHECK(z->n_records == have);
	zone_free(z);
}

TEST(a_set_that_fits_no_message_is_refused)
{
	static uint8_t big[65000];
	struct zone_rdata d[2] = { { big, sizeof(big) }, { big, sizeof(big) } };
	struct zone_rrset s = { DNS_TXT, 60, 2, d };
	struct zone *a = first();
	struct zone_edit *e = edit(a);

	CHECK(zone_edit_put(e, (struct name_buf[]){ name("t." ORIGIN) }, &s, 1) ==
	    -E2BIG);
	zone_edit_free(e);
	zone_free(a);
}

TEST(names_as_text)
{
	static const char *const bad[] = { "", "..", "a..b", ".a", "a\\", "a\\25",
		"a\\999",
		"0123456789012345678901234567890123456789012345678901234567890123.x" };
	struct name_buf b;
	char text[NAME_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(name_parse(&b, bad[i]) < 0);
	CHECK(name_parse(&b, ".") == 0 && b.len == 1);
	CHECK(name_parse(&b, "A.b\\.C\\065.") == 0);
	CHECK(strcmp(name_format(b.wire, text), "a.b\\.ca.") == 0);
	CHECK(name_prepend(&b, "*") == 0 &&
	    strcmp(name_format(b.wire, text), "*.a.b\\.ca.") == 0);
	CHECK(name_prepend(&b, "") < 0);
	CHECK(name_labels(b.wire) == 3);
	/* Neither a zone file nor a quoted string takes it for anything but a name. */
	CHECK(name_parse(&b, "a\\\"b\\;c\\@(d)'\\032\\009\\255.x") == 0);
	CHECK(strcmp(name_format(b.wire, text),
		  "a\\\"b\\;c\\@\\(d\\)\\'\\032\\009\\255.x.") == 0);
	CHECK(name_parse(&b, text) == 0 && b.len == 17);
}

TEST(reverse_names)
{
	char text[NAME_TEXT_MAX];
	struct name_buf b;
	struct net_ip ip;

	CHECK(net_ip_parse("192.168.120.3", &ip) == 0);
	name_reverse(&b, &ip);
	CHECK(strcmp(name_format(b.wire, text), "3.120.168.192.in-addr.arpa.") == 0);
	CHECK(net_ip_parse("2001:db8::1f", &ip) == 0);
	name_reverse(&b, &ip);
	CHECK(strcmp(name_format(b.wire, text),
		  "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6."
		  "arpa.") == 0);
}
