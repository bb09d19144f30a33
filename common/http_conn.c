/*
 * A connection's life, and its input.
 *
 *   HANDSHAKE   TLS only.
 *   HEAD        waiting for a request, or holding a part of its head.
 *   BODY        the handler accepted a body and is given it piece by piece.
 *   WAIT        the handler has the request and has not replied.
 *   SEND        a reply is on its way; the client's further input is left alone.
 *   DROP        replied, but the rest of the request's body is still to come: it is
 *               read and dropped, up to a bound.
 *   LINGER      the last reply was sent and the sending side closed.  Input is dropped
 *               until the client closes too, because a close() with unread input resets
 *               the connection and can take the reply from the client (RFC 9112, 9.6).
 *   DEAD        closed; the memory goes at the end of the loop's turn.
 *
 *   HANDSHAKE -> HEAD -> BODY -> WAIT -> SEND -> HEAD ...
 *                  \-----\________/       \-> DROP -> HEAD
 *                                          \-> LINGER -> DEAD
 *
 * A reply may come at any point from HEAD's handler call on; where the client reads
 * fast enough it is sent at once, so that SEND is passed within the call.
 *
 * Input is read into one buffer of the server, and what is not used there is copied to
 * the connection until more comes.  So an idle connection holds no buffer at all.
 * conn_process() takes the input apart in a loop over the states; it runs from the
 * event loop only, never from inside a callback, which is what lets handlers reply,
 * pause, abort and answer other connections as they like.  After every callback the
 * loop looks again at what became of the connection.
 *
 * The read event is registered once.  In states that do not read (WAIT, SEND, a paused
 * body) it stays so until the client sends something; only then it is taken out
 * ("muted"), and in WAIT replaced by a watch for the client's close.  A client that closes
 * its sending side while a handler thinks counts as gone; one that does so behind a
 * request that can be answered at once gets its answer.
 */
#include "common/http_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/http_path.h"
#include "common/tls.h"

static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);

static void conn_free(struct deferred *d)
{
	struct http_conn *c = CONTAINER_OF(d, struct http_conn, deferred);

	free(c->in);
	free(c->out);
	free(c);
}

static int conn_identify(struct http_conn *c, const struct sockaddr *sa)
{
	socklen_t n = sizeof(c->cred);

	c->is_unix = sa->sa_family == AF_UNIX;
	if (!c->is_unix) {
		c->peer.ip = net_ip_from_sa(sa, &c->peer.port);
		return 0;
	}
	return getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &c->cred, &n) < 0 ? -errno
									    : 0;
}

int conn_new(struct http_listener *l, int fd, const struct sockaddr *sa,
    struct http_address *address)
{
	struct event_base *base = loop_base(l->server->loop);
	struct http_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->deferred.free = conn_free;
	c->server = l->server;
	c->service = l->service;
	c->fd = fd;
	c->timer = TIMER_NONE;
	list_init(&c->timed);
	list_init(&c->ready);
	event_assign(&c->rd, base, fd, EV_READ | EV_PERSIST, on_read, c);
	event_assign(&c->wr, base, fd, EV_WRITE | EV_PERSIST, on_write, c);
	if (conn_identify(c, sa) < 0 ||
	    (l->tls && tls_accept(&c->tls, l->tls, fd) < 0) ||
	    event_add(&c->rd, NULL) < 0) {
		tls_free(c->tls);
		free(c);
		return -ENOMEM;
	}
	c->state = c->tls ? CONN_HANDSHAKE : CONN_HEAD;
	c->address = address;
	c->server->stats.connections++;
	server_timer(c, TIMER_HEAD);
	return 0;
}

void conn_close(struct http_conn *c, enum http_end end, const char *why)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (c->state == CONN_DEAD)
		return;
	/* Where the close is the only mark of a body's end, a cut one must look
	 * different. */
	if (c->req && c->req->until_close && end != HTTP_END_DONE)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	else if (c->tls && c->state != CONN_HANDSHAKE &&
	    (!c->req || end == HTTP_END_DONE))
		tls_shutdown(c->tls);
	c->state = CONN_DEAD;
	event_del(&c->rd);
	event_del(&c->wr);
	list_remove(&c->timed);
	list_remove(&c->ready);
	if (c->req)
		req_end(c->req, end, why);
	c->tls = tls_free(c->tls);
	c->fd = fd_close(c->fd);
	if (c->address)
		address_put(c->server, c->address);
	server_conn_closed(c);
	loop_defer_free(c->server->loop, &c->deferred);
}

