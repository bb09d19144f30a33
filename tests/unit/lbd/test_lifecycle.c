/* An install from its first sign to its end, and what must not end it. */
#include "tests/unit/test.h"

#include "lbd/lifecycle.h"

#define FACTS(a, b, c, d) (&(struct lifecycle_facts){ a, b, c, d })

TEST(an_install)
{
	struct lifecycle l;

	lifecycle_restart(&l, 1000);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 0, 0), 1001, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 1, 0, 0), 1002, 300) == LIFECYCLE_MOVED);
	CHECK(l.state == LIFECYCLE_BOOTSTRAP && l.since == 1002);
	CHECK(lifecycle_step(&l, FACTS(1, 1, 1, 0), 1003, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(1, 1, 1, 1), 1004, 300) == LIFECYCLE_MOVED);
	CHECK(l.state == LIFECYCLE_HANDOVER);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 1010, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 1309, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 1310, 300) == LIFECYCLE_MOVED);
	CHECK(l.state == LIFECYCLE_COMPLETE && l.since == 1310);
}

TEST(a_bootstrap_that_blinks_stays)
{
	struct lifecycle l;

	lifecycle_restart(&l, 1);
	(void)lifecycle_step(&l, FACTS(1, 1, 1, 1), 2, 300);
	CHECK(l.state == LIFECYCLE_HANDOVER);
	(void)lifecycle_step(&l, FACTS(0, 0, 1, 1), 10, 300);
	(void)lifecycle_step(&l, FACTS(0, 1, 1, 1), 200, 300);
	(void)lifecycle_step(&l, FACTS(0, 0, 1, 1), 201, 300);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 400, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 501, 300) == LIFECYCLE_MOVED);
}

TEST(a_dead_network_does_not_complete)
{
	struct lifecycle l;

	lifecycle_restart(&l, 1);
	(void)lifecycle_step(&l, FACTS(1, 1, 1, 1), 2, 300);
	for (int64_t t = 3; t < 5000; t += 100)
		CHECK(lifecycle_step(&l, FACTS(0, 0, 0, 0), t, 300) == LIFECYCLE_SAME);
	CHECK(l.state == LIFECYCLE_HANDOVER);
}

TEST(a_bootstrap_that_comes_back_is_told_once)
{
	struct lifecycle l;

	lifecycle_restart(&l, 1);
	(void)lifecycle_step(&l, FACTS(0, 0, 1, 1), 2, 0);
	(void)lifecycle_step(&l, FACTS(0, 0, 1, 1), 3, 0);
	CHECK(l.state == LIFECYCLE_COMPLETE);
	CHECK(lifecycle_step(&l, FACTS(1, 1, 1, 1), 4, 0) == LIFECYCLE_RETURNED);
	CHECK(lifecycle_step(&l, FACTS(1, 1, 1, 1), 5, 0) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 6, 0) == LIFECYCLE_GONE_AGAIN);
	CHECK(l.state == LIFECYCLE_COMPLETE);
}

TEST(a_clock_set_back_waits_anew)
{
	struct lifecycle l;

	lifecycle_restart(&l, 1);
	(void)lifecycle_step(&l, FACTS(1, 1, 1, 1), 1000000, 300);
	(void)lifecycle_step(&l, FACTS(0, 0, 1, 1), 1000000, 300);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 500, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 799, 300) == LIFECYCLE_SAME);
	CHECK(lifecycle_step(&l, FACTS(0, 0, 1, 1), 800, 300) == LIFECYCLE_MOVED);
}

TEST(names)
{
	for (int s = LIFECYCLE_WAITING; s <= LIFECYCLE_COMPLETE; s++)
		CHECK(
		    lifecycle_from_name(lifecycle_name((enum lifecycle_state)s)) == s);
	CHECK(lifecycle_from_name("gone") == -1);
}
