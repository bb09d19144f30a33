/*
 * Threads that run a loop of their own, and the mailboxes through which threads talk.
 *
 * A mailbox belongs to one loop and receives messages from any thread; each runs on the
 * receiver's thread, in the order of posting.  Snapshots (configuration, zone data) are
 * published with workers_publish(): every worker gets the new one between two of its
 * events, and the old one is released on the publisher's thread once the last worker
 * has let go of it.
 */
#pragma once

#include "common/base.h"

struct loop;
struct mailbox;
struct worker;
struct workers;

/* Embed one in what is sent.  The sender owns it until post, the receiver's run()
 * after. */
struct message {
	struct message *next;
	void (*run)(struct message *m);
};

int mailbox_new(struct mailbox **ret, struct loop *l) _mustcheck_;
/* Messages that have not run yet are run here, so that what they own is freed. */
struct mailbox *mailbox_free(struct mailbox *mb);
DEFINE_FREEP(mailbox)
void mailbox_post(struct mailbox *mb, struct message *m);

/* What a worker does: start() on its own thread before anything else, stop() as the
 * last thing there.  *self is the worker's own state. */
struct worker_class {
	const char *name; /* thread name, at most 15 bytes */
	int (*start)(void **self, struct worker *w, void *arg);
	void (*stop)(void *self);
	/* Instead of the loop, for a worker that waits in a way of its own: it watches
	 * worker_mail_fd(), calls worker_take_mail() when that is readable, and returns
	 * once worker_stopping().  NULL: the loop runs. */
	void (*run)(void *self);
};

/* Returns when start() has, with its result.  All signals are blocked in the thread. */
int worker_new(
    struct worker **ret, const struct worker_class *class, void *arg) _mustcheck_;
/* Asks the loop to stop, runs what was posted before, and waits for the thread.  Nobody
 * but the worker itself may post to it any more. */
struct worker *worker_free(struct worker *w);
DEFINE_FREEP(worker)
struct loop *worker_loop(struct worker *w);
void *worker_self(struct worker *w);
int worker_mail_fd(const struct worker *w);
void worker_take_mail(struct worker *w);
bool worker_stopping(const struct worker *w);
void worker_post(struct worker *w, struct message *m);

/* n workers of one class, numbered from 0; home is the publisher's loop. */
int workers_new(struct workers **ret, const struct worker_class *class, void *arg,
    unsigned n, struct loop *home) _mustcheck_;
/* Stops all; snapshots that were still on their way out are released. */
struct workers *workers_free(struct workers *ws);
DEFINE_FREEP(workers)
unsigned workers_count(const struct workers *ws);
struct worker *workers_get(const struct workers *ws, unsigned i);
/*
 * Runs apply(self, next) on every worker, then release(old) on home.  apply() must drop
 * every pointer into the old snapshot.  Publications are applied in order.  0 or
 * -ENOMEM (then nothing was sent and nothing is released).
 */
int workers_publish(struct workers *ws, void (*apply)(void *self, void *next),
    void *next, void (*release)(void *old), void *old) _mustcheck_;
/* Runs fn(self, arg) on every worker and waits for all: for statistics and tests. */
void workers_call(struct workers *ws, void (*fn)(void *self, void *arg), void *arg);
