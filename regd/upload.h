/*
 * Uploads on their way to becoming blobs.
 *
 * Life of a session: started (an empty file), appended to by one request after another,
 * and then committed, cancelled, or expired.  A session's name proves which repository
 * it belongs to (half of it is a keyed hash of the other half and the repository), so
 * that nothing but its file need survive a crash: after a restart the first request
 * that names it finds the file, and the file's size is the offset.
 *
 * A process that is replaced may still write into a session that clients continue in its
 * successor.  So who appends claims the session first, against other processes too, and
 * holds it until it is through, or until the commit is: a blob's bytes are nobody's to
 * write.  Who finds it claimed is told where it stands, and the other gives way soon, as
 * a request does to a later one in the same process.
 *
 * The digest follows behind the bytes on a thread of its own (hasher.h), so that receiving,
 * hashing and writing to the disk overlap; a request that gets too far ahead of it is
 * paused.  Where it could not follow (a session found on disk, an algorithm that shows only
 * at the end) the file is read once more at commit.
 *
 * Commit, in this order: data durable, name durable, row durable, and only then is
 * anybody told.  What fails before leaves at most an unreferenced file.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/htable.h"
#include "common/list.h"
#include "regd/name.h"
#include "regd/store.h"

struct call;
struct commit;
struct hasher;
struct regd;
struct uploads;

struct upload {
	struct hnode node;
	struct list_link age; /* least recently used first */
	struct uploads *all;
	char session[SESSION_MAX];
	int fd;
	uint64_t size, room;   /* room: what it may grow to by its repository's quota */
	struct hasher *hasher; /* of the file from its start; NULL: unknown */
	uint64_t used_ms;
	uint64_t flushed;      /* bytes whose writing to the disk was begun */
	bool paused;           /* the writer waits for the hasher */
	struct call *writer;   /* the request that appends, or NULL */
	struct commit *commit; /* once it began */
	/* Instead of requests: whoever fills it, told when the commit is over. */
	void *fetch;
	void (*fetched)(void *fetch, int result);
};

enum commit_outcome {
	COMMIT_MISMATCH = 1, /* the bytes are not what the digest says */
};

int uploads_new(struct uploads **ret, struct regd *g, struct err *err) _mustcheck_;
/* Closes the sessions; their files stay. */
struct uploads *uploads_free(struct uploads *us);
DEFINE_FREEP(uploads)
/* Removes what lay idle beyond the expiry, closes what lay idle for a minute. */
void uploads_tick(struct uploads *us);
size_t uploads_count(const struct uploads *us);

int upload_new(struct upload **ret, struct uploads *us, const char *repo,
    enum digest_alg alg) _mustcheck_;
/* A session of that repository, in memory or on disk: 0, -ENOENT, or -errno. */
int upload_find(struct upload **ret, struct uploads *us, const char *repo,
    const char *session) _mustcheck_;
/* For a session without a writer, before anything is written: 0; -EBUSY while another
 * process writes; or -ENOENT or -errno, and the session is closed. */
int upload_claim(struct upload *u) _mustcheck_;
/* Before those are told who may go on with it elsewhere. */
void upload_release(struct upload *u);
/* 0; -ENOSPC where it would eat into the reserve, -EDQUOT where it would go over a quota, or
 * -errno.  After a failure the
 * session must be dropped. */
int upload_append(struct upload *u, const void *p, size_t n) _mustcheck_;
/* Back to an earlier size. */
int upload_truncate(struct upload *u, uint64_t size) _mustcheck_;
/* Ends a session that no request appends to, and frees its disk space: once nothing reads
 * it any more. */
void upload_drop(struct upload *u);
/* The same at once, for who has claimed it: nobody can have made a blob of the file. */
void upload_discard(struct upload *u);

/* Whether the bytes that fill it without a call are what the digest says. */
bool upload_is(const struct upload *u, const struct oci_digest *d);

/*
 * Makes it the blob d of repo.  done() is called on the loop with 0, COMMIT_MISMATCH or
 * -errno and the call that waits, NULL if it has ended; the session is gone by then.
 * Both may be NULL for what fills it without a call.
 */
void upload_commit(struct upload *u, struct call *c, const char *repo,
    const struct oci_digest *d,
    void (*done)(
	struct call *c, int result, const char *repo, const struct oci_digest *d));
/* Another request waits for a commit under way, in place of the one that did: true when
 * that is for the same digest. */
bool upload_join(struct upload *u, struct call *c, const struct oci_digest *d);
