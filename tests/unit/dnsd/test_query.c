/* What query_answer() says to every kind of message. */
#include "tests/unit/test.h"

#include "tests/unit/dnsd/dns.h"

static const char *const apexes[] = { ORIGIN, "120.168.192.in-addr.arpa.", NULL };
static const char *const lines[] = {
	"okd.example.com. NS ns.okd.example.com.",
	"ns A 192.168.120.101",
	"api A 192.168.120.101",
	"api AAAA fd00::101",
	"*.apps A 172.18.22.243",
	"apps A 172.18.22.243",
	"etcd-0 A 192.168.120.103",
	"etcd-0 AAAA fd00::103",
	"_etcd-server-ssl._tcp SRV 0 10 2380 etcd-0",
	"_etcd-server-ssl._tcp SRV 0 10 2381 ETCD-0",
	"_etcd-server-ssl._tcp SRV 0 10 2382 elsewhere.example.org.",
	"alias CNAME api",
	"alias2 CNAME alias",
	"dangling CNAME nobody",
	"outside CNAME www.example.org.",
	"loop1 CNAME loop2",
	"loop2 CNAME loop1",
	"mail MX 10 api",
	"txt TXT \"one\" \"two\"",
	"*.wild TXT x",
	"a.b.wild A 10.0.0.1",
	"*.cname CNAME api",
	"103.120.168.192.in-addr.arpa. PTR master.okd.example.com.",
	"island.example.net. A 10.9.9.9",
	NULL,
};

#define SOA                                                                           \
	"okd.example.com. 30 IN SOA ns.okd.example.com. hostmaster.okd.example.com. " \
	"7 2 3 4 30"

static struct zone *zone(void)
{
	static struct zone *z;

	if (!z)
		z = zone_of(apexes, lines);
	return z;
}

static int expect_in(
    const struct query_env *env, const struct message *m, const char *want)
{
	char *got = reply_to(env, m);
	int same = strcmp(got, want) == 0;

	if (!same)
		printf("# got  %s\n# want %s\n", got, want);
	free(got);
	return same;
}

static int expect(const struct message *m, const char *want)
{
	return expect_in(&(struct query_env){ .zone = zone() }, m, want);
}

static int asked(const char *qname, uint16_t type, const char *want)
{
	static struct message m;

	ask(&m, qname, type, DNS_RD);
	return expect(&m, want);
}

TEST(records)
{
	CHECK(asked("api.okd.example.com.", DNS_A,
	    "NOERROR qr aa rd = api.okd.example.com. 60 IN A 192.168.120.101"));
	CHECK(asked("api.okd.example.com.", DNS_AAAA,
	    "NOERROR qr aa rd = api.okd.example.com. 60 IN AAAA fd00::101"));
	CHECK(asked("103.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NOERROR qr aa rd = 103.120.168.192.in-addr.arpa. 60 IN PTR "
	    "master.okd.example.com."));
	CHECK(asked("txt.okd.example.com.", DNS_TXT,
	    "NOERROR qr aa rd = txt.okd.example.com. 60 IN TXT \"one\" \"two\""));
	CHECK(asked("okd.example.com.", DNS_SOA, "NOERROR qr aa rd = " SOA));
	CHECK(asked("okd.example.com.", DNS_NS,
	    "NOERROR qr aa rd = okd.example.com. 60 IN NS ns.okd.example.com. "
	    "* ns.okd.example.com. 60 IN A 192.168.120.101"));
	CHECK(asked("mail.okd.example.com.", DNS_MX,
	    "NOERROR qr aa rd = mail.okd.example.com. 60 IN MX 10 api.okd.example.com. "
	    "* api.okd.example.com. 60 IN A 192.168.120.101 "
	    "* api.okd.example.com. 60 IN AAAA fd00::101"));
}

TEST(case_of_the_question_is_kept)
{
	CHECK(asked("aPI.okD.Example.COM.", DNS_A,
	    "NOERROR qr aa rd = aPI.okD.Example.COM. 60 IN A 192.168.120.101"));
	CHECK(asked("X.aPPs.okD.Example.COM.", DNS_A,
	    "NOERROR qr aa rd = X.aPPs.okD.Example.COM. 60 IN A 172.18.22.243"));
}

