/* Health checks: see check.h. */
#include "lbd/check.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/loop.h"
#include "common/tls.h"
#include "lbd/proxyproto.h"

enum phase { PHASE_IDLE, PHASE_CONNECT, PHASE_HANDSHAKE, PHASE_SEND, PHASE_RECEIVE };

enum { REPLY_MAX = 64, REQUEST_MAX = 1024 };

/*
 * A reload makes the checks anew.  One that is under way is not cut, since a server that
 * is in the midst of a handshake would write about that: it goes on as the new check of
 * that server where this asks the same question, and else to its end without a result.
 */
struct check {
	struct checks *all;
	const struct snap_backend *backend;
	const struct snap_server *server;
	const struct check_conf *conf;
	struct tls_context *tls_context;
	struct event io, timer;
	enum phase phase;
	int fd;
	struct net_endpoint to; /* what is asked */
	struct tls *tls;
	uint64_t started;
	uint64_t delay; /* of the next check alone, to spread them */
	char buf[REQUEST_MAX];
	size_t n, sent;
};

struct checks {
	struct loop *loop;
	struct snapshot *snap; /* has a reference */
	const struct check_ops *ops;
	void *arg;
	bool over;     /* results do not count any more */
	bool stopping; /* somebody waits for the end */
	size_t n, first_left;
	struct checks *successor; /* NULL while this set is in force */
	struct list_link link;    /* in the successor's list */
	struct list_link retired; /* predecessors that have checks under way */
	size_t n_contexts;
	struct tls_context **contexts; /* one a backend, where it is needed */
	struct check *list;
};

static void on_io(evutil_socket_t fd, short what, void *arg);
static void wait_io(struct check *c);
static void reap(struct checks *all);
static void tell_stopped(struct checks *all);

static bool is_tls(const struct check_conf *c)
{
	return c->type == CHECK_TLS || c->type == CHECK_HTTPS;
}

static bool is_http(const struct check_conf *c)
{
	return c->type == CHECK_HTTP || c->type == CHECK_HTTPS;
}

/* --- results --------------------------------------------------------------- */

static uint64_t next_delay(const struct check *c)
{
	const struct server_live *l = c->server->live;
	const struct check_conf *k = c->conf;

	if (health_in_transition(&l->health))
		return k->fast_interval ? k->fast_interval : k->interval;
	if (!health_up(&l->health))
		return k->down_interval ? k->down_interval : k->interval;
	return k->interval;
}

static void schedule(struct check *c, uint64_t ms)
{
	struct timeval tv = ms_to_tv(ms);

	c->server->live->check_due = clock_boot_ms() + ms;
	(void)event_add(&c->timer, &tv);
}

static void hang_up(struct check *c)
{
	(void)event_del(&c->io);
	if (c->tls)
		(void)tls_shutdown(c->tls);
	c->tls = tls_free(c->tls);
	c->fd = fd_close(c->fd);
	c->phase = PHASE_IDLE;
}

void check_note_transition(struct server_live *l, bool up)
{
	uint64_t now = clock_boot_ms();

	l->changed = now;
	if (up) {
		l->down_ms += l->down_since ? now - l->down_since : 0;
		l->down_since = 0;
		l->up_since = now;
	} else {
		l->down_since = now;
		l->downs++;
	}
}

static void finish(struct check *c, enum check_status status, const char *info)
{
	struct server_live *l = c->server->live;
	struct checks *all = c->all;
	bool ok = check_status_ok(status), first = l->health.unchecked;
	enum health_change change;

	hang_up(c);
	if (all->over) {
		tell_stopped(all);
		return;
	}
	reap(all);
	l->running = false;
	l->checks++;
	l->status = status;
	l->duration_ms = (unsigned)(clock_boot_ms() - c->started);
	snprintf(l->info, sizeof(l->info), "%s", info ? info : "");
	if (!ok && health_up(&l->health))
		l->failures++;
	change = health_add(&l->health, ok);
	if (change != HEALTH_SAME)
		check_note_transition(l, change == HEALTH_WENT_UP);
	schedule(c, next_delay(c) + c->delay);
	c->delay = 0;
	all->ops->checked(all->arg, c->backend, c->server);
	if (change != HEALTH_SAME)
		all->ops->changed(
		    all->arg, c->backend, c->server, change == HEALTH_WENT_UP);
	if (first && all->first_left && --all->first_left == 0)
		all->ops->ready(all->arg);
}

