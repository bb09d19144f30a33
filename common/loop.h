/*
 * An event loop: one per thread, never shared.  It is a libevent base without locks;
 * whoever handles events assigns them to loop_base() directly.
 *
 * An object that owns events is never freed inside its own callback: it stops its
 * events and calls loop_defer_free(), which frees it after the callbacks of this turn
 * have run and cannot fail, because the link is embedded in the object.
 */
#pragma once

#include <sys/time.h>

#include "common/base.h"

struct event_base;
struct loop;

struct deferred {
	struct deferred *next;
	void (*free)(struct deferred *self);
	bool pending; /* deferring twice is harmless */
};

int loop_new(struct loop **ret) _mustcheck_;
struct loop *loop_free(struct loop *l);
DEFINE_FREEP(loop)

struct event_base *loop_base(struct loop *l);
/* CLOCK_BOOTTIME in milliseconds, read once a turn. */
uint64_t loop_now_ms(struct loop *l);
/* Only on the main thread's loop: libevent can serve signals on one base alone. */
int loop_on_signal(
    struct loop *l, int signo, void (*cb)(void *arg), void *arg) _mustcheck_;
void loop_defer_free(struct loop *l, struct deferred *d);
/* Runs until loop_stop(): 0 or -errno. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

static inline struct timeval ms_to_tv(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}
