/* Mailboxes keep each sender's order; snapshots go when the last worker let go of them. */
#include "tests/unit/test.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/loop.h"
#include "common/worker.h"

#define SENDERS 4
#define EACH 5000

struct letter {
	struct message m;
	int sender, number;
};

static struct loop *home;
static int next_of[SENDERS], received, disorder;

static void on_letter(struct message *m)
{
	struct letter *t = CONTAINER_OF(m, struct letter, m);

	disorder += next_of[t->sender]++ != t->number;
	free(t);
	if (++received == SENDERS * EACH)
		loop_stop(home);
}

static void post(struct mailbox *mb, int sender, int number)
{
	struct letter *t = calloc(1, sizeof(*t));

	*t = (struct letter){ .m.run = on_letter, .sender = sender, .number = number };
	mailbox_post(mb, &t->m);
}

struct sender {
	struct mailbox *mb;
	int number;
	pthread_t thread;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < EACH; i++)
		post(s->mb, s->number, i);
	return NULL;
}

TEST(order_from_several_threads)
{
	struct sender s[SENDERS];
	struct mailbox *mb = NULL;

	CHECK(loop_new(&home) == 0);
	CHECK(mailbox_new(&mb, home) == 0);
	for (int i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ mb, i, 0 };
		CHECK(pthread_create(&s[i].thread, NULL, send_all, &s[i]) == 0);
	}
	CHECK(loop_run(home) == 0);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(s[i].thread, NULL);
	CHECK(received == SENDERS * EACH);
	CHECK(disorder == 0);
	/* What was not read yet runs when the mailbox goes, so that it is freed. */
	post(mb, 0, next_of[0]);
	mb = mailbox_free(mb);
	CHECK(received == SENDERS * EACH + 1);
	home = loop_free(home);
}

struct state {
	struct worker *w;
	int *snapshot;
	int applied, disorder, calls;
};

static int starts, stops; /* atomic */
static int fail_at;       /* which start fails, from 1; 0: none */

static int on_start(void **self, struct worker *w, void *arg)
{
	struct state *s;
	sigset_t blocked;

	if (__atomic_add_fetch(&starts, 1, __ATOMIC_SEQ_CST) == fail_at)
		return -EADDRINUSE;
	s = calloc(1, sizeof(*s));
	s->w = w;
	s->snapshot = arg;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	s->disorder = !sigismember(&blocked, SIGTERM);
	*self = s;
	return 0;
}

static void on_end(void *self)
{
	__atomic_add_fetch(&stops, 1, __ATOMIC_SEQ_CST);
	free(self);
}

static const struct worker_class class = { "test", on_start, on_end, NULL };

static void begin(void)
{
	starts = stops = fail_at = 0;
	CHECK(loop_new(&home) == 0);
}

/* The old snapshot is written over when it is released: whoever still reads it races. */
static void apply(void *self, void *next)
{
	struct state *s = self;
	int *n = next;

	s->disorder += *s->snapshot < 0 || *n != *s->snapshot + 1;
	s->snapshot = n;
	s->applied++;
}

static int released, last;

static void release(void *old)
{
	int *o = old;

	released++;
	if (*o == last - 1)
		loop_stop(home);
	*o = -1;
}

static void check_state(void *self, void *arg)
{
	struct state *s = self;
	int *sum = arg;

	s->calls++;
	*sum += s->disorder * 1000000 + s->applied;
}

TEST(snapshots_in_order_and_released_once)
{
	enum { N = 200 };
	static int snapshots[N + 1];
	struct workers *ws = NULL;
	int sum = 0;

	begin();
	released = 0;
	last = N;
	for (int i = 0; i <= N; i++)
		snapshots[i] = i;
	CHECK(workers_new(&ws, &class, &snapshots[0], 3, home) == 0);
	CHECK(workers_count(ws) == 3);
	for (int i = 1; i <= N; i++)
		CHECK(workers_publish(
			  ws, apply, &snapshots[i], release, &snapshots[i - 1]) == 0);
	CHECK(loop_run(home) == 0);
	CHECK(released == N);
	workers_call(ws, check_state, &sum);
	CHECK(sum == 3 * N);
	ws = workers_free(ws);
	CHECK(starts == 3 && stops == 3);
	CHECK(snapshots[N] == N && snapshots[N - 1] == -1);
	home = loop_free(home);
}

static sem_t gate;

