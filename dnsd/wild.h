/*
 * Wildcards in questions, as SkyDNS has them: a label * or any stands for any label of a key
 * below the labels to its right.  Which names that is, only the main thread's trees know; so
 * a worker sends it the question and answers when it comes back.
 */
#pragma once

#include "common/base.h"
#include "common/worker.h"
#include "dnsd/forward.h"
#include "dnsd/server.h"
#include "dnsd/zone.h"

/* A question on its way to the main thread, which fills in found and sends it back. */
struct wild_question {
	struct message message;
	struct wild *wild;
	void *dnsd;
	struct worker *worker;
	uint64_t id;
	struct name_buf name;
	struct zone *found; /* a zone of this name alone; NULL: nothing */
};

struct wild;

/* ask() posts the question to the main thread, which ends with wild_answer() or
 * wild_question_free(); arg is for it. */
int wild_new(struct wild **ret, const struct server_env *env,
    void (*ask)(struct wild_question *q, void *arg), void *arg) _mustcheck_;
struct wild *wild_free(struct wild *w);
DEFINE_FREEP(wild)
/* As forward_wait(); forward_forget() gives it up. */
int wild_wait(struct wild *w, struct forward_waiter *fw, const struct query *q,
    bool tcp, const uint8_t *start) _mustcheck_;
/* As forward_sift(). */
void wild_sift(
    struct wild *w, bool (*gone)(struct forward_waiter *fw, void *arg), void *arg);
/* On the worker's thread: the question is back, and freed. */
void wild_answer(struct wild_question *q);
void wild_question_free(struct wild_question *q);
