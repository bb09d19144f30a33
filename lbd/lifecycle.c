/* The life of an install: see lifecycle.h. */
#include "lbd/lifecycle.h"

#include "common/str.h"

static const char *const names[] = { "waiting", "bootstrap", "handover", "complete" };

const char *lifecycle_name(enum lifecycle_state s)
{
	return names[s];
}

int lifecycle_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(names[i], name))
			return (int)i;
	return -1;
}

void lifecycle_restart(struct lifecycle *l, int64_t now)
{
	*l = (struct lifecycle){ .state = LIFECYCLE_WAITING, .since = now };
}

static enum lifecycle_event enter(
    struct lifecycle *l, enum lifecycle_state s, int64_t now)
{
	l->state = s;
	l->since = now;
	l->gone = 0;
	return LIFECYCLE_MOVED;
}

/* The masters must answer while the bootstrap does not: a network that is down for all
 * says nothing about the bootstrap. */
static enum lifecycle_event step_handover(struct lifecycle *l,
    const struct lifecycle_facts *f, int64_t now, int64_t retire_after)
{
	if (f->bootstrap_api || f->bootstrap_mcs || !f->master_api) {
		l->gone = 0;
		return LIFECYCLE_SAME;
	}
	/* A clock that was set back begins the wait anew. */
	if (!l->gone || l->gone > now)
		l->gone = now;
	return now - l->gone >= retire_after ? enter(l, LIFECYCLE_COMPLETE, now)
					     : LIFECYCLE_SAME;
}

enum lifecycle_event lifecycle_step(struct lifecycle *l,
    const struct lifecycle_facts *f, int64_t now, int64_t retire_after)
{
	bool bootstrap = f->bootstrap_api || f->bootstrap_mcs, was = l->returned;

	switch (l->state) {
	case LIFECYCLE_WAITING:
		if (f->master_api && f->master_mcs)
			return enter(l, LIFECYCLE_HANDOVER, now);
		return bootstrap ? enter(l, LIFECYCLE_BOOTSTRAP, now) : LIFECYCLE_SAME;
	case LIFECYCLE_BOOTSTRAP:
		return f->master_api && f->master_mcs
		    ? enter(l, LIFECYCLE_HANDOVER, now)
		    : LIFECYCLE_SAME;
	case LIFECYCLE_HANDOVER:
		return step_handover(l, f, now, retire_after);
	case LIFECYCLE_COMPLETE:
		l->returned = f->bootstrap_api;
		if (l->returned == was)
			return LIFECYCLE_SAME;
		return was ? LIFECYCLE_GONE_AGAIN : LIFECYCLE_RETURNED;
	}
	return LIFECYCLE_SAME;
}
