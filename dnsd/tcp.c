/*
 * TCP connections of one worker.
 *
 * A connection is either reading or, while a reply waits for a slow client, writing, and
 * then nothing is read: so it owns at most one unfinished query and the replies to what
 * one read brought.  Reading goes into a buffer that all connections of the worker share;
 * only what is left of an unfinished query is kept with the connection.
 *
 * Its clock counts from the last whole query or the last whole flush, so that a client
 * that sends or takes a byte at a time does not hold it for longer than tcp_idle.
 * Connections stand in a list by that clock, the most idle first.
 */
#include "dnsd/tcp.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "dnsd/qlog.h"
#include "dnsd/wild.h"

#define FRAME_MAX (2 + DNS_MESSAGE_MAX)
#define IN_SIZE (2 * FRAME_MAX)
#define OUT_SIZE (2 * FRAME_MAX)
#define ACCEPT_BATCH 16
#define TICK_MS 250
#define DRAIN_IDLE_MS 1000
#define WAITING_MAX 100 /* queries of one connection that wait for upstreams */
#define NO_FDS_PAUSE_MS 1000

struct listener {
	struct event ev;
	struct tcp *tcp;
};

struct tcp {
	struct loop *loop;
	struct tcp_limit *limit;
	const struct server_env *env;
	struct listener *listeners;
	unsigned n_listeners;
	struct list_link conns; /* by last activity */
	struct event tick;      /* runs while there are connections */
	struct event resume;    /* accepts again after descriptors had run out */
	void (*drained)(void *arg);
	void *drained_arg;
	bool draining;
	uint8_t *in, *out;
};

struct conn {
	struct deferred dead;
	struct list_link link;
	struct tcp *tcp;
	struct event ev;
	struct net_ip ip;
	union net_sockaddr peer;
	uint64_t active_ms;
	unsigned queries;
	bool last; /* close once everything is written */
	int fd;
	struct list_link waiting; /* for upstreams: struct tcp_waiter */
	unsigned n_waiting;
	uint8_t *rest, *pending; /* of an unfinished query; of replies not yet sent */
	size_t n_rest, n_pending, sent;
};

/* A query of a connection that an upstream is asked for. */
struct tcp_waiter {
	struct forward_waiter waiter;
	struct list_link link;
	struct conn *conn;
	size_t request_len;
	uint64_t arrived_ns;
};

static void on_conn(evutil_socket_t fd, short what, void *arg);

static void waiter_free(struct tcp_waiter *w)
{
	list_remove(&w->link);
	w->conn->n_waiting--;
	free(w->waiter.head);
	free(w);
}

static void conn_destroy(struct deferred *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, dead);

	free(c->rest);
	free(c->pending);
	free(c);
}

static void conn_close(struct conn *c, const char *why)
{
	struct tcp *t = c->tcp;

	if (c->dead.pending)
		return;
	log_debug("TCP client %s closed: %s", net_ip_str(&c->ip), why);
	while (!list_empty(&c->waiting)) {
		struct tcp_waiter *w =
		    CONTAINER_OF(c->waiting.next, struct tcp_waiter, link);

		forward_forget(&w->waiter);
		waiter_free(w);
	}
	event_del(&c->ev);
	c->fd = fd_close(c->fd);
	list_remove(&c->link);
	tcp_limit_leave(t->limit, &c->ip);
	counter_add(&t->env->stats->tcp_open, (uint64_t)-1);
	loop_defer_free(t->loop, &c->dead);
}

/* The clock starts again: behind all others in the list. */
static void conn_active(struct conn *c)
{
	c->active_ms = loop_now_ms(c->tcp->loop);
	list_remove(&c->link);
	list_append(&c->tcp->conns, &c->link);
}

static int conn_watch(struct conn *c, short what)
{
	event_del(&c->ev);
	event_assign(
	    &c->ev, loop_base(c->tcp->loop), c->fd, what | EV_PERSIST, on_conn, c);
	return event_add(&c->ev, NULL);
}

/* Sends n bytes of replies; what the client does not take yet is kept.  False when the
 * connection is closed. */
static bool conn_send(struct conn *c, const uint8_t *p, size_t n)
{
	ssize_t sent = n ? send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(c, "cannot be written to");
		return false;
	}
	sent = MAX(sent, 0);
	if ((size_t)sent == n)
		return true;
	c->pending = malloc(n - (size_t)sent);
	if (!c->pending || conn_watch(c, EV_WRITE) < 0) {
		conn_close(c, "out of memory");
		return false;
	}
	c->n_pending = n - (size_t)sent;
	c->sent = 0;
	memcpy(c->pending, p + sent, c->n_pending);
	return true;
}