TEST(srv_brings_the_addresses_of_its_targets_once)
{
	CHECK(asked("_etcd-server-ssl._tcp.okd.example.com.", DNS_SRV,
	    "NOERROR qr aa rd "
	    "= _etcd-server-ssl._tcp.okd.example.com. 60 IN SRV 0 10 2380 "
	    "etcd-0.okd.example.com. "
	    "= _etcd-server-ssl._tcp.okd.example.com. 60 IN SRV 0 10 2381 "
	    "ETCD-0.okd.example.com. "
	    "= _etcd-server-ssl._tcp.okd.example.com. 60 IN SRV 0 10 2382 "
	    "elsewhere.example.org. "
	    "* etcd-0.okd.example.com. 60 IN A 192.168.120.103 "
	    "* etcd-0.okd.example.com. 60 IN AAAA fd00::103"));
}

/* As CoreDNS does, although no target should be one (RFC 2782). */
TEST(targets_that_are_aliases_bring_the_chain)
{
	static const char *const records[] = { "api A 192.168.120.101",
		"api AAAA fd00::101", "one CNAME two", "two CNAME api", "mail MX 1 one",
		"mail MX 2 two", "mail MX 3 api", "loop CNAME round",
		"round CNAME loop", "dead CNAME nobody", "s SRV 0 0 1 loop",
		"s SRV 0 0 2 dead", "away CNAME www.example.org.", "out SRV 0 0 1 away",
		"out SRV 0 0 2 www.example.org.", "out SRV 0 0 3 api", NULL };
	struct zone *z = zone_of(apexes, records);
	struct query_env env = { .zone = z };
	static uint8_t out[QUERY_UDP_OUT];
	static struct message m;
	struct query q;

#define AT(name, rest) name ".okd.example.com. 60 IN " rest
#define TO(name) name ".okd.example.com."
	ask(&m, TO("mail"), DNS_MX, DNS_RD);
	CHECK(expect_in(&env, &m,
	    "NOERROR qr aa rd = " AT("mail", "MX 1 ")
		TO("one") " = " AT("mail", "MX 2 ") TO("two") " = " AT("mail", "MX 3 ")
		    TO("api") " * " AT("one", "CNAME ")
			TO("two") " * " AT("two", "CNAME ") TO("api") " * " AT("api",
			    "A 192.168.120.101") " * " AT("api", "AAAA fd00::101")));
	ask(&m, TO("s"), DNS_SRV, DNS_RD);
	CHECK(expect_in(&env, &m,
	    "NOERROR qr aa rd = " AT("s", "SRV 0 0 1 ") TO("loop") " = " AT(
		"s", "SRV 0 0 2 ") TO("dead") " * " AT("loop", "CNAME ")
		TO("round") " * " AT("round", "CNAME ")
		    TO("loop") " * " AT("dead", "CNAME ") TO("nobody")));
	/* An upstream is asked for the end of one. */
	env.recursion = true;
	ask(&m, TO("out"), DNS_SRV, DNS_RD);
	CHECK(query_answer(&env, &q, m.b, m.n, out, sizeof(out)) == QUERY_FORWARD);
	CHECK(q.n_targets == 1 && get16(out + 6) == 3 && get16(out + 10) == 3);
	CHECK(memcmp(out + q.targets[0], "\3www\7example\3org", 17) == 0);
	zone_free(z);
}

