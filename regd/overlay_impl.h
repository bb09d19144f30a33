/* What overlay.c and its index share. */
#pragma once

#include <limits.h>

#include "regd/overlay.h"
#include "regd/pool.h"

struct db;

enum overlay_state { OVERLAY_INDEXING, OVERLAY_SERVED, OVERLAY_FAILED };

struct overlay {
	struct regd *regd;
	struct job job;
	char path[PATH_MAX], repository[NAME_MAX_LEN + 1], index[PATH_MAX];
	int root; /* the folder; -1: files are opened by their paths */
	struct db *db[OVERLAY_SIDES]; /* NULL until it is indexed */
	enum overlay_state state;
	/* The working thread's until the job is done. */
	const char *kind, *want; /* want: what the setting says, NULL for any */
	uint64_t skipped;
	struct meta_totals totals;
	int error;
	struct err err;
};

/* On the working thread: makes the index, with that thread's connection and the scrubber's. */
int overlay_index(struct overlay *o) _mustcheck_;
/* Descriptor of a file that the index names. */
int overlay_open(const struct overlay *o, const char *path) _mustcheck_;
