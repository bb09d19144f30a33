/* Replies of upstreams: which are to a query, and what of them is kept. */
#include <errno.h>

#include "tests/unit/test.h"

#include "tests/unit/dnsd/dns.h"

#include "dnsd/answer_write.h"

static const struct answer_limits limits = { .positive = 3600, .negative = 60 };

/* The query's reply with the records of an answer and an authority section. */
static void reply(struct message *m, const struct message *sent, unsigned rcode,
    const char *const *answers, const char *const *authority)
{
	const char *const *const sections[] = { answers, authority };

	*m = *sent;
	put16(m->b + 2, DNS_QR | DNS_RD | DNS_RA | rcode);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		unsigned n = 0;

		for (const char *const *l = sections[i]; *l; l++, n++) {
			ldns_rr *rr = NULL;
			uint8_t *wire = NULL;
			size_t len;

			if (ldns_rr_new_frm_str(&rr, *l, 0, NULL, NULL) !=
				LDNS_STATUS_OK ||
			    ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &len) !=
				LDNS_STATUS_OK)
				abort();
			add_bytes(m, wire, len);
			free(wire);
			ldns_rr_free(rr);
		}
		put16(m->b + 6 + 2 * i, n);
	}
}

#define NONE ((const char *const[]){ NULL })
#define LINES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static bool dnssec;

/* "answers authority ttl rcode" of what is kept, or "error". */
static const char *kept(const char *qname, uint16_t type, unsigned rcode,
    const char *const *answers, const char *const *authority)
{
	static char text[80];
	struct answer_question q = {
		.name = name(qname), .type = type, .dnssec = dnssec
	};
	struct message sent, m;
	struct answer *a;

	ask(&sent, qname, type, DNS_RD);
	reply(&m, &sent, rcode, answers, authority);
	if (answer_check(m.b, m.n, sent.b, sent.n) != ANSWER_OK)
		return "not checked";
	if (answer_new(&a, m.b, m.n, &q, &limits) < 0)
		return "error";
	snprintf(text, sizeof(text), "%u %u %u %u", a->n_answer, a->n_authority, a->ttl,
	    a->rcode);
	answer_free(a);
	return text;
}

#define KEPT(want, ...)                                      \
	do {                                                 \
		const char *got = kept(__VA_ARGS__);         \
		if (!str_eq(got, want))                      \
			printf("# %s, not %s\n", got, want); \
		CHECK(str_eq(got, want));                    \
	} while (0)

TEST(which_replies_are_to_a_query)
{
	struct message sent, m;

	ask(&sent, "wWw.example.org.", DNS_A, DNS_RD);
	reply(&m, &sent, 0, NONE, NONE);
	CHECK(answer_check(m.b, m.n, sent.b, sent.n) == ANSWER_OK);
	m.b[0] ^= 1;
	CHECK(answer_check(m.b, m.n, sent.b, sent.n) == ANSWER_WRONG);
	m.b[0] ^= 1;
	m.b[DNS_HEADER + 2] ^= 0x20;
	CHECK(answer_check(m.b, m.n, sent.b, sent.n) == ANSWER_CASE);
	m.b[DNS_HEADER + 2] = 'x';
	CHECK(answer_check(m.b, m.n, sent.b, sent.n) == ANSWER_WRONG);
	reply(&m, &sent, 0, NONE, NONE);
	put16(m.b + 2, DNS_QR | DNS_TC);
	CHECK(answer_check(m.b, m.n, sent.b, sent.n) == ANSWER_TRUNCATED);
	/* A query is no reply, and no reply is shorter than its head. */
	CHECK(answer_check(sent.b, sent.n, sent.b, sent.n) == ANSWER_WRONG);
	for (size_t n = 0; n < DNS_HEADER; n++)
		CHECK(answer_check(m.b, n, sent.b, sent.n) == ANSWER_WRONG);
}

TEST(what_answers_the_question)
{
	KEPT("1 0 300 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 300 IN A 192.0.2.1"), NONE);
	/* The smallest TTL decides, and the limit. */
	KEPT("2 0 20 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 300 IN A 192.0.2.1",
		"www.example.org. 20 IN A 192.0.2.2"),
	    NONE);
	KEPT("1 0 3600 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 86400 IN A 192.0.2.1"), NONE);
	/* Along a chain of CNAMEs. */
	KEPT("2 0 60 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 60 IN CNAME a.example.net.",
		"a.example.net. 300 IN A 192.0.2.1"),
	    NONE);
}

TEST(what_was_not_asked_for)
{
	KEPT("1 0 300 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 300 IN A 192.0.2.1",
		"bank.example.com. 5 IN A 192.0.2.66"),
	    NONE);
	KEPT("1 0 300 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 300 IN A 192.0.2.1"),
	    LINES("example.org. 5 IN NS ns.example.com."));
}