TEST(targets_outside_are_left_to_upstreams)
{
	static const struct {
		uint16_t flags;
		bool recursion;
	} alone[] = { { 0, true }, { DNS_RD, false } };
	struct query_env env = { .zone = zone(), .recursion = true };
	static uint8_t out[QUERY_UDP_OUT];
	static struct message m;
	struct query q;

	ask(&m, "_etcd-server-ssl._tcp.okd.example.com.", DNS_SRV, DNS_RD);
	CHECK(query_answer(&env, &q, m.b, m.n, out, sizeof(out)) == QUERY_FORWARD);
	CHECK(q.n_targets == 1 && q.reply_len > m.n && get16(out + 6) == 3);
	CHECK(memcmp(out + q.targets[0], "\11elsewhere\7example\3org", 23) == 0);
	CHECK(query_begun(&q, m.b, out) == out);
	/* Nothing has come: the reply stays as it is. */
	query_targets(
	    &env, &q, out, sizeof(out), (const struct answer_pair[QUERY_TARGETS]){ 0 });
	CHECK(get16(out + 10) == 2);
	for (size_t i = 0; i < ARRAY_SIZE(alone); i++) {
		env.recursion = alone[i].recursion;
		ask(&m, "_etcd-server-ssl._tcp.okd.example.com.", DNS_SRV,
		    alone[i].flags);
		CHECK(query_answer(&env, &q, m.b, m.n, out, sizeof(out)) ==
		    QUERY_ANSWERED);
		CHECK(q.n_targets == 0 && get16(out + 6) == 3);
	}
}

TEST(other_types_of_a_name_are_nodata)
{
	CHECK(asked("api.okd.example.com.", DNS_TXT, "NOERROR qr aa rd + " SOA));
	CHECK(asked("api.okd.example.com.", 1000, "NOERROR qr aa rd + " SOA));
	CHECK(asked("api.okd.example.com.", DNS_SOA, "NOERROR qr aa rd + " SOA));
	CHECK(asked("api.okd.example.com.", 65, "NOERROR qr aa rd + " SOA));
	CHECK(asked("okd.example.com.", DNS_A, "NOERROR qr aa rd + " SOA));
	CHECK(asked("okd.example.com.", DNS_DS, "NOERROR qr aa rd + " SOA));
	CHECK(asked("x.apps.okd.example.com.", DNS_AAAA, "NOERROR qr aa rd + " SOA));
	/* The negative answer of an empty non-terminal (RFC 8020). */
	CHECK(asked("_tcp.okd.example.com.", DNS_A, "NOERROR qr aa rd + " SOA));
	CHECK(asked("_tcp.okd.example.com.", DNS_ANY, "NOERROR qr aa rd + " SOA));
}

TEST(gaps_are_nxdomain_below_an_apex_alone)
{
	CHECK(asked("nobody.okd.example.com.", DNS_A, "NXDOMAIN qr aa rd + " SOA));
	CHECK(asked("NoBody.API.okd.example.com.", DNS_A,
	    "NXDOMAIN qr aa rd + okd.example.com. 30 IN SOA ns.okd.example.com. "
	    "hostmaster.okd.example.com. 7 2 3 4 30"));
	CHECK(asked("9.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NXDOMAIN qr aa rd + 120.168.192.in-addr.arpa. 30 IN SOA "
	    "ns.okd.example.com. hostmaster.okd.example.com. 7 2 3 4 30"));
	CHECK(asked("9.121.168.192.in-addr.arpa.", DNS_PTR, "forward"));
	CHECK(asked("example.com.", DNS_A, "forward"));
	CHECK(asked("xokd.example.com.", DNS_A, "forward"));
	CHECK(asked("com.", DNS_A, "forward"));
	CHECK(asked(".", DNS_A, "forward"));
	CHECK(asked(".", DNS_NS, "forward"));
	CHECK(asked("www.example.org.", DNS_A, "forward"));
}

TEST(a_name_outside_every_apex_is_an_island)
{
	CHECK(asked("island.example.net.", DNS_A,
	    "NOERROR qr aa rd = island.example.net. 60 IN A 10.9.9.9"));
	CHECK(asked("island.example.net.", DNS_AAAA, "NOERROR qr aa rd"));
	CHECK(asked("example.net.", DNS_A, "forward"));
	CHECK(asked("a.island.example.net.", DNS_A, "forward"));
}

