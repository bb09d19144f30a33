/* Looks into a layer: a tar, plain or gzipped.  Blocks: for a thread of a pool. */
#pragma once

#include "common/base.h"
#include "common/str.h"
#include "regd/store.h"

/*
 * Appends the file of that name in the layer behind fd to out: 0, -ENOENT where it holds
 * none, -EFBIG beyond max bytes, -EBADMSG for what is neither tar nor gzip, -ENOTSUP for
 * zstd.
 */
int layer_read_file(int fd, const struct store_part *part, const char *name, size_t max,
    struct str *out) _mustcheck_;
