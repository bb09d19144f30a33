/* When the next check of a server is due. */
#include "tests/unit/test.h"

#include "lbd/check.h"

TEST(intervals_by_state)
{
	struct check_conf k = { .interval = 3000 };
	struct server_live l = { 0 };

	health_init(&l.health, 2, 2);
	health_force(&l.health, true);
	CHECK(check_delay(&k, &l) == 3000);
	k.fast_interval = 1000;
	k.down_interval = 5000;
	CHECK(check_delay(&k, &l) == 3000);
	(void)health_add(&l.health, false);
	CHECK(check_delay(&k, &l) == 1000);
	health_force(&l.health, false);
	CHECK(check_delay(&k, &l) == 5000);
}

TEST(a_server_that_has_retired_is_asked_seldom)
{
	const struct check_conf k = { .interval = 3000, .down_interval = 5000 };
	struct server_live l = { .admin = SERVER_RETIRED };

	health_init(&l.health, 2, 2);
	health_force(&l.health, false);
	CHECK(check_delay(&k, &l) == 50000);
	health_force(&l.health, true);
	CHECK(check_delay(&k, &l) == 30000);
	l.admin = SERVER_DRAIN;
	CHECK(check_delay(&k, &l) == 3000);
}

TEST(whole_seconds)
{
	/* A check that began at a whole second goes on so, be the timer early or late. */
	CHECK(check_ms_to_second(100002, 3000) == 2998);
	CHECK(check_ms_to_second(99996, 3000) == 3004);
	CHECK(check_ms_to_second(100900, 3000) == 2100);
	/* Never at once. */
	for (uint64_t now = 100000; now < 101000; now++) {
		uint64_t ms = check_ms_to_second(now, 2000);

		CHECK(ms > 1000 && ms <= 2000 + CHECK_SLACK_MS);
		CHECK((now + ms) % 1000 == 0);
	}
}