TEST(wildcards)
{
	CHECK(asked("a.b.c.apps.okd.example.com.", DNS_A,
	    "NOERROR qr aa rd = a.b.c.apps.okd.example.com. 60 IN A 172.18.22.243"));
	CHECK(asked("*.apps.okd.example.com.", DNS_A,
	    "NOERROR qr aa rd = *.apps.okd.example.com. 60 IN A 172.18.22.243"));
	CHECK(asked("xapps.okd.example.com.", DNS_A, "NXDOMAIN qr aa rd + " SOA));
	/* An existing name or branch keeps the wildcard away (RFC 4592, 2.2). */
	CHECK(asked("x.wild.okd.example.com.", DNS_TXT,
	    "NOERROR qr aa rd = x.wild.okd.example.com. 60 IN TXT \"x\""));
	CHECK(asked("b.wild.okd.example.com.", DNS_TXT, "NOERROR qr aa rd + " SOA));
	CHECK(asked("x.b.wild.okd.example.com.", DNS_TXT, "NXDOMAIN qr aa rd + " SOA));
	CHECK(asked("a.b.wild.okd.example.com.", DNS_TXT, "NOERROR qr aa rd + " SOA));
	CHECK(asked("y.cname.okd.example.com.", DNS_A,
	    "NOERROR qr aa rd = y.cname.okd.example.com. 60 IN CNAME "
	    "api.okd.example.com. "
	    "= api.okd.example.com. 60 IN A 192.168.120.101"));
}

TEST(cname_chains)
{
	CHECK(asked("alias2.okd.example.com.", DNS_A,
	    "NOERROR qr aa rd = alias2.okd.example.com. 60 IN CNAME "
	    "alias.okd.example.com. "
	    "= alias.okd.example.com. 60 IN CNAME api.okd.example.com. "
	    "= api.okd.example.com. 60 IN A 192.168.120.101"));
	CHECK(asked("alias.okd.example.com.", DNS_CNAME,
	    "NOERROR qr aa rd = alias.okd.example.com. 60 IN CNAME "
	    "api.okd.example.com."));
	CHECK(asked("alias.okd.example.com.", DNS_ANY,
	    "NOERROR qr aa rd = alias.okd.example.com. 60 IN CNAME "
	    "api.okd.example.com."));
	CHECK(asked("alias.okd.example.com.", DNS_TXT,
	    "NOERROR qr aa rd = alias.okd.example.com. 60 IN CNAME "
	    "api.okd.example.com. "
	    "+ " SOA));
	CHECK(asked("dangling.okd.example.com.", DNS_A,
	    "NXDOMAIN qr aa rd = dangling.okd.example.com. 60 IN CNAME "
	    "nobody.okd.example.com. + " SOA));
	CHECK(asked("outside.okd.example.com.", DNS_A,
	    "NOERROR qr aa rd = outside.okd.example.com. 60 IN CNAME "
	    "www.example.org."));
}

TEST(a_cname_loop_ends)
{
	static struct message m;
	char *got;

	ask(&m, "loop1.okd.example.com.", DNS_A, 0);
	got = reply_to(&(struct query_env){ .zone = zone(), .tcp = true }, &m);
	CHECK(str_starts(got, "NOERROR qr aa = loop1.okd.example.com. 60 IN CNAME"));
	free(got);
}

TEST(any_is_one_record)
{
	CHECK(asked("api.okd.example.com.", DNS_ANY,
	    "NOERROR qr aa rd = api.okd.example.com. 3600 IN HINFO \"RFC8482\" \"\""));
	CHECK(asked("okd.example.com.", DNS_ANY,
	    "NOERROR qr aa rd = okd.example.com. 3600 IN HINFO \"RFC8482\" \"\""));
	CHECK(asked("nobody.okd.example.com.", DNS_ANY, "NXDOMAIN qr aa rd + " SOA));
	CHECK(asked("example.org.", DNS_ANY, "forward"));
}

TEST(types_that_are_no_data)
{
	CHECK(asked("okd.example.com.", DNS_AXFR, "REFUSED qr rd"));
	CHECK(asked("okd.example.com.", DNS_IXFR, "REFUSED qr rd"));
	CHECK(asked("okd.example.com.", DNS_MAILB, "NOTIMPL qr rd"));
	CHECK(asked("okd.example.com.", DNS_MAILA, "NOTIMPL qr rd"));
	CHECK(asked("okd.example.com.", DNS_TKEY, "FORMERR qr rd"));
	CHECK(asked("okd.example.com.", DNS_TSIG, "FORMERR qr rd"));
	CHECK(asked("okd.example.com.", DNS_OPT, "FORMERR qr rd"));
	CHECK(asked("okd.example.com.", 0, "NOERROR qr aa rd + " SOA));
}

