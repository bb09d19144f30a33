/*
 * Collection of blobs that nothing refers to, while the registry serves.
 *
 * What goes: blobs that no manifest of any repository names and that nobody has counted
 * on within the grace; and files that a crash left without a row.  Manifests never go by
 * themselves: one without a tag is pulled by its digest.
 *
 * Rows go first, in small transactions between those of pushes; a file goes after its
 * row is durably gone, unless somebody is making that very blob again.
 */
#pragma once

#include "common/base.h"

struct gc;
struct regd;

struct gc_result {
	uint64_t blobs, bytes; /* rows, and the sizes of their files */
	uint64_t strays;       /* files without a row */
	bool dry_run;
	int error; /* 0 or -errno: it stopped early */
};

int gc_new(struct gc **ret, struct regd *g) _mustcheck_;
/* None may be running: the threads it uses have ended. */
struct gc *gc_free(struct gc *gc);
DEFINE_FREEP(gc)
/*
 * Starts one; done (may be NULL) is called on the loop with its result.  A dry run
 * counts and removes nothing.  -EBUSY while one runs, or while
 * another process still finishes pushes to the same root.
 */
int gc_start(struct gc *gc, bool dry_run,
    void (*done)(void *arg, const struct gc_result *r), void *arg) _mustcheck_;
/* The caller of gc_start() no longer wants to hear. */
void gc_forget(struct gc *gc);
/* Starts one when it is due. */
void gc_tick(struct gc *gc);
/* The last that removed anything, and when it ended (0: never). */
const struct gc_result *gc_last(const struct gc *gc, int64_t *at);
