/*
 * The listeners of one worker: UDP sockets of its own, TCP listeners shared with the other
 * workers, and its TCP connections.  Everything here runs on the worker's thread, but for
 * what says otherwise.
 */
#pragma once

#include "common/base.h"
#include "dnsd/acl.h"
#include "dnsd/cookie.h"
#include "dnsd/forward.h"
#include "dnsd/rrl.h"
#include "dnsd/stats.h"
#include "dnsd/tcp_limit.h"

struct loop;
struct reqlog_ring;
struct server;

/* What all workers serve by; immutable, and alive until each of them has the next. */
struct server_settings {
	struct acl acl;
	uint64_t tcp_idle;    /* ms in which a whole query must come and its reply go */
	unsigned tcp_queries; /* for one connection */
	bool rotate;          /* loadbalance */
	struct templates *templates; /* NULL: none */
	struct forward_settings forward;
	struct rrl_settings rrl;
	bool cookies; /* are given to who sends one */
	unsigned log; /* classes of replies that are logged: enum qlog_class */
};

/* What a worker answers by. */
struct server_env {
	const struct zone *zone;
	const struct server_settings *settings;
	struct stats *stats;
	struct reqlog_ring *log;
	struct forward *forward;
	struct rrl *rrl;
	struct wild *wild;            /* NULL: wildcards in questions mean nothing */
	const struct cookie_key *key; /* of this process */
	const struct cookie_key *cookies; /* key, or NULL when none are given */
	bool recursion;                   /* RA: there are upstreams */
};

/* What one worker is to read from; descriptors stay the caller's. */
struct server_sockets {
	int *udp, *tcp;
	unsigned n_udp, n_tcp;
};

/* log is this worker's ring in the query log; key outlives the server. */
int server_new(struct server **ret, struct loop *l, struct tcp_limit *limit,
    struct reqlog_ring *log, const struct cookie_key *key) _mustcheck_;
struct server *server_free(struct server *s);
DEFINE_FREEP(server)

/* Replaces what it reads from: nothing is lost that waits in a socket that stays. */
int server_listen(struct server *s, const struct server_sockets *sockets) _mustcheck_;
void server_configure(struct server *s, const struct server_settings *settings);
void server_set_zone(struct server *s, const struct zone *zone);
/* Questions with wildcards go there: see wild_new(). */
struct wild_question;
int server_set_wild(struct server *s, void (*ask)(struct wild_question *q, void *arg),
    void *arg) _mustcheck_;
/* Reads nothing new; done(arg) runs once, when the last connection is gone. */
void server_drain(struct server *s, void (*done)(void *arg), void *arg);
/* May be read from any thread. */
const struct stats *server_stats(const struct server *s);
