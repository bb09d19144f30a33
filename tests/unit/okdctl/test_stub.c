/* The stub resolver: what is asked, and what replies are refused. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/fd.h"
#include "okdctl/stub.h"

static int read_reply(const char *name, enum stub_type type, struct stub_answer *a)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char path[96];
	uint8_t query[STUB_QUERY_MAX];
	int n = stub_query(query, 0x1234, "a.example.com", type);

	snprintf(path, sizeof(path), "tests/fuzz/corpus/stub/%s", name);
	if (n < 0 || file_read(path, 4096, &text) < 0)
		return -EIO;
	return stub_parse(
	    (const uint8_t *)text.s + 1, text.len - 1, query, (size_t)n, a);
}

static void expect(const char *name, enum stub_type type, const char *want)
{
	struct stub_answer a = { 0 };

	CHECK(read_reply(name, type, &a) == 0);
	CHECK(words_has(&a.records, want));
	stub_answer_deinit(&a);
}

TEST(answers)
{
	expect("a", STUB_A, "10.0.0.2");
	expect("cname", STUB_A, "10.0.0.1");
	expect("aaaa", STUB_AAAA, "fd00::1");
	expect("ptr", STUB_PTR, "master.example.com");
	expect("srv", STUB_SRV, "10 100 2380 etcd-0.example.com");
}

TEST(replies_to_others)
{
	struct stub_answer a = { 0 };

	CHECK(read_reply("a", STUB_AAAA, &a) == -EAGAIN);
	CHECK(a.records.n == 0);
}

TEST(every_cut_is_refused)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	uint8_t query[STUB_QUERY_MAX];
	int n = stub_query(query, 0x1234, "a.example.com", STUB_SRV);

	CHECK(file_read("tests/fuzz/corpus/stub/srv", 4096, &text) == 0);
	for (size_t len = 0; len + 12 < text.len; len++) {
		struct stub_answer a = { 0 };
		int r =
		    stub_parse((const uint8_t *)text.s + 1, len, query, (size_t)n, &a);

		CHECK(r < 0);
	}
}

TEST(names)
{
	uint8_t query[STUB_QUERY_MAX];
	char label[70];

	memset(label, 'a', 64);
	label[64] = '\0';
	CHECK(stub_query(query, 1, label, STUB_A) == -EINVAL);
	CHECK(stub_query(query, 1, "a..b", STUB_A) == -EINVAL);
	CHECK(stub_query(query, 1, "a.b.", STUB_A) == 12 + 5 + 4 + 11);
}

TEST(reverse_names)
{
	char buf[STUB_REVERSE_MAX];
	struct net_ip ip;

	CHECK(net_ip_parse("192.168.120.101", &ip) == 0);
	CHECK(strcmp(stub_reverse(&ip, buf), "101.120.168.192.in-addr.arpa") == 0);
	CHECK(net_ip_parse("fd00::1", &ip) == 0);
	CHECK(strcmp(stub_reverse(&ip, buf),
		  "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f."
		  "ip6.arpa") == 0);
}
