/* Listeners, limits, time-outs and drain of the HTTP server. */
#include "common/http_server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/http_cond.h"
#include "common/http_conn.h"
#include "common/ratelimit.h"

enum {
	ACCEPT_BATCH = 64,      /* connections accepted before others have a turn */
	ACCEPT_PAUSE_MS = 1000, /* out of descriptors, or shut down */
	ACCEPT_EMPTY = 100, /* a Unix socket that is readable in vain is shut down */
	TARGET_MAX = 32 * 1024,
	HEAD_MAX = 48 * 1024,
	DRAIN_SILENT_MS = 1000, /* for the first request of a connection */
	/* Of refusals that are told of: tokens, of which one comes back each second. */
	TELL_COST = 60,
	TELL_ALL_COST = 6,
	TELL_BURST = 60,
};

/* Time */

uint64_t server_now(struct http_server *s)
{
	return loop_now_ms(s->loop);
}

const char *server_date(struct http_server *s)
{
	int64_t now = clock_real_s();

	if (now != s->date_s) {
		char date[HTTP_DATE_MAX];

		s->date_s = now;
		snprintf(s->date, sizeof(s->date), "Date: %s\r\n",
		    http_date_format(now, date));
	}
	return s->date;
}

static uint64_t timer_ms(const struct http_server *s, enum conn_timer t)
{
	switch (t) {
	case TIMER_HEAD:
		return s->opt.head_ms;
	case TIMER_IDLE:
		return s->opt.idle_ms;
	case TIMER_PROGRESS:
		return s->opt.progress_ms;
	case TIMER_LINGER:
		return s->opt.linger_ms;
	case TIMER_NONE:
		break;
	}
	return UINT64_MAX;
}

/* There is something to look at by then at the latest.  Where nothing is, which is most of
 * the time for connections that rest, nobody wakes up. */
static void tick_by(struct http_server *s, uint64_t at)
{
	uint64_t now;
	struct timeval tv;

	if (s->tick_at && at >= s->tick_at)
		return;
	now = server_now(s);
	tv = ms_to_tv(at > now ? at - now : 1);
	s->tick_at = event_add(&s->tick, &tv) == 0 ? at : 0;
}

/* During a drain, often enough for the shortest time-out to be kept within a quarter. */
static void tick_soon(struct http_server *s)
{
	uint64_t ms = 1000;

	for (enum conn_timer t = 0; t < TIMERS; t++)
		ms = MIN(ms, MAX(timer_ms(s, t) / 4, (uint64_t)10));
	tick_by(s, server_now(s) + ms);
}

static void tick_for(struct http_server *s, const struct http_conn *c)
{
	if (c->timer < TIMERS)
		tick_by(s, c->since + timer_ms(s, c->timer));
}

/* Time-outs of one kind are all equally long, so that each list is in the order of its
 * ends, and only its front need be looked at. */
void server_timer(struct http_conn *c, enum conn_timer t)
{
	struct http_server *s = c->server;

	c->timer = (uint8_t)t;
	c->since = server_now(s);
	list_remove(&c->timed);
	list_append(&s->timers[t], &c->timed);
	tick_for(s, c);
}

static void server_sweep(struct http_server *s, enum conn_timer t, uint64_t now)
{
	struct list_link *l;

	while ((l = list_first(&s->timers[t]))) {
		struct http_conn *c = CONTAINER_OF(l, struct http_conn, timed);

		if (now - c->since < timer_ms(s, t))
			break;
		conn_tick(c);
	}
}

/* Closing one may close others by its callbacks, so each round looks at the front. */
static void server_cut(struct http_server *s, enum conn_timer t)
{
	struct list_link *l;

	while ((l = list_first(&s->timers[t])))
		conn_close(CONTAINER_OF(l, struct http_conn, timed), HTTP_END_SERVER,
		    "server stops");
}

/* Those without a request, also on its way in the kernel; spare_new: but those that have
 * asked for nothing yet, whose first one may be.  No handler is called. */
static void cut_idle(struct http_server *s, enum conn_timer t, bool spare_new)
{
	list_for_each_safe (l, &s->timers[t]) {
		struct http_conn *c = CONTAINER_OF(l, struct http_conn, timed);
		int unread = 0;

		if (c->state != CONN_HEAD || c->in_len || (spare_new && !c->requests))
			continue;
		if (ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0)
			conn_close(c, HTTP_END_SERVER, "server stops");
	}
}

static void server_cut_all(struct http_server *s)
{
	for (enum conn_timer t = 0; t <= TIMERS; t++)
		server_cut(s, t);
}

