/* Upstreams over TCP and TLS: see stream.h. */
#include "dnsd/stream.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/loop.h"
#include "common/str.h"
#include "common/tls.h"
#include "dnsd/wire.h"

#define IDLE_MS 10000
#define OUT_MAX (1 << 20) /* bytes of queries that wait to be sent */
#define IN_SIZE (2 + DNS_MESSAGE_MAX)

enum state {
	CLOSED,
	CONNECTING,
	HANDSHAKE,
	OPEN,
};

struct stream {
	struct loop *loop;
	struct net_endpoint to;
	struct tls_context *context;
	const char *name;
	const struct stream_ops *ops;
	void *arg;
	enum state state;
	struct tls *tls;
	int fd;
	struct event read, write;
	struct str out;
	size_t sent, n_in;
	uint8_t in[IN_SIZE];
};

static void shut(struct stream *s)
{
	if (s->state == CLOSED)
		return;
	event_del(&s->read);
	event_del(&s->write);
	s->tls = tls_free(s->tls);
	s->fd = fd_close(s->fd);
	str_reset(&s->out);
	s->sent = s->n_in = 0;
	s->state = CLOSED;
}

static void fail(struct stream *s, const char *why)
{
	shut(s);
	s->ops->closed(s->arg, why);
}

static ssize_t get(struct stream *s, void *p, size_t n)
{
	ssize_t r;

	if (s->tls)
		return tls_read(s->tls, p, n);
	r = recv(s->fd, p, n, MSG_DONTWAIT);
	return r < 0 ? -errno : r;
}

static ssize_t give(struct stream *s, const void *p, size_t n)
{
	ssize_t r;

	if (s->tls)
		return tls_write(s->tls, p, n);
	r = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return r < 0 ? -errno : r;
}

static bool again(ssize_t r)
{
	return r == -EAGAIN || r == -EINTR;
}

/* Hands out whole messages.  False when a callback closed the stream. */
static bool deliver(struct stream *s)
{
	size_t pos = 0;

	while (s->n_in - pos >= 2) {
		size_t len = get16(s->in + pos);

		if (s->n_in - pos - 2 < len)
			break;
		s->ops->message(s->arg, s->in + pos + 2, len);
		if (s->state != OPEN)
			return false;
		pos += 2 + len;
	}
	s->n_in -= pos;
	memmove(s->in, s->in + pos, s->n_in);
	return true;
}

static void take(struct stream *s)
{
	for (int i = 0; i < 16; i++) {
		ssize_t n = get(s, s->in + s->n_in, IN_SIZE - s->n_in);

		if (again(n))
			return;
		if (n <= 0) {
			fail(s, n ? "cannot be read from" : "closed by the upstream");
			return;
		}
		s->n_in += (size_t)n;
		if (!deliver(s))
			return;
	}
	/* More may wait in the TLS library, which no event tells of. */
	event_active(&s->read, EV_READ, 0);
}

static void flush(struct stream *s)
{
	while (s->sent < s->out.len) {
		ssize_t n = give(s, s->out.s + s->sent, s->out.len - s->sent);

		if (again(n)) {
			event_add(&s->write, NULL);
			return;
		}
		if (n < 0) {
			fail(s, "cannot be written to");
			return;
		}
		s->sent += (size_t)n;
	}
	str_reset(&s->out);
	s->sent = 0;
	event_del(&s->write);
}

static void handshake(struct stream *s)
{
	int r = tls_handshake(s->tls);

	if (r == -EAGAIN) {
		if (tls_wants_write(s->tls))
			event_add(&s->write, NULL);
		else
			event_del(&s->write);
		return;
	}
	if (r < 0) {
		char why[256];

		strncpy(why, tls_why(s->tls), sizeof(why) - 1);
		why[sizeof(why) - 1] = '\0';
		fail(s, why);
		return;
	}
	s->state = OPEN;
	flush(s);
}

static void connected(struct stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		fail(s, strerror(error));
		return;
	}
	if (!s->context) {
		s->state = OPEN;
		flush(s);
		return;
	}
	if (tls_connect(&s->tls, s->context, s->fd, s->name) < 0) {
		fail(s, "out of memory");
		return;
	}
	s->state = HANDSHAKE;
	handshake(s);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	if (what & EV_TIMEOUT)
		fail(s, "idle");
	else if (s->state == CONNECTING)
		connected(s);
	else if (s->state == HANDSHAKE)
		handshake(s);
	else if (s->state == OPEN && what & EV_WRITE)
		flush(s);
	else if (s->state == OPEN)
		take(s);
}

static int start(struct stream *s)
{
	static const int on = 1;
	struct timeval idle = ms_to_tv(IDLE_MS);
	union net_sockaddr sa;
	socklen_t len = net_endpoint_to_sa(&s->to, &sa);

	s->fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(s->fd, &sa.sa, len) < 0 && errno != EINPROGRESS) {
		int r = -errno;

		s->fd = fd_close(s->fd);
		return r;
	}
	s->state = CONNECTING;
	event_assign(
	    &s->read, loop_base(s->loop), s->fd, EV_READ | EV_PERSIST, on_event, s);
	event_assign(
	    &s->write, loop_base(s->loop), s->fd, EV_WRITE | EV_PERSIST, on_event, s);
	if (event_add(&s->read, &idle) < 0 || event_add(&s->write, NULL) < 0) {
		shut(s);
		return -ENOMEM;
	}
	return 0;
}

int stream_send(struct stream *s, const uint8_t *msg, size_t n)
{
	uint8_t len[2];
	int r = s->state == CLOSED ? start(s) : 0;

	if (r < 0)
		return r;
	if (s->out.len > OUT_MAX)
		return -ENOBUFS;
	put16(len, (unsigned)n);
	str_add(&s->out, len, 2);
	str_add(&s->out, msg, n);
	if (str_err(&s->out))
		return -ENOMEM;
	return event_add(&s->write, NULL) < 0 ? -ENOMEM : 0;
}

int stream_new(struct stream **ret, struct loop *l, const struct net_endpoint *to,
    struct tls_context *tls, const char *name, const struct stream_ops *ops, void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->to = *to;
	s->context = tls;
	s->name = name;
	s->ops = ops;
	s->arg = arg;
	s->fd = -1;
	*ret = s;
	return 0;
}

struct stream *stream_free(struct stream *s)
{
	if (!s)
		return NULL;
	shut(s);
	str_deinit(&s->out);
	free(s);
	return NULL;
}