static bool conn_push(struct conn *c, const uint8_t *p, size_t n)
{
	uint8_t *more;

	if (!c->pending)
		return conn_send(c, p, n);
	more = realloc(c->pending, c->n_pending + n);
	if (!more) {
		conn_close(c, "out of memory");
		return false;
	}
	memcpy(more + c->n_pending, p, n);
	c->pending = more;
	c->n_pending += n;
	return true;
}

static void conn_count(struct conn *c, const struct query *q, size_t n, uint64_t ns)
{
	const struct server_env *env = c->tcp->env;

	stats_reply(env->stats, q, STATS_TCP, c->ip.family == 6, n);
	stats_duration(env->stats, ns, 1);
	if (_unlikely_(env->settings->log))
		qlog_reply(env, q, STATS_TCP, &c->peer.sa, n, ns);
}

/* An upstream's answer, or none (n 0). */
static void on_reply(struct forward_waiter *fw, const uint8_t *msg, size_t n)
{
	struct tcp_waiter *w = CONTAINER_OF(fw, struct tcp_waiter, waiter);
	struct conn *c = w->conn;
	uint8_t *out = c->tcp->out;

	if (n)
		conn_count(c, &fw->q, w->request_len, clock_boot_ns() - w->arrived_ns);
	waiter_free(w);
	put16(out, (unsigned)n);
	memcpy(out + 2, msg ? msg : out, n);
	conn_active(c);
	if ((!n || conn_push(c, out, 2 + n)) && c->last && !c->pending && !c->n_waiting)
		conn_close(c, "no further query is taken");
}

/* False when it has to be answered at once: there is no memory, or the client waits for
 * too much already. */
static bool conn_wait(struct conn *c, const struct query *q, const uint8_t *start,
    size_t request_len, uint64_t arrived_ns, bool wildcard)
{
	const struct server_env *env = c->tcp->env;
	struct tcp_waiter *w =
	    c->n_waiting < WAITING_MAX ? calloc(1, sizeof(*w)) : NULL;
	int r;

	if (!w)
		return false;
	w->conn = c;
	w->request_len = request_len;
	w->arrived_ns = arrived_ns;
	w->waiter.reply = on_reply;
	r = wildcard ? wild_wait(env->wild, &w->waiter, q, true, start)
		     : forward_wait(env->forward, &w->waiter, q, true, start);
	if (r < 0) {
		free(w);
		return false;
	}
	list_append(&c->waiting, &w->link);
	c->n_waiting++;
	return true;
}

/* Asked for each query: a reload may have changed it. */
static bool conn_allowed(const struct conn *c)
{
	return acl_allows(&c->tcp->env->settings->acl, &c->peer.sa);
}

/* Answers one message; returns what the reply takes in out with its length prefix. */
static size_t conn_answer(struct conn *c, const uint8_t *in, size_t n, uint8_t *out)
{
	const struct server_env *env = c->tcp->env;
	struct query_env qe = { .zone = env->zone,
		.templates = env->settings->templates,
		.stats = env->stats,
		.peer = &c->peer.sa,
		.cookies = env->cookies,
		.tcp = true,
		.refuse = !conn_allowed(c),
		.recursion = env->recursion,
		.wildcards = env->wild != NULL,
		.rotate = env->settings->rotate };
	uint64_t begin_ns = clock_boot_ns();
	enum query_outcome o;
	struct query q;

	o = query_answer(&qe, &q, in, n, out + 2, DNS_MESSAGE_MAX);
	if (o == QUERY_SILENT) {
		counter_add(&env->stats->silent, 1);
		return 0;
	}
	if (o == QUERY_WILDCARD ||
	    (o == QUERY_FORWARD &&
		forward_try(env->forward, &qe, &q, in, out + 2, DNS_MESSAGE_MAX) ==
		    FORWARD_WAIT)) {
		if (conn_wait(c, &q, query_begun(&q, in, out + 2), n, begin_ns,
			o == QUERY_WILDCARD))
			return 0;
		query_give_up(&qe, &q, in, out + 2, DNS_MESSAGE_MAX);
	}
	if (qe.refuse)
		counter_add(&env->stats->not_allowed, 1);
	conn_count(c, &q, n, clock_boot_ns() - begin_ns);
	put16(out, (unsigned)q.reply_len);
	return 2 + q.reply_len;
}

/* Answers the whole messages among n bytes, as long as the replies' buffer has room for
 * one more; returns how many bytes of them are done with, and through n_out the length of
 * the replies. */
static size_t conn_answer_all(
    struct conn *c, const uint8_t *in, size_t n, size_t *n_out)
{
	const struct server_settings *s = c->tcp->env->settings;
	size_t pos = 0, out = 0;