/* The end of the connection after its last reply. */
static void conn_finish(struct http_conn *c, bool more_expected)
{
	int unread = 0;

	ioctl(c->fd, FIONREAD, &unread);
	if (!more_expected && !c->rest && !c->in_len && unread == 0) {
		conn_close(c, HTTP_END_DONE, NULL);
		return;
	}
	if (c->tls)
		tls_shutdown(c->tls);
	shutdown(c->fd, SHUT_WR);
	c->state = CONN_LINGER;
	c->body_left = c->server->opt.drop_bytes;
	server_timer(c, TIMER_LINGER);
}

/* Keeps input for later. */
static bool conn_save_in(struct http_conn *c, const char *p, size_t n)
{
	char *copy = NULL;

	if (n) {
		copy = malloc(n);
		if (!copy) {
			conn_close(c, HTTP_END_ABORT, "out of memory");
			return false;
		}
		memcpy(copy, p, n);
	}
	free(c->in);
	c->in = copy;
	c->in_len = (uint32_t)n;
	return true;
}

/* Heads */

static void conn_dispatch(struct http_conn *c, struct http_req *r)
{
	int result;

	c->body_chunked = r->head.chunked;
	c->body_left = r->head.content_length;
	c->body_done = !r->head.chunked && !r->head.content_length;
	memset(&c->chunks, 0, sizeof(c->chunks));
	c->state = CONN_WAIT;
	result = c->service->request(r, c->service->arg);
	if (c->req == r && result)
		http_reply_result(r, result);
	if (c->req != r)
		return;
	if (req_keep(r) < 0) {
		conn_close(c, HTTP_END_ABORT, "out of memory");
		return;
	}
	/* A reply whose source or pace makes it wait is the handler's doing as well. */
	if (c->state == CONN_WAIT || r->waiting)
		server_timer(c, TIMER_NONE);
	else if (c->state == CONN_BODY)
		server_timer(c, TIMER_PROGRESS);
}

static int head_path(struct http_conn *c, struct http_req *r)
{
	struct http_server *s = c->server;
	ssize_t n;

	r->path = s->path;
	if (r->head.target[0] == '*') {
		memcpy(s->path, "*", 2);
		r->path_n = 1;
		return 0;
	}
	n = http_path_decode(
	    r->head.target, s->path, s->opt.target_bytes + 2, &r->query);
	if (n < 0)
		return 400;
	r->path_n = (size_t)n;
	return 0;
}

/* A request whose head ends at n, or cannot (status says why): returns what it used. */
static size_t conn_head(struct http_conn *c, char *p, size_t n, int status)
{
	struct http_server *s = c->server;
	struct http_req *r = req_new(c);

	if (!r) {
		conn_close(c, HTTP_END_ABORT, "out of memory");
		return n;
	}
	c->requests++;
	r->base = p;
	r->base_n = n;
	if (!status)
		status = http_head_parse(&r->head, p, n, s->opt.target_bytes);
	if (!status)
		status = head_path(c, r);
	if (status) {
		s->stats.bad_requests++;
		reply_refuse(r, status);
		/* What could not be sent at once must not look at the buffer any more.
		 */
		if (c->req == r) {
			r->base = NULL;
			r->base_n = 0;
		}
		return n;
	}
	r->close = !r->head.keep_alive || c->requests >= s->opt.requests || s->draining;
	conn_dispatch(c, r);
	return n;
}

static size_t head_step(struct http_conn *c, char *p, size_t n)
{
	const struct http_options *o = &c->server->opt;
	size_t scanned = c->scanned;
	ssize_t len;

	len = http_head_find(p, MIN(n, o->head_bytes), &scanned);
	c->scanned = 0;
	if (len == -EAGAIN) {
		if (n >= o->head_bytes)
			return conn_head(
			    c, p, n, memchr(p, '\n', o->head_bytes) ? 431 : 414);
		c->scanned = (uint32_t)scanned;
		return 0;
	}
	if (len < 0)
		return conn_head(c, p, n, 400);
	c->rest = n > (size_t)len;
	return conn_head(c, p, (size_t)len, 0);
}

/* Bodies */

