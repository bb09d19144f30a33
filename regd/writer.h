/*
 * The thread that writes the database.  Changes that come while a commit waits for the
 * disk go into the next one together (group commit); each is told on the loop when it
 * is durable.
 *
 * Beside the database lies a file of a few MiB that is given up when the disk is full,
 * so that what frees space (deletes, collection) can still be written.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/worker.h"

struct db;
struct db_migration;
struct writer;

/* Embed one in what the change needs.  It belongs to the writer from post until done().
 */
struct change {
	struct message message;
	struct change *next;
	int result;
	bool dispensable; /* fails on a full disk, rather than take the reserve */
	/*
	 * On the writer's thread, inside a transaction: 0; or -errno or a positive
	 * outcome of the caller's own, and then nothing of what it wrote is kept.  Called
	 * once more where a full disk undid it, with what it left in the change.
	 */
	int (*apply)(struct change *c, struct db *db);
	/* On the writer's thread, after the commit and before the next one; may be
	 * NULL. */
	void (*committed)(struct change *c, struct db *db);
	/* On the loop, durable when result is 0; may free the change. */
	void (*done)(struct change *c);
};

/* Opens the database at path on the thread's behalf. */
int writer_new(struct writer **ret, const char *path,
    const struct db_migration *migrations, struct mailbox *home,
    struct err *err) _mustcheck_;
/* Commits what is queued; done() of those runs when home is freed. */
struct writer *writer_free(struct writer *w);
DEFINE_FREEP(writer)
void writer_post(struct writer *w, struct change *c);

struct writer_stats {
	uint64_t commits, changes, failures;
	unsigned waiting;
};
void writer_stats(const struct writer *w, struct writer_stats *ret);
