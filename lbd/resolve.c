/* Names of servers: see resolve.h. */
#include "lbd/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "common/worker.h"

enum { QUESTIONS_MAX = 64 };

struct resolver {
	struct worker *worker;
	struct mailbox *home;
	void (*found)(void *arg, const char *name, const struct net_ip *ip);
	void *arg;
	unsigned n;   /* questions on their way */
	bool closing; /* atomic: nobody waits for answers any more */
};

/* Goes to the thread and comes back. */
struct question {
	struct message m;
	struct resolver *r;
	struct net_ip ip;
	char name[];
};

static void on_answer(struct message *m)
{
	struct question *q = CONTAINER_OF(m, struct question, m);
	struct resolver *r = q->r;

	r->n--;
	if (q->ip.family && !r->closing)
		r->found(r->arg, q->name, &q->ip);
	free(q);
}

static void on_question(struct message *m)
{
	struct question *q = CONTAINER_OF(m, struct question, m);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;

	/* Those still in line at the end are not worth a resolver's time-out each. */
	if (!__atomic_load_n(&q->r->closing, __ATOMIC_ACQUIRE) &&
	    getaddrinfo(q->name, NULL, &hints, &list) == 0) {
		q->ip = net_ip_from_sa(list->ai_addr, NULL);
		freeaddrinfo(list);
	}
	q->m.run = on_answer;
	mailbox_post(q->r->home, &q->m);
}

static int on_start(void **self, struct worker *w, void *arg)
{
	*self = arg;
	return 0;
}

static const struct worker_class resolver_class = {
	.name = "lbd-resolver",
	.start = on_start,
};

int resolver_new(struct resolver **ret, struct loop *l,
    void (*found)(void *arg, const char *name, const struct net_ip *ip), void *arg)
{
	_cleanup_(resolver_freep) struct resolver *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->found = found;
	r->arg = arg;
	e = mailbox_new(&r->home, l);
	if (e == 0)
		e = worker_new(&r->worker, &resolver_class, r);
	if (e < 0)
		return e;

	*ret = TAKE(r);
	return 0;
}

struct resolver *resolver_free(struct resolver *r)
{
	if (!r)
		return NULL;
	__atomic_store_n(&r->closing, true, __ATOMIC_RELEASE);
	r->worker = worker_free(r->worker);
	r->home = mailbox_free(r->home);
	free(r);
	return NULL;
}

void resolver_ask(struct resolver *r, const char *name)
{
	size_t n = strlen(name) + 1;
	struct question *q;

	if (r->n >= QUESTIONS_MAX)
		return;
	q = calloc(1, sizeof(*q) + n);
	if (!q)
		return;
	q->r = r;
	memcpy(q->name, name, n);
	q->m.run = on_question;
	r->n++;
	worker_post(r->worker, &q->m);
}
