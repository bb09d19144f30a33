/*
 * Takes over what another registry left in a folder (see scan.h), while serving.  Files
 * become ours by hard link where that is possible, else by reflink or copy, and each is
 * verified on the way; what is there already is passed over, so that an import that was
 * interrupted goes on where it stopped.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

struct import;
struct regd;

int import_new(struct import **ret, struct regd *g) _mustcheck_;
/* The pool that it works on has ended. */
struct import *import_free(struct import *im);
DEFINE_FREEP(import)
/* -EBUSY while one runs, else it runs; import_status() tells how it goes.  repository
 * names what an OCI layout is to be; "" elsewhere. */
int import_start(
    struct import *im, const char *folder, const char *repository) _mustcheck_;
/* {"running","folder","kind","items","done","blobs","bytes","manifests","tags",
 * "skipped","failed":[...],"error"} */
json_t *import_status(const struct import *im);
