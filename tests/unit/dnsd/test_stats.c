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
	CHECK(strstr(str_get(&s),
		  "\ncoredns_dns_request_size_bytes_sum{server=\"dns://:53\",zone=\".\","
		  "view=\"\",proto=\"udp\"} 30000000000\n") != NULL);
}
