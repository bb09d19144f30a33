/*
 * Worker threads and mailboxes.  A mailbox is a lock-free stack of messages and an
 * eventfd: a sender pushes and wakes; the receiver takes the whole stack at once and
 * turns it round.
 */
#include "common/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/loop.h"

struct mailbox {
	struct message *top; /* shared: pushed by any thread, taken by the owner */
	int fd;
	struct event *ev;
};

static void mailbox_run(struct mailbox *mb)
{
	struct message *m = __atomic_exchange_n(&mb->top, NULL, __ATOMIC_ACQUIRE);
	struct message *first = NULL, *next;

	for (; m; m = next) {
		next = m->next;
		m->next = first;
		first = m;
	}
	for (m = first; m; m = next) {
		next = m->next;
		m->run(m);
	}
}

/* Until nothing is left, what the messages post themselves included. */
static void mailbox_drain(struct mailbox *mb)
{
	while (__atomic_load_n(&mb->top, __ATOMIC_ACQUIRE))
		mailbox_run(mb);
}

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;
	ssize_t r = read(fd, &n, sizeof(n));

	(void)r;
	mailbox_run(arg);
}

int mailbox_new(struct mailbox **ret, struct loop *l)
{
	_cleanup_(mailbox_freep) struct mailbox *mb = calloc(1, sizeof(*mb));

	if (!mb)
		return -ENOMEM;
	mb->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->fd < 0)
		return -errno;
	mb->ev = event_new(loop_base(l), mb->fd, EV_READ | EV_PERSIST, on_mail, mb);
	if (!mb->ev || event_add(mb->ev, NULL) < 0)
		return -ENOMEM;

	*ret = TAKE(mb);
	return 0;
}

struct mailbox *mailbox_free(struct mailbox *mb)
{
	if (!mb)
		return NULL;
	mailbox_drain(mb);
	if (mb->ev)
		event_free(mb->ev);
	fd_close(mb->fd);
	free(mb);
	return NULL;
}

void mailbox_post(struct mailbox *mb, struct message *m)
{
	uint64_t one = 1;
	ssize_t r;

	m->next = __atomic_load_n(&mb->top, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(
	    &mb->top, &m->next, m, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	/* Cannot fail but for overflow, and then the receiver has not read for 2^64
	 * posts. */
	r = write(mb->fd, &one, sizeof(one));
	(void)r;
}

struct worker {
	const struct worker_class *class;
	void *arg, *self;
	struct loop *loop;
	struct mailbox *mailbox;
	pthread_t thread;
	bool running;
	bool stopping; /* the worker's own */
	int result;
	sem_t started;
	struct message stop;
};

static void on_stop(struct message *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, stop);

	w->stopping = true;
	loop_stop(w->loop);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	pthread_setname_np(pthread_self(), w->class->name);
	w->result = w->class->start(&w->self, w, w->arg);
	if (w->result < 0) {
		sem_post(&w->started);
		return NULL;
	}
	sem_post(&w->started);
	if (w->class->run)
		w->class->run(w->self);
	else
		loop_run(w->loop);
	/* What was posted before the stop still finds a live self. */
	mailbox_drain(w->mailbox);
	if (w->class->stop)
		w->class->stop(w->self);
	return NULL;
}

static int thread_start(struct worker *w)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	while (sem_wait(&w->started) < 0)
		;
	if (w->result < 0)
		pthread_join(w->thread, NULL);
	w->running = w->result >= 0;
	return w->result;
}

int worker_new(struct worker **ret, const struct worker_class *class, void *arg)
{
	_cleanup_(worker_freep) struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->class = class;
	w->arg = arg;
	w->stop.run = on_stop;
	sem_init(&w->started, 0, 0);
	r = loop_new(&w->loop);
	if (r < 0)
		return r;
	r = mailbox_new(&w->mailbox, w->loop);
	if (r < 0)
		return r;
	r = thread_start(w);
	if (r < 0)
		return r;

	*ret = TAKE(w);
	return 0;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	if (w->running) {
		mailbox_post(w->mailbox, &w->stop);
		pthread_join(w->thread, NULL);
	}
	w->mailbox = mailbox_free(w->mailbox);
	w->loop = loop_free(w->loop);
	sem_destroy(&w->started);
	free(w);
	return NULL;
}

struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}

void *worker_self(struct worker *w)
{
	return w->self;
}

int worker_mail_fd(const struct worker *w)
{
	return w->mailbox->fd;
}

void worker_take_mail(struct worker *w)
{
	on_mail(w->mailbox->fd, 0, w->mailbox);
}

bool worker_stopping(const struct worker *w)
{
	return w->stopping;
}

void worker_post(struct worker *w, struct message *m)
{
	mailbox_post(w->mailbox, m);
}

struct workers {
	struct mailbox *home;
	unsigned n;
	struct worker *w[];
};

int workers_new(struct workers **ret, const struct worker_class *class, void *arg,
    unsigned n, struct loop *home)
{
	_cleanup_(workers_freep) struct workers *ws = NULL;
	int r;

	ws = calloc(1, sizeof(*ws) + n * sizeof(struct worker *));
	if (!ws)
		return -ENOMEM;
	r = mailbox_new(&ws->home, home);
	if (r < 0)
		return r;
	for (; ws->n < n; ws->n++) {
		r = worker_new(&ws->w[ws->n], class, arg);
		if (r < 0)
			return r;
	}
	*ret = TAKE(ws);
	return 0;
}

struct workers *workers_free(struct workers *ws)
{
	if (!ws)
		return NULL;
	while (ws->n > 0) {
		ws->n--;
		ws->w[ws->n] = worker_free(ws->w[ws->n]);
	}
	ws->home = mailbox_free(ws->home);
	free(ws);
	return NULL;
}

unsigned workers_count(const struct workers *ws)
{
	return ws->n;
}

struct worker *workers_get(const struct workers *ws, unsigned i)
{
	return ws->w[i];
}

/* One publication: a message per worker, and one that comes home at the end. */
struct publication {
	struct message done;
	void (*apply)(void *self, void *next);
	void *next;
	void (*release)(void *old);
	void *old;
	struct mailbox *home;
	unsigned left; /* shared: workers that still hold the old snapshot */
	struct delivery {
		struct message m;
		struct publication *p;
		struct worker *w;
	} to[];
};

static void publication_done(struct message *m)
{
	struct publication *p = CONTAINER_OF(m, struct publication, done);

	if (p->release)
		p->release(p->old);
	free(p);
}

static void deliver(struct message *m)
{
	struct delivery *d = CONTAINER_OF(m, struct delivery, m);
	struct publication *p = d->p;

	p->apply(d->w->self, p->next);
	if (__atomic_sub_fetch(&p->left, 1, __ATOMIC_ACQ_REL) == 0)
		mailbox_post(p->home, &p->done);
}

int workers_publish(struct workers *ws, void (*apply)(void *self, void *next),
    void *next, void (*release)(void *old), void *old)
{
	struct publication *p;

	p = malloc(sizeof(*p) + ws->n * sizeof(struct delivery));
	if (!p)
		return -ENOMEM;
	*p = (struct publication){
		.done.run = publication_done,
		.apply = apply,
		.next = next,
		.release = release,
		.old = old,
		.home = ws->home,
		.left = ws->n,
	};
	for (unsigned i = 0; i < ws->n; i++) {
		p->to[i] = (struct delivery){ .m.run = deliver, .p = p, .w = ws->w[i] };
		worker_post(ws->w[i], &p->to[i].m);
	}
	if (!ws->n)
		mailbox_post(ws->home, &p->done);
	return 0;
}

struct call {
	struct message m;
	void (*fn)(void *self, void *arg);
	void *arg;
	struct worker *w;
	sem_t done;
};

static void call_run(struct message *m)
{
	struct call *c = CONTAINER_OF(m, struct call, m);

	c->fn(c->w->self, c->arg);
	sem_post(&c->done);
}

void workers_call(struct workers *ws, void (*fn)(void *self, void *arg), void *arg)
{
	for (unsigned i = 0; i < ws->n; i++) {
		struct call c = {
			.m.run = call_run, .fn = fn, .arg = arg, .w = ws->w[i]
		};

		sem_init(&c.done, 0, 0);
		worker_post(ws->w[i], &c.m);
		while (sem_wait(&c.done) < 0)
			;
		sem_destroy(&c.done);
	}
}
