/* Bounds by client address. */
#include "tests/unit/test.h"

#include "lbd/sources.h"

static struct net_ip address(const char *text)
{
	struct net_ip ip;

	CHECK(net_ip_parse(text, &ip) == 0);
	return ip;
}

struct seen {
	unsigned n, open, recent;
};

static bool count(void *arg, const struct source_count *c)
{
	struct seen *s = arg;

	s->n++;
	s->open += c->open;
	s->recent += c->recent;
	return true;
}

static struct seen look(const struct sources *s, uint64_t now)
{
	struct seen seen = { 0 };

	sources_each(s, now, count, &seen);
	return seen;
}

TEST(an_address_has_its_share_of_connections)
{
	_cleanup_(sources_freep) struct sources *s = NULL;
	struct net_ip one = address("192.0.2.1"), two = address("192.0.2.2");

	CHECK(sources_new(&s, 2, 0) == 0);
	CHECK(sources_enter(s, &one, 0) && sources_enter(s, &one, 0));
	CHECK(!sources_enter(s, &one, 0) && sources_enter(s, &two, 0));
	CHECK(look(s, 0).n == 2 && look(s, 0).open == 3 && look(s, 0).recent == 0);
	sources_leave(s, &one);
	CHECK(sources_enter(s, &one, 0));
	sources_leave(s, &two);
	CHECK(look(s, 0).n == 1 && look(s, 0).open == 2);
}

TEST(a_rate_lists_who_is_there_and_bounds_nothing_else)
{
	_cleanup_(sources_freep) struct sources *s = NULL;
	struct net_ip one = address("192.0.2.1");

	CHECK(sources_new(&s, 0, 3) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(sources_enter(s, &one, 1000));
	CHECK(!sources_enter(s, &one, 1000));
	CHECK(look(s, 1000).open == 3 && look(s, 1000).recent == 3);
	CHECK(look(s, 10000).recent == 0);
	for (int i = 0; i < 3; i++)
		sources_leave(s, &one);
	CHECK(look(s, 10000).n == 0);
}

TEST(one_host_has_one_prefix)
{
	_cleanup_(sources_freep) struct sources *s = NULL;
	struct net_ip one = address("2001:db8::1"), two = address("2001:db8::2");
	struct net_ip other = address("2001:db8:0:1::1");

	CHECK(sources_new(&s, 1, 0) == 0);
	CHECK(sources_enter(s, &one, 0) && !sources_enter(s, &two, 0));
	CHECK(sources_enter(s, &other, 0));
}
