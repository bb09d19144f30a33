/* What the metrics say of what was counted. */
#include "tests/unit/test.h"

#include <string.h>

#include "dnsd/stats.h"

TEST(sums_of_sizes_do_not_overflow)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	static struct stats sum;

	/* Thirty gigabytes of queries: a day at five thousand a second. */
	sum.request_size[STATS_UDP].sum.value = 30000000000;
	stats_metrics(&sum, &s);
	CHECK(
	    strstr(str_get(&s),
		"\ncoredns_dns_request_size_bytes_sum{server=\"dns://:53\",zone=\".\","
		"view=\"\",proto=\"udp\"} 30000000000\n") != NULL);
}

static void answer(struct stats *s, uint8_t rcode)
{
	struct query q = { .type = DNS_A, .rcode = rcode };

	stats_reply(s, &q, STATS_UDP, false, 40);
}

#define RESPONSES(rcode)                              \
	"coredns_dns_responses_total{server=\"dns://" \
	":53\",zone=\".\",view=\"\",rcode=\"" rcode "\",plugin=\"\"} "

TEST(each_rcode_has_one_sample)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	static struct stats sum;
	const char *other;

	answer(&sum, DNS_BADVERS);
	answer(&sum, DNS_BADCOOKIE);
	answer(&sum, DNS_BADCOOKIE);
	for (uint8_t rcode = 6; rcode < 16; rcode++)
		answer(&sum, rcode);
	stats_metrics(&sum, &s);
	CHECK(strstr(str_get(&s), RESPONSES("BADVERS") "1\n") != NULL);
	CHECK(strstr(str_get(&s), RESPONSES("BADCOOKIE") "2\n") != NULL);
	CHECK(strstr(str_get(&s), RESPONSES("NOTAUTH") "1\n") != NULL);
	/* A series that is there twice spoils the whole scrape. */
	other = strstr(str_get(&s), RESPONSES("other") "5\n");
	CHECK(other != NULL && strstr(other + 1, RESPONSES("other")) == NULL);
	CHECK(str_eq(stats_rcode_name(9), "NOTAUTH") && !stats_rcode_name(11) &&
	    !stats_rcode_name(24) && !stats_rcode_name(255));
}
