/* The event loop: libevent without locks, signals, and deferred frees. */
#include "common/loop.h"

#include <errno.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"

struct sig {
	struct sig *next;
	struct event *ev;
	void (*cb)(void *arg);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct sig *signals;
	struct deferred *dead;
	uint64_t now_ms; /* 0: not read in this turn */
	bool stop;
};

static void loop_reap(struct loop *l)
{
	struct deferred *d;

	while ((d = l->dead)) {
		l->dead = d->next;
		d->pending = false;
		d->free(d);
	}
}

/* What libevent has to say goes where everything else does; it ends the process when a
 * base cannot be made, for want of descriptors. */
static void on_libevent_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_err("event loop: %s", text);
}

int loop_new(struct loop **ret)
{
	_cleanup_(loop_freep) struct loop *l = calloc(1, sizeof(*l));
	struct event_config *cfg;

	if (!l)
		return -ENOMEM;
	event_set_log_callback(on_libevent_log);
	cfg = event_config_new();
	if (!cfg)
		return -ENOMEM;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (!l->base)
		return -ENOMEM;

	*ret = TAKE(l);
	return 0;
}

struct loop *loop_free(struct loop *l)
{
	struct sig *s;

	if (!l)
		return NULL;
	loop_reap(l);
	while ((s = l->signals)) {
		l->signals = s->next;
		if (s->ev)
			event_free(s->ev);
		free(s);
	}
	if (l->base)
		event_base_free(l->base);
	free(l);
	return NULL;
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

uint64_t loop_now_ms(struct loop *l)
{
	if (!l->now_ms)
		l->now_ms = clock_boot_ms();
	return l->now_ms;
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct sig *s = arg;

	s->cb(s->arg);
}

int loop_on_signal(struct loop *l, int signo, void (*cb)(void *arg), void *arg)
{
	struct sig *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->cb = cb;
	s->arg = arg;
	s->next = l->signals;
	l->signals = s;
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	if (!s->ev || evsignal_add(s->ev, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void loop_defer_free(struct loop *l, struct deferred *d)
{
	if (d->pending)
		return;
	d->pending = true;
	d->next = l->dead;
	l->dead = d;
}

int loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop) {
		l->now_ms = 0;
		/* NO_EXIT_ON_EMPTY: without events it waits rather than spins. */
		if (event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) < 0)
			return -EIO;
		loop_reap(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
	/* A stop from outside a callback takes effect at once too. */
	event_base_loopbreak(l->base);
}