TEST(that_there_is_none)
{
	static const char soa[] =
	    "example.org. 900 IN SOA ns.example.org. root.example.org. 1 2 3 4 30";

	KEPT("0 1 30 3", "www.example.org.", DNS_A, 3, NONE, LINES(soa));
	KEPT("0 1 30 0", "www.example.org.", DNS_AAAA, 0, NONE, LINES(soa));
	/* Without an SOA nothing tells for how long (RFC 2308, 5). */
	KEPT("0 0 0 3", "www.example.org.", DNS_A, 3, NONE, NONE);
}

#define RRSIG(owner, type, labels, signer)      \
	owner " 60 IN RRSIG " type " 8 " labels \
	      " 60 20300101000000 20200101000000 1 " signer " AAAA"

TEST(an_alias_alone_is_kept_for_no_time_whoever_signed_it)
{
	dnssec = true;
	KEPT("2 0 0 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 60 IN CNAME a.example.net.",
		RRSIG("www.example.org.", "CNAME", "3", "example.org.")),
	    NONE);
	KEPT("4 0 60 0", "www.example.org.", DNS_A, 0,
	    LINES("www.example.org. 60 IN CNAME a.example.net.",
		RRSIG("www.example.org.", "CNAME", "3", "example.org."),
		"a.example.net. 300 IN A 192.0.2.1",
		RRSIG("a.example.net.", "A", "3", "example.net.")),
	    NONE);
	KEPT("2 0 60 0", "www.example.org.", DNS_CNAME, 0,
	    LINES("www.example.org. 60 IN CNAME a.example.net.",
		RRSIG("www.example.org.", "CNAME", "3", "example.org.")),
	    NONE);
	KEPT("1 0 60 0", "www.example.org.", 46, 0,
	    LINES(RRSIG("www.example.org.", "A", "3", "example.org.")), NONE);
	dnssec = false;
}

TEST(the_dname_that_an_alias_follows_from)
{
	const char *const *answers = LINES("example.org. 60 IN DNAME example.net.",
	    RRSIG("example.org.", "DNAME", "2", "example.org."),
	    "a.example.org. 60 IN CNAME a.example.net.",
	    "example.net. 60 IN DNAME b.example.net.",
	    "a.example.net. 60 IN CNAME a.b.example.net.",
	    "a.b.example.net. 300 IN A 192.0.2.1", "com. 60 IN DNAME evil.example.",
	    "a.b.example.net. 60 IN DNAME evil.example.");

	KEPT("3 0 60 0", "a.example.org.", DNS_A, 0, answers, NONE);
	/* Who validates needs it, as a CNAME that follows is not signed; others do not. */
	dnssec = true;
	KEPT("6 0 60 0", "a.example.org.", DNS_A, 0, answers, NONE);
	KEPT("2 0 60 0", "example.org.", 39, 0, answers, NONE);
	dnssec = false;
	KEPT("1 0 60 0", "example.org.", 39, 0, answers, NONE);
}

/* Where the zone begins that denies a name, in the name's text. */
static int denied_at(
    const char *qname, const char *const *answers, const char *const *authority)
{
	struct answer_question q = { .name = name(qname), .type = DNS_A };
	static struct message sent, m;
	struct answer *a;
	int at;

	ask(&sent, qname, DNS_A, DNS_RD);
	reply(&m, &sent, DNS_NXDOMAIN, answers, authority);
	if (answer_new(&a, m.b, m.n, &q, &limits) < 0)
		return -1;
	at = answer_denied_at(a);
	answer_free(a);
	return at;
}

TEST(the_zone_that_denies_a_name)
{
#define DENIED(zone) \
	LINES(zone " 900 IN SOA ns.example.org. root.example.org. 1 2 3 4 30")
	CHECK(denied_at("a.b.example.org.", NONE, DENIED("example.org.")) == 4);
	CHECK(denied_at("a.b.example.org.", NONE, DENIED("b.example.org.")) == 2);
	CHECK(denied_at("example.org.", NONE, DENIED("example.org.")) == 0);
	CHECK(denied_at("a.b.example.org.", NONE, NONE) == 0);
	/* Of an alias it denies the target. */
	CHECK(denied_at("a.b.example.org.",
		  LINES("a.b.example.org. 60 IN CNAME x.example.net."),
		  DENIED("example.net.")) == 0);
	CHECK(denied_at("a.b.example.org.",
		  LINES("a.b.example.org. 60 IN CNAME x.example.org."),
		  DENIED("example.org.")) == 4);
}