static void fail_errno(struct check *c, int error)
{
	if (error == ETIMEDOUT)
		finish(c, CHECK_STATUS_L4TOUT, NULL);
	else
		finish(c, CHECK_STATUS_L4CON, strerror(error));
}

static void time_out(struct check *c)
{
	switch (c->phase) {
	case PHASE_HANDSHAKE:
		finish(c, CHECK_STATUS_L6TOUT, NULL);
		break;
	case PHASE_SEND:
	case PHASE_RECEIVE:
		finish(c, CHECK_STATUS_L7TOUT, NULL);
		break;
	default:
		finish(c, CHECK_STATUS_L4TOUT, NULL);
	}
}

/* --- HTTP -------------------------------------------------------------------- */

static bool is_expected(const struct check_conf *c, unsigned code)
{
	for (size_t i = 0; i < c->expect.n; i++) {
		const struct conf_status *s =
		    conf_list_items(&c->expect, struct conf_status) + i;

		if (code >= s->low && code <= s->high)
			return true;
	}
	return false;
}

/* HTTP/1.1 with a Host, because some servers refuse a request without; and a name of
 * our own in their logs. */
static void write_request(struct check *c)
{
	const char *host = c->conf->host ? c->conf->host : c->conf->sni;
	int n;

	n = snprintf(c->buf, sizeof(c->buf),
	    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: okd-lbd-check\r\n"
	    "Accept: */*\r\nConnection: close\r\n\r\n",
	    c->conf->path, host ? host : c->server->conf->address);
	c->n = (size_t)MIN(n, (int)sizeof(c->buf) - 1);
	c->sent = 0;
	c->phase = PHASE_SEND;
}

