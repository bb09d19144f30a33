/*
 * What the files of the HTTP server share among themselves; nobody else includes it.
 * http_server.c listens and keeps time, http_conn.c reads, http_send.c writes,
 * http_req.c and http_reply.c are the handler's side.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/socket.h>

#include "common/base.h"
#include "common/htable.h"
#include "common/http_chunked.h"
#include "common/http_range.h"
#include "common/http_server.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/str.h"

enum {
	IN_SIZE = 64 * 1024,       /* bytes read at once */
	BODY_SIZE = 1024 * 1024,   /* of a body: a file that is written grows by that */
	CHUNKED_SIZE = 256 * 1024, /* of a chunked one: what follows it may be kept */
	OUT_SIZE = 64 * 1024,      /* a reply's head and what fits behind it */
	HEADERS_MAX = 16 * 1024,   /* of a reply */
	TYPE_MAX = 1024,           /* its Content-Type */
	PIECE = 32 * 1024,         /* what is sent at once by copying */
	BURST = 2 * 1024 *
	    1024, /* what one connection may send before others have a turn */
};

/* Where a connection is in its life; the essay is in http_conn.c. */
enum conn_state {
	CONN_HANDSHAKE,
	CONN_HEAD,
	CONN_BODY,
	CONN_WAIT,
	CONN_SEND,
	CONN_DROP,
	CONN_LINGER,
	CONN_DEAD,
};

/* What the clock watches a connection for: a list per time-out, oldest first. */
enum conn_timer {
	TIMER_HEAD,
	TIMER_IDLE,
	TIMER_PROGRESS,
	TIMER_LINGER,
	TIMERS,
	TIMER_NONE = TIMERS, /* the handler is waited for */
};

/* Connections of one client address, for the limit; in the server's table. */
struct http_address {
	struct hnode node;
	struct net_ip ip;
	unsigned n;
};

struct http_listener {
	struct list_link link;
	struct deferred deferred;
	struct http_server *server;
	const struct http_service *service;
	struct tls_context *tls;
	struct event ev;
	int fd;
	unsigned empty; /* turns without a connection since the last; Unix only */
	bool is_unix;
};

struct http_server {
	struct deferred deferred;
	struct loop *loop;
	struct http_options opt; /* no zeros */
	char *server_line;       /* "Server: x\r\n", or "" */
	struct http_stats stats;
	struct list_link listeners, timers[TIMERS + 1], ready;
	struct htable addresses;
	struct event tick, kick;
	uint64_t accept_at; /* ms: accepting pauses until then; 0: it does not */
	uint64_t drain_at;  /* ms: what is left is cut then */
	uint64_t silent_at; /* ms: and those that never asked, then */
	uint64_t tick_at;   /* when tick strikes; 0: not at all */
	bool accepting, draining, dead;
	void (*drained)(void *arg);
	void *drained_arg;
	struct http_req *spare; /* the last request's memory, for the next one */
	/* Who may be told of to refused(): by address, and all in all; NULL before the
	 * first. */
	struct ratelimit *told, *told_all;
	unsigned untold;
	int64_t date_s;
	char date[64]; /* "Date: ...\r\n" of that second */
	/*
	 * One buffer each way for all connections.  in belongs to conn_process(), which
	 * never runs inside itself; out is used between two callbacks only.
	 */
	char *in, *out, *path;
};

struct http_conn {
	struct deferred deferred;
	struct list_link timed, ready;
	struct event rd, wr;
	struct http_server *server;
	const struct http_service *service;
	struct tls *tls;
	struct http_req *req;
	struct http_address *address;
	char *in, *out; /* input not yet used, output not yet sent; NULL when none */
	uint32_t in_len, out_at, out_len;
	uint32_t scanned; /* of a partial head in in */
	uint32_t requests;
	uint64_t since;       /* ms, of the timer */
	uint64_t moved, mark; /* bytes both ways; when progress was last judged */
	uint64_t body_left;   /* of a body with a length; in CONN_DROP of the bound */
	struct http_chunked chunks;
	union {
		struct {
			struct net_ip ip;
			uint16_t port;
		} peer;
		struct ucred cred;
	};
	int fd;
	uint8_t state, timer;
	bool is_unix, body_chunked, body_done;
	bool processing, pumping; /* inside conn_process(), conn_pump() */
	bool muted;               /* rd is off, or watches for the close alone */
	bool wr_on;
	bool rest; /* there was input behind the last head */
};

