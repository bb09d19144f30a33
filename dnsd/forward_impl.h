/* What forward.c (questions and who waits for them), attempt.c (asking one upstream) and
 * forward_glue.c (addresses for replies of ours) share; for these alone. */
#pragma once

#include <event2/event_struct.h>

#include "common/htable.h"
#include "common/loop.h"
#include "dnsd/answer_write.h"
#include "dnsd/cache.h"
#include "dnsd/forward.h"
#include "dnsd/stream.h"

#define SENT_MAX (DNS_HEADER + DNS_NAME_MAX + 4 + DNS_OPT_LEN)

/* One server, as this worker sees it. */
struct upstream {
	struct forward *forward;
	const struct forward_server *server;
	unsigned index;
	unsigned fails; /* in a row */
	bool down;
	bool probing;
	uint64_t probe_ms; /* when the last probe was sent */
	bool plain_case;   /* does not echo the case of letters */
	unsigned case_misses;
	bool no_edns;
	struct stream *stream;
	struct list_link streamed; /* questions that wait for the stream */
};

/* On its way: in the table of questions and in the list of attempts. */
struct question {
	struct deferred dead;
	struct hnode node;
	struct list_link attempt;  /* by the time of the attempt */
	struct list_link streamed; /* of its upstream */
	struct list_link waiters;
	struct list_link parts; /* replies of ours that wait for its answer */
	struct forward *forward;
	struct answer_question q;
	struct upstream *upstream;
	struct upstream *blamed; /* that was found to know no EDNS */
	uint64_t started_ms, attempt_ms;
	uint64_t asked_ns; /* when the upstream was, whatever became of UDP */
	unsigned attempts, wrong;
	uint32_t tried; /* set of upstreams */
	bool probe;     /* of an upstream that is down; nobody waits */
	bool stale;     /* who waits was served from what is beyond its time */
	bool miscased;  /* the attempt brought a reply in another case */
	uint16_t sent_len;
	int fd; /* -1 unless over UDP */
	struct event ev;
	uint8_t sent[SENT_MAX];
};

struct forward {
	struct loop *loop;
	struct stats *stats;
	const struct forward_settings *settings;
	struct cache *cache;
	struct upstream upstreams[FORWARD_SERVERS];
	size_t n_upstreams;
	unsigned turn;    /* of round robin */
	size_t n_waiters; /* of all questions */
	struct htable questions;
	struct list_link attempts;
	struct list_link glued; /* replies of ours that wait for addresses */
	unsigned n_glued;
	struct event tick;
	void (*drained)(void *arg);
	void *drained_arg;
	size_t n_random;
	uint8_t random[1024];
	uint8_t *out;
};

uint64_t forward_random(struct forward *f);

/* Asks one upstream after the other until an attempt is under way; false when there is
 * none left to ask. */
bool attempt_next(struct question *x);
/* Asks the same upstream once more. */
bool attempt_again(struct question *x);
/* Ends the attempt, its socket included. */
void attempt_end(struct question *x);
/* The attempt came to nothing: the upstream's fault. */
void attempt_failed(struct question *x);
/* A question that nobody waits for came to nothing. */
void attempt_probe_failed(const struct question *x);
/* The name that server i is asked for to see whether it asks us. */
void attempt_loop_name(const struct forward *f, unsigned i, struct name_buf *name);
/* Asks the servers that no worker has asked yet. */
void attempt_find_loops(struct forward *f);
/* A probe came to nothing: whether there is a loop is still to be asked. */
void attempt_unanswered(const struct question *x);
/* Sends `. NS` to those that are down. */
void attempt_probe(struct forward *f);
void upstream_init(struct upstream *u, struct forward *f, unsigned index);
void upstream_deinit(struct upstream *u);

/* Of forward.c: a reply that passed answer_check(); and the end without one. */
void question_reply(struct question *x, uint8_t *msg, size_t n);
void question_retry(struct question *x);
int question_new(
    struct question **ret, struct forward *f, const struct answer_question *q);
void question_free(struct question *x);
/* The question when it is on its way, or sets out; no callback runs inside. */
int question_ask(struct question **ret, struct forward *f,
    const struct answer_question *q) _mustcheck_;
/* From then on time is looked at, as long as there is a need to. */
void forward_start_tick(struct forward *f);
/* What the cache has; what is popular is asked for anew. */
bool forward_cached(
    struct forward *f, const struct answer_question *q, struct answer_aged *found);
/* The same, for a question that was counted already. */
bool forward_known(
    struct forward *f, const struct answer_question *q, struct answer_aged *found);
/* Whether upstreams may be asked: the zone is not excepted, and there is room. */
bool forward_may_ask(struct forward *f, const struct answer_question *q);
/* The same for what no client asked itself: it leaves half of the room to others, and is
 * not for upstreams that are known not to answer, or have not within an attempt. */
bool forward_may_ask_aside(struct forward *f, const struct answer_question *q);

/* Of forward_glue.c: as forward_try() and forward_wait(), for a reply that is whole; the
 * waiter has its copy already. */
enum forward_result glue_try(struct forward *f, const struct query_env *env,
    struct query *q, uint8_t *out, size_t out_max);
int glue_wait(struct forward *f, struct forward_waiter *w) _mustcheck_;
/* The owner gives up. */
void glue_free(struct glue *g);
void glue_sift(
    struct forward *f, bool (*gone)(struct forward_waiter *w, void *arg), void *arg);
/* All get to know that there is no reply. */
void glue_drop(struct forward *f);
/* A question, of whose parts link is one, has its answer. */
void glue_reply(struct list_link *link, const struct answer_aged *got);
/* Sends what has waited for long enough. */
void glue_tick(struct forward *f, uint64_t now);
