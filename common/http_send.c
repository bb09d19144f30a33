/*
 * Output.  A reply's head is written by http_reply.c; from there conn_pump() moves the
 * body from its source (memory, file, generator) into the socket until that is full,
 * the source has nothing yet, or others should have a turn.
 *
 * What a socket does not take of bytes that have no other home is copied to c->out and
 * goes first next time.  Over TLS everything but sendfile goes that way, because a
 * write must be repeated with the same bytes.
 */
#include "common/http_conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/tls.h"

/* Bytes taken, 0 when none can be taken now, or -errno. */
static ssize_t tls_writev(struct http_conn *c, const struct iovec *iov, int n)
{
	ssize_t total = 0, r = 0;

	for (int i = 0; i < n; i++) {
		for (size_t at = 0; at < iov[i].iov_len; at += (size_t)r) {
			r = tls_write(
			    c->tls, (char *)iov[i].iov_base + at, iov[i].iov_len - at);
			if (r < 0)
				return r == -EAGAIN ? total : r;
			total += r;
		}
	}
	return total;
}

ssize_t conn_write(struct http_conn *c, const struct iovec *iov, int n, bool more)
{
	struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	ssize_t r;

	if (c->tls) {
		r = tls_writev(c, iov, n);
	} else {
		do {
			r = sendmsg(c->fd, &m, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
		} while (r < 0 && errno == EINTR);
		if (r < 0)
			r = errno == EAGAIN ? 0 : -errno;
	}
	if (r > 0)
		c->moved += (uint64_t)r;
	return r;
}

/* Keeps what lies behind the first skip bytes; c->out is empty or is kept in front. */
int conn_save_out(struct http_conn *c, const struct iovec *iov, int n, size_t skip)
{
	size_t len = c->out_len, total = len;
	char *p;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	total -= skip;
	p = malloc(total);
	if (!p)
		return -ENOMEM;
	if (len)
		memcpy(p, c->out + c->out_at, len);
	for (int i = 0; i < n; i++) {
		size_t cut = MIN(skip, iov[i].iov_len);

		memcpy(p + len, (char *)iov[i].iov_base + cut, iov[i].iov_len - cut);
		len += iov[i].iov_len - cut;
		skip -= cut;
	}
	free(c->out);
	c->out = p;
	c->out_at = 0;
	c->out_len = (uint32_t)len;
	return 0;
}

void conn_want_write(struct http_conn *c, bool on)
{
	if (c->wr_on == on || c->state == CONN_DEAD)
		return;
	c->wr_on = on;
	if (!on) {
		event_del(&c->wr);
		return;
	}
	if (event_add(&c->wr, NULL) < 0) {
		conn_close(c, HTTP_END_ABORT, "out of memory");
		return;
	}
	if (c->state == CONN_SEND && c->timer != TIMER_PROGRESS)
		conn_progress(c);
}

bool conn_put(struct http_conn *c, const void *p, size_t n, bool more)
{
	struct iovec iov = { (void *)p, n };
	ssize_t r = c->out_len ? 0 : conn_write(c, &iov, 1, more);

	if (r < 0) {
		conn_close(c, HTTP_END_CLIENT, "connection reset by client");
		return false;
	}
	if ((size_t)r < n) {
		if (conn_save_out(c, &iov, 1, (size_t)r) < 0) {
			conn_close(c, HTTP_END_ABORT, "out of memory");
			return false;
		}
		conn_want_write(c, true);
	}
	return c->state != CONN_DEAD;
}

/* True when nothing is left in c->out. */
static bool conn_flush(struct http_conn *c)
{
	struct iovec iov = { c->out + c->out_at, c->out_len };
	ssize_t r = conn_write(c, &iov, 1, false);

	if (r < 0) {
		conn_close(c, HTTP_END_CLIENT, "connection reset by client");
		return false;
	}
	c->out_at += (uint32_t)r;
	c->out_len -= (uint32_t)r;
	if (c->out_len) {
		conn_want_write(c, true);
		return false;
	}
	free(c->out);
	c->out = NULL;
	return true;
}

/* Sources: each step is true when pump() may go on.  Else the step has seen to what
 * will wake the reply up again, or closed the connection. */

/* Counts n bytes of the body; the callback may end the request. */
static bool sent(struct http_req *r, size_t n)
{
	struct http_conn *c = r->c;

	r->sent += n;
	c->server->stats.sent += n;
	if (n && r->flow.progress)
		r->flow.progress(r, r->flow_arg, r->sent);
	return c->req == r;
}

static bool lost(struct http_conn *c, enum http_end end, const char *why)
{
	conn_close(c, end, why);
	return false;
}

static bool reset_by_client(struct http_conn *c)
{
	return lost(c, HTTP_END_CLIENT, "connection reset by client");
}

static bool blocked(struct http_conn *c)
{
	conn_want_write(c, true);
	return false;
}

static bool memory_step(struct http_conn *c, struct http_req *r, size_t want)
{
	size_t n = (size_t)MIN((uint64_t)want, r->left);
	struct iovec iov = { (void *)r->mem, n };
	ssize_t w;

	if (c->tls) {
		n = MIN(n, (size_t)PIECE);
		if (!conn_put(c, r->mem, n, false))
			return false;
		w = (ssize_t)n;
	} else {
		w = conn_write(c, &iov, 1, false);
		if (w < 0)
			return reset_by_client(c);
	}
	r->mem += w;
	r->left -= (uint64_t)w;
	return sent(r, (size_t)w) && ((size_t)w == n || blocked(c));
}

/* Whether the file is still what it was when the reply began. */
static bool file_same(struct http_req *r)
{
	struct stat st;

	return fstat(r->fd, &st) == 0 && st.st_mtim.tv_sec == r->mtime.tv_sec &&
	    st.st_mtim.tv_nsec == r->mtime.tv_nsec;
}

/* A multipart body's next part begins, or its tail goes out. */
static bool part_step(struct http_conn *c, struct http_req *r)
{
	char buf[512];
	size_t n = parts_next(r, buf, sizeof(buf));

	if (!n) {
		r->source = SOURCE_END;
		return true;
	}
	return conn_put(c, buf, n, r->left > 0) && sent(r, n);
}

/* Both return bytes, 0 when the socket is full (or the connection was closed), or
 * -errno: -EIO and -ENODATA for the file, the rest for the socket. */
static ssize_t file_copy(struct http_conn *c, struct http_req *r, size_t n)
{
	ssize_t got = pread(r->fd, c->server->out, n, (off_t)r->offset);

	if (got <= 0)
		return got < 0 ? -EIO : -ENODATA;
	return conn_put(c, c->server->out, (size_t)got, false) ? got : 0;
}

static ssize_t file_send(struct http_conn *c, struct http_req *r, size_t n)
{
	off_t at = (off_t)r->offset;
	ssize_t w;

	if (c->tls) {
		w = tls_sendfile(c->tls, r->fd, at, n);
	} else {
		do {
			w = sendfile(c->fd, r->fd, &at, n);
		} while (w < 0 && errno == EINTR);
		if (w < 0)
			w = -errno;
	}
	if (w == 0)
		return -ENODATA;
	if (w > 0)
		c->moved += (uint64_t)w;
	return w == -EAGAIN ? 0 : w;
}

static bool file_step(struct http_conn *c, struct http_req *r, size_t want)
{
	bool copies = c->tls && !tls_can_sendfile(c->tls);
	size_t n = (size_t)MIN((uint64_t)want, r->left);
	ssize_t w;

	if ((r->file_flags & HTTP_FILE_STABLE) && !file_same(r))
		return lost(c, HTTP_END_ABORT, "file changed while it was sent");
	if (copies)
		n = MIN(n, (size_t)PIECE);
	w = copies ? file_copy(c, r, n) : file_send(c, r, n);
	if (c->req != r)
		return false;
	if (w == -ENODATA)
		return lost(c, HTTP_END_ABORT, "file is shorter than announced");
	if (w == -EIO)
		return lost(c, HTTP_END_ABORT, "file cannot be read");
	if (w < 0)
		return reset_by_client(c);
	r->offset += (uint64_t)w;
	r->left -= (uint64_t)w;
	return sent(r, (size_t)w) && (w > 0 || copies || blocked(c));
}

/* Sends n bytes of a generated body at p, which has room for a chunk's frame around. */
enum { CHUNK_FRONT = 8, CHUNK_BACK = 7 }; /* "ffff\r\n" and "\r\n0\r\n\r\n" */

static bool stream_put(struct http_conn *c, struct http_req *r, char *p, size_t n)
{
	char size[CHUNK_FRONT + 1];
	size_t front = 0, back = 0;

	if (r->chunked && n) {
		front = (size_t)snprintf(size, sizeof(size), "%zx\r\n", n);
		memcpy(p - front, size, front);
		memcpy(p + n, "\r\n", back = 2);
	} else if (r->chunked) {
		memcpy(p, "0\r\n\r\n", back = 5);
	}
	return front + n + back == 0 || conn_put(c, p - front, front + n + back, false);
}

static bool stream_step(struct http_conn *c, struct http_req *r, size_t want)
{
	char buf[CHUNK_FRONT + 16 * 1024 + CHUNK_BACK], *p = buf + CHUNK_FRONT;
	size_t room = MIN(want, sizeof(buf) - CHUNK_FRONT - CHUNK_BACK);
	bool announced = !r->chunked && !r->until_close;
	ssize_t n;

	if (announced)
		room = (size_t)MIN((uint64_t)room, r->left);
	r->resumed = false;
	n = r->pull(r, r->pull_arg, p, room);
	if (c->req != r)
		return false;
	if (n == -EAGAIN) {
		if (r->resumed)
			return true;
		r->waiting = true;
		conn_want_write(c, false);
		return false;
	}
	if (n < 0 || (size_t)n > room)
		return lost(c, HTTP_END_ABORT, "source of the reply failed");
	if (n == 0 && announced)
		return lost(c, HTTP_END_ABORT, "source is shorter than announced");
	if (n == 0)
		r->source = SOURCE_END;
	if (announced)
		r->left -= (uint64_t)n;
	return stream_put(c, r, p, (size_t)n) && sent(r, (size_t)n);
}

/* How much may go next: the turn's budget, and the handler's pace. */
static size_t source_want(struct http_conn *c, struct http_req *r, size_t budget)
{
	size_t n = budget;

	if (!r->flow.pace)
		return n;
	do {
		r->resumed = false;
		n = r->flow.pace(r, r->flow_arg, budget);
		if (c->req != r)
			return 0;
	} while (n == 0 && r->resumed);
	if (n == 0) {
		r->waiting = true;
		conn_want_write(c, false);
	}
	return MIN(n, budget);
}

static bool source_step(struct http_conn *c, struct http_req *r, size_t budget)
{
	size_t want;

	if (r->parts && !r->left)
		return part_step(c, r);
	want = source_want(c, r, budget);
	if (!want)
		return false;
	switch (r->source) {
	case SOURCE_MEMORY:
		return memory_step(c, r, want);
	case SOURCE_FILE:
		return file_step(c, r, want);
	case SOURCE_STREAM:
		return stream_step(c, r, want);
	case SOURCE_NONE:
	case SOURCE_END:
		break;
	}
	return false;
}

static bool source_dry(const struct http_req *r)
{
	return r->source == SOURCE_END ||
	    !(r->left || r->parts || r->chunked || r->until_close);
}

static void pump(struct http_conn *c, struct http_req *r)
{
	uint64_t stop = r->sent + BURST;

	while (c->req == r) {
		if (c->out_len && !conn_flush(c))
			return;
		if (!r->status) { /* it was the 100 alone */
			conn_want_write(c, false);
			return;
		}
		if (source_dry(r)) {
			conn_reply_done(c);
			return;
		}
		if (r->sent >= stop) {
			conn_want_write(c, true);
			return;
		}
		if (!source_step(c, r, (size_t)(stop - r->sent)))
			return;
	}
}

void conn_pump(struct http_conn *c)
{
	if (c->pumping || !c->req)
		return;
	c->pumping = true;
	c->req->waiting = false;
	pump(c, c->req);
	c->pumping = false;
}