/* Where a reply's body comes from. */
enum http_source {
	SOURCE_NONE, /* no reply yet */
	SOURCE_MEMORY,
	SOURCE_FILE,
	SOURCE_STREAM,
	SOURCE_END, /* nothing more to come */
};

struct http_req {
	struct http_conn *c;
	const char *base; /* the buffer that head points into */
	size_t base_n;
	char *keep; /* base and path, once the request outlives conn_process() */
	const char *path, *query;
	size_t path_n;
	struct http_sink sink;
	void *sink_arg;
	uint64_t body_max, received;
	struct str gathered;
	int (*gather_done)(struct http_req *r, void *arg, const char *body, size_t n);
	void *gather_arg;
	void (*on_end)(struct http_req *r, void *arg, enum http_end end);
	void *on_end_arg;
	uint64_t start_ns;
	bool bad; /* the head was refused */
	bool ended, body_on, paused, close;

	/* Reply */
	enum http_source source;
	int status;
	struct str headers;
	bool bare; /* the head is the handler's lines alone */
	struct http_flow flow;
	void *flow_arg;
	uint64_t sent;
	const char *mem;
	bool borrowed; /* mem is the caller's and must go out, or be copied, at once */
	uint64_t left; /* of memory, of the piece of the file, of an announced stream */
	void (*dispose)(void *owner);
	void *owner;
	int fd;
	unsigned file_flags;
	uint64_t offset;
	struct timespec mtime;
	struct http_parts *parts;
	ssize_t (*pull)(struct http_req *r, void *arg, char *buf, size_t n);
	void *pull_arg;
	bool chunked, until_close, resumed, waiting;

	struct http_head head; /* last: its array stays as it is */
};

/* The pieces of a multipart/byteranges body. */
struct http_parts {
	const char *type;
	uint64_t base, size; /* the file, or what counts as it */
	unsigned n, next;
	bool tail_sent;
	char boundary[24];
	char *type_copy;
	struct http_range ranges[];
};

/* http_server.c */
uint64_t server_now(struct http_server *s);
const char *server_date(struct http_server *s);
/* Puts c on the list of a time-out, as of this moment. */
void server_timer(struct http_conn *c, enum conn_timer t);
/* Has c processed from the loop: it has input that epoll will not tell of. */
void server_kick(struct http_conn *c);
void server_conn_closed(struct http_conn *c);
/* TLS failed before the first request. */
void server_refused(struct http_conn *c);
void address_put(struct http_server *s, struct http_address *a);

/* http_conn.c */
int conn_new(struct http_listener *l, int fd, const struct sockaddr *sa,
    struct http_address *address);
void conn_close(struct http_conn *c, enum http_end end, const char *why);
/* Input that is there already: a pipelined request, a body that was paused. */
void conn_ready(struct http_conn *c);
/* The reply has been sent: on to the next request, or to the end. */
void conn_reply_done(struct http_conn *c);
/* The client's time to get on with it begins: so far the handler held things up. */
void conn_progress(struct http_conn *c);
/* Reading goes on, if it was off. */
void conn_unmute(struct http_conn *c);
void conn_tick(struct http_conn *c);

/* http_send.c */
/* Writes what the socket takes and keeps the rest: false when c was closed. */
bool conn_put(struct http_conn *c, const void *p, size_t n, bool more);
/* Sends on with the reply as far as the socket and its source let it. */
void conn_pump(struct http_conn *c);
void conn_want_write(struct http_conn *c, bool on);
ssize_t conn_write(struct http_conn *c, const struct iovec *iov, int n, bool more);
int conn_save_out(struct http_conn *c, const struct iovec *iov, int n, size_t skip);

/* http_req.c */
struct http_req *req_new(struct http_conn *c);
/* Copies what points into the server's buffers: 0 or -ENOMEM. */
int req_keep(struct http_req *r);
void req_end(struct http_req *r, enum http_end end, const char *why);
void req_memory_free(struct http_req *r);

/* http_reply.c */
/* The answer to a request whose head or body is malformed; the connection ends. */
void reply_refuse(struct http_req *r, int status);
/* Whether a reply can begin; marks it as begun. */
bool reply_begin(struct http_req *r, int status);
void reply_head(struct http_req *r, const char *type, int64_t length);

/* http_static.c */
/* The head of the next part, or the tail, of a multipart body: 0 at the end. */
size_t parts_next(struct http_req *r, char *buf, size_t size);
struct http_parts *parts_free(struct http_parts *p);
