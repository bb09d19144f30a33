/*
 * The registry's rows: repositories, blobs, manifests, tags and what refers to what.
 * The database is <root>/regd.db.  Functions that take a struct db of the writer change
 * rows and run inside its transaction; the others read.
 *
 * A blob has one row and one file however many repositories hold it; repo_blobs says
 * which do.  A manifest's body is in its row.
 */
#pragma once

#include "common/base.h"
#include "common/db.h"
#include "common/str.h"
#include "regd/manifest.h"
#include "regd/name.h"

struct digest_set;

extern const struct db_migration meta_migrations[];

enum meta_outcome {
	META_UNKNOWN = 1, /* no such repository, blob, manifest or tag */
	META_MISSING,     /* a manifest refers to what the repository does not hold */
};

/* --- reading -------------------------------------------------------------- */

/* 0, -ENOENT or another -errno, here and below. */
int meta_repo_find(struct db *db, const char *name, int64_t *id) _mustcheck_;

struct meta_blob {
	int64_t id, size, touched, checked;
	bool bad; /* its bytes on disk are known to be wrong */
};
int meta_blob_find(struct db *db, const char *repo, const char *digest,
    struct meta_blob *ret) _mustcheck_;
/* A repository that holds the blob and for which allowed() says true: its name. */
int meta_blob_holder(struct db *db, const char *digest,
    bool (*allowed)(void *arg, const char *repo), void *arg,
    char ret[NAME_MAX_LEN + 1]) _mustcheck_;

struct meta_manifest {
	char digest[DIGEST_TEXT_MAX];
	char type[MANIFEST_TYPE_MAX];
	size_t size;
	char *body; /* owned */
};
/* reference is a tag or a digest. */
int meta_manifest_find(struct db *db, const char *repo, const char *reference,
    struct meta_manifest *ret) _mustcheck_;

/* When it was last pushed; each push moves it on, also within a second. */
int meta_manifest_pushed(
    struct db *db, const char *repo, const char *digest, int64_t *ret) _mustcheck_;

/*
 * Names in byte order after last ("" from the start), at most n, each given to add();
 * *more tells whether there is more behind them.
 */
int meta_tags(struct db *db, int64_t repo, const char *last, uint64_t n,
    void (*add)(void *arg, const char *name), void *arg, bool *more) _mustcheck_;
int meta_catalog(struct db *db, const char *last, uint64_t n,
    bool (*add)(void *arg, const char *name), void *arg, bool *more) _mustcheck_;

/* What a person wants to know of a repository, and of a tag; sizes are those of the
 * blobs it refers to.  Each in order of its name, after last ("" from the start), given
 * to add() until that says false.
 */
struct meta_repo_row {
	const char *name;
	int64_t tags, bytes, updated;
};
int meta_repo_rows(struct db *db, const char *last,
    bool (*add)(void *arg, const struct meta_repo_row *r), void *arg) _mustcheck_;
struct meta_tag_row {
	const char *name, *digest;
	int64_t bytes, updated;
};
int meta_tag_rows(struct db *db, const char *repo, const char *last,
    bool (*add)(void *arg, const struct meta_tag_row *t), void *arg) _mustcheck_;

/* A manifest whose subject is what was asked for. */
struct meta_referrer {
	const char *digest, *type, *artifact_type, *annotations;
	int64_t size;
};
/* In order of digest, after last; each given to add() until that says false. */
int meta_referrers(struct db *db, const char *repo, const char *subject,
    const char *artifact_type, const char *last,
    bool (*add)(void *arg, const struct meta_referrer *r), void *arg) _mustcheck_;

/* Totals for status: O(repositories + blobs). */
struct meta_totals {
	int64_t repositories, manifests, tags, blobs, blob_bytes, bad_blobs;
};
int meta_totals(struct db *db, struct meta_totals *ret) _mustcheck_;

/* Whether a manifest for which counts() says true refers to the blob: 1, 0 or -errno. */
int meta_blob_used(struct db *db, const char *digest,
    bool (*counts)(void *arg, const char *repo, const char *manifest),
    void *arg) _mustcheck_;
/* The same of a manifest, for the indexes that name it. */
int meta_manifest_used(struct db *db, const char *digest,
    bool (*counts)(void *arg, const char *repo, const char *manifest),
    void *arg) _mustcheck_;

/* Bytes of the blobs of a repository, each counted whole, or with NULL of all, each counted
 * once; good leaves those out that are known to be damaged. */
