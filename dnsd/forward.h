/*
 * Questions that no local source knows: the cache, then the upstreams (RFC 5452, 7766,
 * 7858, 8767, 9520).  One for each worker, on its thread, without locks.
 *
 * A question that is on its way already is not asked again: who asks waits with the others,
 * which also takes the force out of loops.  Each attempt has a socket with a port, an ID
 * and a case of the name's letters of its own, drawn at random; a reply that fits them not
 * is counted and ignored.  After attempt_ms without a reply the next upstream is asked,
 * and after timeout_ms the question fails.
 *
 * A reply of ours with targets outside (struct query) goes the same way, and waits for their
 * addresses, for attempt_ms at most.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/list.h"
#include "dnsd/answer.h"
#include "dnsd/query.h"
#include "dnsd/stats.h"

struct forward;
struct glue;
struct loop;
struct tls_context;

struct forward_server {
	struct net_endpoint at;
	bool tls;
	char name[DNS_NAME_MAX + 1]; /* on its certificate */
};

enum forward_policy {
	FORWARD_RANDOM,
	FORWARD_ROUND_ROBIN,
	FORWARD_SEQUENTIAL,
};

#define FORWARD_SERVERS STATS_N_UPSTREAM
#define FORWARD_WAITERS 10

struct forward_settings {
	struct forward_server servers[FORWARD_SERVERS];
	size_t n_servers;
	enum forward_policy policy;
	struct name_buf *except; /* zones that are never asked for */
	size_t n_except;
	/* Questions on their way, for one worker; FORWARD_WAITERS times as many may wait. */
	unsigned max_concurrent;
	unsigned max_fails;
	uint64_t timeout_ms, attempt_ms;
	bool random_case;
	bool rotate; /* as struct query_env has it */
	struct tls_context *tls;
	struct answer_limits limits;
	uint32_t failure_ttl; /* seconds */
	size_t cache_bytes;   /* for one worker */
	uint64_t stale_ms;
	/* Answers that were asked for so often, with gaps of at most so long, are asked for
	 * anew when so much of their time is left; often 0: none. */
	unsigned prefetch_often, prefetch_percent;
	uint64_t prefetch_gap_ms;
	bool find_loops;
	struct forward_loop *loop;
};

/*
 * Finding loops: each server is asked for a name that nobody else can know, until it answers,
 * and one that asks us for it in turn is not asked any more, until other settings come.  Shared by the
 * workers, by atomics alone.
 */
struct forward_loop {
	uint8_t token[8];
	uint32_t asked;   /* set of servers */
	uint32_t looping; /* the same */
};

/* "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:53", "tls://9.9.9.9%dns.quad9.net".  -EINVAL
 * with a sentence. */
int forward_server_parse(
    struct forward_server *s, const char *text, struct err *e) _mustcheck_;
/* Makes the TLS context if a server needs one; ca NULL: the system's authorities. */
int forward_settings_tls(
    struct forward_settings *s, const char *ca, struct err *e) _mustcheck_;
void forward_settings_deinit(struct forward_settings *s);

int forward_new(struct forward **ret, struct loop *l, struct stats *stats) _mustcheck_;
struct forward *forward_free(struct forward *f);
DEFINE_FREEP(forward)
/* settings must outlive their use: until the next call returned. */
void forward_configure(struct forward *f, const struct forward_settings *settings);
/* RA: whether there is anybody to ask. */
bool forward_active(const struct forward *f);

enum forward_result {
	FORWARD_ANSWERED, /* the reply is in out */
	FORWARD_WAIT,     /* forward_wait() it */
};

/* Answers from the cache, or refuses.  in and out are those of query_answer(), which said
 * QUERY_FORWARD; they may be the same. */
enum forward_result forward_try(struct forward *f, const struct query_env *env,
    struct query *q, const uint8_t *in, uint8_t *out, size_t out_max);

/* Somebody who waits for an answer; embedded in what its owner knows of the client. */
struct forward_waiter {
	struct list_link link;
	struct query q;
	uint64_t id; /* of a wildcard question */
	bool tcp;
	uint8_t *head; /* the message's start: question and chain, or all of a reply */
	struct glue *glue;       /* what that waits for; NULL otherwise */
	struct forward *counted; /* where it waits for a question; NULL otherwise */
	/* Once: the reply, or n 0 when there is none to come.  The waiter is its owner's
	 * again, and off all lists. */
	void (*reply)(struct forward_waiter *w, const uint8_t *msg, size_t n);
};

/* Asks, after FORWARD_WAIT; start is what query_begun() says.  -ENOMEM when nothing was
 * done; no callback runs inside. */
int forward_wait(struct forward *f, struct forward_waiter *w, const struct query *q,
    bool tcp, const uint8_t *start) _mustcheck_;
/* The owner gives up; no callback runs any more. */
void forward_forget(struct forward_waiter *w);
/* Gives those up of which gone() says so. */
void forward_sift(
    struct forward *f, bool (*gone)(struct forward_waiter *w, void *arg), void *arg);
/* done(arg) once when nobody waits any more; at once if so. */
void forward_drain(struct forward *f, void (*done)(void *arg), void *arg);
void forward_clear_cache(struct forward *f);
