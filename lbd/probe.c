/* One question to one server: see probe.h. */
#include "lbd/probe.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/loop.h"
#include "common/tls.h"
#include "lbd/proxyproto.h"

/* Servers close what is silent for longer, and routers forget it: a request over it would
 * often be in vain. */
enum { KEEP_INTERVAL_MAX_MS = 30 * 1000 };

static void on_io(evutil_socket_t fd, short what, void *arg);

static bool is_tls(const struct check_conf *c)
{
	return c->type == CHECK_TLS || c->type == CHECK_HTTPS;
}

static bool is_http(const struct check_conf *c)
{
	return c->type == CHECK_HTTP || c->type == CHECK_HTTPS;
}

/* --- connections ------------------------------------------------------------ */

static void hang_up(struct wire *w)
{
	if (w->tls)
		(void)tls_shutdown(w->tls);
	w->tls = tls_free(w->tls);
	w->fd = fd_close(w->fd);
	w->uses = 0;
}

static struct wire take_wire(struct wire *w)
{
	struct wire taken = *w;

	*w = (struct wire){ .fd = -1 };
	return taken;
}

/* It has answered at least once. */
static bool is_reused(const struct probe *p)
{
	return p->now.uses > 1;
}

static ssize_t wire_write(struct wire *w, const char *from, size_t n)
{
	ssize_t sent;

	if (w->tls)
		return tls_write(w->tls, from, n);
	sent = send(w->fd, from, n, MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

static ssize_t wire_read(struct wire *w, char *to, size_t max)
{
	ssize_t n;

	if (w->tls)
		return tls_read(w->tls, to, max);
	n = recv(w->fd, to, max, 0);
	return n < 0 ? -errno : n;
}

/* Closing with bytes unread would reset the connection. */
static void drain(struct wire *w)
{
	char drop[2048];

	for (int i = 0; i < 8 && wire_read(w, drop, sizeof(drop)) > 0; i++)
		;
}

/* The rest of the last reply must be there and end it. */
static bool is_kept_usable(struct probe *p)
{
	ssize_t n;

	while (p->n < sizeof(p->buf)) {
		n = wire_read(&p->kept, p->buf + p->n, sizeof(p->buf) - p->n);
		if (n == -EAGAIN)
			return check_reply_keeps(p->buf, p->n);
		if (n <= 0)
			return false;
		p->n += (size_t)n;
	}
	return false;
}

static bool may_keep(const struct probe *p, enum check_status status)
{
	return !p->last && status == CHECK_STATUS_L7OK &&
	    p->now.uses < p->conf->reuse && p->conf->interval <= KEEP_INTERVAL_MAX_MS &&
	    p->n < sizeof(p->buf);
}

/* --- the end ------------------------------------------------------------------ */

static void finish(struct probe *p, enum check_status status, const char *info)
{
	(void)event_del(&p->io);
	p->phase = PROBE_IDLE;
	hang_up(&p->kept);
	if (may_keep(p, status)) {
		p->kept = take_wire(&p->now);
	} else {
		if (status == CHECK_STATUS_L7OK || status == CHECK_STATUS_L7STS)
			drain(&p->now);
		hang_up(&p->now);
	}
	p->ops->done(p, status, info);
}

static void fail_errno(struct probe *p, int error)
{
	if (error == ETIMEDOUT)
		finish(p, CHECK_STATUS_L4TOUT, NULL);
	else
		finish(p, CHECK_STATUS_L4CON, strerror(error));
}

static void time_out(struct probe *p)
{
	switch (p->phase) {
	case PROBE_HANDSHAKE:
		finish(p, CHECK_STATUS_L6TOUT, NULL);
		break;
	case PROBE_SEND:
	case PROBE_RECEIVE:
		finish(p, CHECK_STATUS_L7TOUT, NULL);
		break;
	default:
		finish(p, CHECK_STATUS_L4TOUT, NULL);
	}
}

/* --- HTTP --------------------------------------------------------------------- */

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
static void write_request(struct probe *p)
{
	const char *host = p->conf->host ? p->conf->host : p->conf->sni;
	bool again = ++p->now.uses < p->conf->reuse && !p->last;
	int n;

	n = snprintf(p->buf, sizeof(p->buf),
	    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: okd-lbd-check\r\n"
	    "Accept: */*\r\n%s\r\n",
	    p->conf->path, host ? host : p->server->address,
	    again ? "" : "Connection: close\r\n");
	p->n = (size_t)MIN(n, (int)sizeof(p->buf) - 1);
	p->sent = 0;
	p->phase = PROBE_SEND;
}

static void on_reply(struct probe *p, unsigned code)
{
	bool ok = is_expected(p->conf, code);
	char info[64];

	p->code = code;
	snprintf(info, sizeof(info), "HTTP status %u", code);
	finish(p, ok ? CHECK_STATUS_L7OK : CHECK_STATUS_L7STS, ok ? NULL : info);
}

static int step_send(struct probe *p)
{
	ssize_t n = wire_write(&p->now, p->buf + p->sent, p->n - p->sent);

	if (n < 0)
		return (int)n;
	p->sent += (size_t)n;
	if (p->sent == p->n) {
		p->n = 0;
		p->phase = PROBE_RECEIVE;
	}
	return 0;
}

/* 1 when the question is answered. */
static int step_receive(struct probe *p)
{
	ssize_t n = wire_read(&p->now, p->buf + p->n, sizeof(p->buf) - p->n);
	unsigned code = 0;

	if (n < 0)
		return (int)n;
	p->n += (size_t)n;
	switch (check_reply_parse(p->buf, p->n, &code)) {
	case CHECK_REPLY_STATUS:
		on_reply(p, code);
		return 1;
	case CHECK_REPLY_MORE:
		if (n > 0)
			return 0;
		if (is_reused(p))
			return -ECONNRESET;
		finish(p, CHECK_STATUS_L7RSP, "the reply ended early");
		return 1;
	case CHECK_REPLY_BAD:
		break;
	}
	if (is_reused(p))
		return -EBADMSG;
	finish(p, CHECK_STATUS_L7RSP, "the reply is no HTTP");
	return 1;
}

/* --- phases ------------------------------------------------------------------- */

/* A server that expects a PROXY header is told that no client is behind this.  What is
 * checked at another address or port is not what connections go to. */
static int send_header(const struct probe *p)
{
	unsigned version = (unsigned)p->server->send_proxy;
	const struct proxyproto nobody = { 0 };
	char buf[PROXYPROTO_FORMAT_MAX];
	ssize_t n, len;

	if (!version || p->conf->port || p->conf->address.family)
		return 0;
	len = (ssize_t)proxyproto_format(&nobody, version, buf);
	n = send(p->now.fd, buf, (size_t)len, MSG_NOSIGNAL);
	return n == len ? 0 : n < 0 ? -errno : -EIO;
}

static int begin_talking(struct probe *p)
{
	struct linger off = { 0 };
	int r;

	(void)setsockopt(p->now.fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	r = send_header(p);
	if (r < 0)
		return r == -EAGAIN ? -EIO : r;
	if (!is_tls(p->conf)) {
		write_request(p);
		return 0;
	}
	p->phase = PROBE_HANDSHAKE;
	return tls_connect(&p->now.tls, p->tls_context, p->now.fd, p->conf->sni);
}

/* The port takes connections, and this one is not needed. */
static void go_on_with_kept(struct probe *p)
{
	hang_up(&p->now);
	p->now = take_wire(&p->kept);
	write_request(p);
}

/* 1 when the question is answered. */
static int step_connect(struct probe *p)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(p->now.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		fail_errno(p, error);
		return 1;
	}
	if (p->conf->type == CHECK_TCP) {
		finish(p, CHECK_STATUS_L4OK, NULL);
		return 1;
	}
	if (p->kept.fd < 0)
		return begin_talking(p);
	go_on_with_kept(p);
	return 0;
}

static int step_handshake(struct probe *p)
{
	int r = tls_handshake(p->now.tls);

	if (r < 0)
		return r;
	p->ops->certified(p, p->now.tls);
	if (is_http(p->conf)) {
		write_request(p);
		return 0;
	}
	finish(p, CHECK_STATUS_L6OK, NULL);
	return 1;
}

static int step(struct probe *p)
{
	switch (p->phase) {
	case PROBE_CONNECT:
		return step_connect(p);
	case PROBE_HANDSHAKE:
		return step_handshake(p);
	case PROBE_SEND:
		return step_send(p);
	case PROBE_RECEIVE:
		return step_receive(p);
	case PROBE_IDLE:
		break;
	}
	return 1;
}

/* --- waiting ------------------------------------------------------------------ */

static bool wants_write(const struct probe *p)
{
	if (p->phase == PROBE_CONNECT)
		return true;
	return p->now.tls ? tls_wants_write(p->now.tls) : p->phase == PROBE_SEND;
}

/* The deadline counts from the start of the question, whatever it waits for. */
static void wait_io(struct probe *p)
{
	uint64_t limit = p->conf->timeout ? p->conf->timeout : p->conf->interval;
	uint64_t used = clock_boot_ms() - p->started;
	struct timeval tv = ms_to_tv(used < limit ? limit - used : 1);
	short what = wants_write(p) ? EV_WRITE : EV_READ;

	(void)event_del(&p->io);
	(void)event_assign(&p->io, loop_base(p->loop), p->now.fd, what, on_io, p);
	(void)event_add(&p->io, &tv);
}

static int open_wire(struct probe *p)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	union net_sockaddr sa;
	socklen_t len = net_endpoint_to_sa(&p->to, &sa);
	int off = 0, r;

	p->phase = PROBE_CONNECT;
	p->now.fd =
	    socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->now.fd < 0)
		return -errno;
	if (p->server->source.family) {
		r = net_bind_source(p->now.fd, &p->server->source);
		if (r < 0)
			return r;
	}
	/* No third packet before the close, and a reset with it. */
	(void)setsockopt(p->now.fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	(void)setsockopt(p->now.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(p->now.fd, &sa.sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return 0;
}

static void connect_now(struct probe *p)
{
	int r = open_wire(p);

	if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM)
		finish(p, CHECK_STATUS_SOCKERR, strerror(-r));
	else if (r < 0)
		fail_errno(p, -r);
	else
		wait_io(p);
}

static void fail_step(struct probe *p, int r)
{
	char info[128];

	if (is_reused(p)) {
		(void)event_del(&p->io);
		hang_up(&p->now);
		connect_now(p);
		return;
	}
	snprintf(info, sizeof(info), "%s",
	    r == -EPROTO && p->now.tls ? tls_why(p->now.tls) : strerror(-r));
	if (p->phase == PROBE_HANDSHAKE)
		finish(p, CHECK_STATUS_L6RSP, info);
	else if (p->phase == PROBE_CONNECT)
		finish(p, CHECK_STATUS_SOCKERR, info);
	else
		finish(p, CHECK_STATUS_L7RSP, info);
}

static void run_io(struct probe *p)
{
	int r;

	do
		r = step(p);
	while (r == 0);
	if (r == -EAGAIN)
		wait_io(p);
	else if (r < 0)
		fail_step(p, r);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	if (what & EV_TIMEOUT)
		time_out(p);
	else
		run_io(p);
}

/* --- life --------------------------------------------------------------------- */

void probe_init(struct probe *p, struct loop *l, const struct check_conf *conf,
    const struct server_conf *server, struct tls_context *tls_context,
    const struct probe_ops *ops)
{
	*p = (struct probe){
		.ops = ops,
		.loop = l,
		.conf = conf,
		.server = server,
		.tls_context = tls_context,
		.now.fd = -1,
		.kept.fd = -1,
	};
	(void)event_assign(&p->io, loop_base(l), -1, EV_READ, on_io, p);
}

static bool is_same(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && net_ip_eq(&a->ip, &b->ip);
}

void probe_ask(struct probe *p, const struct net_endpoint *to)
{
	if (p->kept.fd >= 0 && !(is_same(&p->to, to) && is_kept_usable(p)))
		hang_up(&p->kept);
	p->to = *to;
	p->started = clock_boot_ms();
	p->code = 0;
	p->n = 0;
	connect_now(p);
}

bool probe_is_asking(const struct probe *p)
{
	return p->phase != PROBE_IDLE;
}

void probe_take_over(struct probe *p, struct probe *old)
{
	(void)event_del(&old->io);
	p->phase = old->phase;
	p->now = take_wire(&old->now);
	p->to = old->to;
	p->started = old->started;
	memcpy(p->buf, old->buf, sizeof(p->buf));
	p->n = old->n;
	p->sent = old->sent;
	old->phase = PROBE_IDLE;
	wait_io(p);
}

void probe_retire(struct probe *p)
{
	p->last = true;
	hang_up(&p->kept);
}

void probe_cut(struct probe *p)
{
	(void)event_del(&p->io);
	hang_up(&p->now);
	p->phase = PROBE_IDLE;
}

void probe_deinit(struct probe *p)
{
	probe_cut(p);
	hang_up(&p->kept);
}