#define API "api.okd.example.com. 60 IN A 192.168.120.101"

TEST(header_flags)
{
	static struct message m;
	struct query_env env = { .zone = zone(), .recursion = true };

	ask(&m, "api.okd.example.com.", DNS_A, 0);
	CHECK(expect(&m, "NOERROR qr aa = " API));
	ask(&m, "api.okd.example.com.", DNS_A,
	    DNS_AD | DNS_RA | 0x40 | DNS_AA | DNS_TC | 15);
	CHECK(expect(&m, "NOERROR qr aa = " API));
	ask(&m, "api.okd.example.com.", DNS_A, DNS_CD | DNS_RD);
	CHECK(expect(&m, "NOERROR qr aa rd cd = " API));
	CHECK(expect_in(&env, &m, "NOERROR qr aa rd ra cd = " API));
	env.refuse = true;
	CHECK(expect_in(&env, &m, "REFUSED qr rd ra cd"));
}

TEST(opcodes)
{
	static struct message m;
	char want[64];

	for (unsigned op = 1; op < 16; op++) {
		ask(&m, "api.okd.example.com.", DNS_A, (uint16_t)(op << 11 | DNS_RD));
		add_opt(&m, 1232, 0, NULL, 0);
		snprintf(want, sizeof(want), "NOTIMPL qr rd opcode %u no question", op);
		CHECK(expect(&m, want));
	}
}

TEST(responses_and_runts_get_silence)
{
	static struct message m;

	ask(&m, "api.okd.example.com.", DNS_A, DNS_QR);
	CHECK(expect(&m, "silence"));
	for (m.n = 0; m.n < DNS_HEADER; m.n++)
		CHECK(expect(&m, "silence"));
}

TEST(classes)
{
	static const uint16_t classes[] = { 0, 2, 3, 4, 254, 255, 65535 };
	static struct message m;

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		ask(&m, "api.okd.example.com.", DNS_A, 0);
		put16(m.b + m.n - 2, classes[i]);
		CHECK(expect(&m, "REFUSED qr"));
	}
	ask(&m, "version.bind.", DNS_TXT, 0);
	put16(m.b + m.n - 2, 3);
	CHECK(expect(&m, "REFUSED qr"));
}

TEST(edns)
{
	static struct message m;
	static const uint8_t cookie[] = { 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8 };
	static const uint8_t unknown[] = { 0xff, 0xf0, 0, 3, 1, 2, 3, 0xff, 0xf1, 0,
		0 };

	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 4096, 0, NULL, 0);
	CHECK(expect(&m, "NOERROR qr aa = " API "; opt 1232 v0 x0"));
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 0, 0x8000, cookie, sizeof(cookie));
	CHECK(expect(&m, "NOERROR qr aa = " API "; opt 1232 v0 x0 do"));
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0x7fff, unknown, sizeof(unknown));
	CHECK(expect(&m, "NOERROR qr aa = " API "; opt 1232 v0 x0"));
	ask(&m, "nobody.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0, NULL, 0);
	CHECK(expect(&m, "NXDOMAIN qr aa + " SOA "; opt 1232 v0 x0"));
	ask(&m, "okd.example.com.", DNS_AXFR, 0);
	add_opt(&m, 1232, 0, NULL, 0);
	CHECK(expect(&m, "REFUSED qr; opt 1232 v0 x0"));
}

TEST(edns_versions_above_0_are_badvers)
{
	static const uint8_t unknown[] = { 0xff, 0xf0, 0, 3, 1, 2, 3 };
	static struct message m;

	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0x010000, NULL, 0);
	CHECK(expect(&m, "NOERROR qr; opt 1232 v0 x1"));
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0x014000, NULL, 0);
	CHECK(expect(&m, "NOERROR qr; opt 1232 v0 x1"));
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0xff018000, unknown, sizeof(unknown));
	CHECK(expect(&m, "NOERROR qr; opt 1232 v0 x1 do"));
}

