/*
 * Keys and values in sqlite, on a thread of its own: the embedded store, and the last good
 * state of etcd.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/worker.h"

struct kvfile;

struct kv_op {
	char *key;
	char *value; /* NULL: delete */
	size_t n_key, n_value;
};

struct kv_block;

/*
 * A transaction, or a part of one that replaces everything: KV_FIRST, any number of
 * KV_MORE, and KV_LAST, so that a large one needs not be in memory as a whole.  It happens
 * with its last part; a batch that is no part of it gives it up.
 */
enum kv_part {
	KV_WHOLE,
	KV_FIRST,
	KV_MORE,
	KV_LAST,
	/* Nothing is written: where another process has written, the batch gets all that the
	 * file holds, and its result is 1. */
	KV_LOOK,
};

/* Memory is the batch's; done() runs on the main thread. */
struct kv_batch {
	struct message message;
	struct kvfile *file;
	struct kv_block *blocks; /* of keys and values */
	struct kv_op *ops;
	size_t n, cap;
	enum kv_part part;
	int result;                       /* 0 or -errno; of a look, also 1 */
	void (*done)(struct kv_batch *b); /* frees it; NULL: kv_batch_free() */
	void *arg;
};

int kv_batch_new(struct kv_batch **ret) _mustcheck_;
struct kv_batch *kv_batch_free(struct kv_batch *b);
DEFINE_FREEP(kv_batch)
/* value NULL deletes. */
int kv_batch_add(struct kv_batch *b, const char *key, size_t n_key, const char *value,
    size_t n_value) _mustcheck_;

/* Opens path and calls row for all that it holds, before it returns.  precious: what is
 * done survives a crash of the machine.  A disk that is full or takes no writes is logged
 * and is no failure: what the file holds is read, and batches fail until one can be
 * written.  Nor is it a failure when a file that is not precious is damaged: it is begun
 * anew.  One of a younger version is, and is left alone. */
int kvfile_open(struct kvfile **ret, struct mailbox *home, const char *path,
    bool precious,
    void (*row)(
	void *arg, const char *key, size_t n_key, const char *value, size_t n_value),
    void *arg, struct err *e) _mustcheck_;
/* Writes what was handed over.  done() of that may still come, by the mailbox. */
struct kvfile *kvfile_close(struct kvfile *f);
/* Takes the batch. */
void kvfile_write(struct kvfile *f, struct kv_batch *b);
/* A file that is not precious holds one state after the other: when one could not be
 * written, the file stays as it is until a transaction in parts replaces everything. */
bool kvfile_is_behind(const struct kvfile *f);