static void body_deliver(struct http_conn *c, const void *p, size_t n)
{
	struct http_req *r = c->req;
	int result;

	r->received += n;
	c->server->stats.received += n;
	if (r->received > r->body_max)
		result = 413;
	else
		result = r->sink.data(r, r->sink_arg, p, n);
	if (result && c->req == r)
		http_reply_result(r, result);
}

static void body_end(struct http_conn *c)
{
	struct http_req *r = c->req;
	int result;

	c->body_done = true;
	c->state = CONN_WAIT;
	server_timer(c, TIMER_NONE);
	r->body_on = false;
	result = r->sink.end(r, r->sink_arg);
	if (result && c->req == r)
		http_reply_result(r, result);
}

static void body_bad(struct http_conn *c)
{
	struct http_req *r = c->req;

	c->server->stats.bad_requests++;
	r->body_on = false;
	if (r->sink.abort)
		r->sink.abort(r, r->sink_arg);
	if (c->req == r)
		reply_refuse(r, 400);
}

static size_t body_step(struct http_conn *c, const char *p, size_t n)
{
	const char *in = p, *data = NULL;
	size_t len = 0;

	if (c->req->paused)
		return 0;
	if (!c->body_chunked) {
		len = (size_t)MIN((uint64_t)n, c->body_left);
		c->body_left -= len;
		body_deliver(c, p, len);
		/* The end waits for resume() as the data does: see conn_process(). */
		return len;
	}
	switch (http_chunked_next(&c->chunks, &in, p + n, &data, &len)) {
	case HTTP_CHUNK_DATA:
		body_deliver(c, data, len);
		break;
	case HTTP_CHUNK_END:
		body_end(c);
		break;
	case HTTP_CHUNK_BAD:
		body_bad(c);
		break;
	case HTTP_CHUNK_MORE:
		break;
	}
	return (size_t)(in - p);
}

/* The body of a request that has been answered; the bound is in the chunk decoder's
 * stead, for a length is known to be within it. */
static size_t drop_step(struct http_conn *c, const char *p, size_t n)
{
	const char *in = p, *data;
	enum http_chunk k;
	size_t len;

	if (!c->body_chunked) {
		len = (size_t)MIN((uint64_t)n, c->body_left);
		c->body_left -= len;
		c->body_done = c->body_left == 0;
	} else {
		do {
			k = http_chunked_next(&c->chunks, &in, p + n, &data, &len);
		} while (k == HTTP_CHUNK_DATA);
		len = (size_t)(in - p);
		c->body_done = k == HTTP_CHUNK_END;
		if (k == HTTP_CHUNK_BAD || c->body_left < len) {
			conn_finish(c, true);
			return n;
		}
		c->body_left -= len;
	}
	if (c->body_done) {
		c->state = CONN_HEAD;
		server_timer(c, TIMER_IDLE);
	}
	return len;
}

static size_t linger_step(struct http_conn *c, size_t n)
{
	if (n > c->body_left)
		conn_close(c, HTTP_END_DONE, NULL);
	else
		c->body_left -= n;
	return n;
}

static size_t step(struct http_conn *c, char *p, size_t n)
{
	switch (c->state) {
	case CONN_HEAD:
		return head_step(c, p, n);
	case CONN_BODY:
		return body_step(c, p, n);
	case CONN_DROP:
		return drop_step(c, p, n);
	case CONN_LINGER:
		return linger_step(c, n);
	}
	return 0;
}

/* A body of known length whose bytes are all there ends without further input. */
static void body_settle(struct http_conn *c)
{
	if (c->state == CONN_BODY && !c->req->paused && !c->body_chunked &&
	    !c->body_left)
		body_end(c);
}

/* Takes the input apart as far as the states let it, and keeps the rest. */
static void conn_process(struct http_conn *c, char *p, size_t n)
{
	size_t used;

	c->processing = true;
	do {
		body_settle(c);
		used = n ? step(c, p, n) : 0;
		p += used;
		n -= used;
	} while (used && n);
	body_settle(c);
	c->processing = false;
	c->rest = false;
	if (c->state == CONN_DEAD || !conn_save_in(c, p, n))
		return;
	if (c->state == CONN_HEAD && n && c->timer != TIMER_HEAD)
		server_timer(c, TIMER_HEAD);
}

/* Input and events */

/*
 * What TLS has: of a body as many records as there are, since what is written to a file
 * record by record costs its writer a call for each 16 KiB.
 */
