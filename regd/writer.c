/* Group commit: see writer.h. */
#include "regd/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/db.h"
#include "common/fd.h"

enum {
	BATCH_MAX = 256, /* changes in one transaction */
	BALLAST = 8 * 1024 * 1024,
	BALLAST_ROOM = 4 * BALLAST, /* that must be free to take it back */
};

struct writer {
	struct db *db;
	char *ballast; /* path */
	bool has_ballast;
	struct mailbox *home;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct change *first, **last;        /* under lock */
	bool stopping;                       /* under lock */
	uint64_t commits, changes, failures; /* atomics */
	unsigned waiting;                    /* atomic */
};

/* Up to BATCH_MAX changes in order, or NULL at the end. */
static struct change *take(struct writer *w)
{
	struct change *first, *c;

	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->stopping)
		pthread_cond_wait(&w->filled, &w->lock);
	first = c = w->first;
	for (int i = 1; c && c->next && i < BATCH_MAX; i++)
		c = c->next;
	if (c) {
		w->first = c->next;
		c->next = NULL;
		if (!w->first)
			w->last = &w->first;
	}
	pthread_mutex_unlock(&w->lock);
	return first;
}

/*
 * One change, undone alone when it fails.  Negative when that cannot be: a full disk or a
 * failing one makes sqlite roll back the whole transaction at times, and what the changes
 * before were told does not hold any more.
 */
static int apply_one(struct writer *w, struct change *c)
{
	int r = db_exec(w->db, "SAVEPOINT one"), end;

	c->result = r;
	if (r < 0)
		return r;
	c->result = c->apply(c, w->db);
	end = c->result != 0 ? db_exec(w->db, "ROLLBACK TO one") : 0;
	if (end == 0)
		end = db_exec(w->db, "RELEASE one");
	return end < 0 && c->result < 0 ? c->result : end;
}

/* Takes the reserve (back), where there is room to spare. */
static void take_ballast(struct writer *w)
{
	_cleanup_(fd_closep) int fd = -1;
	struct statvfs v;

	if (w->has_ballast || statvfs(db_path(w->db), &v) < 0 ||
	    (uint64_t)v.f_bavail * v.f_frsize < BALLAST_ROOM)
		return;
	fd = open(w->ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	w->has_ballast = fd >= 0 && posix_fallocate(fd, 0, BALLAST) == 0;
}

static bool drop_ballast(struct writer *w)
{
	if (!w->has_ballast)
		return false;
	w->has_ballast = false;
	return unlink(w->ballast) == 0;
}

static bool any_full(const struct change *c)
{
	for (; c; c = c->next)
		if (c->result == -ENOSPC)
			return true;
	return false;
}

/* Whether the reserve is to be given up for one of them. */
static bool any_needed(const struct change *c)
{
	for (; c; c = c->next)
		if (!c->dispensable)
			return true;
	return false;
}

static int try_batch(struct writer *w, struct change *first)
{
	_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;
	int r = db_tx_begin(&tx, w->db);

	if (r < 0)
		return r;
	for (struct change *c = first; r == 0 && c; c = c->next)
		r = apply_one(w, c);
	if (r < 0)
		return r;
	/* Nothing of it, rather than a part, while there is something to give up. */
	if (w->has_ballast && any_full(first))
		return -ENOSPC;
	return db_tx_commit(&tx);
}

static void apply_batch(struct writer *w, struct change *first)
{
	int r = try_batch(w, first);

	if (r == -ENOSPC && any_needed(first) && drop_ballast(w))
		r = try_batch(w, first);
	if (r == 0)
		take_ballast(w);
	if (r < 0)
		for (struct change *c = first; c; c = c->next)
			c->result = r;
	__atomic_add_fetch(&w->commits, 1, __ATOMIC_RELAXED);
}

static void send_home(struct message *m)
{
	struct change *c = CONTAINER_OF(m, struct change, message);

	c->done(c);
}

static void finish_batch(struct writer *w, struct change *c)
{
	struct change *next;

	for (; c; c = next) {
		next = c->next;
		__atomic_add_fetch(&w->changes, 1, __ATOMIC_RELAXED);
		if (c->result < 0)
			__atomic_add_fetch(&w->failures, 1, __ATOMIC_RELAXED);
		else if (c->result == 0 && c->committed)
			c->committed(c, w->db);
		__atomic_sub_fetch(&w->waiting, 1, __ATOMIC_RELAXED);
		c->message.run = send_home;
		mailbox_post(w->home, &c->message);
	}
}

static void *run(void *arg)
{
	struct writer *w = arg;
	struct change *batch;

	pthread_setname_np(pthread_self(), "regd-db");
	while ((batch = take(w))) {
		apply_batch(w, batch);
		finish_batch(w, batch);
	}
	return NULL;
}

int writer_new(struct writer **ret, const char *path,
    const struct db_migration *migrations, struct mailbox *home, struct err *err)
{
	_cleanup_(writer_freep) struct writer *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->home = home;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->filled, NULL);
	if (asprintf(&w->ballast, "%s-reserve", path) < 0) {
		w->ballast = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	r = db_open(&w->db, path, migrations, 0, err);
	if (r < 0)
		return r;
	/*
	 * A process that was killed between writing its log and syncing it left
	 * transactions that everybody sees and that a power cut would take away; this
	 * syncs the log.  That the database behind it may be full to grow matters not.
	 */
	(void)!db_exec(w->db, "PRAGMA wal_checkpoint(PASSIVE)");
	take_ballast(w);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_set(err, -r, "cannot start a thread: %s", strerror(r));
	w->running = true;

	*ret = TAKE(w);
	return 0;
}

struct writer *writer_free(struct writer *w)
{
	if (!w)
		return NULL;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->filled);
	pthread_mutex_unlock(&w->lock);
	if (w->running)
		pthread_join(w->thread, NULL);
	/* The readers are still open, so that closing does not take the log in; whoever
	 * copies the file of a registry that has stopped wants all of it. */
	if (w->db)
		(void)!db_exec(w->db, "PRAGMA wal_checkpoint(PASSIVE)");
	w->db = db_free(w->db);
	free(w->ballast);
	pthread_cond_destroy(&w->filled);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

void writer_post(struct writer *w, struct change *c)
{
	c->next = NULL;
	__atomic_add_fetch(&w->waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&w->lock);
	*w->last = c;
	w->last = &c->next;
	pthread_cond_signal(&w->filled);
	pthread_mutex_unlock(&w->lock);
}

void writer_stats(const struct writer *w, struct writer_stats *ret)
{
	ret->commits = __atomic_load_n(&w->commits, __ATOMIC_RELAXED);
	ret->changes = __atomic_load_n(&w->changes, __ATOMIC_RELAXED);
	ret->failures = __atomic_load_n(&w->failures, __ATOMIC_RELAXED);
	ret->waiting = __atomic_load_n(&w->waiting, __ATOMIC_RELAXED);
}
