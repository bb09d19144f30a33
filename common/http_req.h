/*
 * A request as a handler sees it: head, peer, body.
 *
 * Life of a request: the server calls the handler once the head is complete.  From then
 * on the handler holds the request until it ends, and it ends exactly once:
 *
 *   - the handler returns a status (the server answers with an error body), or
 *   - a http_reply_*() call was made (at once, or later from any event of the same
 *     loop) and the reply has been sent, or
 *   - the client went away, a time-out or the drain's deadline struck, or http_abort().
 *
 * http_req_on_end() tells about it; after that callback the pointer is dangling.  All
 * strings that come from the request live as long as it does.  Everything runs on the
 * server's loop; a request is never touched from another thread.
 */
#pragma once

#include <sys/socket.h>

#include "common/base.h"
#include "common/http.h"
#include "common/net.h"

struct http_req;
struct str;
struct tls;

/* Head */
const struct http_head *http_req_head(const struct http_req *r);
enum http_method http_req_method(const struct http_req *r);
/* Decoded, "//" merged, dot segments removed; starts with "/".  "*" with OPTIONS *.  It
 * moves when the request outlives its handler: ask again then. */
const char *http_req_path(const struct http_req *r);
/* What follows the "?", as it came; NULL without one. */
const char *http_req_query(const struct http_req *r);
/* First header line of that name, or NULL. */
const char *http_req_header(const struct http_req *r, const char *name);
/* A parameter of the query; see http_query_get(). */
ssize_t http_req_param(
    const struct http_req *r, const char *name, char *out, size_t size) _mustcheck_;

/* Connection */
/* Who asks; family 0 on a Unix socket.  port may be NULL. */
struct net_ip http_req_peer(const struct http_req *r, uint16_t *port);
/* The address the client connected to; family 0 on a Unix socket. */
struct net_ip http_req_local(const struct http_req *r, uint16_t *port);
/* The caller's process on a Unix socket, NULL on TCP. */
const struct ucred *http_req_peercred(const struct http_req *r);
/* NULL when the connection is not encrypted. */
struct tls *http_req_tls(const struct http_req *r);

/* How a request ended. */
enum http_end {
	HTTP_END_DONE,    /* the whole reply was handed to the kernel */
	HTTP_END_CLIENT,  /* the client closed or reset the connection */
	HTTP_END_TIMEOUT, /* too slow */
	HTTP_END_ABORT,   /* http_abort(), or a source of the reply failed */
	HTTP_END_SERVER,  /* the server was freed or its drain's deadline struck */
};
const char *http_end_text(enum http_end end);

/*
 * Calls cb exactly once when the request ends, also when that happens inside the
 * handler or a reply call.  A second call replaces the first.  A handler that lets a
 * request wait must set it: it is how it learns that nobody waits any more.
 */
void http_req_on_end(struct http_req *r,
    void (*cb)(struct http_req *r, void *arg, enum http_end end), void *arg);
/* Ends the connection without (or in the middle of) the reply; why goes to the log. */
void http_abort(struct http_req *r, const char *why);

/*
 * Where a request body goes.  Each callback may reply, pause or abort.
 *
 * data and end return 0; or a status to refuse with, or -errno (500): then no callback
 * comes any more, and what remains of the body is read and dropped within bounds.
 * After a reply in the middle of the body nothing comes either.  abort comes instead of
 * end when the body stopped short, or was malformed; a reply is then impossible.
 */
struct http_sink {
	int (*data)(struct http_req *r, void *arg, const void *p, size_t n);
	int (*end)(struct http_req *r, void *arg);
	void (*abort)(struct http_req *r, void *arg); /* may be NULL */
};

/*
 * Accepts the request's body, once, in the handler or later; a client that waits for "100
 * Continue" gets it.  Bodies above max bytes are refused with 413, at once where the
 * length is announced: so the result is what the handler returns, or what is given to
 * http_reply_result() later.  Without a body, end is called at once.
 */
int http_req_body(struct http_req *r, const struct http_sink *sink, void *arg,
    uint64_t max) _mustcheck_;
/* Gathers a body of at most max bytes in memory; body lives until done returns, which
 * may reply, or return a status like a handler. */
int http_req_gather(struct http_req *r, size_t max,
    int (*done)(struct http_req *r, void *arg, const char *body, size_t n),
    void *arg) _mustcheck_;
/* Back-pressure: no data or end is called until resume; the kernel's buffers fill. */
void http_req_pause(struct http_req *r);
void http_req_resume(struct http_req *r);
/* Bytes of the body so far. */
uint64_t http_req_received(const struct http_req *r);