static ssize_t conn_recv_tls(struct http_conn *c, char *p, size_t n, bool *more)
{
	size_t got = 0;
	ssize_t r;

	do {
		r = tls_read(c->tls, p + got, n - got);
		if (r > 0)
			got += (size_t)r;
	} while (r > 0 && got < n && c->state == CONN_BODY);
	if (tls_wants_write(c->tls))
		conn_want_write(c, true);
	*more = r > 0 ? tls_pending(c->tls) : r != -EAGAIN;
	return got ? (ssize_t)got : r;
}

/* Sets more if reading again is worth it: bytes, an end or an error wait to be heard. */
static ssize_t conn_recv(struct http_conn *c, char *p, size_t n, bool *more)
{
	ssize_t r;

	if (c->tls)
		return conn_recv_tls(c, p, n, more);
	do {
		r = recv(c->fd, p, n, 0);
	} while (r < 0 && errno == EINTR);
	*more = r == (ssize_t)n;
	return r < 0 ? -errno : r;
}

static void conn_eof(struct http_conn *c, ssize_t r)
{
	/* Some clients look at the certificate after the handshake. */
	if (r == -EPROTO && c->tls && !c->requests)
		server_refused(c);
	if (r == 0 && c->state == CONN_LINGER)
		conn_close(c, HTTP_END_DONE, NULL);
	else
		conn_close(c, HTTP_END_CLIENT,
		    r == 0             ? "client closed"
			: r == -EPROTO ? "TLS protocol error"
				       : "connection reset by client");
}

static bool conn_reads(const struct http_conn *c)
{
	switch (c->state) {
	case CONN_HEAD:
	case CONN_DROP:
	case CONN_LINGER:
		return true;
	case CONN_BODY:
		return !c->req->paused;
	}
	return false;
}

/*
 * How much to read, beside the c->in_len bytes that wait.  What is not a body's is kept
 * as long as its request is answered, for each connection, hence little of it.
 */
static size_t conn_room(const struct http_conn *c)
{
	size_t have = c->in_len, most = have < IN_SIZE ? IN_SIZE : BODY_SIZE;

	if (c->state == CONN_BODY && c->body_chunked)
		most = CHUNKED_SIZE;
	else if (c->state == CONN_BODY)
		most =
		    (size_t)MIN((uint64_t)BODY_SIZE - IN_SIZE, c->body_left) + IN_SIZE;
	return most > have ? most - have : 0;
}

static void conn_read(struct http_conn *c)
{
	struct http_server *s = c->server;
	size_t total = 0;
	bool more = false;

	/* A few times, so that a fast upload need not go through epoll for each buffer.
	 */
	while (total < BODY_SIZE) {
		size_t have = c->in_len;
		size_t room = conn_room(c);
		ssize_t r;

		if (!room)
			return; /* what is there goes first: see conn_ready() */
		r = conn_recv(c, s->in + have, room, &more);
		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			conn_eof(c, r);
			return;
		}
		if (have)
			memcpy(s->in, c->in, have);
		c->moved += (uint64_t)r;
		total += (size_t)r;
		conn_process(c, s->in, have + (size_t)r);
		if (!conn_reads(c) || !more)
			return;
	}
	if (c->tls && more)
		server_kick(c);
}

void conn_ready(struct http_conn *c)
{
	struct http_server *s = c->server;
	size_t n = c->in_len;

	if (n) {
		memcpy(s->in, c->in, n);
		conn_process(c, s->in, n);
	} else {
		body_settle(c);
	}
	if (conn_reads(c) && c->tls && tls_pending(c->tls))
		conn_read(c);
}

static void conn_handshake(struct http_conn *c)
{
	int r = tls_handshake(c->tls);

	if (r == -EAGAIN) {
		conn_want_write(c, tls_wants_write(c->tls));
		return;
	}
	if (r < 0) {
		c->server->stats.tls_failures++;
		if (r == -EPROTO)
			server_refused(c);
		conn_close(c, HTTP_END_CLIENT, "TLS handshake failed");
		return;
	}
	c->server->stats.tls_handshakes++;
	conn_want_write(c, false);
	c->state = CONN_HEAD;
	server_timer(c, TIMER_HEAD);
	conn_read(c);
}

/* Only the client's close matters while a handler thinks. */
static void on_client_closed(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	if (c->state == CONN_WAIT || (c->state == CONN_SEND && c->req->waiting))
		conn_close(c, HTTP_END_CLIENT, "client closed");
	else
		event_del(&c->rd);
}

