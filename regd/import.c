/*
 * Import: see import.h.  It goes in steps: a job on the working thread brings a few
 * files in, then a change makes their rows, then the next job.
 */
#include "regd/import.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/str.h"
#include "regd/manifest.h"
#include "regd/meta.h"
#include "regd/pool.h"
#include "regd/quota.h"
#include "regd/regd.h"
#include "regd/scan.h"
#include "regd/store.h"
#include "regd/writer.h"

enum { STEP = 32, FAILED_MAX = 100 };

/* What a step found out about one item. */
struct loaded {
	int result; /* 0; 1 there already; -errno */
	uint64_t size;
	struct meta_limits limits;
	struct store_hold hold; /* on a blob, until its row is durable */
	char *body;             /* of a manifest */
	struct manifest *manifest;
};

struct import {
	struct regd *regd;
	struct job job;
	struct change change;
	bool running;
	char folder[PATH_MAX], repository[NAME_MAX_LEN + 1];
	struct scan
	    *scan;    /* the working thread's while a job runs, like what follows */
	size_t at, n; /* the step's items */
	struct loaded step[STEP];
	int scan_error;
	struct err scan_err;
	uint64_t reserve;
	int64_t now; /* the loop's, from here on */
	size_t items, done;
	const char *kind;
	uint64_t blobs, bytes, manifests, tags, skipped;
	json_t *failed;
	int error;
	struct err err;
};

/* --- files ------------------------------------------------------------------------ */

/* Whether the blob is the repository's already, and whole as far as can be seen. */
static bool is_there(struct import *im, const struct scan_item *it, uint64_t *size)
{
	struct meta_blob blob;

	if (meta_blob_find(im->regd->work_db, it->repository, it->digest.text, &blob) <
	    0)
		return false;
	*size = (uint64_t)blob.size;
	return !blob.bad && store_blob_has(im->regd->store, &it->digest, *size);
}

/* Held until rows_done(): collection may be about to remove the very file. */
static int load_blob(struct import *im, const struct scan_item *it, struct loaded *l)
{
	const struct store_part part = { it->offset, it->size };

	store_hold(im->regd->store, &l->hold, &it->digest);
	if (is_there(im, it, &l->size))
		return 1;
	return store_blob_import(im->regd->store, it->path, it->inside ? &part : NULL,
	    &it->digest, im->reserve, &l->size);
}

static int load_manifest(
    struct import *im, const struct scan_item *it, struct loaded *l)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r;

	r = scan_item_manifest(it, &text, &l->manifest);
	if (r < 0)
		return r;
	l->size = text.len;
	l->body = str_take(&text);
	return l->body ? 0 : -ENOMEM;
}

static void step_work(struct job *j)
{
	struct import *im = CONTAINER_OF(j, struct import, job);

	if (!im->scan) {
		im->scan_error =
		    scan_folder(&im->scan, im->folder, im->repository, &im->scan_err);
		if (im->scan_error < 0)
			return;
	}
	im->n = MIN(im->scan->n - im->at, (size_t)STEP);
	for (size_t i = 0; i < im->n; i++) {
		const struct scan_item *it = &im->scan->items[im->at + i];
		struct loaded *l = &im->step[i];

		*l = (struct loaded){ .result = 0 };
		if (it->kind == SCAN_BLOB)
			l->result = load_blob(im, it, l);
		else if (it->kind == SCAN_MANIFEST)
			l->result = load_manifest(im, it, l);
	}
}

/* --- rows ------------------------------------------------------------------------- */

static int put_item(
    struct import *im, struct db *db, const struct scan_item *it, struct loaded *l)
{
	static const char *const no_tags[] = { NULL };
	struct meta_put p = {
		.repo = it->repository,
		.digest = &it->digest,
		.manifest = l->manifest,
		.body = l->body,
		.size = l->size,
		.tags = no_tags,
		.now = im->now,
		.sparse = true, /* a child may come later, a layer may be foreign */
	};
	int r;

	switch (it->kind) {
	case SCAN_BLOB:
		return meta_blob_add(db, it->repository, it->digest.text,
		    (int64_t)l->size, im->now, &l->limits);
	case SCAN_MANIFEST:
		return meta_manifest_put(db, &p);
	default:
		r = meta_tag_put(db, it->repository, it->tag, it->digest.text, im->now);
		return r ? r : meta_tag_own(db, it->repository, it->tag);
	}
}

/*
 * A blob that was there already: the manifest that comes may be all that refers to it, so
 * its grace begins anew.  When its row was collected meanwhile, the file that we hold is
 * still there.
 */
static int keep_blob(
    struct import *im, struct db *db, const struct scan_item *it, struct loaded *l)
{
	int r = meta_blob_touch(db, it->digest.text, im->now);

	return r < 0 || db_changes(db) > 0 ? r : put_item(im, db, it, l);
}

static int rows_apply(struct change *c, struct db *db)
{
	struct import *im = CONTAINER_OF(c, struct import, change);

	for (size_t i = 0; i < im->n; i++) {
		const struct scan_item *it = &im->scan->items[im->at + i];
		struct loaded *l = &im->step[i];
		int r;

		if (l->result < 0)
			continue;
		if (l->result > 0) {
			r = keep_blob(im, db, it, l);
			if (r < 0)
				return r;
			continue;
		}
		r = put_item(im, db, it, l);
		if (r == -ENOSPC || r == -EIO || r == -EROFS || r == -ENOMEM)
			return r;
		l->result = r > 0 ? -ENOENT : r;
	}
	return 0;
}

