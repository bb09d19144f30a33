/* Timers: none too early, none lost, near ones on time. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "lbd/wheel.h"

enum { N = 3000 };

static struct wheel w;
static struct timer timers[N];
static uint64_t due[N];

TEST(every_timer_comes_once_and_on_time)
{
	uint64_t now = 123456789, end = now + 200000;
	unsigned fired = 0;

	srandom(7);
	wheel_init(&w, now);
	CHECK(wheel_wait(&w, now) == -1);
	for (size_t i = 0; i < N; i++) {
		due[i] = now + (uint64_t)random() % (i % 2 ? 100000 : 300);
		wheel_set(&w, &timers[i], due[i]);
	}
	while (now < end && w.n) {
		int wait = wheel_wait(&w, now);
		struct timer *t;

		CHECK(wait >= 0 && wait <= WHEEL_SLOTS * WHEEL_SLOT_MS);
		now += (uint64_t)wait;
		while ((t = wheel_expire(&w, now))) {
			uint64_t was = due[t - timers];

			CHECK(was && was <= now && now - was <= 2 * WHEEL_SLOT_MS);
			due[t - timers] = 0;
			fired++;
		}
	}
	CHECK(fired == N && wheel_wait(&w, now) == -1);
}

TEST(a_timer_set_anew_counts_from_then)
{
	uint64_t now = 5000;
	struct timer t = { .due = 0 };

	wheel_init(&w, now);
	wheel_set(&w, &t, now + 50);
	wheel_set(&w, &t, now + 5000);
	CHECK(w.n == 1 && !wheel_expire(&w, now + 100));
	CHECK(wheel_expire(&w, now + 5016) == &t && !t.due);
	wheel_clear(&w, &t);
	CHECK(w.n == 0);
}

TEST(a_long_pause_loses_nothing)
{
	uint64_t now = 1000;
	struct timer t = { .due = 0 };

	wheel_init(&w, now);
	wheel_set(&w, &t, now + 60000);
	CHECK(wheel_expire(&w, now + 1000000) == &t);
	wheel_set(&w, &t, now + 1000010);
	CHECK(!wheel_expire(&w, now + 1000000));
	CHECK(wheel_expire(&w, now + 1000050) == &t);
}