TEST(broken_edns_is_formerr)
{
	static const uint8_t owner[] = { 1, 'x', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0 };
	static const uint8_t cut[] = { 0, 10, 0, 9, 1, 2, 3 };
	static struct message m;

	/* Two of them. */
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0, NULL, 0);
	add_opt(&m, 1232, 0, NULL, 0);
	CHECK(expect(&m, "FORMERR qr; opt 1232 v0 x0"));
	/* An owner that is not the root. */
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_bytes(&m, owner, sizeof(owner));
	put16(m.b + 10, 1);
	CHECK(expect(&m, "FORMERR qr"));
	/* In the answer and authority sections. */
	for (unsigned at = 6; at <= 8; at += 2) {
		ask(&m, "api.okd.example.com.", DNS_A, 0);
		add_opt(&m, 1232, 0, NULL, 0);
		put16(m.b + 10, 0);
		put16(m.b + at, 1);
		CHECK(expect(&m, "FORMERR qr"));
	}
	/* An option longer than the record, and a record longer than the message. */
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0, cut, sizeof(cut));
	CHECK(expect(&m, "FORMERR qr; opt 1232 v0 x0"));
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0, NULL, 0);
	put16(m.b + m.n - 2, 1);
	CHECK(expect(&m, "FORMERR qr"));
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_opt(&m, 1232, 0, cut, 3);
	CHECK(expect(&m, "FORMERR qr; opt 1232 v0 x0"));
}

/* A message with a question of raw bytes. */
static int question(const void *p, size_t n, const char *want)
{
	static struct message m;

	ask(&m, ".", DNS_A, 0);
	m.n = DNS_HEADER;
	add_bytes(&m, p, n);
	return expect(&m, want);
}
#define QUESTION(bytes, want) question(bytes, sizeof(bytes) - 1, want)
#define FORMERR "FORMERR qr no question"

TEST(names_that_are_none)
{
	uint8_t b[300];

	CHECK(QUESTION("\xc0\x0c\0\1\0\1", FORMERR)); /* a pointer to itself */
	CHECK(QUESTION("\xc0\x20\0\1\0\1", FORMERR)); /* forward */
	CHECK(QUESTION("\xc0\x00\0\1\0\1", FORMERR)); /* into the header */
	CHECK(QUESTION("\1a\xc0\x0c\0\1\0\1", FORMERR));
	CHECK(QUESTION("\x40"
		       "a\0\0\1\0\1",
	    FORMERR)); /* label types 01 and 10 */
	CHECK(QUESTION("\x80"
		       "a\0\0\1\0\1",
	    FORMERR));
	CHECK(QUESTION("\5abc\0\0\1\0\1", FORMERR)); /* runs into the end */
	CHECK(QUESTION("\0\0\1\0", FORMERR));        /* class cut off */
	CHECK(QUESTION("", FORMERR));
	/* NUL and dot within a label are no separators. */
	CHECK(QUESTION("\7api\0okd\7example\3com\0\0\1\0\1", "forward"));
	CHECK(QUESTION("\7api.okd\7example\3com\0\0\1\0\1", "forward"));
	CHECK(QUESTION("\3a\0b\3okd\7example\3com\0\0\1\0\1", "NXDOMAIN qr aa + " SOA));
	/* 255 bytes are a name, 256 are not. */
	memset(b, 'a', sizeof(b));
	for (unsigned i = 0; i < 4; i++)
		b[i * 64] = 63;
	b[192] = 61;
	memcpy(b + 254, "\0\0\1\0\1", 5);
	CHECK(question(b, 259, "forward"));
	b[192] = 62;
	memcpy(b + 255, "\0\0\1\0\1", 5);
	CHECK(question(b, 260, FORMERR));
}

