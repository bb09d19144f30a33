/* The loop frees deferred objects after the turn's callbacks, waits without events. */
#include "tests/unit/test.h"

#include <event2/event.h>

#include "common/loop.h"

static struct loop *l;
static int freed, freed_inside;

static void on_free(struct deferred *self)
{
	freed++;
	free(self);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct deferred *d = calloc(1, sizeof(*d));

	d->free = on_free;
	loop_defer_free(l, d);
	loop_defer_free(l, d);
	freed_inside = freed;
	loop_stop(l);
}

TEST(defer_free_runs_once_after_callback)
{
	struct timeval tv = { 0 };

	CHECK(loop_new(&l) == 0);
	CHECK(event_base_once(loop_base(l), -1, EV_TIMEOUT, on_turn, NULL, &tv) == 0);
	CHECK(loop_run(l) == 0);
	CHECK(freed_inside == 0);
	CHECK(freed == 1);
	l = loop_free(l);
	CHECK(l == NULL);
}