static void conn_mute(struct http_conn *c)
{
	struct event_base *base = loop_base(c->server->loop);

	event_del(&c->rd);
	c->muted = true;
	if (c->state != CONN_WAIT && !(c->state == CONN_SEND && c->req->waiting))
		return;
	event_assign(&c->rd, base, c->fd, EV_CLOSED | EV_PERSIST, on_client_closed, c);
	if (event_add(&c->rd, NULL) < 0)
		conn_close(c, HTTP_END_ABORT, "out of memory");
}

void conn_unmute(struct http_conn *c)
{
	struct event_base *base = loop_base(c->server->loop);

	if (!c->muted)
		return;
	event_del(&c->rd);
	c->muted = false;
	event_assign(&c->rd, base, c->fd, EV_READ | EV_PERSIST, on_read, c);
	if (event_add(&c->rd, NULL) < 0)
		conn_close(c, HTTP_END_ABORT, "out of memory");
}

/* Input in a state that does not read. */
static void conn_peek(struct http_conn *c)
{
	char b;
	ssize_t r = recv(c->fd, &b, 1, MSG_PEEK);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r < 0)
		conn_close(c, HTTP_END_CLIENT, "connection reset by client");
	else if (r == 0 &&
	    (c->state == CONN_WAIT || (c->state == CONN_SEND && c->req->waiting)))
		conn_close(c, HTTP_END_CLIENT, "client closed");
	else
		conn_mute(c);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	if (c->state == CONN_HANDSHAKE)
		conn_handshake(c);
	else if (conn_reads(c))
		conn_read(c);
	else if (c->state == CONN_SEND && c->out_len && c->tls &&
	    !tls_wants_write(c->tls))
		conn_pump(c);
	else
		conn_peek(c);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	if (c->state == CONN_HANDSHAKE) {
		conn_handshake(c);
	} else if (c->req && (c->req->status || c->out_len)) {
		conn_pump(c);
	} else {
		conn_want_write(c, false);
		if (conn_reads(c))
			conn_read(c);
	}
}

/* After the reply */

void conn_reply_done(struct http_conn *c)
{
	struct http_req *r = c->req;
	bool close = r->close;

	conn_want_write(c, false);
	req_end(r, HTTP_END_DONE, NULL);
	if (c->state == CONN_DEAD)
		return;
	if (close) {
		conn_finish(c, !c->body_done);
	} else if (!c->body_done) {
		c->state = CONN_DROP;
		if (c->body_chunked)
			c->body_left = c->server->opt.drop_bytes;
		server_timer(c, TIMER_PROGRESS);
	} else {
		c->state = CONN_HEAD;
		server_timer(c, TIMER_IDLE);
	}
	if (c->processing || c->state == CONN_DEAD)
		return;
	conn_unmute(c);
	if (c->in_len || (c->tls && tls_pending(c->tls)))
		server_kick(c);
}

void conn_progress(struct http_conn *c)
{
	c->mark = c->moved;
	server_timer(c, TIMER_PROGRESS);
}

/* Whether it is the client that keeps things waiting. */
static bool conn_waits_for_client(const struct http_conn *c)
{
	switch (c->state) {
	case CONN_BODY:
		return !c->req->paused;
	case CONN_SEND:
		return c->wr_on;
	}
	return true;
}

/* The time-out that c is listed for has struck. */
void conn_tick(struct http_conn *c)
{
	switch (c->timer) {
	case TIMER_HEAD:
		c->server->stats.timeouts++;
		if (c->state == CONN_HEAD && c->in_len) {
			conn_head(c, c->in, 0, 408);
			break;
		}
		conn_close(c, HTTP_END_TIMEOUT, "no request in time");
		break;
	case TIMER_IDLE:
		conn_close(c, HTTP_END_TIMEOUT, "idle");
		break;
	case TIMER_LINGER:
		conn_close(c, HTTP_END_DONE, NULL);
		break;
	case TIMER_PROGRESS:
		if (!conn_waits_for_client(c) ||
		    c->moved - c->mark >= c->server->opt.progress_bytes) {
			conn_progress(c);
			break;
		}
		c->server->stats.timeouts++;
		conn_close(c, HTTP_END_TIMEOUT, "client too slow");
		break;
	}
}
