/*
 * Where the bytes of blobs lie: a folder tree
 *
 *   <root>/blobs/sha256/ab/<hex>   blobs that are whole and verified
 *   <root>/uploads/<session>       what is on its way
 *
 * Every path is built from checked words alone.  This is the driver that another kind
 * of storage would stand in for.  Functions marked "blocks" belong on a pool's thread.
 */
#pragma once

#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"
#include "common/list.h"
#include "regd/name.h"

/* A part of a file. */
struct store_part {
	uint64_t offset, size;
};

struct store;

enum { SESSION_MAX = 37 }; /* a session's name, "8-4-4-4-12" hex digits, and NUL */

int store_new(struct store **ret, const char *root, struct err *err) _mustcheck_;
struct store *store_free(struct store *s);
DEFINE_FREEP(store)
const char *store_root(const struct store *s);

/*
 * Two processes may serve one root for a while (upgrade in place).  Each shares it from
 * store_new() on; what must not meet the other's pushes asks to have it alone: 0, or
 * -EBUSY.  Whoever starts meanwhile waits for store_share().
 */
int store_alone(struct store *s) _mustcheck_;
void store_share(struct store *s);

/* Opens the file of a session for reading and writing, with create as a fresh one:
 * descriptor or -errno (-ENOENT: there is no such session). */
int store_upload_open(struct store *s, const char *session, bool create) _mustcheck_;
/* The size of a session's open file; -ENOENT where its name is gone, or another's. */
int store_upload_size(
    struct store *s, const char *session, int fd, uint64_t *ret) _mustcheck_;
/*
 * Who writes into a session, or makes a blob of it, has its file locked against other
 * processes: 0, or -EBUSY, and then the holder can see with store_upload_wanted() that
 * somebody waits.  The lock ends with the descriptor.
 */
int store_upload_lock(int fd) _mustcheck_;
void store_upload_unlock(int fd);
bool store_upload_wanted(int fd);
/* 0 or -errno. */
int store_upload_remove(struct store *s, const char *session);
/* Calls cb for every session on disk, with the time when it was last written or made. */
int store_upload_walk(struct store *s,
    void (*cb)(void *arg, const char *session, uint64_t size, int64_t used),
    void *arg) _mustcheck_;

/*
 * A digest that somebody is making a blob of: as long as it is held,
 * store_blob_remove() leaves that blob's file alone.  Thread-safe.
 */
struct store_hold {
	struct list_link link;
	const char *digest;
};
void store_hold(struct store *s, struct store_hold *h, const struct oci_digest *d);
void store_release(struct store *s, struct store_hold *h);

/*
 * Makes the session's file the blob d; blocks.  When it returns 0 the data and the name
 * are durable, and a file that was there under that name is replaced.  Linking into
 * place is the last step, so that a crash leaves the session or the blob.
 */
int store_blob_commit(struct store *s, const char *session, int fd,
    const struct oci_digest *d) _mustcheck_;
/*
 * Makes the file at path, or a part of it, the blob d: a whole file by hard link where
 * possible, else by reflink or copy, after reading it to verify; blocks.  -EILSEQ when its
 * bytes have another digest, -ENOSPC when a copy would leave less than reserve free.
 * Durable like a commit.
 */
int store_blob_import(struct store *s, const char *path, const struct store_part *part,
    const struct oci_digest *d, uint64_t reserve, uint64_t *size) _mustcheck_;
/* The same of a part of an open file, without linking: somebody else's file may change
 * under its name. */
int store_blob_copy(struct store *s, int from, const struct store_part *part,
    const struct oci_digest *d) _mustcheck_;
/* Descriptor of a blob and its size; -ENOENT where there is none. */
int store_blob_open(
    struct store *s, const struct oci_digest *d, uint64_t *size) _mustcheck_;
/* Whether the blob's file is there and has that size. */
bool store_blob_has(struct store *s, const struct oci_digest *d, uint64_t size);
/* 0, -EBUSY while the digest is held, or -errno. */
int store_blob_remove(struct store *s, const struct oci_digest *d);
/* Calls cb for every file that is named as a blob should be, with the time it was last
 * changed, until that returns false; blocks. */
int store_blob_walk(struct store *s,
    bool (*cb)(void *arg, const struct oci_digest *d, int64_t changed),
    void *arg) _mustcheck_;
/* Reads a descriptor from its start to its end; blocks. */
int store_digest_fd(int fd, enum digest_alg alg, struct oci_digest *ret) _mustcheck_;
/* Of a part. */
int store_digest_part(int fd, const struct store_part *part, enum digest_alg alg,
    struct oci_digest *ret) _mustcheck_;

/* Whether the file system takes no writes, by writing: a kernel that finds it damaged turns
 * it so. */
bool store_is_read_only(struct store *s);
/* Bytes that may be written before the file system is full. */
int store_free_bytes(struct store *s, uint64_t *ret) _mustcheck_;
