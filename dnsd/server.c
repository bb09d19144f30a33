/* A worker's listeners: see server.h, and udp.c and tcp.c for the work. */
#include "dnsd/server.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "dnsd/tcp.h"
#include "dnsd/udp.h"
#include "dnsd/wild.h"

/* A socket that is readable so often without a message has been shut down. */
#define EMPTY_MAX 100
#define EMPTY_PAUSE_MS 1000

struct udp_socket {
	struct event ev, resume;
	struct server *server;
	unsigned empty; /* turns without a message since the last */
	bool wildcard, warned;
};

struct server {
	struct loop *loop;
	struct server_env env;
	struct stats *stats;
	struct udp_batch *batch;
	struct udp_socket *udp;
	unsigned n_udp;
	struct tcp *tcp;
	struct forward *forward;
	void (*drained)(void *arg);
	void *drained_arg;
};

/* Looking again once in a while costs nothing; spinning would cost a processor. */
static void udp_pause(struct udp_socket *u)
{
	struct timeval tv = ms_to_tv(EMPTY_PAUSE_MS);

	if (!u->warned)
		log_err("a UDP socket brings no messages any more; "
			"a reload opens another in its place");
	u->warned = true;
	event_del(&u->ev);
	event_add(&u->resume, &tv);
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct udp_socket *u = arg;

	if (_likely_(udp_serve(u->server->batch, fd, u->wildcard, &u->server->env)))
		u->empty = 0;
	else if (++u->empty >= EMPTY_MAX)
		udp_pause(u);
}

static void on_udp_resume(evutil_socket_t fd, short what, void *arg)
{
	struct udp_socket *u = arg;

	u->empty = 0;
	event_add(&u->ev, NULL);
}

int server_new(struct server **ret, struct loop *l, struct tcp_limit *limit,
    struct reqlog_ring *log, const struct cookie_key *key)
{
	_cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	/* On lines of its own: the main thread reads what this worker writes. */
	s->stats = aligned_alloc(64, (sizeof(*s->stats) + 63) & ~(size_t)63);
	if (!s->stats)
		return -ENOMEM;
	*s->stats = (struct stats){ 0 };
	s->env.stats = s->stats;
	s->env.log = log;
	s->env.key = key;
	r = udp_batch_new(&s->batch);
	if (r == 0)
		r = rrl_new(&s->env.rrl);
	if (r == 0)
		r = forward_new(&s->forward, l, s->stats);
	s->env.forward = s->forward;
	if (r == 0)
		r = tcp_new(&s->tcp, l, limit, &s->env);
	if (r < 0)
		return r;

	*ret = TAKE(s);
	return 0;
}

static void unlisten(struct server *s)
{
	for (unsigned i = 0; i < s->n_udp; i++) {
		event_del(&s->udp[i].ev);
		event_del(&s->udp[i].resume);
	}
	free(s->udp);
	s->udp = NULL;
	s->n_udp = 0;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	unlisten(s);
	s->tcp = tcp_free(s->tcp);
	s->forward = forward_free(s->forward);
	s->env.wild = wild_free(s->env.wild);
	s->batch = udp_batch_free(s->batch);
	s->env.rrl = rrl_free(s->env.rrl);
	free(s->stats);
	free(s);
	return NULL;
}

/* Whoever asked by a socket that is about to go gets no reply. */
static bool has_no_socket(struct forward_waiter *w, void *arg)
{
	const struct server_sockets *sockets = arg;
	int fd = udp_waiter_fd(w);

	for (unsigned i = 0; i < sockets->n_udp; i++)
		if (sockets->udp[i] == fd)
			return false;
	return fd >= 0;
}

int server_listen(struct server *s, const struct server_sockets *sockets)
{
	struct udp_socket *us = calloc(sockets->n_udp + 1, sizeof(*us));

	if (!us)
		return -ENOMEM;
	unlisten(s);
	forward_sift(s->forward, has_no_socket, (void *)sockets);
	if (s->env.wild)
		wild_sift(s->env.wild, has_no_socket, (void *)sockets);
	s->udp = us;
	for (unsigned i = 0; i < sockets->n_udp; i++) {
		us[i].server = s;
		us[i].wildcard = udp_prepare(sockets->udp[i]);
		event_assign(&us[i].ev, loop_base(s->loop), sockets->udp[i],
		    EV_READ | EV_PERSIST, on_udp, &us[i]);
		evtimer_assign(
		    &us[i].resume, loop_base(s->loop), on_udp_resume, &us[i]);
		if (event_add(&us[i].ev, NULL) < 0)
			return -ENOMEM;
		s->n_udp++;
	}
	return tcp_listen(s->tcp, sockets->tcp, sockets->n_tcp);
}

void server_configure(struct server *s, const struct server_settings *settings)
{
	const struct server_settings *before = s->env.settings;

	if (before && !templates_same_numbers(before->templates, settings->templates))
		stats_forget_templates(s->stats);
	s->env.settings = settings;
	s->env.cookies = settings->cookies ? s->env.key : NULL;
	forward_configure(s->forward, &settings->forward);
	s->env.recursion = forward_active(s->forward);
}

void server_set_zone(struct server *s, const struct zone *zone)
{
	s->env.zone = zone;
}

int server_set_wild(
    struct server *s, void (*ask)(struct wild_question *q, void *arg), void *arg)
{
	return wild_new(&s->env.wild, &s->env, ask, arg);
}

static void on_tcp_drained(void *arg)
{
	struct server *s = arg;

	forward_drain(s->forward, s->drained, s->drained_arg);
}

void server_drain(struct server *s, void (*done)(void *arg), void *arg)
{
	unlisten(s);
	s->drained = done;
	s->drained_arg = arg;
	tcp_drain(s->tcp, on_tcp_drained, s);
}

const struct stats *server_stats(const struct server *s)
{
	return s->stats;
}
