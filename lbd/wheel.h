/*
 * Many lazy timers of one thread: a wheel of slots of a few milliseconds.  Setting one
 * costs a list insertion, and one that is due later than the wheel reaches comes round
 * early and is put back.  Times are milliseconds of any clock that does not go back.
 */
#pragma once

#include "common/base.h"
#include "common/list.h"

enum { WHEEL_SLOTS = 1024, WHEEL_SLOT_MS = 16 };

struct timer {
	struct list_link link;
	uint64_t due; /* 0: not set */
};

struct wheel {
	struct list_link slots[WHEEL_SLOTS];
	uint64_t used[WHEEL_SLOTS / 64]; /* slots that may hold a timer */
	uint64_t now;                    /* in slots: all before it have been run */
	unsigned n;
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* Sets a timer, or sets it anew. */
void wheel_set(struct wheel *w, struct timer *t, uint64_t due_ms);
void wheel_clear(struct wheel *w, struct timer *t);
/* Before timers are set after a long sleep: an empty wheel need not turn. */
static inline void wheel_skip(struct wheel *w, uint64_t now_ms)
{
	if (!w->n)
		w->now = now_ms / WHEEL_SLOT_MS;
}
/* A timer that is due, now cleared, or NULL. */
struct timer *wheel_expire(struct wheel *w, uint64_t now_ms);
/* Milliseconds until something may be due; -1: nothing is set. */
int wheel_wait(const struct wheel *w, uint64_t now_ms);
