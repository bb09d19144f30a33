/* Buckets fill in whole milliseconds, never beyond the burst, and are forgotten in
 * turn. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/ratelimit.h"

static struct net_ip ip_of(const char *text)
{
	struct net_ip ip = { 0 };

	CHECK(net_ip_parse(text, &ip) == 0);
	return ip;
}

static struct net_ip numbered(unsigned i)
{
	return (struct net_ip){ .family = 4,
		.bytes = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

TEST(options_are_checked)
{
	struct ratelimit *r = NULL;

	CHECK(ratelimit_new(&r, &(struct ratelimit_options){ .rate = 1 }) == -EINVAL);
	CHECK(ratelimit_new(
		  &r, &(struct ratelimit_options){ .rate = 1ULL << 41, .burst = 1 }) ==
	    -EINVAL);
	CHECK(ratelimit_new(&r,
		  &(struct ratelimit_options){
		      .rate = 1, .burst = 1, .v6_prefix = 129 }) == -EINVAL);
	CHECK(r == NULL);
}

TEST(burst_then_rate)
{
	struct net_ip ip = ip_of("192.0.2.1"), other = ip_of("192.0.2.2");
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;

	CHECK(ratelimit_new(&r, &(struct ratelimit_options){ .rate = 2, .burst = 3 }) ==
	    0);
	for (int i = 0; i < 3; i++)
		CHECK(ratelimit_take(r, &ip, 1, 1000));
	CHECK(!ratelimit_take(r, &ip, 1, 1000));
	CHECK(ratelimit_take(r, &other, 3, 1000));
	CHECK(ratelimit_wait_ms(r, &ip, 1, 1000) == 500);
	CHECK(ratelimit_wait_ms(r, &ip, 1, 1200) == 300);
	CHECK(!ratelimit_take(r, &ip, 1, 1499));
	CHECK(ratelimit_take(r, &ip, 1, 1500));
	CHECK(ratelimit_wait_ms(r, &ip, 4, 1500) == UINT64_MAX);
	CHECK(ratelimit_available(r, &ip, 1000000) == 3);
}

/* Asking every millisecond must not lose the fractions between. */
TEST(fractions_add_up)
{
	struct net_ip ip = ip_of("192.0.2.1");
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;
	int taken = 0;

	CHECK(ratelimit_new(&r, &(struct ratelimit_options){ .rate = 3, .burst = 1 }) ==
	    0);
	CHECK(ratelimit_take(r, &ip, 1, 0));
	for (uint64_t ms = 1; ms <= 100000; ms++)
		taken += ratelimit_take(r, &ip, 1, ms);
	/* A third of a second is 334 whole milliseconds. */
	CHECK(taken == 100000 / 334);
}

TEST(a_clock_that_steps_back_gives_nothing)
{
	struct net_ip ip = ip_of("192.0.2.1");
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;

	CHECK(ratelimit_new(&r, &(struct ratelimit_options){ .rate = 1, .burst = 1 }) ==
	    0);
	CHECK(ratelimit_take(r, &ip, 1, 5000));
	CHECK(!ratelimit_take(r, &ip, 1, 4000));
	CHECK(!ratelimit_take(r, &ip, 1, 5999));
	CHECK(ratelimit_take(r, &ip, 1, 6000));
}

TEST(bandwidth)
{
	struct net_ip ip = ip_of("192.0.2.1");
	uint64_t rate = 1ULL << 40;
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;

	CHECK(ratelimit_new(
		  &r, &(struct ratelimit_options){ .rate = rate, .burst = rate }) == 0);
	CHECK(ratelimit_take_upto(r, &ip, UINT64_MAX, 0) == rate);
	CHECK(ratelimit_take_upto(r, &ip, 1, 0) == 0);
	CHECK(ratelimit_take_upto(r, &ip, UINT64_MAX, 1) == rate / 1000);
	CHECK(ratelimit_take_upto(r, &ip, UINT64_MAX, UINT64_MAX) == rate);
}

TEST(a_rate_of_nothing_never_refills)
{
	struct net_ip ip = ip_of("192.0.2.1");
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;

	CHECK(ratelimit_new(&r, &(struct ratelimit_options){ .burst = 1 }) == 0);
	CHECK(ratelimit_take(r, &ip, 1, 0));
	CHECK(!ratelimit_take(r, &ip, 1, UINT64_MAX));
	CHECK(ratelimit_wait_ms(r, &ip, 1, 0) == UINT64_MAX);
	ratelimit_forget(r, &ip);
	CHECK(ratelimit_take(r, &ip, 1, 0));
}

TEST(ipv6_shares_by_prefix)
{
	struct net_ip a = ip_of("2001:db8::1"), b = ip_of("2001:db8::ffff:0:0:2");
	struct net_ip c = ip_of("2001:db8:0:1::1");
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;

	CHECK(ratelimit_new(&r, &(struct ratelimit_options){ .burst = 1 }) == 0);
	CHECK(ratelimit_take(r, &a, 1, 0));
	CHECK(!ratelimit_take(r, &b, 1, 0));
	CHECK(ratelimit_take(r, &c, 1, 0));
	CHECK(ratelimit_count(r) == 2);
}

TEST(the_quietest_is_forgotten)
{
	_cleanup_(ratelimit_freep) struct ratelimit *r = NULL;
	struct net_ip first = numbered(0), second = numbered(1), ip;

	CHECK(ratelimit_new(
		  &r, &(struct ratelimit_options){ .burst = 1, .max_keys = 100 }) == 0);
	for (unsigned i = 0; i < 100; i++) {
		ip = numbered(i);
		CHECK(ratelimit_take(r, &ip, 1, 0));
	}
	/* The first one is used again, so that the second is the quietest. */
	CHECK(!ratelimit_take(r, &first, 1, 0));
	ip = numbered(100);
	CHECK(ratelimit_take(r, &ip, 1, 0));
	CHECK(ratelimit_count(r) == 100);
	CHECK(ratelimit_available(r, &first, 0) == 0);
	CHECK(ratelimit_available(r, &second, 0) == 1);
	CHECK(ratelimit_count(r) == 100);
}
