/* Which servers have more than their share of the connections. */
#include "tests/unit/test.h"

#include "lbd/shed.h"

TEST(a_server_that_came_back_empty)
{
	CHECK(shed_excess(100, 1, 100, 2) == 50);
	CHECK(shed_excess(0, 1, 100, 2) == 0);
	/* By weight: a quarter and three quarters of 100. */
	CHECK(shed_excess(100, 1, 100, 4) == 75);
	CHECK(shed_excess(75, 3, 100, 4) == 0);
}

TEST(near_enough_is_left_alone)
{
	CHECK(shed_excess(55, 1, 100, 2) == 0);
	CHECK(shed_excess(56, 1, 100, 2) == 0);
	CHECK(shed_excess(57, 1, 100, 2) == 7);
	CHECK(shed_excess(1, 1, 1, 3) == 0);
	CHECK(shed_excess(2, 1, 2, 3) == 0);
	CHECK(shed_excess(0, 0, 0, 0) == 0);
}

TEST(it_comes_to_an_end)
{
	unsigned a = 1000, b = 0, n;

	while ((n = shed_excess(a, 1, a + b, 2))) {
		a -= n > 10 ? 10 : n;
		b += n > 10 ? 10 : n;
	}
	CHECK(a >= 500 && a <= 551);
	CHECK(shed_excess(b, 1, a + b, 2) == 0);
}
