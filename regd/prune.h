/*
 * Pruning by release: of a repository that releases were mirrored to, the manifests that
 * belong to releases that are not to be kept, and to no other.  A manifest that carries a
 * tag of another kind stays, and so does everything that belongs to no release: without a
 * tag is not without use.  Where a release cannot be read, everything that is tagged after
 * it stays.  What cosign laid beside an image goes and stays with it.  The blobs go with the
 * next collection.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "regd/release.h"

struct prune;

enum { PRUNE_KEEP_MAX = 32 };

/*
 * Blocks, for a thread of a pool: finds what is to go.  keep are n references of releases;
 * each must be one, else -ENOENT or -EBADMSG with a sentence.
 */
int prune_find(struct prune **ret, struct db *db, struct store *store,
    const struct release_query *q, const char *const *keep, size_t n,
    struct err *err) _mustcheck_;
struct prune *prune_free(struct prune *p);
DEFINE_FREEP(prune)
/*
 * On the writer's thread, in a transaction: deletes it, but for what was pushed, tagged or
 * named by an index since it was found.
 */
int prune_apply(struct prune *p, struct db *db, int64_t now) _mustcheck_;
/*
 * {"keep":[tags],"drop":[tags],"unreadable":[tags],"beside":[tags],"manifests":N,"tags":N,
 * "blobs":N,"bytes":N}: beside are the tags of signatures and the like that go, of the
 * blobs those are counted that nothing refers to any more.
 */
json_t *prune_result(const struct prune *p);
