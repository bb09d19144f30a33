/*
 * What must outlive a restart, as JSON values by kind and name in a sqlite file: the
 * nodes' progress, windows and tickets, and the digests of images.  Reading happens once,
 * before anything is served; writing happens on a thread of its own, in order.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

struct loop;
struct store;

/* written_over: rows were put since this one was read, maybe with less than is known by
 * both; who wants it kept puts it again. */
typedef void store_row_fn(void *arg, const char *kind, const char *name,
    const json_t *value, bool written_over);

/*
 * Opens (and makes) the file, hands every row to row(), then starts the writer.  home is
 * the caller's loop: rows that another process wrote meanwhile (the predecessor, which
 * finishes its transfers after an upgrade in place) come to row() there as well.
 */
int store_new(struct store **ret, struct loop *home, const char *path,
    store_row_fn *row, void *arg, struct err *e) _mustcheck_;
/* Writes what is queued first. */
struct store *store_free(struct store *s);
DEFINE_FREEP(store)

/* Keeps value, which it takes over (NULL: forgets the row).  Failures are logged. */
void store_put(struct store *s, const char *kind, const char *name, json_t *value);
/* Has the writer look for rows of others, now and then. */
void store_poll(struct store *s);
