/* What the files of meta share among themselves; nobody else includes it. */
#pragma once

#include "regd/meta.h"

/* The repository's id, making it where it is missing: 0 or -errno. */
int meta_repo_make(
    struct db *db, const char *name, int64_t now, int64_t *id) _mustcheck_;
