/* A request's memory, its end, and what handlers may ask and do: see http_req.h. */
#include "common/http_req.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/http_conn.h"

/* Life */

struct http_req *req_new(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_req *r = TAKE(s->spare);
	struct str headers = STR_INIT;

	if (!r)
		r = malloc(sizeof(*r));
	else
		headers = r->headers;
	if (!r)
		return NULL;
	/* All but the array of headers, which is most of it. */
	memset(r, 0,
	    offsetof(struct http_req, head) + offsetof(struct http_head, headers));
	r->headers = headers;
	r->c = c;
	r->fd = -1;
	r->body_max = UINT64_MAX;
	if (c->service->log)
		r->start_ns = clock_boot_ns();
	c->req = r;
	s->stats.requests++;
	s->stats.active++;
	return r;
}

void req_memory_free(struct http_req *r)
{
	if (!r)
		return;
	str_deinit(&r->headers);
	free(r);
}

int req_keep(struct http_req *r)
{
	char *p;

	if (r->keep || !r->base)
		return 0;
	p = malloc(r->base_n + r->path_n + 1);
	if (!p)
		return -ENOMEM;
	memcpy(p, r->base, r->base_n);
	memcpy(p + r->base_n, r->path, r->path_n + 1);
	http_head_moved(&r->head, r->base, p);
	if (r->query)
		r->query = p + (r->query - r->base);
	r->base = p;
	r->path = p + r->base_n;
	r->keep = p;
	return 0;
}

static void req_log(struct http_req *r, enum http_end end, const char *why)
{
	struct http_conn *c = r->c;
	struct http_log l = {
		.req = r->bad ? NULL : r,
		.method = r->bad ? "-" : r->head.method_name,
		.target = r->bad ? "-" : r->head.target,
		.minor = r->head.minor,
		.status = r->status,
		.head = r->bad ? 0 : r->base_n,
		.received = r->received,
		.sent = r->sent,
		.duration_us = (clock_boot_ns() - r->start_ns) / 1000,
		.end = end,
		.why = why,
	};

	if (!c->is_unix) {
		l.peer = c->peer.ip;
		l.port = c->peer.port;
	}
	c->service->log(&l, c->service->arg);
}

/* Frees what the reply and the body hold. */
static void req_release(struct http_req *r)
{
	struct http_server *s = r->c->server;

	if (r->dispose)
		r->dispose(r->owner);
	if (!(r->file_flags & HTTP_FILE_KEEP_FD))
		fd_close(r->fd);
	r->parts = parts_free(r->parts);
	str_deinit(&r->gathered);
	free(r->keep);
	if (!s->spare && !s->dead && r->headers.cap <= HEADERS_MAX) {
		str_reset(&r->headers);
		s->spare = r;
		return;
	}
	req_memory_free(r);
}

void req_end(struct http_req *r, enum http_end end, const char *why)
{
	struct http_conn *c = r->c;

	/* From here the connection may close, and the server be freed, without a second end. */
	r->ended = true;
	c->req = NULL;
	if (r->body_on && !r->status && r->sink.abort)
		r->sink.abort(r, r->sink_arg);
	if (r->on_end)
		r->on_end(r, r->on_end_arg, end);
	if (c->service->log)
		req_log(r, end, why);
	if (r->status)
		c->server->stats.by_class[r->status / 100 % 6]++;
	c->server->stats.active--;
	req_release(r);
}

const char *http_end_text(enum http_end end)
{
	static const char *const text[] = {
		[HTTP_END_DONE] = "done",
		[HTTP_END_CLIENT] = "client went away",
		[HTTP_END_TIMEOUT] = "time-out",
		[HTTP_END_ABORT] = "aborted",
		[HTTP_END_SERVER] = "server stopped",
	};

	return text[end];
}

void http_req_on_end(struct http_req *r,
    void (*cb)(struct http_req *r, void *arg, enum http_end end), void *arg)
{
	r->on_end = cb;
	r->on_end_arg = arg;
}

void http_abort(struct http_req *r, const char *why)
{
	if (!r->ended)
		conn_close(r->c, HTTP_END_ABORT, why);
}

/* Questions */

const struct http_head *http_req_head(const struct http_req *r)
{
	return &r->head;
}

enum http_method http_req_method(const struct http_req *r)
{
	return r->head.method;
}

const char *http_req_path(const struct http_req *r)
{
	return r->path;
}

const char *http_req_query(const struct http_req *r)
{
	return r->query;
}

const char *http_req_header(const struct http_req *r, const char *name)
{
	return http_head_get(&r->head, name);
}

ssize_t http_req_param(
    const struct http_req *r, const char *name, char *out, size_t size)
{
	return http_query_get(r->query, name, out, size);
}

struct net_ip http_req_peer(const struct http_req *r, uint16_t *port)
{
	struct net_ip none = { 0 };
	bool is_unix = r->c->is_unix;

	if (port)
		*port = is_unix ? 0 : r->c->peer.port;
	return is_unix ? none : r->c->peer.ip;
}

struct net_ip http_req_local(const struct http_req *r, uint16_t *port)
{
	union net_sockaddr sa = { 0 };
	socklen_t n = sizeof(sa);

	getsockname(r->c->fd, &sa.sa, &n);
	return net_ip_from_sa(&sa.sa, port);
}

const struct ucred *http_req_peercred(const struct http_req *r)
{
	return r->c->is_unix ? &r->c->cred : NULL;
}

struct tls *http_req_tls(const struct http_req *r)
{
	return r->c->tls;
}

uint64_t http_req_received(const struct http_req *r)
{
	return r->received;
}

/* Bodies */

/* The client waits for this before it sends; without one it has sent already. */
static void send_continue(struct http_req *r)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (r->head.expect_continue && !r->c->rest && !r->c->in_len)
		conn_put(r->c, line, sizeof(line) - 1, false);
}

int http_req_body(
    struct http_req *r, const struct http_sink *sink, void *arg, uint64_t max)
{
	struct http_conn *c = r->c;

	if (c->state != CONN_WAIT || r->status || r->ended || r->sink.data)
		return -EINVAL;
	if (r->head.content_length > max)
		return 413;
	r->sink = *sink;
	r->sink_arg = arg;
	r->body_max = max;
	if (c->body_done)
		return sink->end(r, arg);
	r->body_on = true;
	c->state = CONN_BODY;
	send_continue(r);
	if (!c->processing && c->state == CONN_BODY) {
		server_timer(c, TIMER_PROGRESS);
		conn_unmute(c);
		server_kick(c);
	}
	return 0;
}

static int gather_data(struct http_req *r, void *arg, const void *p, size_t n)
{
	str_add(&r->gathered, p, n);
	return str_err(&r->gathered);
}

static int gather_end(struct http_req *r, void *arg)
{
	return r->gather_done(r, r->gather_arg, str_get(&r->gathered), r->gathered.len);
}

int http_req_gather(struct http_req *r, size_t max,
    int (*done)(struct http_req *r, void *arg, const char *body, size_t n), void *arg)
{
	static const struct http_sink sink = { .data = gather_data, .end = gather_end };

	r->gather_done = done;
	r->gather_arg = arg;
	return http_req_body(r, &sink, NULL, max);
}

void http_req_pause(struct http_req *r)
{
	r->paused = true;
}

void http_req_resume(struct http_req *r)
{
	struct http_conn *c = r->c;

	if (!r->paused || r->ended)
		return;
	r->paused = false;
	if (c->state != CONN_BODY || c->processing)
		return;
	conn_progress(c);
	conn_unmute(c);
	server_kick(c);
}