TEST(counts_that_lie)
{
	static struct message m;

	for (unsigned qd = 0; qd < 4; qd++) {
		ask(&m, "api.okd.example.com.", DNS_A, 0);
		put16(m.b + 4, qd == 3 ? 65535 : qd);
		CHECK(expect(&m, qd == 1 ? "NOERROR qr aa = " API : FORMERR));
	}
	for (unsigned at = 6; at <= 10; at += 2) {
		ask(&m, "api.okd.example.com.", DNS_A, 0);
		put16(m.b + at, 1);
		CHECK(expect(&m, "FORMERR qr"));
		put16(m.b + at, 65535);
		CHECK(expect(&m, "FORMERR qr"));
	}
	/* Bytes behind the message are nobody's. */
	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_bytes(&m, "junk", 4);
	CHECK(expect(&m, "NOERROR qr aa = " API));
}

TEST(records_in_a_query_are_stepped_over)
{
	static const uint8_t rr[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3,
		4 };
	static struct message m;

	ask(&m, "api.okd.example.com.", DNS_A, 0);
	add_bytes(&m, rr, sizeof(rr));
	put16(m.b + 8, 1);
	CHECK(expect(&m, "NOERROR qr aa = " API));
	m.b[m.n - sizeof(rr) + 1] =
	    (uint8_t)(m.n - sizeof(rr)); /* a pointer to itself */
	CHECK(expect(&m, "FORMERR qr"));
}

/* Every length of a valid message: silence, FORMERR, or what an earlier end allows. */
static void cut(const struct message *whole)
{
	static struct message m;
	size_t question_end;
	struct query q;
	static uint8_t out[DNS_MESSAGE_MAX];

	m = *whole;
	question_end = DNS_HEADER + name_scan(m.b + DNS_HEADER, m.n - DNS_HEADER) + 4;
	for (m.n = 0; m.n < whole->n; m.n++) {
		const char *want = m.n < DNS_HEADER ? "silence"
		    : m.n < question_end            ? FORMERR
						    : NULL;
		char *got = reply_to(&(struct query_env){ .zone = zone() }, &m);

		CHECK(want ? strcmp(got, want) == 0 : str_starts(got, "FORMERR qr"));
		free(got);
	}
	CHECK(query_answer(&(struct query_env){ .zone = zone() }, &q, whole->b,
		  whole->n, out, QUERY_UDP_OUT) == QUERY_ANSWERED);
	CHECK(q.rcode != DNS_FORMERR);
}

TEST(every_length_of_three_messages)
{
	static const uint8_t cookie[] = { 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8 };
	static struct message m;

	ask(&m, "api.okd.example.com.", DNS_A, 0);
	cut(&m);
	add_opt(&m, 1232, 0x8000, cookie, sizeof(cookie));
	cut(&m);
	ask(&m, "_etcd-server-ssl._tcp.okd.example.com.", DNS_SRV, 0);
	put16(m.b + 8, 1);
	add_bytes(&m, "\0\0\6\0\1\0\0\0\0\0\2hi", 13);
	add_opt(&m, 512, 0, NULL, 0);
	cut(&m);
}

/* A name with n addresses. */
static struct zone *big_zone(int n)
{
	const char **l = calloc((size_t)n + 1, sizeof(*l));
	struct zone *z;

	for (int i = 0; i < n; i++)
		if (asprintf((char **)&l[i], "big A 10.0.%d.%d", i / 256, i % 256) < 0)
			abort();
	z = zone_of(apexes, l);
	for (int i = 0; i < n; i++)
		free((char *)l[i]);
	free(l);
	return z;
}

static size_t reply_len(
    struct zone *z, const struct message *m, bool tcp, unsigned *flags)
{
	static uint8_t out[DNS_MESSAGE_MAX];
	struct query q;

	CHECK(query_answer(&(struct query_env){ .zone = z, .tcp = tcp }, &q, m->b, m->n,
		  out, tcp ? sizeof(out) : QUERY_UDP_OUT) == QUERY_ANSWERED);
	*flags = get16(out + 2);
	return q.reply_len;
}