	while (n - pos >= 2 && !c->last && out + FRAME_MAX <= OUT_SIZE) {
		size_t len = get16(in + pos);

		if (n - pos - 2 < len)
			break;
		out += conn_answer(c, in + pos + 2, len, c->tcp->out + out);
		pos += 2 + len;
		/* What is shorter than a header is no DNS; who may not ask gets to know
		 * that once. */
		c->last = ++c->queries >= s->tcp_queries || len < DNS_HEADER ||
		    !conn_allowed(c);
	}
	*n_out = out;
	return pos;
}

static bool conn_keep(struct conn *c, const uint8_t *p, size_t n)
{
	uint8_t *rest = NULL;

	if (n) {
		rest = malloc(n);
		if (!rest) {
			conn_close(c, "out of memory");
			return false;
		}
		memcpy(rest, p, n);
	}
	free(c->rest);
	c->rest = rest;
	c->n_rest = n;
	return true;
}

/* Serves n bytes at the start of the shared buffer.  False when the connection is closed
 * or does not take more for the moment. */
static bool conn_serve(struct conn *c, size_t n)
{
	uint8_t *in = c->tcp->in;
	size_t done, n_out;

	while ((done = conn_answer_all(c, in, n, &n_out)) > 0) {
		in += done;
		n -= done;
		conn_active(c);
		if (!conn_send(c, c->tcp->out, n_out))
			return false;
		if (c->pending)
			break;
		if (c->last && !c->n_waiting) {
			conn_close(c, "no further query is taken");
			return false;
		}
		if (c->last) {
			event_del(&c->ev);
			return false;
		}
	}
	return conn_keep(c, in, n) && !c->pending;
}

static void conn_read(struct conn *c)
{
	uint8_t *in = c->tcp->in;
	ssize_t n;

	memcpy(in, c->rest ? c->rest : (const uint8_t *)"", c->n_rest);
	n = recv(c->fd, in + c->n_rest, IN_SIZE - c->n_rest, MSG_DONTWAIT);
	if (n > 0)
		conn_serve(c, c->n_rest + (size_t)n);
	else if (n == 0 && c->n_waiting) {
		/* It has said all and still takes replies. */
		c->last = true;
		event_del(&c->ev);
	} else if (n == 0)
		conn_close(c, "by the client");
	else if (errno != EAGAIN && errno != EINTR)
		conn_close(c, "cannot be read from");
}

static void conn_write(struct conn *c)
{
	ssize_t n = send(c->fd, c->pending + c->sent, c->n_pending - c->sent,
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(c, "cannot be written to");
		return;
	}
	c->sent += (size_t)n;
	if (c->sent < c->n_pending)
		return;
	free(c->pending);
	c->pending = NULL;
	conn_active(c);
	if (c->last && !c->n_waiting) {
		conn_close(c, "no further query is taken");
		return;
	}
	if (c->last) {
		event_del(&c->ev);
		return;
	}
	if (conn_watch(c, EV_READ) < 0) {
		conn_close(c, "out of memory");
		return;
	}
	/* Queries that came whole while the client was slow. */
	memcpy(c->tcp->in, c->rest ? c->rest : (const uint8_t *)"", c->n_rest);
	conn_serve(c, c->n_rest);
}

static void on_conn(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	if (c->dead.pending)
		return;
	if (c->pending)
		conn_write(c);
	else
		conn_read(c);
}

/* Closes who was idle for too long, and reports the end of a drain. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = arg;
	uint64_t now = loop_now_ms(t->loop);
	uint64_t idle = t->env->settings->tcp_idle;
	struct timeval tv = ms_to_tv(TICK_MS);

	if (t->draining)
		idle = MIN(idle, (uint64_t)DRAIN_IDLE_MS);
	list_for_each_safe (l, &t->conns) {
		struct conn *c = CONTAINER_OF(l, struct conn, link);

		if (now - c->active_ms < idle)
			break;
		if (c->n_waiting)
			continue;
		counter_add(&t->env->stats->tcp_timed_out, 1);
		conn_close(c, "idle");
	}
	if (!list_empty(&t->conns))
		event_add(&t->tick, &tv);
	else if (t->draining && t->drained)
		TAKE(t->drained)(t->drained_arg);
}

static int conn_new(struct tcp *t, int fd, const struct sockaddr *sa)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct timeval tv = ms_to_tv(TICK_MS);
	static const int on = 1;

	if (!c)
		return -ENOMEM;
	c->tcp = t;
	c->fd = fd;
	c->ip = net_ip_from_sa(sa, NULL);
	memcpy(&c->peer, sa,
	    sa->sa_family == AF_INET ? sizeof(c->peer.in) : sizeof(c->peer.in6));
	c->active_ms = loop_now_ms(t->loop);
	c->dead.free = conn_destroy;
	list_init(&c->waiting);
	event_assign(&c->ev, loop_base(t->loop), fd, EV_READ | EV_PERSIST, on_conn, c);
	if (event_add(&c->ev, NULL) < 0) {
		free(c);
		return -ENOMEM;
	}
	/* Replies are whole when they are sent; none waits for the next. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	list_append(&t->conns, &c->link);
	counter_add(&t->env->stats->tcp_open, 1);
	counter_add(&t->env->stats->tcp_accepted, 1);
	if (!event_pending(&t->tick, EV_TIMEOUT, NULL))
		event_add(&t->tick, &tv);
	return 0;
}

/* When all places are taken, the client of this worker that has asked nothing for the
 * longest time makes room (RFC 7766, 6.2.3). */