/* The files of blobs that got no row go at once, unless they are somebody else's too. */
static void rows_committed(struct change *c, struct db *db)
{
	struct import *im = CONTAINER_OF(c, struct import, change);

	for (size_t i = 0; i < im->n; i++) {
		const struct oci_digest *d = &im->scan->items[im->at + i].digest;
		struct loaded *l = &im->step[i];

		if (l->result >= 0 || !l->hold.digest)
			continue;
		store_release(im->regd->store, &l->hold);
		l->hold.digest = NULL;
		if (meta_blob_exists(db, d->text) == 0)
			(void)store_blob_remove(im->regd->store, d);
	}
}

static void count(struct import *im, const struct scan_item *it, const struct loaded *l)
{
	if (l->result > 0) {
		im->skipped++;
	} else if (l->result < 0) {
		if (json_array_size(im->failed) < FAILED_MAX)
			json_array_append_new(im->failed,
			    json_pack("{s:s,s:s,s:s?,s:s}", "repository",
				it->repository, "digest", it->digest.text, "tag",
				it->tag, "reason",
				l->result == -EILSEQ ? "its bytes have another digest"
						     : strerror(-l->result)));
	} else if (it->kind == SCAN_BLOB) {
		im->blobs++;
		im->bytes += l->size;
	} else if (it->kind == SCAN_MANIFEST) {
		im->manifests++;
	} else {
		im->tags++;
	}
}

static void finish(struct import *im, int error)
{
	im->running = false;
	im->error = error;
	if (error < 0 && !im->err.text[0])
		err_set(&im->err, error, "%s", strerror(-error));
	if (error < 0)
		log_err("import of %s stopped: %s", im->folder, err_str(&im->err));
	else
		log_info("imported %llu blobs, %llu manifests and %llu tags from %s; "
			 "%zu failed",
		    (unsigned long long)im->blobs, (unsigned long long)im->manifests,
		    (unsigned long long)im->tags, im->folder,
		    json_array_size(im->failed));
}

static void release_step(struct import *im)
{
	for (size_t i = 0; i < im->n; i++) {
		if (im->step[i].hold.digest)
			store_release(im->regd->store, &im->step[i].hold);
		free(im->step[i].body);
		manifest_free(im->step[i].manifest);
		im->step[i] = (struct loaded){ .result = 0 };
	}
}

static void rows_done(struct change *c)
{
	struct import *im = CONTAINER_OF(c, struct import, change);

	for (size_t i = 0; c->result == 0 && i < im->n; i++)
		count(im, &im->scan->items[im->at + i], &im->step[i]);
	release_step(im);
	im->at += im->n;
	im->done = im->at;
	im->n = 0;
	if (c->result < 0 || im->at >= im->scan->n || !im->regd->writer)
		finish(im, c->result);
	else
		pool_post(im->regd->work, &im->job);
}

static void step_done(struct job *j)
{
	struct import *im = CONTAINER_OF(j, struct import, job);

	if (im->scan_error < 0) {
		im->err = im->scan_err;
		finish(im, im->scan_error);
		return;
	}
	im->items = im->scan->n;
	im->kind = im->scan->what;
	if (!im->n) {
		finish(im, 0);
		return;
	}
	im->now = clock_real_s();
	for (size_t i = 0; i < im->n; i++)
		quota_limits(im->regd->conf, im->scan->items[im->at + i].repository,
		    &im->step[i].limits);
	im->change.apply = rows_apply;
	im->change.committed = rows_committed;
	im->change.done = rows_done;
	writer_post(im->regd->writer, &im->change);
}

/* --- life ------------------------------------------------------------------------- */

int import_start(struct import *im, const char *folder, const char *repository)
{
	struct regd *g = im->regd;

	if (im->running)
		return -EBUSY;
	im->scan = scan_free(im->scan);
	json_decref(im->failed);
	*im = (struct import){
		.regd = g,
		.running = true,
		.reserve = g->conf->storage.reserve,
	};
	im->failed = json_array();
	snprintf(im->folder, sizeof(im->folder), "%s", folder);
	snprintf(im->repository, sizeof(im->repository), "%s", repository);
	im->job.work = step_work;
	im->job.done = step_done;
	pool_post(g->work, &im->job);
	return 0;
}

json_t *import_status(const struct import *im)
{
	return json_pack("{s:b,s:s,s:s?,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:O?,s:s?}",
	    "running", im->running, "folder", im->folder, "kind", im->kind, "items",
	    (json_int_t)im->items, "done", (json_int_t)im->done, "blobs",
	    (json_int_t)im->blobs, "bytes", (json_int_t)im->bytes, "manifests",
	    (json_int_t)im->manifests, "tags", (json_int_t)im->tags, "skipped",
	    (json_int_t)im->skipped, "failed", im->failed, "error",
	    im->error < 0 ? im->err.text : NULL);
}

int import_new(struct import **ret, struct regd *g)
{
	struct import *im = calloc(1, sizeof(*im));

	if (!im)
		return -ENOMEM;
	im->regd = g;
	*ret = im;
	return 0;
}

struct import *import_free(struct import *im)
{
	if (!im)
		return NULL;
	release_step(im);
	scan_free(im->scan);
	json_decref(im->failed);
	free(im);
	return NULL;
}
