/* A queue with threads behind it: see pool.h. */
#include "regd/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

struct pool {
	const char *name;
	struct mailbox *home;
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct job *first, **last; /* under lock */
	bool stopping;             /* under lock */
	unsigned load;             /* atomic */
	unsigned n_threads;
	pthread_t threads[8];
};

static void come_home(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, message);

	j->done(j);
}

/* The next job, or NULL when the queue is empty and the pool stops. */
static struct job *take(struct pool *p)
{
	struct job *j;

	pthread_mutex_lock(&p->lock);
	while (!p->first && !p->stopping)
		pthread_cond_wait(&p->filled, &p->lock);
	j = p->first;
	if (j) {
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
	}
	pthread_mutex_unlock(&p->lock);
	return j;
}

static void *run(void *arg)
{
	struct pool *p = arg;
	struct job *j;

	pthread_setname_np(pthread_self(), p->name);
	while ((j = take(p))) {
		j->work(j);
		__atomic_sub_fetch(&p->load, 1, __ATOMIC_RELAXED);
		j->message.run = come_home;
		mailbox_post(p->home, &j->message);
	}
	return NULL;
}

int pool_new(
    struct pool **ret, const char *name, unsigned threads, struct mailbox *home)
{
	_cleanup_(pool_freep) struct pool *p = calloc(1, sizeof(*p));
	sigset_t all, old;
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->name = name;
	p->home = home;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->filled, NULL);
	threads = MIN(threads, (unsigned)ARRAY_SIZE(p->threads));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; r == 0 && p->n_threads < threads; p->n_threads += r == 0)
		r = pthread_create(&p->threads[p->n_threads], NULL, run, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;

	*ret = TAKE(p);
	return 0;
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->filled);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->filled);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

void pool_post(struct pool *p, struct job *j)
{
	j->next = NULL;
	__atomic_add_fetch(&p->load, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&p->lock);
	*p->last = j;
	p->last = &j->next;
	pthread_cond_signal(&p->filled);
	pthread_mutex_unlock(&p->lock);
}

unsigned pool_load(const struct pool *p)
{
	return __atomic_load_n(&p->load, __ATOMIC_RELAXED);
}
