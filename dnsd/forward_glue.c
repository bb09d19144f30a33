/*
 * Replies of ours whose SRV or MX records lead outside: they are whole, and upstreams are
 * asked for the addresses of the targets to send along.  What the cache has goes along at
 * once.  Otherwise the reply waits until each question has its answer, but for no longer
 * than one attempt: records of ours do not depend on anybody, and addresses that come later
 * are in the cache for who asks next.  Nor is a question waited for that has been on its way
 * for that long, so that an upstream which is silent holds up the first replies alone.
 */
#include <errno.h>
#include <string.h>

#include "common/loop.h"
#include "dnsd/forward_impl.h"

static const uint16_t types[] = { DNS_A, DNS_AAAA };

/* What one reply waits for of one question; there is a copy of its answer then. */
struct glue_part {
	struct list_link link; /* of the question */
	struct glue *glue;
	struct answer_aged got;
	struct answer *answer;
};

struct glue {
	struct list_link link; /* of the worker's, by time */
	struct forward *forward;
	struct forward_waiter *waiter;
	uint64_t started_ms;
	unsigned left; /* questions */
	struct glue_part parts[QUERY_TARGETS][ARRAY_SIZE(types)];
};

/* A question about a target of the reply in msg. */
static void set_question(struct answer_question *aq, const struct query *q,
    const uint8_t *msg, unsigned target, uint16_t type)
{
	const uint8_t *name = msg + q->targets[target];

	*aq = (struct answer_question){ .type = type,
		.checking_disabled = q->flags & DNS_CD };
	name_set(&aq->name, name, name_scan(name, q->reply_len - q->targets[target]));
}

/* Whether the reply has to wait for an answer; what is known already is in found. */
static bool lacks(
    struct forward *f, const struct answer_question *aq, struct answer_aged *found)
{
	if (forward_cached(f, aq, found) || !forward_may_ask_aside(f, aq))
		return false;
	counter_add(&f->stats->cache_misses, 1);
	return true;
}

enum forward_result glue_try(struct forward *f, const struct query_env *env,
    struct query *q, uint8_t *out, size_t out_max)
{
	struct answer_pair found[QUERY_TARGETS] = { 0 };
	struct answer_question aq;
	bool asks = false;

	for (unsigned t = 0; t < q->n_targets; t++)
		for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
			set_question(&aq, q, out, t, types[i]);
			asks |= lacks(f, &aq, &found[t].kinds[i]);
		}
	if (asks && f->n_glued < f->settings->max_concurrent)
		return FORWARD_WAIT;
	query_targets(env, q, out, out_max, found);
	return FORWARD_ANSWERED;
}

void glue_free(struct glue *g)
{
	for (unsigned t = 0; t < QUERY_TARGETS; t++)
		for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
			list_remove(&g->parts[t][i].link);
			answer_free(g->parts[t][i].answer);
		}
	list_remove(&g->link);
	g->forward->n_glued--;
	g->waiter->glue = NULL;
	free(g);
}

void glue_drop(struct forward *f)
{
	while (!list_empty(&f->glued)) {
		struct glue *g = CONTAINER_OF(f->glued.next, struct glue, link);
		struct forward_waiter *w = g->waiter;

		glue_free(g);
		w->reply(w, NULL, 0);
	}
}

void glue_sift(
    struct forward *f, bool (*gone)(struct forward_waiter *w, void *arg), void *arg)
{
	list_for_each_safe (l, &f->glued) {
		struct glue *g = CONTAINER_OF(l, struct glue, link);
		struct forward_waiter *w = g->waiter;

		if (!gone(w, arg))
			continue;
		glue_free(g);
		w->reply(w, NULL, 0);
	}
}

/* Sends the reply with what has come until then. */
static void glue_end(struct glue *g)
{
	struct answer_pair got[QUERY_TARGETS];
	struct forward_waiter *w = g->waiter;
	struct forward *f = g->forward;
	struct query_env env = { .tcp = w->tcp, .rotate = f->settings->rotate };

	for (unsigned t = 0; t < QUERY_TARGETS; t++)
		for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
			got[t].kinds[i] = g->parts[t][i].got;
	memcpy(f->out, w->head, w->q.reply_len);
	query_targets(
	    &env, &w->q, f->out, w->tcp ? DNS_MESSAGE_MAX : QUERY_UDP_OUT, got);
	glue_free(g);
	w->reply(w, f->out, w->q.reply_len);
}

static void keep(struct glue_part *p, const struct answer_aged *got)
{
	if (!got->answer || !answer_has_addresses(got->answer))
		return;
	p->answer = answer_copy(got->answer);
	p->got = *got;
	p->got.answer = p->answer;
}

void glue_reply(struct list_link *link, const struct answer_aged *got)
{
	struct glue_part *p = CONTAINER_OF(link, struct glue_part, link);

	list_remove(&p->link);
	keep(p, got);
	if (--p->glue->left == 0)
		glue_end(p->glue);
}

/* Fills a part from the cache, or has somebody asked. */
static void part_begin(
    struct glue *g, struct glue_part *p, unsigned target, uint16_t type)
{
	const struct forward_waiter *w = g->waiter;
	struct forward *f = g->forward;
	struct answer_aged found;
	struct answer_question aq;
	struct question *x;

	set_question(&aq, &w->q, w->head, target, type);
	if (forward_known(f, &aq, &found)) {
		keep(p, &found);
	} else if (forward_may_ask_aside(f, &aq) && question_ask(&x, f, &aq) == 0) {
		list_append(&x->parts, &p->link);
		g->left++;
	}
}

int glue_wait(struct forward *f, struct forward_waiter *w)
{
	struct glue *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->forward = f;
	g->waiter = w;
	g->started_ms = loop_now_ms(f->loop);
	for (unsigned t = 0; t < QUERY_TARGETS; t++)
		for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
			g->parts[t][i].glue = g;
			list_init(&g->parts[t][i].link);
		}
	list_init(&g->link);
	list_append(&f->glued, &g->link);
	f->n_glued++;
	w->glue = g;
	for (unsigned t = 0; t < w->q.n_targets; t++)
		for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
			part_begin(g, &g->parts[t][i], t, types[i]);
	forward_start_tick(f);
	return 0;
}

void glue_tick(struct forward *f, uint64_t now)
{
	while (!list_empty(&f->glued)) {
		struct glue *g = CONTAINER_OF(f->glued.next, struct glue, link);

		if (g->left && now - g->started_ms < f->settings->attempt_ms)
			break;
		glue_end(g);
	}
}
