/* Wildcards in questions: see wild.h. */
#include "dnsd/wild.h"

#include <errno.h>
#include <string.h>

#define WAITING_MAX 64 /* for one worker: the main thread has other things to do */

struct wild {
	const struct server_env *env;
	void (*ask)(struct wild_question *q, void *arg);
	void *arg;
	struct list_link waiting; /* struct forward_waiter, by their id */
	unsigned on_way;
	uint64_t last_id;
	uint8_t out[DNS_MESSAGE_MAX];
};

int wild_new(struct wild **ret, const struct server_env *env,
    void (*ask)(struct wild_question *q, void *arg), void *arg)
{
	struct wild *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->env = env;
	w->ask = ask;
	w->arg = arg;
	list_init(&w->waiting);
	*ret = w;
	return 0;
}

struct wild *wild_free(struct wild *w)
{
	if (!w)
		return NULL;
	list_for_each_safe (l, &w->waiting) {
		struct forward_waiter *fw =
		    CONTAINER_OF(l, struct forward_waiter, link);

		list_remove(l);
		fw->reply(fw, NULL, 0);
	}
	free(w);
	return NULL;
}

int wild_wait(struct wild *w, struct forward_waiter *fw, const struct query *q,
    bool tcp, const uint8_t *start)
{
	struct wild_question *x;

	if (w->on_way == WAITING_MAX)
		return -EBUSY;
	x = calloc(1, sizeof(*x));
	fw->head = malloc(q->question_end);
	if (!x || !fw->head) {
		free(x);
		free(fw->head);
		return -ENOMEM;
	}
	memcpy(fw->head, start, q->question_end);
	fw->q = *q;
	fw->tcp = tcp;
	fw->glue = NULL;
	fw->counted = NULL;
	fw->id = ++w->last_id;
	list_init(&fw->link);
	list_append(&w->waiting, &fw->link);
	x->wild = w;
	x->id = fw->id;
	x->name = q->name;
	w->on_way++;
	w->ask(x, w->arg);
	return 0;
}

void wild_sift(
    struct wild *w, bool (*gone)(struct forward_waiter *fw, void *arg), void *arg)
{
	list_for_each_safe (l, &w->waiting) {
		struct forward_waiter *fw =
		    CONTAINER_OF(l, struct forward_waiter, link);

		if (!gone(fw, arg))
			continue;
		list_remove(l);
		fw->reply(fw, NULL, 0);
	}
}

void wild_question_free(struct wild_question *q)
{
	zone_free(q->found);
	free(q);
}

static void ask_upstream(
    struct wild *w, const struct query_env *env, struct forward_waiter *fw, size_t max)
{
	uint8_t *head = TAKE(fw->head);
	struct query q = fw->q;

	if (forward_wait(
		w->env->forward, fw, &q, fw->tcp, query_begun(&q, head, w->out)) == 0) {
		free(head);
		return;
	}
	fw->head = head;
	query_give_up(env, &fw->q, head, w->out, max);
	fw->reply(fw, w->out, fw->q.reply_len);
}

static void answer(
    struct wild *w, struct forward_waiter *fw, const struct wild_question *q)
{
	const struct server_settings *s = w->env->settings;
	struct query_env env = { .zone = w->env->zone,
		.templates = s->templates,
		.stats = w->env->stats,
		.tcp = fw->tcp,
		.recursion = w->env->recursion,
		.rotate = s->rotate };
	size_t max = fw->tcp ? DNS_MESSAGE_MAX : QUERY_UDP_OUT;
	const struct zone_name *found =
	    q->found ? zone_find(q->found, &q->name, 0) : NULL;

	list_remove(&fw->link);
	if (query_wildcard(&env, &fw->q, found, fw->head, w->out, max) ==
		QUERY_ANSWERED ||
	    forward_try(w->env->forward, &env, &fw->q, fw->head, w->out, max) ==
		FORWARD_ANSWERED)
		fw->reply(fw, w->out, fw->q.reply_len);
	else
		ask_upstream(w, &env, fw, max);
}

void wild_answer(struct wild_question *q)
{
	struct wild *w = q->wild;

	w->on_way--;
	/* Who has gone in the meantime is not there any more. */
	list_for_each (l, &w->waiting) {
		struct forward_waiter *fw =
		    CONTAINER_OF(l, struct forward_waiter, link);

		if (fw->id != q->id)
			continue;
		answer(w, fw, q);
		break;
	}
	wild_question_free(q);
}
