/*
 * Moving bytes between the two ends of a session.
 *
 * Each direction reads into the worker's one buffer and sends from there; what the
 * other side does not take at once is copied aside, and nothing more is read until it
 * is gone.  A read that fills the buffer shows bulk: from then on bytes go through a
 * pipe by splice(2), without being copied, until reads become small again.
 *
 * FIN is passed on as FIN, one way, and a reset as a reset.  A reset overtakes bytes
 * that were sent before it; what the resetting side had sent is passed on first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "lbd/session.h"

enum {
	TURN_COST = 16,  /* what a session may use up before others have their turn */
	SPLICE_COST = 4, /* a read costs 1 */
	BULK_MIN = 32 * 1024,
	RESET_WAIT_MS = 5000, /* for bytes sent before a reset to be taken */
};

enum step {
	STEP_BLOCKED, /* until epoll tells more */
	STEP_MORE,    /* the budget is used up */
};

static struct engine *engine_of(const struct session *s)
{
	return s->es->e;
}

static enum side other(enum side side)
{
	return side == CLIENT ? SERVER : CLIENT;
}

void end_abort(struct end *e)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (e->fd < 0)
		return;
	(void)setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	e->fd = fd_close(e->fd);
}

static void drop_flow(struct session *s, struct flow *f)
{
	free(f->pending);
	f->pending = NULL;
	f->off = f->len = 0;
	if (f->pipe)
		pipes_give(&engine_of(s)->pipes, f->pipe);
	f->pipe = NULL;
}

void session_release_buffers(struct session *s)
{
	drop_flow(s, &s->flow[CLIENT]);
	drop_flow(s, &s->flow[SERVER]);
}

static void kill_flow(struct session *s, struct flow *f)
{
	drop_flow(s, f);
	f->dead = true;
}

static bool is_empty(const struct flow *f)
{
	return !f->len && !f->pipe;
}

/* Reading from a side has failed: it has reset the connection. */
static void on_read_error(struct session *s, enum side side)
{
	s->end[side].reset = true;
	s->flow[side].eof = true;
	if (!s->cause)
		s->cause = side == CLIENT ? 'C' : 'S';
}

/* Writing to a side has failed; what it may have sent before is still to be read. */
static void on_write_error(struct session *s, enum side side)
{
	s->end[side].reset = true;
	s->end[side].in = true;
	kill_flow(s, &s->flow[other(side)]);
	if (!s->cause)
		s->cause = side == CLIENT ? 'C' : 'S';
}

/* Bytes sent, 0 when the socket is full, -1 when the side is gone. */
static ssize_t send_some(struct session *s, enum side to, const char *p, size_t n)
{
	ssize_t sent = send(s->end[to].fd, p, n, MSG_NOSIGNAL);

	if (sent >= 0) {
		if ((size_t)sent < n)
			s->end[to].out = false;
		return sent;
	}
	if (errno == EAGAIN) {
		s->end[to].out = false;
		return 0;
	}
	if (errno == EINTR)
		return 0;
	on_write_error(s, to);
	return -1;
}

static void keep(struct session *s, struct flow *f, const char *p, size_t n)
{
	f->pending = malloc(n);
	if (!f->pending) {
		/* Bytes cannot be lost in the middle of a stream: both ends must see a
		 * break. */
		s->end[CLIENT].reset = s->end[SERVER].reset = true;
		kill_flow(s, &s->flow[CLIENT]);
		kill_flow(s, &s->flow[SERVER]);
		s->cause = s->cause ? s->cause : 'R';
		return;
	}
	memcpy(f->pending, p, n);
	f->off = 0;
	f->len = (uint32_t)n;
}

/* True when nothing is left aside. */
static bool flush(struct session *s, enum side from)
{
	struct flow *f = &s->flow[from];
	enum side to = other(from);
	ssize_t n;

	while (f->len && s->end[to].out) {
		n = send_some(s, to, f->pending + f->off, f->len);
		if (n < 0)
			return false;
		f->off += (uint32_t)n;
		f->len -= (uint32_t)n;
	}
	if (f->len)
		return false;
	free(f->pending);
	f->pending = NULL;
	return true;
}

/* Empties the pipe into the other side; true when it is empty. */
static bool flush_pipe(struct session *s, enum side from)
{
	struct flow *f = &s->flow[from];
	enum side to = other(from);

	while (f->pipe && f->pipe->len && s->end[to].out) {
		ssize_t n = splice(f->pipe->fd[0], NULL, s->end[to].fd, NULL,
		    f->pipe->len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n > 0) {
			f->pipe->len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			s->end[to].out = false;
		} else if (n == 0 || errno != EINTR) {
			on_write_error(s, to);
			return false;
		}
	}
	if (f->pipe && f->pipe->len)
		return false;
	if (f->pipe)
		pipes_give(&engine_of(s)->pipes, f->pipe);
	f->pipe = NULL;
	return true;
}

/* A read of n bytes, or -1 with errno. */
static void after_read(struct session *s, enum side from, ssize_t n)
{
	struct flow *f = &s->flow[from];

	if (n > 0) {
		f->bytes += (uint64_t)n;
		s->last = engine_of(s)->now_ms;
	} else if (n == 0) {
		f->eof = true;
	} else if (errno == EAGAIN) {
		s->end[from].in = false;
	} else if (errno != EINTR) {
		on_read_error(s, from);
	}
}