static void accept_on(struct http_server *s, bool on)
{
	if (s->accepting == on)
		return;
	s->accepting = on;
	list_for_each (l, &s->listeners) {
		struct http_listener *x = CONTAINER_OF(l, struct http_listener, link);

		if (on)
			event_add(&x->ev, NULL);
		else
			event_del(&x->ev);
	}
}

/* Accepts again once the pause is over and there is room. */
static void accept_resume(struct http_server *s)
{
	if (s->draining || s->dead || s->stats.connections >= s->opt.connections ||
	    (s->accept_at && server_now(s) < s->accept_at))
		return;
	/* A listener that something has shut down comes back. */
	list_for_each (l, &s->listeners)
		if (s->accept_at)
			net_relisten(CONTAINER_OF(l, struct http_listener, link)->fd);
	s->accept_at = 0;
	accept_on(s, true);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	uint64_t now = server_now(s);

	s->tick_at = 0;
	if (s->accept_at)
		accept_resume(s);
	for (enum conn_timer t = 0; t < TIMERS; t++)
		server_sweep(s, t, now);
	/* Those that have finished since, whose replies had begun without a "close". */
	if (s->draining)
		cut_idle(s, TIMER_IDLE, false);
	if (s->draining && now >= s->silent_at)
		cut_idle(s, TIMER_HEAD, false);
	if (s->draining && s->drain_at && now >= s->drain_at)
		server_cut_all(s);
	for (enum conn_timer t = 0; t < TIMERS; t++)
		if (!list_empty(&s->timers[t]))
			tick_for(s,
			    CONTAINER_OF(s->timers[t].next, struct http_conn, timed));
	if (s->accept_at)
		tick_by(s, MAX(s->accept_at, now + ACCEPT_PAUSE_MS));
	if (s->draining && s->stats.connections)
		tick_soon(s);
}

/* Input that is there already */

void server_kick(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (!list_empty(&c->ready) || c->state == CONN_DEAD)
		return;
	list_append(&s->ready, &c->ready);
	event_active(&s->kick, EV_TIMEOUT, 0);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	struct list_link *l;
	int n = 0;

	/* Those that come back at once wait for the next turn. */
	while (n++ < ACCEPT_BATCH && (l = list_first(&s->ready))) {
		list_remove(l);
		conn_ready(CONTAINER_OF(l, struct http_conn, ready));
	}
	if (!list_empty(&s->ready) && !s->dead)
		event_active(&s->kick, EV_TIMEOUT, 0);
}

/* Connections */

static struct http_address *address_get(struct http_server *s, const struct net_ip *ip)
{
	uint64_t hash = htable_hash(ip, sizeof(*ip));
	struct http_address *a;

