/*
 * One client's connection from accept to close.
 *
 *   PROXY    a header of the PROXY protocol is awaited
 *   QUEUE    every server that could serve it has as many connections as it may have
 *   CONNECT  a connection to a server is under way
 *   RETRY    all of them refused; one is tried again after a pause
 *   OPEN     bytes go both ways
 *   CLOSED   waits for the end of the turn to be freed
 */
#pragma once

#include "common/list.h"
#include "lbd/server.h"

enum side { CLIENT, SERVER };

enum session_state {
	SESSION_PROXY,
	SESSION_QUEUE,
	SESSION_CONNECT,
	SESSION_RETRY,
	SESSION_OPEN,
	SESSION_CLOSED,
};

enum { SESSION_TRIED_MAX = 8 };

/* One socket, and what epoll has told of it that was not used up yet. */
struct end {
	int fd;
	bool in, out;
	bool hangup; /* the peer will send no more than what is there */
	bool error;
	bool reset;  /* the peer has reset the connection */
	bool urgent; /* there is urgent data, at which a read ends early */
};

/* The bytes that came from one side. */
struct flow {
	uint64_t bytes;
	struct pipe *pipe; /* holds spliced bytes; NULL while there are none */
	char *pending;     /* read, and not yet taken by the other side */
	uint32_t off, len;
	bool eof;  /* the last byte has been read */
	bool shut; /* and the other side knows */
	bool dead; /* no byte will pass any more */
	bool bulk; /* big reads: splice */
};

struct session {
	struct end end[2];
	struct flow flow[2]; /* by where the bytes come from */
	struct engine_snap *es;
	const struct snap_frontend *f;
	struct engine_backend *be;
	struct list_link link, ready, queued;
	struct timer timer;
	uint64_t accepted, last;                  /* ms */
	uint64_t assigned, connected, connecting; /* ms; 0: not yet */
	struct net_ip ip;
	uint16_t port;
	int16_t server; /* its place in the backend; -1: none */
	uint16_t tried[SESSION_TRIED_MAX];
	uint8_t n_barred, n_tried; /* barred ones come first in tried */
	uint8_t attempts, state;
	bool redispatched, lingering, keepalive;
	bool counted;      /* among its address' connections */
	uint32_t n_before; /* in the queue: how many had been served when it joined */
	uint32_t position; /* in the queue, from 1; 0: it did not wait */
	char cause;        /* first letter of the termination state; 0: no fault yet */
};

/* Takes fd over. */
void session_begin(struct engine_listener *l, int fd, const union net_sockaddr *peer);
void session_on_event(struct session *s, enum side side, uint32_t events);
void session_on_timer(struct session *s);
/* The rest of what a turn's budget left undone. */
void session_continue(struct session *s);
/* Ends it: cause and state are the letters of the log; the client gets FIN. */
void session_close(struct session *s, char cause, char state);
/* A place may have become free: tries to serve who waits. */
void session_run_queue(struct engine_backend *be);

/* Sets the timer of an open session anew, after a half-close for example. */
void session_rearm(struct session *s);

/* forward.c: moves bytes until it would block, and closes at the end. */
void session_forward(struct session *s);
void session_release_buffers(struct session *s);
/* Closes with a reset instead of FIN. */
void end_abort(struct end *e);
