/*
 * The life of an install as the balancer sees it.  Pure: facts go in, transitions come
 * out.
 *
 *   WAITING    nothing answers yet
 *   BOOTSTRAP  the bootstrap answers
 *   HANDOVER   a master's API and its machine config server answer: they get what is
 *              new, the bootstrap is there for when they do not
 *   COMPLETE   the bootstrap has been gone for a while: it gets nothing any more, even
 *              when it comes back
 */
#pragma once

#include "common/base.h"

enum lifecycle_state {
	LIFECYCLE_WAITING,
	LIFECYCLE_BOOTSTRAP,
	LIFECYCLE_HANDOVER,
	LIFECYCLE_COMPLETE,
};

struct lifecycle_facts {
	bool bootstrap_api, bootstrap_mcs; /* checks succeed */
	bool master_api, master_mcs;
};

struct lifecycle {
	enum lifecycle_state state;
	int64_t since; /* seconds since 1970 */
	int64_t gone;  /* since when the bootstrap does not answer; 0: it does */
	bool returned; /* it answers although the install is complete */
};

enum lifecycle_event {
	LIFECYCLE_SAME,
	LIFECYCLE_MOVED,      /* to another state */
	LIFECYCLE_RETURNED,   /* the bootstrap answers after COMPLETE */
	LIFECYCLE_GONE_AGAIN, /* and does not any more */
};

void lifecycle_restart(struct lifecycle *l, int64_t now);
enum lifecycle_event lifecycle_step(struct lifecycle *l,
    const struct lifecycle_facts *facts, int64_t now, int64_t retire_after);
/* "waiting", "bootstrap", "handover", "complete", and back; -1 for no state. */
const char *lifecycle_name(enum lifecycle_state s);
int lifecycle_from_name(const char *name);