/* A record of the question's name: rdata is n bytes at p. */
static size_t add_record(struct message *m, uint16_t type, const void *p, size_t n)
{
	uint8_t head[12] = { 0xc0, DNS_HEADER };

	put16(head + 2, type);
	put16(head + 4, DNS_IN);
	put32(head + 6, 60);
	put16(head + 10, (unsigned)n);
	add_bytes(m, head, sizeof(head));
	add_bytes(m, p, n);
	put16(m->b + 6, get16(m->b + 6) + 1u);
	return m->n - n;
}

static int read_reply(const struct message *m, const struct answer_question *q)
{
	struct answer *a = NULL;
	int r = answer_new(&a, m->b, m->n, q, &limits);

	answer_free(a);
	return r;
}

TEST(names_that_are_compressed_to_nothing)
{
	struct answer_question q = { .name = name("example.org."), .type = DNS_NS };
	static struct message sent, m;
	struct name_buf large = name("example.org.");
	uint8_t pointer[2];
	size_t at;

	ask(&sent, "example.org.", DNS_NS, DNS_RD);
	reply(&m, &sent, DNS_NOERROR, NONE, NONE);
	while (name_prepend(&large, "a-label-of-twenty-five-by") == 0)
		;
	at = add_record(&m, DNS_NS, large.wire, large.len);
	put16(pointer, 0xc000 | (unsigned)at);
	for (unsigned i = 0; i < 200; i++)
		add_record(&m, DNS_NS, pointer, 2);
	CHECK(read_reply(&m, &q) == 0);
	/* A million bytes of names in sixty thousand. */
	for (unsigned i = 0; i < 3800; i++)
		add_record(&m, DNS_NS, pointer, 2);
	CHECK(read_reply(&m, &q) == -EBADMSG);
}

