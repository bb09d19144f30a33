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

#define DURATION(part)                                     \
	"coredns_proxy_request_duration_seconds_" part "{" \
	"proxy_name=\"forward\",to=\"a\",rcode=\""

TEST(upstreams_durations_go_by_their_rcode)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	static struct stats worker, sum;
	const char *to[] = { "b", "a" }, *text;

	stats_upstream_duration(&worker, 1, DNS_NOERROR, 200000);
	stats_upstream_duration(&worker, 1, DNS_NOERROR, 300000);
	stats_upstream_duration(&worker, 1, DNS_REFUSED, 1000000000);
	stats_upstream_duration(&worker, 1, DNS_FORMERR, 100000000000);
	stats_sum(&sum, &worker);
	stats_sum(&sum, &worker);
	stats_upstream_metrics(&sum, to, ARRAY_SIZE(to), &s);
	text = str_get(&s);
	CHECK(strstr(text, DURATION("bucket") "NOERROR\",le=\"0.00025\"} 2\n"));
	CHECK(strstr(text, DURATION("bucket") "NOERROR\",le=\"0.0005\"} 4\n"));
	CHECK(strstr(text, DURATION("sum") "NOERROR\"} 0.001\n"));
	CHECK(strstr(text, DURATION("count") "other\"} 4\n"));
	CHECK(strstr(text, DURATION("sum") "other\"} 202\n"));
	CHECK(!strstr(text, DURATION("count") "SERVFAIL"));
}

TEST(upstreams_of_one_address_share_their_series)
{
	static struct stats sum;
	const char *to[] = { "a", "b", "a", "c", "b" };

	for (unsigned i = 0; i < ARRAY_SIZE(to); i++) {
		counter_add(&sum.upstream_requests[i], 1u << i);
		counter_add(&sum.upstream_probe_failed[i], 1);
		stats_upstream_duration(&sum, i, DNS_NXDOMAIN, 1);
	}
	CHECK(stats_merge_upstreams(&sum, to, ARRAY_SIZE(to)) == 3);
	CHECK(str_eq(to[0], "a") && str_eq(to[1], "b") && str_eq(to[2], "c"));
	CHECK(sum.upstream_requests[0].value == 1 + 4);
	CHECK(sum.upstream_requests[1].value == 2 + 16);
	CHECK(sum.upstream_requests[2].value == 8);
	CHECK(sum.upstream_probe_failed[1].value == 2);
	CHECK(sum.upstream_duration[0][2].buckets[0].value == 2);
	CHECK(sum.upstream_duration[2][2].buckets[0].value == 1);
}
