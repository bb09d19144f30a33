/*
 * Threads for what may block: fsync, hashing of passwords, reading whole files.  A job
 * is posted by the loop, works on a thread of the pool, and comes home to the loop.
 */
#pragma once

#include "common/base.h"
#include "common/worker.h"

struct pool;

/* Embed one in what the job needs.  It belongs to the pool from post until done(). */
struct job {
	struct message message;
	struct job *next;
	void (*work)(struct job *j); /* on a thread of the pool */
	void (*done)(struct job *j); /* on the loop; may free the job */
};

/* home is the mailbox of the loop that posts. */
int pool_new(struct pool **ret, const char *name, unsigned threads,
    struct mailbox *home) _mustcheck_;
/* Finishes what is queued first; done() of those runs when home is freed. */
struct pool *pool_free(struct pool *p);
DEFINE_FREEP(pool)
void pool_post(struct pool *p, struct job *j);
/* Jobs that wait or work. */
unsigned pool_load(const struct pool *p);