static ssize_t io_write(struct check *c)
{
	ssize_t n;

	if (c->tls)
		return tls_write(c->tls, c->buf + c->sent, c->n - c->sent);
	n = send(c->fd, c->buf + c->sent, c->n - c->sent, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static ssize_t io_read(struct check *c, char *to, size_t max)
{
	ssize_t n;

	if (c->tls)
		return tls_read(c->tls, to, max);
	n = recv(c->fd, to, max, 0);
	return n < 0 ? -errno : n;
}

static void drain_body(struct check *c)
{
	char drop[2048];

	for (int i = 0; i < 8 && io_read(c, drop, sizeof(drop)) > 0; i++)
		;
}

static void on_reply(struct check *c, unsigned code)
{
	char info[64];
	bool ok = is_expected(c->conf, code);

	if (!c->all->over)
		c->server->live->code = code;
	drain_body(c);
	snprintf(info, sizeof(info), "HTTP status %u", code);
	finish(c, ok ? CHECK_STATUS_L7OK : CHECK_STATUS_L7STS, ok ? NULL : info);
}

static int step_send(struct check *c)
{
	ssize_t n = io_write(c);

	if (n < 0)
		return (int)n;
	c->sent += (size_t)n;
	if (c->sent == c->n) {
		c->n = 0;
		c->phase = PHASE_RECEIVE;
	}
	return 0;
}

/* 1 when the check is done. */
static int step_receive(struct check *c)
{
	ssize_t n = io_read(c, c->buf + c->n, REPLY_MAX - c->n);
	unsigned code = 0;

	if (n < 0)
		return (int)n;
	c->n += (size_t)n;
	switch (check_reply_parse(c->buf, c->n, &code)) {
	case CHECK_REPLY_STATUS:
		on_reply(c, code);
		return 1;
	case CHECK_REPLY_MORE:
		if (n > 0)
			return 0;
		finish(c, CHECK_STATUS_L7RSP, "the reply ended early");
		return 1;
	case CHECK_REPLY_BAD:
		break;
	}
	finish(c, CHECK_STATUS_L7RSP, "the reply is no HTTP");
	return 1;
}

/* --- phases -------------------------------------------------------------------- */

/* A server that expects a PROXY header is told that no client is behind this.  What is
 * checked at another address or port is not what connections go to. */
static int send_header(const struct check *c)
{
	unsigned version = (unsigned)c->server->conf->send_proxy;
	const struct proxyproto nobody = { 0 };
	char buf[PROXYPROTO_FORMAT_MAX];
	ssize_t n, len;

	if (!version || c->conf->port || c->conf->address.family)
		return 0;
	len = (ssize_t)proxyproto_format(&nobody, version, buf);
	n = send(c->fd, buf, (size_t)len, MSG_NOSIGNAL);
	return n == len ? 0 : n < 0 ? -errno : -EIO;
}

static int begin_tls(struct check *c)
{
	struct linger off = { 0 };
	int r;

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	r = send_header(c);
	if (r < 0)
		return r == -EAGAIN ? -EIO : r;
	if (!is_tls(c->conf)) {
		write_request(c);
		return 0;
	}
	c->phase = PHASE_HANDSHAKE;
	return tls_connect(&c->tls, c->tls_context, c->fd, c->conf->sni);
}

/* 1 when the check is done. */
static int step_connect(struct check *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		fail_errno(c, error);
		return 1;
	}
	if (c->conf->type != CHECK_TCP)
		return begin_tls(c);
	finish(c, CHECK_STATUS_L4OK, NULL);
	return 1;
}

static void note_certificate(
    struct server_live *l, const struct tls *tls, const char *name)
{
	l->not_after = tls_peer_not_after(tls);
	if (!tls_peer_issuer(tls, l->issuer, sizeof(l->issuer)))
		l->issuer[0] = '\0';
	l->misnamed = name && !tls_peer_is(tls, name);
}

static int step_handshake(struct check *c)
{
	int r = tls_handshake(c->tls);

	if (r < 0)
		return r;
	if (!c->all->over)
		note_certificate(c->server->live, c->tls, c->conf->sni);
	if (is_http(c->conf)) {
		write_request(c);
		return 0;
	}
	finish(c, CHECK_STATUS_L6OK, NULL);
	return 1;
}

static int step(struct check *c)
{
	switch (c->phase) {
	case PHASE_CONNECT:
		return step_connect(c);
	case PHASE_HANDSHAKE:
		return step_handshake(c);
	case PHASE_SEND:
		return step_send(c);
	case PHASE_RECEIVE:
		return step_receive(c);
	case PHASE_IDLE:
		break;
	}
	return 1;
}

static void fail_step(struct check *c, int r)
{
	char info[128];

	snprintf(info, sizeof(info), "%s",
	    r == -EPROTO && c->tls ? tls_why(c->tls) : strerror(-r));
	if (c->phase == PHASE_HANDSHAKE)
		finish(c, CHECK_STATUS_L6RSP, info);
	else if (c->phase == PHASE_CONNECT)
		finish(c, CHECK_STATUS_SOCKERR, info);
	else
		finish(c, CHECK_STATUS_L7RSP, info);
}

static bool wants_write(const struct check *c)
{
	if (c->phase == PHASE_CONNECT)
		return true;
	return c->tls ? tls_wants_write(c->tls) : c->phase == PHASE_SEND;
}

/* The deadline counts from the start of the check, whatever it waits for. */
static void wait_io(struct check *c)
{
	uint64_t limit = c->conf->timeout ? c->conf->timeout : c->conf->interval;
	uint64_t used = clock_boot_ms() - c->started;
	struct timeval tv = ms_to_tv(used < limit ? limit - used : 1);
	short what = wants_write(c) ? EV_WRITE : EV_READ;

	(void)event_del(&c->io);
	(void)event_assign(&c->io, loop_base(c->all->loop), c->fd, what, on_io, c);
	(void)event_add(&c->io, &tv);
}

static void run_io(struct check *c)
{
	int r;

	do
		r = step(c);
	while (r == 0);
	if (r == -EAGAIN)
		wait_io(c);
	else if (r < 0)
		fail_step(c, r);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct check *c = arg;

	if (what & EV_TIMEOUT)
		time_out(c);
	else
		run_io(c);
}

static struct net_endpoint target_of(const struct check *c)
{
	struct net_endpoint to = c->server->live->at;

	if (c->conf->address.family)
		to.ip = c->conf->address;
	if (c->conf->port)
		to.port = (uint16_t)c->conf->port;
	return to;
}

static int check_connect(struct check *c)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	union net_sockaddr sa;
	socklen_t len;
	int off = 0, r;

	c->to = target_of(c);
	len = net_endpoint_to_sa(&c->to, &sa);
	c->fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (c->server->conf->source.family) {
		r = net_bind_source(c->fd, &c->server->conf->source);
		if (r < 0)
			return r;
	}
	/* No third packet before the close, and a reset with it. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(c->fd, &sa.sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct check *c = arg;
	int r;

	c->started = clock_boot_ms();
	c->server->live->running = true;
	c->server->live->code = 0;
	c->n = 0;
	c->phase = PHASE_CONNECT;
	r = check_connect(c);
	if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM)
		finish(c, CHECK_STATUS_SOCKERR, strerror(-r));
	else if (r < 0)
		fail_errno(c, -r);
	else
		wait_io(c);
}

/* --- one set of checks after another --------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
	return a->n == b->n &&
	    (!a->n ||
		memcmp(conf_list_items(a, struct conf_status),
		    conf_list_items(b, struct conf_status),
		    a->n * sizeof(struct conf_status)) == 0);
}

/* Whether the answer to the one is the answer to the other. */
static bool asks_the_same(const struct check *a, const struct check *b)
{
	const struct check_conf *x = a->conf, *y = b->conf;
	const struct server_conf *s = a->server->conf, *t = b->server->conf;

	return a->server->live == b->server->live && x->type == y->type &&
	    same_text(x->path, y->path) && same_text(x->host, y->host) &&
	    same_text(x->sni, y->sni) && same_text(x->ca, y->ca) &&
	    same_list(&x->expect, &y->expect) && s->send_proxy == t->send_proxy &&
	    net_ip_eq(&s->source, &t->source);
}

/* c goes on where old is. */
static void inherit(struct check *c, struct check *old)
{
	(void)event_del(&old->io);
	c->phase = old->phase;
	c->fd = TAKE_FD(old->fd);
	c->tls = TAKE(old->tls);
	c->to = old->to;
	c->started = old->started;
	memcpy(c->buf, old->buf, sizeof(c->buf));
	c->n = old->n;
	c->sent = old->sent;
	old->phase = PHASE_IDLE;
	wait_io(c);
}

/* The check under way that answers c's question; NULL: there is none. */
static struct check *find_running(struct checks *old, const struct check *c)
{
	struct net_endpoint to = target_of(c);

	for (size_t i = 0; old && i < old->n; i++) {
		struct check *o = &old->list[i];

		if (o->phase != PHASE_IDLE && asks_the_same(o, c) &&
		    o->to.port == to.port && net_ip_eq(&o->to.ip, &to.ip))
			return o;
	}
	return NULL;
}

static bool any_running(const struct checks *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].phase != PHASE_IDLE)
			return true;
	return false;
}