TEST(truncation)
{
	/* 12 + 21 + 4 bytes, then 16 for each address. */
	struct zone *fits = big_zone(29), *over = big_zone(30), *edns = big_zone(74),
		    *edns_over = big_zone(75);
	struct query_env env = { .zone = over };
	static struct message m;
	unsigned flags;

	ask(&m, "big.okd.example.com.", DNS_A, 0);
	CHECK(reply_len(fits, &m, false, &flags) == 37 + 29 * 16 && !(flags & DNS_TC));
	CHECK(expect_in(&env, &m, "NOERROR qr aa tc"));
	CHECK(reply_len(over, &m, true, &flags) == 37 + 30 * 16 && !(flags & DNS_TC));
	add_opt(&m, 100, 0, NULL, 0);
	CHECK(expect_in(&env, &m, "NOERROR qr aa tc; opt 1232 v0 x0"));
	ask(&m, "big.okd.example.com.", DNS_A, 0);
	add_opt(&m, 4096, 0, NULL, 0);
	CHECK(reply_len(edns, &m, false, &flags) == 37 + 74 * 16 + 11 &&
	    !(flags & DNS_TC));
	CHECK(reply_len(edns_over, &m, false, &flags) == 37 + 11 && flags & DNS_TC);
	CHECK(reply_len(edns_over, &m, true, &flags) == 37 + 75 * 16 + 11);
	zone_free(fits);
	zone_free(over);
	zone_free(edns);
	zone_free(edns_over);
}

TEST(glue_that_does_not_fit_is_left_out)
{
	static char text[75][32];
	const char *l[77];
	static struct message m;
	struct zone *z;
	unsigned flags;

	for (int i = 0; i < 75; i++) {
		snprintf(text[i], sizeof(text[i]), "big A 10.0.0.%d", i);
		l[i] = text[i];
	}
	l[75] = "s SRV 0 0 1 big";
	l[76] = NULL;
	z = zone_of(apexes, l);
	ask(&m, "s.okd.example.com.", DNS_SRV, 0);
	CHECK(expect_in(&(struct query_env){ .zone = z }, &m,
	    "NOERROR qr aa = s.okd.example.com. 60 IN SRV 0 0 1 big.okd.example.com."));
	CHECK(reply_len(z, &m, true, &flags) > 75 * 16 && !(flags & DNS_TC));
	zone_free(z);
}

TEST(a_reply_may_overwrite_its_query)
{
	static const struct {
		const char *name;
		uint16_t type;
	} q[] = { { "api.okd.example.com.", DNS_A },
		{ "alias2.okd.example.com.", DNS_A },
		{ "nobody.okd.example.com.", DNS_A },
		{ "_etcd-server-ssl._tcp.okd.example.com.", DNS_SRV },
		{ "okd.example.com.", DNS_AXFR } };
	struct query_env env = { .zone = zone() };
	static uint8_t apart[QUERY_UDP_OUT], same[QUERY_UDP_OUT];
	static struct message m;
	struct query a, b;

	for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
		ask(&m, q[i].name, q[i].type, DNS_RD);
		add_opt(&m, 1232, 0, NULL, 0);
		memcpy(same, m.b, m.n);
		CHECK(query_answer(&env, &a, m.b, m.n, apart, sizeof(apart)) ==
		    query_answer(&env, &b, same, m.n, same, sizeof(same)));
		CHECK(a.reply_len == b.reply_len);
		CHECK(memcmp(apart, same, a.reply_len) == 0);
	}
}

TEST(what_is_forwarded_can_be_refused)
{
	static uint8_t out[QUERY_UDP_OUT];
	struct query_env env = { .zone = zone() };
	static struct message m;
	struct query q;

	ask(&m, "www.example.org.", DNS_A, DNS_RD);
	CHECK(query_answer(&env, &q, m.b, m.n, out, sizeof(out)) == QUERY_FORWARD);
	CHECK(q.type == DNS_A && q.class == DNS_IN);
	query_error(&env, &q, DNS_REFUSED, m.b, out, sizeof(out));
	CHECK(q.reply_len == m.n && (get16(out + 2) & DNS_RCODE) == DNS_REFUSED);
}
