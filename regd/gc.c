/* Online collection: see gc.h. */
#include "regd/gc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "regd/event.h"
#include "regd/meta.h"
#include "regd/pool.h"
#include "regd/regd.h"
#include "regd/store.h"
#include "regd/writer.h"

enum {
	STEP_ROWS = 500,   /* looked at in one transaction */
	STRAYS_MAX = 4096, /* removed in one run; the next takes more */
};

struct gc {
	struct regd *regd;
	bool running;
	struct change change; /* one step at a time */
	struct job job;       /* the walk over the files */
	int64_t cutoff;
	int64_t after, upto; /* the rows of a step: behind the one, up to the other */
	bool more;
	struct meta_garbage found[STEP_ROWS];
	size_t n_found;
	struct oci_digest *strays;
	size_t n_strays;
	struct gc_result result, last;
	int64_t last_at;
	uint64_t next_ms;
	void (*done)(void *arg, const struct gc_result *r);
	void *arg;
};

/* --- the end ---------------------------------------------------------------- */

static void finish(struct gc *gc, int error)
{
	struct gc_result *r = &gc->result;
	void (*done)(void *arg, const struct gc_result *r) = gc->done;

	store_share(gc->regd->store);
	r->error = error;
	gc->running = false;
	gc->done = NULL;
	free(gc->strays);
	gc->strays = NULL;
	if (!r->dry_run) {
		gc->last = *r;
		gc->last_at = clock_real_s();
		gc->next_ms = clock_boot_ms() + gc->regd->conf->gc.interval;
	}
	if (error < 0 && error != -ECANCELED)
		log_err("collection stopped: %s", strerror(-error));
	else if (!r->dry_run && (r->blobs || r->strays))
		log_with(LOG_INFO, LOG_FIELDS("MESSAGE_ID", EVENT_COLLECTED),
		    "collected %" PRIu64 " blobs of %" PRIu64
		    " bytes that nothing refers to, and %" PRIu64 " stray files",
		    r->blobs, r->bytes, r->strays);
	if (done)
		done(gc->arg, r);
}

/* --- files without a row ------------------------------------------------------ */

/* A row may have come since the walk; what has none is removed after the commit. */
static int strays_apply(struct change *c, struct db *db)
{
	struct gc *gc = CONTAINER_OF(c, struct gc, change);
	size_t kept = 0;

	for (size_t i = 0; i < gc->n_strays; i++) {
		int r = meta_blob_exists(db, gc->strays[i].text);

		if (r < 0)
			return r;
		if (r == 0)
			gc->strays[kept++] = gc->strays[i];
	}
	gc->n_strays = kept;
	return 0;
}

static void strays_committed(struct change *c, struct db *db)
{
	struct gc *gc = CONTAINER_OF(c, struct gc, change);

	for (size_t i = 0; i < gc->n_strays; i++)
		if (store_blob_remove(gc->regd->store, &gc->strays[i]) == 0)
			gc->result.strays++;
}

static void strays_done(struct change *c)
{
	finish(CONTAINER_OF(c, struct gc, change), c->result);
}

struct walk {
	struct gc *gc;
	struct db *db;
	int error;
};

static bool walk_one(void *arg, const struct oci_digest *d, int64_t changed)
{
	struct walk *w = arg;

	if (changed >= w->gc->cutoff)
		return true;
	w->error = meta_blob_exists(w->db, d->text);
	if (w->error == 0)
		w->gc->strays[w->gc->n_strays++] = *d;
	return w->error >= 0 && w->gc->n_strays < STRAYS_MAX;
}

static void walk_work(struct job *j)
{
	struct gc *gc = CONTAINER_OF(j, struct gc, job);
	struct walk w = { .gc = gc, .db = gc->regd->work_db };
	int r = -ENOMEM;

	gc->n_strays = 0;
	gc->strays = calloc(STRAYS_MAX, sizeof(*gc->strays));
	if (gc->strays)
		r = store_blob_walk(gc->regd->store, walk_one, &w);
	gc->result.error = r < 0 ? r : MIN(w.error, 0);
}

