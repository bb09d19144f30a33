/* Which server is picked: HAProxy's own vectors, and what happens without servers. */
#include "tests/unit/test.h"

#include <stdarg.h>
#include <string.h>

#include "lbd/balance.h"

/* A balance over servers of these weights, all of them up; ends with -1. */
static struct balance *make(enum balance_algorithm a, enum balance_hash h, ...)
{
	struct balance *b = NULL;
	int w[16], n = 0;
	va_list ap;

	va_start(ap, h);
	while (n < 16 && (w[n] = va_arg(ap, int)) >= 0)
		n++;
	va_end(ap);
	CHECK(balance_new(&b, a, h, false, (size_t)n) == 0);
	for (int i = 0; i < n; i++)
		*balance_server(b, (size_t)i) = (struct balance_server){ .usable = true,
			.weight = (unsigned)w[i],
			.eweight = (unsigned)w[i] * BALANCE_SCALE };
	CHECK(balance_update(b) == 0);
	return b;
}

/* The next picks as digits. */
static const char *picks(struct balance *b, size_t n)
{
	static char text[128];

	for (size_t i = 0; i < n; i++) {
		int s = balance_pick(b, (uint32_t)i, NULL, 0);

		text[i] = s < 0 ? '-' : (char)('0' + s);
	}
	text[n] = '\0';
	return text;
}

#define EXPECT(algorithm, hash, text, ...)                                   \
	do {                                                                 \
		struct balance *b_ = make(algorithm, hash, __VA_ARGS__, -1); \
		const char *got_ = picks(b_, strlen(text));                  \
		CHECK(strcmp(got_, text) == 0);                              \
		if (strcmp(got_, text) != 0)                                 \
			printf("# %s, not %s\n", got_, text);                \
		balance_free(b_);                                            \
	} while (0)

TEST(the_map_has_haproxys_order)
{
	EXPECT(BALANCE_SOURCE, BALANCE_MAP, "0101", 1, 1);
	EXPECT(BALANCE_SOURCE, BALANCE_MAP, "01110111", 1, 3);
	EXPECT(BALANCE_SOURCE, BALANCE_MAP, "0212021212", 2, 3, 5);
	EXPECT(BALANCE_SOURCE, BALANCE_MAP, "0132312323", 10, 20, 30, 40);
	EXPECT(BALANCE_SOURCE, BALANCE_MAP, "012012", 1, 1, 1);
	EXPECT(BALANCE_STATIC_RR, BALANCE_MAP, "01110111", 1, 3);
}

TEST(turns_come_in_haproxys_order)
{
	EXPECT(BALANCE_ROUNDROBIN, BALANCE_MAP, "010101", 1, 1);
	EXPECT(BALANCE_ROUNDROBIN, BALANCE_MAP, "11101110", 1, 3);
	EXPECT(BALANCE_ROUNDROBIN, BALANCE_MAP, "2120212120", 2, 3, 5);
	EXPECT(BALANCE_ROUNDROBIN, BALANCE_MAP, "0123012301230", 1, 1, 1, 1);
}

TEST(turns_keep_their_shares_for_long)
{
	struct balance *b = make(BALANCE_ROUNDROBIN, BALANCE_MAP, 2, 3, 5, -1);
	unsigned count[3] = { 0 };

	for (unsigned i = 0; i < 100000; i++)
		count[balance_pick(b, 0, NULL, 0)]++;
	CHECK(count[0] == 20000 && count[1] == 30000 && count[2] == 50000);
	balance_free(b);
}

TEST(the_guides_two_servers_go_by_the_last_bit)
{
	struct balance *b = make(BALANCE_SOURCE, BALANCE_MAP, 1, 1, -1);
	struct net_ip even, odd;

	CHECK(net_ip_parse("192.168.120.104", &even) == 0);
	CHECK(net_ip_parse("192.168.120.103", &odd) == 0);
	CHECK(balance_pick(b, balance_hash_ip(&even), NULL, 0) == 0);
	CHECK(balance_pick(b, balance_hash_ip(&odd), NULL, 0) == 1);
	balance_free(b);
}

TEST(six_words_of_an_ipv6_address_count)
{
	struct net_ip ip;

	CHECK(net_ip_parse("1:2:3:4:5:6:7:8", &ip) == 0);
	CHECK(balance_hash_ip(&ip) == (0x10002u ^ 0x30004u ^ 0x50006u ^ 0x70008u));
}

