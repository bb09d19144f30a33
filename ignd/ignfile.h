/*
 * The .ign files below the ignition folder, judged before they are served: each is read
 * and parsed once, and again when its inode, size or times say that it is another.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "ignd/ignition.h"

struct ignfiles;

struct ignfile {
	char *name;
	struct ignition *ign; /* NULL: a node would refuse it, err says why */
	struct err err;
	struct str text;
};

int ignfiles_new(struct ignfiles **ret, const char *dir) _mustcheck_;
struct ignfiles *ignfiles_free(struct ignfiles *f);
DEFINE_FREEP(ignfiles)

/*
 * Opens a file and judges it: returns a descriptor (the caller's) of exactly the bytes
 * that were judged, and what came of it in *ret, which holds until the next call.  A bad
 * file is no error here but has ign == NULL.
 * -ENOENT, -EXDEV, -EACCES, -EBUSY (it changes while it is read), -ENOMEM, ...
 */
int ignfiles_open(
    struct ignfiles *f, const char *name, const struct ignfile **ret) _mustcheck_;
