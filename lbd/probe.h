/*
 * One question to one server and its answer: a connection and, where the check says so,
 * TLS and an HTTP request over it.
 *
 * A connection alone is not seen by the server's accept(): the third packet of the
 * handshake is a reset.  TLS and HTTP end with a close alert and FIN.
 *
 * The connection of an HTTP question that was answered well is kept for the next one, as
 * often as the check's reuse says.  A question over a kept connection begins with a
 * connection alone, which is reset, so that a port that takes none any more is noticed no
 * later than without; only then the request is sent.  A kept connection that turns out to
 * be closed says nothing about the server: the same question is asked over a new one.
 */
#pragma once

#include <event2/event_struct.h>

#include "common/net.h"
#include "lbd/conf.h"
#include "lbd/health.h"

struct loop;
struct probe;
struct tls;
struct tls_context;

enum probe_phase {
	PROBE_IDLE,
	PROBE_CONNECT,
	PROBE_HANDSHAKE,
	PROBE_SEND,
	PROBE_RECEIVE,
};

enum { PROBE_BUFFER = 1024 };

struct probe_ops {
	/* The answer; info is NULL or a detail. */
	void (*done)(struct probe *p, enum check_status status, const char *info);
	/* After a handshake. */
	void (*certified)(struct probe *p, const struct tls *tls);
};

/* A connection to the server. */
struct wire {
	int fd;
	struct tls *tls;
	uint64_t uses; /* questions over it, the one under way included */
};

struct probe {
	const struct probe_ops *ops;
	struct loop *loop;
	const struct check_conf *conf;
	const struct server_conf *server;
	struct tls_context *tls_context; /* NULL where the check is without TLS */
	struct event io;
	enum probe_phase phase;
	struct net_endpoint to; /* what is asked */
	struct wire now, kept;
	uint64_t started; /* boot ms */
	unsigned code;    /* of the reply; 0: none */
	bool last;        /* nothing is kept after it */
	char buf[PROBE_BUFFER];
	size_t n, sent; /* the kept connection's last reply, between questions */
};

/* All that it is given must outlive it. */
void probe_init(struct probe *p, struct loop *l, const struct check_conf *conf,
    const struct server_conf *server, struct tls_context *tls_context,
    const struct probe_ops *ops);
/* Asks; done() may run before this returns.  Nothing may be under way. */
void probe_ask(struct probe *p, const struct net_endpoint *to);
bool probe_is_asking(const struct probe *p);
/* p goes on with what is under way in old, which is idle after that. */
void probe_take_over(struct probe *p, struct probe *old);
/* Lets go of the kept connection, and of any that would be kept from here on.  What is
 * under way goes on. */
void probe_retire(struct probe *p);
/* Cuts what is under way, without an answer. */
void probe_cut(struct probe *p);
/* Lets go of everything; p may be used again. */
void probe_deinit(struct probe *p);