	for (struct hnode *n = htable_first(&s->addresses, hash); n;
	     n = htable_next(n)) {
		a = CONTAINER_OF(n, struct http_address, node);
		if (net_ip_eq(&a->ip, ip)) {
			a->n++;
			return a;
		}
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->ip = *ip;
	a->n = 1;
	if (htable_insert(&s->addresses, &a->node, hash) < 0) {
		free(a);
		return NULL;
	}
	return a;
}

void address_put(struct http_server *s, struct http_address *a)
{
	if (--a->n > 0)
		return;
	htable_remove(&s->addresses, &a->node);
	free(a);
}

/* At most what fits into any socket's buffer, so that it need not be waited for. */
static void refuse(struct http_listener *x, int fd)
{
	static const char reply[] = "HTTP/1.1 503 Service Unavailable\r\n"
				    "Content-Length: 0\r\nRetry-After: 5\r\n"
				    "Connection: close\r\n\r\n";
	char drop[4096];
	ssize_t r = 0;

	x->server->stats.refused++;
	if (!x->tls) {
		/* What the client has sent is read, so that the close does not reset.
		 */
		r = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);
		r = send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	(void)r;
	fd_close(fd);
}

static void accepted(struct http_listener *x, int fd, const struct sockaddr *sa)
{
	struct http_server *s = x->server;
	struct http_address *a = NULL;

	s->stats.accepted++;
	if (s->opt.per_address != ~0u && sa->sa_family != AF_UNIX) {
		struct net_ip ip = net_ip_from_sa(sa, NULL);

		a = address_get(s, &ip);
		if (!a || a->n > s->opt.per_address) {
			if (a)
				address_put(s, a);
			refuse(x, fd);
			return;
		}
	}
	if (conn_new(x, fd, sa, a) < 0) {
		if (a)
			address_put(s, a);
		refuse(x, fd);
	}
}

/* Refusals */

const char *http_refusal_text(const struct http_refusal *f, char buf[HTTP_REFUSAL_MAX])
{
	static const char *const what[] = {
		[TLS_FAULT_OTHER] = "cannot agree on TLS",
		[TLS_FAULT_DISTRUST] = "does not accept the certificate",
		[TLS_FAULT_PLAIN] = "speaks HTTP where https:// is meant",
	};
	int n = snprintf(buf, HTTP_REFUSAL_MAX, "%s %s (%s)", net_ip_str(&f->peer),
	    what[f->fault], f->why);

	if (f->untold && n < HTTP_REFUSAL_MAX)
		snprintf(buf + n, (size_t)(HTTP_REFUSAL_MAX - n),
		    ", and %u before that were not told of", f->untold);
	return buf;
}

/* Without memory nobody is told. */
static bool may_tell(struct http_server *s, const struct net_ip *ip)
{
	static const struct ratelimit_options budget = {
		.rate = 1,
		.burst = TELL_BURST,
		.v6_prefix = 128, /* nodes share a network */
	};
	static const struct net_ip all;
	uint64_t now = server_now(s);

	if (!s->told && ratelimit_new(&s->told, &budget) < 0)
		return false;
	if (!s->told_all && ratelimit_new(&s->told_all, &budget) < 0)
		return false;
	return ratelimit_available(s->told, ip, now) >= TELL_COST &&
	    ratelimit_take(s->told_all, &all, TELL_ALL_COST, now) &&
	    ratelimit_take(s->told, ip, TELL_COST, now);
}

void server_refused(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_refusal f = { .fault = tls_fault(c->tls), .why = tls_why(c->tls) };

	if (!c->service->refused || c->is_unix)
		return;
	if (!may_tell(s, &c->peer.ip)) {
		s->untold++;
		return;
	}
	f.peer = c->peer.ip;
	f.untold = s->untold;
	s->untold = 0;
	c->service->refused(&f, c->service->arg);
}

static void accept_pause(struct http_server *s)
{
	s->stats.accept_pauses++;
	s->accept_at = server_now(s) + ACCEPT_PAUSE_MS;
	accept_on(s, false);
	tick_by(s, s->accept_at);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct http_listener *x = arg;
	struct http_server *s = x->server;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		union net_sockaddr sa = { 0 };
		socklen_t n = sizeof(sa);
		int c;

		if (s->stats.connections >= s->opt.connections) {
			accept_on(s, false);
			return;
		}
		c = accept4(fd, &sa.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (c >= 0) {
			x->empty = 0;
			accepted(x, c, &sa.sa);
		} else if (errno == EAGAIN) {
			if (i == 0 && x->is_unix && ++x->empty >= ACCEPT_EMPTY)
				accept_pause(s);
			return;
		} else if (net_accept_error(errno) != NET_ACCEPT_AGAIN) {
			accept_pause(s);
			return;
		}
	}
}

/* The last connection of a drain leaves, or the server's memory may go. */
static void server_reap(struct deferred *d)
{
	struct http_server *s = CONTAINER_OF(d, struct http_server, deferred);

	if (!s->dead) {
		void (*done)(void *arg) = s->drained;

		s->drained = NULL;
		if (done)
			done(s->drained_arg);
		return;
	}
	req_memory_free(s->spare);
	ratelimit_free(s->told);
	ratelimit_free(s->told_all);
	htable_deinit(&s->addresses);
	free(s->server_line);
	free(s->in);
	free(s->out);
	free(s->path);
	free(s);
}

void server_conn_closed(struct http_conn *c)
{
	struct http_server *s = c->server;

	s->stats.connections--;
	if (s->draining && !s->stats.connections)
		loop_defer_free(s->loop, &s->deferred);
	else if (!s->accepting)
		accept_resume(s);
}

/* Options */

#define DEFAULT(field, value)                 \
	do {                                  \
		if (!s->opt.field)            \
			s->opt.field = value; \
	} while (0)

static int options_apply(struct http_server *s, const struct http_options *o)
{
	char *line = NULL;

	if (o && o->server) {
		if (asprintf(&line, "Server: %.200s\r\n", o->server) < 0)
			return -ENOMEM;
	} else {
		line = strdup("");
	}
	if (!line)
		return -ENOMEM;
	free(s->server_line);
	s->server_line = line;
	s->opt = o ? *o : (struct http_options){ 0 };
	DEFAULT(head_bytes, HTTP_HEAD_DEFAULT);
	DEFAULT(target_bytes, HTTP_TARGET_DEFAULT);
	DEFAULT(connections, 4096);
	DEFAULT(per_address, ~0u);
	DEFAULT(requests, 100000);
	DEFAULT(head_ms, 10000);
	DEFAULT(idle_ms, 75000);
	DEFAULT(progress_ms, 60000);
	DEFAULT(progress_bytes, 1);
	DEFAULT(drop_bytes, 1024 * 1024);
	DEFAULT(linger_ms, 5000);
	s->opt.head_bytes = MIN(s->opt.head_bytes, (size_t)HEAD_MAX);
	s->opt.target_bytes = MIN(s->opt.target_bytes, (size_t)TARGET_MAX);
	return 0;
}

void http_server_set_options(struct http_server *s, const struct http_options *options)
{
	/* Without memory for the Server line the old options stay. */
	int r = options_apply(s, options);

	(void)r;
	if (!s->accepting)
		accept_resume(s);
}

/* Life */

int http_server_new(
    struct http_server **ret, struct loop *l, const struct http_options *options)
{
	_cleanup_(http_server_freep) struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->deferred.free = server_reap;
	s->accepting = true;
	list_init(&s->listeners);
	list_init(&s->ready);
	for (int t = 0; t <= TIMERS; t++)
		list_init(&s->timers[t]);
	htable_init(&s->addresses);
	evtimer_assign(&s->tick, loop_base(l), on_tick, s);
	event_assign(&s->kick, loop_base(l), -1, 0, on_kick, s);
	r = options_apply(s, options);
	if (r < 0)
		return r;
	s->in = malloc(BODY_SIZE);
	s->out = malloc(OUT_SIZE);
	s->path = malloc(TARGET_MAX + 2);
	if (!s->in || !s->out || !s->path)
		return -ENOMEM;
	/* sendfile() and SSL_write() know no MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);

	*ret = TAKE(s);
	return 0;
}

struct http_server *http_server_free(struct http_server *s)
{
	struct list_link *l;

	if (!s)
		return NULL;
	s->dead = true;
	s->accept_at = 0;
	while ((l = list_first(&s->listeners)))
		http_listener_free(CONTAINER_OF(l, struct http_listener, link));
	server_cut_all(s);
	event_del(&s->tick);
	event_del(&s->kick);
	loop_defer_free(s->loop, &s->deferred);
	return NULL;
}

static void listener_reap(struct deferred *d)
{
	free(CONTAINER_OF(d, struct http_listener, deferred));
}

int http_server_listen(struct http_listener **ret, struct http_server *s, int fd,
    const struct http_service *service, struct tls_context *tls)
{
	struct http_listener *x = calloc(1, sizeof(*x));
	union net_sockaddr sa = { 0 };
	socklen_t n = sizeof(sa);
	int one = 1, r;

	if (!x)
		return -ENOMEM;
	r = getsockname(fd, &sa.sa, &n) < 0 ? -errno : 0;
	if (r < 0) {
		free(x);
		return r;
	}
	x->deferred.free = listener_reap;
	x->server = s;
	x->service = service;
	x->tls = tls;
	x->fd = fd;
	x->is_unix = sa.sa.sa_family == AF_UNIX;
	if (!x->is_unix) {
		/* Accepted sockets inherit both. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	}
	event_assign(
	    &x->ev, loop_base(s->loop), fd, EV_READ | EV_PERSIST, on_accept, x);
	if (s->accepting && event_add(&x->ev, NULL) < 0) {
		free(x);
		return -ENOMEM;
	}
	list_append(&s->listeners, &x->link);
	if (ret)
		*ret = x;
	return 0;
}

void http_listener_set_tls(struct http_listener *l, struct tls_context *tls)
{
	l->tls = tls;
}

struct http_listener *http_listener_free(struct http_listener *l)
{
	if (!l)
		return NULL;
	event_del(&l->ev);
	list_remove(&l->link);
	loop_defer_free(l->server->loop, &l->deferred);
	return NULL;
}

void http_server_drain(
    struct http_server *s, unsigned timeout_ms, void (*done)(void *arg), void *arg)
{
	s->draining = true;
	s->drained = done;
	s->drained_arg = arg;
	s->drain_at = server_now(s) + timeout_ms;
	accept_on(s, false);
	s->silent_at = server_now(s) + DRAIN_SILENT_MS;
	cut_idle(s, TIMER_IDLE, false);
	cut_idle(s, TIMER_HEAD, true);
	if (!s->stats.connections)
		loop_defer_free(s->loop, &s->deferred);
	else
		tick_soon(s);
}

const struct http_stats *http_server_stats(const struct http_server *s)
{
	return &s->stats;
}