/* Predecessors of which nothing is under way any more. */
static void reap(struct checks *all)
{
	list_for_each_safe (it, &all->retired) {
		struct checks *r = CONTAINER_OF(it, struct checks, link);

		if (!any_running(r))
			checks_free(r);
	}
}

static void tell_stopped(struct checks *all)
{
	if (all->successor)
		all = all->successor;
	if (!all->stopping || any_running(all))
		return;
	list_for_each (it, &all->retired)
		if (any_running(CONTAINER_OF(it, struct checks, link)))
			return;
	all->stopping = false;
	all->ops->stopped(all->arg);
}

/* What is still under way ends by itself. */
static void retire(struct checks *all, struct checks *successor)
{
	list_for_each_safe (it, &all->retired) {
		list_remove(it);
		list_append(&successor->retired, it);
		CONTAINER_OF(it, struct checks, link)->successor = successor;
	}
	for (size_t i = 0; i < all->n; i++)
		(void)event_del(&all->list[i].timer);
	all->successor = successor;
	all->over = true;
	list_append(&successor->retired, &all->link);
	reap(successor);
}

/* --- life ------------------------------------------------------------------------ */

/* How late another certificate of a server is noticed. */
enum { RESUME_MS = 10 * 60 * 1000 };

static int make_contexts(struct checks *all, const struct snapshot *snap, struct err *e)
{
	for (size_t i = 0; i < snap->n_backends; i++) {
		const struct check_conf *k = &snap->backends[i].conf->check;
		struct tls_client_options o = { .ca = k->ca, .resume_ms = RESUME_MS };
		int r;

		if (!is_tls(k))
			continue;
		r = tls_client_new(&all->contexts[i], &o, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_check(
    struct checks *all, const struct snapshot *snap, size_t backend, size_t server)
{
	struct check *c = &all->list[all->n++];

	c->all = all;
	c->backend = &snap->backends[backend];
	c->server = &c->backend->servers[server];
	c->conf = &c->backend->conf->check;
	c->tls_context = all->contexts[backend];
	c->fd = -1;
	(void)event_assign(&c->io, loop_base(all->loop), -1, EV_READ, on_io, c);
	(void)evtimer_assign(&c->timer, loop_base(all->loop), on_timer, c);
}

int checks_new(struct checks **ret, struct loop *l, struct snapshot *snap,
    const struct check_ops *ops, void *arg, struct err *e)
{
	_cleanup_(checks_freep) struct checks *all = calloc(1, sizeof(*all));
	size_t n = 0;
	int r;

	if (!all)
		return err_set(e, -ENOMEM, "out of memory");
	list_init(&all->link);
	list_init(&all->retired);
	all->loop = l;
	all->ops = ops;
	all->arg = arg;
	all->snap = snap;
	snapshot_ref(snap);
	all->n_contexts = snap->n_backends;
	for (size_t i = 0; i < snap->n_backends; i++)
		n += snap->backends[i].n;
	all->contexts = calloc(snap->n_backends + 1, sizeof(*all->contexts));
	all->list = calloc(n + 1, sizeof(*all->list));
	if (!all->contexts || !all->list)
		return err_set(e, -ENOMEM, "out of memory");
	r = make_contexts(all, snap, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < snap->n_backends; i++)
		for (size_t k = 0; k < snap->backends[i].n; k++)
			if (snapshot_is_checked(&snap->backends[i], k) &&
			    snap->backends[i].servers[k].live->to)
				add_check(all, snap, i, k);

	*ret = TAKE(all);
	return 0;
}

/* At its turn, be it that of a predecessor's plan. */
static uint64_t first_delay(const struct check *c, uint64_t spread)
{
	uint64_t due = c->server->live->check_due, now = clock_boot_ms();

	if (!due)
		return spread;
	return due > now ? MIN(due - now, next_delay(c)) : 0;
}

void checks_start(struct checks *all, struct checks *old)
{
	for (size_t i = 0; i < all->n; i++)
		all->first_left += all->list[i].server->live->health.unchecked;
	for (size_t i = 0; i < all->n; i++) {
		struct check *c = &all->list[i], *running = find_running(old, c);
		uint64_t spread = c->conf->interval * i / all->n;

		if (running) {
			inherit(c, running);
		} else if (c->server->live->health.unchecked) {
			c->delay = spread;
			schedule(c, 0);
		} else {
			schedule(c, first_delay(c, spread));
		}
		c->server->live->running = running != NULL;
	}
	if (old)
		retire(old, all);
	if (!all->first_left)
		all->ops->ready(all->arg);
}

/* What has not got further than the connect is not seen by the server's accept(). */
static void stop_some(struct checks *all)
{
	all->over = true;
	for (size_t i = 0; i < all->n; i++) {
		struct check *c = &all->list[i];

		(void)event_del(&c->timer);
		if (c->phase == PHASE_CONNECT)
			hang_up(c);
	}
}

void checks_stop(struct checks *all)
{
	list_for_each (it, &all->retired)
		stop_some(CONTAINER_OF(it, struct checks, link));
	stop_some(all);
	all->stopping = true;
	tell_stopped(all);
}

struct checks *checks_free(struct checks *all)
{
	if (!all)
		return NULL;
	list_for_each_safe (it, &all->retired)
		checks_free(CONTAINER_OF(it, struct checks, link));
	list_remove(&all->link);
	for (size_t i = 0; i < all->n; i++) {
		struct check *c = &all->list[i];

		(void)event_del(&c->timer);
		hang_up(c);
		if (!all->over)
			c->server->live->running = false;
	}
	for (size_t i = 0; i < all->n_contexts && all->contexts; i++)
		tls_context_free(all->contexts[i]);
	free(all->contexts);
	free(all->list);
	if (snapshot_unref(all->snap))
		snapshot_free(all->snap);
	free(all);
	return NULL;
}