int meta_bytes(struct db *db, const char *repo, bool good, int64_t *ret) _mustcheck_;
/* The largest first, each given to add() until that says false. */
int meta_largest(struct db *db, bool (*add)(void *arg, const char *repo, int64_t bytes),
    void *arg) _mustcheck_;

/* --- writing: 0, an outcome, or -errno -------------------------------------- */

/* Bounds of meta_bytes(); UINT64_MAX: none. */
struct meta_limits {
	uint64_t repo, total;
};
/* The blob is durable on disk: makes the row, or heals it, and links it to the
 * repository; -EDQUOT when that goes over one of the limits (NULL: none). */
int meta_blob_add(struct db *db, const char *repo, const char *digest, int64_t size,
    int64_t now, const struct meta_limits *limits) _mustcheck_;
/* Links a blob of the repository from to repo. */
int meta_blob_mount(struct db *db, const char *repo, const char *from,
    const char *digest, int64_t now, const struct meta_limits *limits) _mustcheck_;
/* The repository gives the blob up; the file stays until it is collected. */
int meta_blob_unlink(
    struct db *db, const char *repo, const char *digest, int64_t now) _mustcheck_;
/* Somebody counts on the blob from now on. */
int meta_blob_touch(struct db *db, const char *digest, int64_t now) _mustcheck_;

/* Whether there is a row: 1, 0 or -errno. */
int meta_blob_exists(struct db *db, const char *digest) _mustcheck_;

struct meta_garbage {
	int64_t id, size;
	struct oci_digest digest;
};
/*
 * Looks at the next max rows of blobs behind id *after, which it moves on, and puts
 * those that nothing refers to and nobody touched since cutoff into found; *more tells
 * whether there are rows behind them.
 */
int meta_garbage_find(struct db *db, int64_t cutoff, int64_t *after, size_t max,
    struct meta_garbage *found, size_t *n, bool *more) _mustcheck_;
/* The row and its links. */
int meta_blob_forget(struct db *db, int64_t id) _mustcheck_;
/* The bytes on disk are not what they should be, or are again: unless others came since
 * the check before. */
int meta_blob_checked(struct db *db, const char *digest, bool bad, int64_t before,
    int64_t now) _mustcheck_;
/* The blob whose last check lies furthest back, and when that was, if it is before cutoff;
 * else -ENOENT. */
int meta_blob_unchecked(
    struct db *db, int64_t cutoff, struct oci_digest *ret, int64_t *before) _mustcheck_;

struct meta_put {
	const char *repo;
	const struct oci_digest *digest;
	const struct manifest *manifest;
	const char *body;
	size_t size;
	const char *const *tags; /* ends in NULL; may be empty */
	int64_t now;
	bool sparse;                        /* what it refers to need not be there */
	const struct digest_set *elsewhere; /* nor these; NULL: none */
	char missing[DIGEST_TEXT_MAX];      /* out, with META_MISSING */
};
int meta_manifest_put(struct db *db, struct meta_put *p) _mustcheck_;
/* Points a tag at a manifest that is there. */
int meta_tag_put(struct db *db, const char *repo, const char *tag, const char *digest,
    int64_t now) _mustcheck_;
/* When a tag that came from an upstream was last asked for there; -ENOENT for one that
 * did not. */
int meta_tag_checked(
    struct db *db, const char *repo, const char *tag, int64_t *ret) _mustcheck_;
int meta_tag_check(
    struct db *db, const char *repo, const char *tag, int64_t now) _mustcheck_;
/* Whether the tag is there and did not come from an upstream: 1, 0 or -errno. */
int meta_tag_is_own(struct db *db, const char *repo, const char *tag) _mustcheck_;
/* The tag was pushed or imported here. */
int meta_tag_own(struct db *db, const char *repo, const char *tag) _mustcheck_;
/* By tag: the tag alone.  By digest: the manifest and its tags. */
int meta_tag_delete(struct db *db, const char *repo, const char *tag) _mustcheck_;
int meta_manifest_delete(
    struct db *db, const char *repo, const char *digest, int64_t now) _mustcheck_;

/* --- the pull ledger ---------------------------------------------------------------- */

struct meta_pull {
	const char *client, *repository, *digest;
	int64_t count, first, last;
};
/* Least recently pulled first. */
int meta_pulls(struct db *db, void (*add)(void *arg, const struct meta_pull *p),
    void *arg) _mustcheck_;
int meta_pull_put(struct db *db, const struct meta_pull *p) _mustcheck_;
/* Forgets all but about the n most recent ones. */
int meta_pulls_keep(struct db *db, int64_t n) _mustcheck_;