static bool make_room(struct tcp *t)
{
	struct conn *c;

	if (list_empty(&t->conns))
		return false;
	c = CONTAINER_OF(t->conns.next, struct conn, link);
	conn_close(c, "makes room for another client");
	return true;
}

static void conn_accept(struct tcp *t, int fd, const struct sockaddr *sa)
{
	struct net_ip ip = net_ip_from_sa(sa, NULL);
	enum tcp_limit_result r = tcp_limit_enter(t->limit, &ip);

	if (r == TCP_LIMIT_CLIENTS && make_room(t))
		r = tcp_limit_enter(t->limit, &ip);
	if (r == TCP_LIMIT_OK) {
		if (conn_new(t, fd, sa) == 0)
			return;
		tcp_limit_leave(t->limit, &ip);
	}
	counter_add(&t->env->stats->tcp_rejected, 1);
	fd_close(fd);
}

static void accept_pause(struct tcp *t, int error)
{
	struct timeval tv = ms_to_tv(NO_FDS_PAUSE_MS);

	log_warning("%s: accepting again in a second",
	    net_accept_error(error) == NET_ACCEPT_FULL
		? "no descriptor is left for TCP clients"
		: "the TCP listener was shut down");
	for (unsigned i = 0; i < t->n_listeners; i++)
		event_del(&t->listeners[i].ev);
	event_add(&t->resume, &tv);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = arg;

	for (unsigned i = 0; i < t->n_listeners && !t->draining; i++) {
		net_relisten(event_get_fd(&t->listeners[i].ev));
		event_add(&t->listeners[i].ev, NULL);
	}
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = ((struct listener *)arg)->tcp;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		union net_sockaddr sa;
		socklen_t len = sizeof(sa);
		int c = accept4(fd, &sa.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (c >= 0) {
			conn_accept(t, c, &sa.sa);
		} else if (net_accept_error(errno) != NET_ACCEPT_AGAIN) {
			accept_pause(t, errno);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

int tcp_new(struct tcp **ret, struct loop *l, struct tcp_limit *limit,
    const struct server_env *env)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->loop = l;
	t->limit = limit;
	t->env = env;
	list_init(&t->conns);
	evtimer_assign(&t->tick, loop_base(l), on_tick, t);
	evtimer_assign(&t->resume, loop_base(l), on_resume, t);
	/* Pages that no connection has needed yet take no memory. */
	t->in = malloc(IN_SIZE);
	t->out = malloc(OUT_SIZE);
	if (!t->in || !t->out) {
		tcp_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

static void unlisten(struct tcp *t)
{
	for (unsigned i = 0; i < t->n_listeners; i++)
		event_del(&t->listeners[i].ev);
	free(t->listeners);
	t->listeners = NULL;
	t->n_listeners = 0;
	event_del(&t->resume);
}

struct tcp *tcp_free(struct tcp *t)
{
	if (!t)
		return NULL;
	list_for_each_safe (l, &t->conns)
		conn_close(CONTAINER_OF(l, struct conn, link), "the end");
	unlisten(t);
	event_del(&t->tick);
	free(t->in);
	free(t->out);
	free(t);
	return NULL;
}

int tcp_listen(struct tcp *t, const int *fds, unsigned n)
{
	struct listener *ls = calloc(n + 1, sizeof(*ls));

	if (!ls)
		return -ENOMEM;
	unlisten(t);
	t->listeners = ls;
	for (unsigned i = 0; i < n; i++) {
		ls[i].tcp = t;
		event_assign(&ls[i].ev, loop_base(t->loop), fds[i],
		    EV_READ | EV_PERSIST, on_accept, &ls[i]);
		if (event_add(&ls[i].ev, NULL) < 0)
			return -ENOMEM;
		t->n_listeners++;
	}
	return 0;
}

void tcp_drain(struct tcp *t, void (*done)(void *arg), void *arg)
{
	t->draining = true;
	t->drained = done;
	t->drained_arg = arg;
	unlisten(t);
	event_del(&t->tick);
	on_tick(-1, 0, t);
}
