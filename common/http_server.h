/*
 * The HTTP/1.1 server: one per loop; the servers of several workers may share listening
 * descriptors.  What a handler may do is in http_req.h and http_reply.h.
 *
 * A server belongs to its loop's thread.  It must be freed before the loop.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/http.h"
#include "common/http_reply.h"
#include "common/http_req.h"
#include "common/http_route.h"
#include "common/tls.h"

struct http_listener;
struct http_server;
struct loop;

/* All limits on clients.  Zero means the default in brackets; ~0 where a number is to
 * be as good as unlimited. */
struct http_options {
	/* Server header [none] */
	const char *server;
	/* A request's head [16 KiB, at most 48 KiB], and the target in it [8 KiB] */
	size_t head_bytes, target_bytes;
	/* All in all; beyond, accepting waits [4096] */
	unsigned connections;
	/* Of one client address; beyond, refused with 503 [unlimited] */
	unsigned per_address;
	/* Requests on one connection [100000] */
	unsigned requests;
	/* To a complete head, from the accept, from the handshake's end, or from the first
	 * byte on a kept connection [10 s]; a handshake has as long */
	unsigned head_ms;
	/* A kept connection without a request [75 s] */
	unsigned idle_ms;
	/* A body or a reply must move progress_bytes within progress_ms, where the client
	 * is the one that is waited for [1 byte, 60 s] */
	unsigned progress_ms;
	uint64_t progress_bytes;
	/* Of a body that nobody wants, read and dropped rather than closing [1 MiB] */
	uint64_t drop_bytes;
	/* How long a client may go on sending after its last reply [5 s] */
	unsigned linger_ms;
};

/* One line of an access log; the strings are gone after the call. */
struct http_log {
	const struct http_req
	    *req; /* for headers and the peer; NULL when the head was bad */
	const char *method, *target; /* "-" when the head was bad */
	unsigned minor;
	struct net_ip peer;
	uint16_t port;
	int status;              /* 0: none was sent */
	size_t head;             /* bytes of the request's head; 0 when it was bad */
	uint64_t received, sent; /* bytes of the bodies */
	uint64_t duration_us;    /* from the head's last byte */
	enum http_end end;
	const char *why; /* the reason beside end, or NULL */
};

/* A connection on which TLS failed before the first request; the string is gone after the
 * call. */
struct http_refusal {
	struct net_ip peer;
	enum tls_fault fault;
	const char *why; /* the library's words: "tlsv1 alert unknown ca" */
	unsigned untold; /* how many there were since the last that was told of */
};
enum { HTTP_REFUSAL_MAX = 256 };
/* A sentence of it for the log, without remedy, in buf. */
const char *http_refusal_text(const struct http_refusal *f, char buf[HTTP_REFUSAL_MAX]);

/* What answers on a listener. */
struct http_service {
	/*
	 * The head is complete.  Returns 0 when the request was replied to, its body
	 * was accepted, or a reply will come later; a status (400-599) to answer with a
	 * plain error body; or -errno, which becomes 500 (503 for -EMFILE, -ENFILE,
	 * -ENOMEM).
	 */
	int (*request)(struct http_req *r, void *arg);
	/* Once per request, when it ends; may be NULL. */
	void (*log)(const struct http_log *l, void *arg);
	void *arg;
	/* TLS failed, for a line in the log: at most once a minute for one address and ten
	 * times a minute in all, whatever clients do.  May be NULL. */
	void (*refused)(const struct http_refusal *f, void *arg);
};

/* Counters, all from the start; the gauges are named so. */
struct http_stats {
	uint64_t accepted, refused, requests, bad_requests, timeouts;
	uint64_t received, sent; /* bytes of bodies */
	uint64_t by_class[6];    /* replies by the first digit of their status */
	uint64_t tls_handshakes, tls_failures;
	uint64_t accept_pauses; /* times the process was out of descriptors */
	unsigned connections;   /* gauge */
	unsigned active;        /* gauge: requests that have not ended */
};

/* options may be NULL.  SIGPIPE is ignored in the process from then on, for sendfile()
 * and OpenSSL cannot be told not to raise it. */
int http_server_new(struct http_server **ret, struct loop *l,
    const struct http_options *options) _mustcheck_;
/* Closes every connection at once; requests end with HTTP_END_SERVER. */
struct http_server *http_server_free(struct http_server *s);
DEFINE_FREEP(http_server)

/*
 * Serves a bound, listening, non-blocking socket, TCP or Unix.  fd stays the caller's,
 * and so do service and tls (NULL: plain), which must live until the listener is freed
 * and its connections are gone, that is until the server is freed or drained.
 * TCP_NODELAY and SO_KEEPALIVE are set on it; accepted sockets inherit them.
 */
int http_server_listen(struct http_listener **ret, struct http_server *s, int fd,
    const struct http_service *service, struct tls_context *tls) _mustcheck_;
/* New connections get this context; those that are there keep theirs, which the caller
 * may free at once. */
void http_listener_set_tls(struct http_listener *l, struct tls_context *tls);
/* Stops accepting here; connections live on.  Freeing the server frees it too. */
struct http_listener *http_listener_free(struct http_listener *l);

/*
 * Stops accepting, closes what is idle, lets running requests finish (their replies say
 * "Connection: close"), and cuts what is left after timeout_ms.  A connection that has asked
 * for nothing yet has a second for its first request, which may be on its way.  done, which
 * may be NULL, is called once from the loop when no connection is left; it may free the server.
 */
void http_server_drain(
    struct http_server *s, unsigned timeout_ms, void (*done)(void *arg), void *arg);

const struct http_stats *http_server_stats(const struct http_server *s);
/* New limits for new connections and requests. */
void http_server_set_options(struct http_server *s, const struct http_options *options);