TEST(a_failed_server_is_not_picked_again)
{
	static const enum balance_algorithm all[] = { BALANCE_SOURCE,
		BALANCE_ROUNDROBIN, BALANCE_STATIC_RR, BALANCE_LEASTCONN, BALANCE_FIRST,
		BALANCE_RANDOM };

	for (size_t a = 0; a < ARRAY_SIZE(all); a++) {
		for (int h = BALANCE_MAP; h <= BALANCE_CONSISTENT; h++) {
			struct balance *b =
			    make(all[a], (enum balance_hash)h, 1, 1, 2, -1);

			for (uint32_t hash = 0; hash < 50; hash++) {
				uint16_t avoid[3];
				unsigned seen = 0;

				for (size_t n = 0; n < 3; n++) {
					int s = balance_pick(b, hash, avoid, n);

					CHECK(s >= 0 && !(seen & (1u << s)));
					seen |= 1u << (s & 7);
					avoid[n] = (uint16_t)s;
				}
				CHECK(balance_pick(b, hash, avoid, 3) == -1);
			}
			balance_free(b);
		}
	}
}

TEST(a_backup_serves_when_no_active_server_can)
{
	struct balance *b = make(BALANCE_SOURCE, BALANCE_MAP, 1, 1, 1, -1);

	balance_server(b, 1)->backup = balance_server(b, 2)->backup = true;
	CHECK(balance_update(b) == 0 && balance_n_usable(b) == 1);
	CHECK(strcmp(picks(b, 4), "0000") == 0);
	balance_server(b, 0)->usable = false;
	CHECK(balance_update(b) == 0);
	CHECK(strcmp(picks(b, 4), "1111") == 0);
	balance_server(b, 1)->usable = balance_server(b, 2)->usable = false;
	CHECK(balance_update(b) == 0 && balance_n_usable(b) == 0);
	CHECK(balance_pick(b, 0, NULL, 0) == -1);
	balance_free(b);
}

TEST(a_backup_takes_over_from_those_that_have_failed)
{
	struct balance *b = make(BALANCE_ROUNDROBIN, BALANCE_MAP, 1, 1, 1, 1, -1);
	static const uint16_t failed[] = { 0, 2 };

	CHECK(balance_pick_backup(b, failed, 2) == -1);
	for (size_t i = 1; i < 4; i++)
		balance_server(b, i)->backup = true;
	CHECK(balance_update(b) == 0 && balance_n_usable(b) == 1);
	CHECK(balance_pick(b, 0, failed, 1) == -1);
	CHECK(balance_pick_backup(b, failed, 1) == 1);
	balance_server(b, 1)->usable = false;
	CHECK(balance_pick_backup(b, failed, 1) == 2);
	CHECK(balance_pick_backup(b, failed, 2) == 3);
	balance_server(b, 3)->full = true;
	CHECK(balance_pick_backup(b, failed, 2) == -1);
	balance_free(b);
}

TEST(one_server_down_moves_only_its_own_keys_on_the_ring)
{
	struct balance *b = make(BALANCE_SOURCE, BALANCE_CONSISTENT, 1, 1, 1, -1);
	int before[500];

	for (uint32_t i = 0; i < 500; i++)
		before[i] = balance_pick(b, i * 7919, NULL, 0);
	balance_server(b, 1)->usable = false;
	CHECK(balance_update(b) == 0);
	for (uint32_t i = 0; i < 500; i++) {
		int s = balance_pick(b, i * 7919, NULL, 0);

		CHECK(s != 1 && (before[i] == 1 || s == before[i]));
	}
	balance_free(b);
}

TEST(least_connections_and_first)
{
	struct balance *b = make(BALANCE_LEASTCONN, BALANCE_MAP, 1, 2, -1);

	balance_server(b, 0)->load = 2;
	balance_server(b, 1)->load = 3;
	CHECK(balance_pick(b, 0, NULL, 0) == 1);
	balance_server(b, 1)->load = 5;
	CHECK(balance_pick(b, 0, NULL, 0) == 0);
	balance_server(b, 0)->full = true;
	CHECK(balance_pick(b, 0, NULL, 0) == 1);
	balance_free(b);
	b = make(BALANCE_FIRST, BALANCE_MAP, 1, 1, -1);
	CHECK(balance_pick(b, 0, NULL, 0) == 0);
	balance_server(b, 0)->full = true;
	CHECK(balance_pick(b, 0, NULL, 0) == 1);
	balance_server(b, 1)->full = true;
	CHECK(balance_pick(b, 0, NULL, 0) == 0);
	balance_free(b);
}