static void move_copied(struct session *s, enum side from)
{
	struct engine *e = engine_of(s);
	struct flow *f = &s->flow[from];
	struct end *src = &s->end[from];
	ssize_t n = recv(src->fd, e->buffer, ENGINE_BUFFER, 0), sent;

	after_read(s, from, n);
	if (n <= 0)
		return;
	if (n < ENGINE_BUFFER && !src->error && !src->urgent) {
		/* A short read took all there was; with a hang-up that is the end. */
		src->in = false;
		f->eof = src->hangup;
	}
	f->bulk = n == ENGINE_BUFFER && !src->urgent;
	sent = send_some(s, other(from), e->buffer, (size_t)n);
	if (sent >= 0 && sent < n)
		keep(s, f, e->buffer + sent, (size_t)(n - sent));
}

/* False when there is no pipe to be had, or a read must tell what there is. */
static bool move_spliced(struct session *s, enum side from)
{
	struct flow *f = &s->flow[from];
	ssize_t n;

	if (s->end[from].urgent) {
		f->bulk = false;
		return false;
	}
	f->pipe = pipes_take(&engine_of(s)->pipes);
	if (!f->pipe)
		return false;
	n = splice(s->end[from].fd, NULL, f->pipe->fd[1], NULL, PIPE_BYTES,
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		f->pipe->len = (size_t)n;
	/* This socket cannot be spliced; or it is at its end, or at urgent data. */
	if (n == 0 || (n < 0 && errno == EINVAL)) {
		f->bulk = false;
		(void)flush_pipe(s, from);
		return false;
	}
	f->bulk = n < 0 || n >= BULK_MIN;
	after_read(s, from, n);
	(void)flush_pipe(s, from);
	return true;
}

/* Tells the other side that this one has no more to say. */
static void pass_eof(struct session *s, enum side from)
{
	struct flow *f = &s->flow[from], *back = &s->flow[other(from)];

	if (s->end[from].reset || s->end[other(from)].reset)
		return;
	f->shut = true;
	/* When both ways are at their end, closing says it. */
	if (back->shut)
		return;
	(void)shutdown(s->end[other(from)].fd, SHUT_WR);
	if (!s->lingering)
		session_rearm(s); /* the limits of a half-open connection are others */
}

static enum step pump(struct session *s, enum side from)
{
	struct flow *f = &s->flow[from];

	for (int cost = 0; cost < TURN_COST; cost += f->bulk ? SPLICE_COST : 1) {
		if (f->dead || f->shut)
			return STEP_BLOCKED;
		if (!is_empty(f) && !(flush(s, from) && flush_pipe(s, from)))
			return STEP_BLOCKED;
		if (f->eof) {
			pass_eof(s, from);
			return STEP_BLOCKED;
		}
		if (!s->end[from].in || !s->end[other(from)].out)
			return STEP_BLOCKED;
		if (!f->bulk || !move_spliced(s, from))
			move_copied(s, from);
	}
	return STEP_MORE;
}

/* One side is gone: once what it sent has been passed on, the other is reset too. */
static bool pass_reset(struct session *s, enum side side)
{
	struct flow *f = &s->flow[side];
	struct end *to = &s->end[other(side)];

	if (!s->end[side].reset)
		return false;
	if (!f->dead && !(f->eof && is_empty(f)) && !to->reset)
		return false;
	end_abort(to);
	session_close(s, s->cause, 'D');
	return true;
}

/* A reset is found by reading; where nothing is read any more, or what is read could not
 * be passed on, the event alone tells of it. */
static void notice_errors(struct session *s)
{
	for (enum side side = CLIENT; side <= SERVER; side++) {
		const struct end *end = &s->end[side];
		const struct flow *f = &s->flow[side];

		if (end->error && !end->reset &&
		    (f->shut || f->dead || !s->end[other(side)].out))
			on_read_error(s, side);
	}
}

static bool can_drain(const struct session *s, enum side side)
{
	return s->end[side].reset && s->end[side].in && s->end[other(side)].out;
}

void session_forward(struct session *s)
{
	enum step up = pump(s, CLIENT), down = pump(s, SERVER);

	notice_errors(s);
	if (s->flow[CLIENT].shut && s->flow[SERVER].shut) {
		session_close(s, s->cause ? s->cause : '-', s->cause ? 'D' : '-');
		return;
	}
	if (s->end[CLIENT].reset || s->end[SERVER].reset) {
		if (pass_reset(s, CLIENT) || pass_reset(s, SERVER))
			return;
		if (can_drain(s, CLIENT) || can_drain(s, SERVER))
			up = STEP_MORE;
		if (!s->lingering) {
			s->lingering = true;
			wheel_set(&engine_of(s)->wheel, &s->timer,
			    engine_of(s)->now_ms + RESET_WAIT_MS);
		}
	}
	if (up == STEP_MORE || down == STEP_MORE) {
		list_remove(&s->ready);
		list_append(&engine_of(s)->ready, &s->ready);
	}
}