static void walk_done(struct job *j)
{
	struct gc *gc = CONTAINER_OF(j, struct gc, job);

	if (gc->result.error < 0 || !gc->n_strays || gc->result.dry_run) {
		gc->result.strays = gc->n_strays;
		finish(gc, gc->result.error);
		return;
	}
	gc->change.apply = strays_apply;
	gc->change.committed = strays_committed;
	gc->change.done = strays_done;
	writer_post(gc->regd->writer, &gc->change);
}

/* --- rows ------------------------------------------------------------------------ */

/* On a full disk the writer gives up its reserve and applies the same step once more. */
static int step_apply(struct change *c, struct db *db)
{
	struct gc *gc = CONTAINER_OF(c, struct gc, change);
	int r;

	gc->n_found = 0;
	gc->upto = gc->after;
	r = meta_garbage_find(
	    db, gc->cutoff, &gc->upto, STEP_ROWS, gc->found, &gc->n_found, &gc->more);
	for (size_t i = 0; r == 0 && !gc->result.dry_run && i < gc->n_found; i++)
		r = meta_blob_forget(db, gc->found[i].id);
	return r;
}

static void step_committed(struct change *c, struct db *db)
{
	struct gc *gc = CONTAINER_OF(c, struct gc, change);

	for (size_t i = 0; i < gc->n_found; i++) {
		gc->result.blobs++;
		gc->result.bytes += (uint64_t)gc->found[i].size;
		if (!gc->result.dry_run)
			(void)store_blob_remove(gc->regd->store, &gc->found[i].digest);
	}
}

static void step_done(struct change *c)
{
	struct gc *gc = CONTAINER_OF(c, struct gc, change);

	if (c->result != 0 || !gc->regd->writer) {
		finish(gc, c->result ? c->result : -ECANCELED);
		return;
	}
	gc->after = gc->upto;
	if (gc->more) {
		writer_post(gc->regd->writer, &gc->change);
		return;
	}
	gc->job.work = walk_work;
	gc->job.done = walk_done;
	pool_post(gc->regd->work, &gc->job);
}

/* --- life -------------------------------------------------------------------------- */

int gc_start(struct gc *gc, bool dry_run,
    void (*done)(void *arg, const struct gc_result *r), void *arg)
{
	int64_t grace = (int64_t)(gc->regd->conf->gc.grace / 1000);

	if (gc->running || store_alone(gc->regd->store) < 0)
		return -EBUSY;
	gc->running = true;
	gc->done = done;
	gc->arg = arg;
	gc->after = 0;
	gc->cutoff = clock_real_s() - grace;
	gc->result = (struct gc_result){ .dry_run = dry_run };
	gc->change = (struct change){
		.apply = step_apply,
		.committed = step_committed,
		.done = step_done,
	};
	writer_post(gc->regd->writer, &gc->change);
	return 0;
}

void gc_forget(struct gc *gc)
{
	gc->done = NULL;
}

void gc_tick(struct gc *gc)
{
	if (gc->running || gc->regd->read_only || !gc->regd->conf->gc.interval ||
	    clock_boot_ms() < gc->next_ms)
		return;
	(void)!gc_start(gc, false, NULL, NULL);
}

const struct gc_result *gc_last(const struct gc *gc, int64_t *at)
{
	*at = gc->last_at;
	return &gc->last;
}

int gc_new(struct gc **ret, struct regd *g)
{
	struct gc *gc = calloc(1, sizeof(*gc));

	if (!gc)
		return -ENOMEM;
	gc->regd = g;
	/* Not in the first minutes: a start should be quick, and so should a second. */
	gc->next_ms = clock_boot_ms() + MIN(g->conf->gc.interval, 600000u);

	*ret = gc;
	return 0;
}

struct gc *gc_free(struct gc *gc)
{
	if (!gc)
		return NULL;
	free(gc->strays);
	free(gc);
	return NULL;
}