/* Taking turns steps over records of the size that their type has. */
TEST(addresses_of_another_length)
{
	static const uint8_t bytes[28];
	static const struct {
		uint16_t type;
		size_t len;
		int result;
	} cases[] = {
		{ DNS_A, 0, -EBADMSG },
		{ DNS_A, 3, -EBADMSG },
		{ DNS_A, 5, -EBADMSG },
		{ DNS_A, 4, 0 },
		{ DNS_AAAA, 0, -EBADMSG },
		{ DNS_AAAA, 4, -EBADMSG },
		{ DNS_AAAA, 17, -EBADMSG },
		{ DNS_AAAA, 16, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct answer_question q = { .name = name("example.org."),
			.type = cases[i].type };
		static struct message sent, m;

		ask(&sent, "example.org.", q.type, DNS_RD);
		reply(&m, &sent, DNS_NOERROR, NONE, NONE);
		add_record(&m, q.type, bytes, q.type == DNS_A ? 4 : 16);
		add_record(&m, q.type, bytes, cases[i].len);
		CHECK(read_reply(&m, &q) == cases[i].result);
	}
}

TEST(pointers_to_pointers)
{
	struct answer_question q = { .name = name("example.org."), .type = DNS_NS };
	static struct message sent, m;
	uint8_t pointer[2] = { 0xc0, DNS_HEADER };

	ask(&sent, "example.org.", DNS_NS, DNS_RD);
	reply(&m, &sent, DNS_NOERROR, NONE, NONE);
	for (unsigned i = 0; i < 60; i++)
		put16(pointer, 0xc000 | (unsigned)add_record(&m, DNS_NS, pointer, 2));
	CHECK(read_reply(&m, &q) == 0);
	for (unsigned i = 0; i < 10; i++)
		put16(pointer, 0xc000 | (unsigned)add_record(&m, DNS_NS, pointer, 2));
	CHECK(read_reply(&m, &q) == -EBADMSG);
}

/* What an upstream says of a name. */
static struct answer *said(
    const char *qname, uint16_t type, unsigned rcode, const char *const *answers)
{
	struct answer_question q = { .name = name(qname), .type = type };
	static struct message sent, m;
	struct answer *a;

	ask(&sent, qname, type, DNS_RD);
	reply(&m, &sent, rcode, answers, NONE);
	if (answer_new(&a, m.b, m.n, &q, &limits) < 0)
		abort();
	return a;
}

/* The additional section of a reply about the target one.example.org. that these answers
 * were added to, within max bytes; they are freed. */
static char *added(struct answer *a, struct answer *aaaa, uint32_t age, size_t max)
{
	struct answer_pair pair = { { { a, age, 0 }, { aaaa, age, 0 } } };
	struct name_buf target = name("one.example.org.");
	struct answer_message to = { .max = max, .opt_len = DNS_OPT_LEN + 4 };
	uint8_t rdata[6 + DNS_NAME_MAX] = { 0 };
	struct str s = STR_INIT;
	static struct message m;
	ldns_pkt *pkt = NULL;
	size_t at;

	ask(&m, "_s.okd.example.com.", DNS_SRV, DNS_RD);
	memcpy(rdata + 6, target.wire, target.len);
	at = add_record(&m, DNS_SRV, rdata, 6u + target.len) + 6;
	add_opt(&m, 1232, 0, "\xff\xf0\0\0", 4);
	to.msg = m.b;
	to.len = m.n;
	answer_add_addresses(&to, at, &pair);
	answer_free(a);
	answer_free(aaaa);
	if (ldns_wire2pkt(&pkt, m.b, to.len) != LDNS_STATUS_OK ||
	    ldns_pkt_size(pkt) != to.len || !ldns_pkt_edns(pkt))
		return strdup("broken");
	add_section(&s, ldns_pkt_additional(pkt), '*');
	ldns_pkt_free(pkt);
	return str_take(&s);
}

#define ADDED(want, ...)                                                \
	do {                                                            \
		char *got = added(__VA_ARGS__);                         \
		if (!str_eq(got ? got : "", want))                      \
			printf("# %s, not %s\n", got ? got : "", want); \
		CHECK(str_eq(got ? got : "", want));                    \
		free(got);                                              \
	} while (0)

#define ONE "one.example.org."
#define FOUR LINES(ONE " 60 IN A 192.0.2.1", ONE " 30 IN A 192.0.2.2")
#define SIX LINES(ONE " 60 IN AAAA 2001:db8::1")
#define ALIAS ONE " 60 IN CNAME web.example.net."

TEST(addresses_are_added_to_a_whole_reply)
{
	ADDED(" * " ONE " 50 IN A 192.0.2.1 * " ONE " 20 IN A 192.0.2.2 * " ONE
	      " 50 IN AAAA 2001:db8::1",
	    said(ONE, DNS_A, 0, FOUR), said(ONE, DNS_AAAA, 0, SIX), 10, 1232);
	ADDED(" * " ONE " 60 IN AAAA 2001:db8::1", said(ONE, DNS_A, 3, NONE),
	    said(ONE, DNS_AAAA, 0, SIX), 0, 1232);
	ADDED(" * " ONE " 0 IN AAAA 2001:db8::1", NULL, said(ONE, DNS_AAAA, 0, SIX),
	    100, 1232);
	ADDED("", said(ONE, DNS_A, 2, NONE), said(ONE, DNS_AAAA, 0, NONE), 0, 1232);
	ADDED("", NULL, NULL, 0, 1232);
	/* An alias without an end. */
	ADDED("", said(ONE, DNS_A, 0, LINES(ALIAS)), NULL, 0, 1232);
}

TEST(of_addresses_without_room_none_is_added)
{
	/* One record more than there is room for, then as many as there is. */
	size_t whole = DNS_HEADER + 24 + 12 + 6 + 17 + DNS_OPT_LEN + 4;

	ADDED(" * " ONE " 60 IN AAAA 2001:db8::1", said(ONE, DNS_A, 0, FOUR),
	    said(ONE, DNS_AAAA, 0, SIX), 0, whole + 31);
	ADDED(" * " ONE " 60 IN A 192.0.2.1 * " ONE " 30 IN A 192.0.2.2",
	    said(ONE, DNS_A, 0, FOUR), said(ONE, DNS_AAAA, 0, SIX), 0, whole + 32);
	ADDED("", said(ONE, DNS_A, 0, FOUR), NULL, 0, whole);
}

TEST(the_aliases_of_both_kinds_of_addresses_are_added_once)
{
#define WEB "web.example.net."
	ADDED(" * " ONE " 50 IN CNAME " WEB " * " WEB " 290 IN A 192.0.2.1 * " WEB
	      " 90 IN AAAA 2001:db8::1",
	    said(ONE, DNS_A, 0, LINES(ALIAS, WEB " 300 IN A 192.0.2.1")),
	    said(ONE, DNS_AAAA, 0,
		LINES(ONE " 99 IN CNAME " WEB, WEB " 100 IN AAAA 2001:db8::1")),
	    10, 1232);
	/* One alias for one name: the first. */
	ADDED(" * " ONE " 60 IN CNAME " WEB " * " WEB " 300 IN A 192.0.2.1",
	    said(ONE, DNS_A, 0, LINES(ALIAS, WEB " 300 IN A 192.0.2.1")),
	    said(ONE, DNS_AAAA, 0,
		LINES(ONE " 60 IN CNAME wob.example.net.",
		    "wob.example.net. 60 IN AAAA 2001:db8::1")),
	    0, 1232);
	ADDED(" * " ONE " 60 IN A 192.0.2.1 * " ONE " 30 IN A 192.0.2.2",
	    said(ONE, DNS_A, 0, FOUR),
	    said(ONE, DNS_AAAA, 0, LINES(ALIAS, WEB " 60 IN AAAA 2001:db8::1")), 0,
	    1232);
}