static void wait_at_gate(struct message *m)
{
	while (sem_wait(&gate) < 0)
		;
	free(m);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	loop_stop(home);
}

/* One worker is held up: however often the loop turns, nothing is released. */
TEST(nothing_is_released_before_the_last_worker)
{
	static int snapshots[] = { 0, 1 };
	struct message *m = calloc(1, sizeof(*m));
	struct timeval tv = { .tv_usec = 50000 };
	struct workers *ws = NULL;
	int sum = 0;

	begin();
	released = 0;
	last = 1;
	sem_init(&gate, 0, 0);
	CHECK(workers_new(&ws, &class, &snapshots[0], 3, home) == 0);
	m->run = wait_at_gate;
	worker_post(workers_get(ws, 1), m);
	CHECK(workers_publish(ws, apply, &snapshots[1], release, &snapshots[0]) == 0);
	CHECK(
	    event_base_once(loop_base(home), -1, EV_TIMEOUT, on_time, NULL, &tv) == 0);
	CHECK(loop_run(home) == 0);
	CHECK(released == 0 && snapshots[0] == 0);
	sem_post(&gate);
	CHECK(loop_run(home) == 0);
	CHECK(released == 1 && snapshots[0] == -1);
	workers_call(ws, check_state, &sum);
	CHECK(sum == 3);
	ws = workers_free(ws);
	home = loop_free(home);
	sem_destroy(&gate);
}

TEST(what_is_on_its_way_at_the_end_is_released)
{
	static int snapshots[] = { 0, 1 };
	struct workers *ws = NULL;

	begin();
	released = 0;
	CHECK(workers_new(&ws, &class, &snapshots[0], 2, home) == 0);
	CHECK(workers_publish(ws, apply, &snapshots[1], release, &snapshots[0]) == 0);
	ws = workers_free(ws);
	CHECK(released == 1 && stops == 2);
	home = loop_free(home);
}

TEST(no_workers_at_all)
{
	static int snapshots[] = { 0, 1 };
	struct workers *ws = NULL;

	begin();
	released = 0;
	CHECK(workers_new(&ws, &class, &snapshots[0], 0, home) == 0);
	CHECK(workers_publish(ws, apply, &snapshots[1], release, &snapshots[0]) == 0);
	CHECK(released == 0);
	ws = workers_free(ws);
	CHECK(released == 1);
	home = loop_free(home);
}

TEST(a_start_that_fails_stops_the_others)
{
	static int snapshot;
	struct workers *ws = NULL;
	struct worker *w = NULL;

	begin();
	fail_at = 3;
	CHECK(workers_new(&ws, &class, &snapshot, 4, home) == -EADDRINUSE);
	CHECK(ws == NULL && starts == 3 && stops == 2);
	starts = stops = 0;
	fail_at = 1;
	CHECK(worker_new(&w, &class, &snapshot) == -EADDRINUSE);
	CHECK(w == NULL && stops == 0);
	home = loop_free(home);
}

static int late; /* of the worker alone until it is joined */

static void on_late(struct message *m)
{
	late++;
	free(m);
}

TEST(what_was_posted_before_the_stop_still_runs)
{
	static int snapshot;
	struct worker *w = NULL;

	begin();
	CHECK(worker_new(&w, &class, &snapshot) == 0);
	for (int i = 0; i < 1000; i++) {
		struct message *m = calloc(1, sizeof(*m));

		m->run = on_late;
		worker_post(w, m);
	}
	w = worker_free(w);
	CHECK(late == 1000 && stops == 1);
	home = loop_free(home);
}

struct relay {
	struct message m;
	struct worker *w;
};

static int relayed; /* of the worker alone until it is joined */

/* Posts itself again from the worker's own thread, whose state must be there. */
static void relay(struct message *m)
{
	if (__atomic_load_n(&stops, __ATOMIC_SEQ_CST) == 0 && ++relayed < 1000)
		worker_post(CONTAINER_OF(m, struct relay, m)->w, m);
}

TEST(what_messages_post_at_the_end_runs_before_the_stop)
{
	static int snapshot;
	struct relay r = { .m.run = relay };

	begin();
	CHECK(worker_new(&r.w, &class, &snapshot) == 0);
	worker_post(r.w, &r.m);
	worker_free(r.w);
	CHECK(relayed == 1000 && stops == 1);
	home = loop_free(home);
}
