/*
 * The digest of a file that grows, taken on a pool's thread behind whoever writes it.
 *
 * What was written is read again, out of the page cache, so that receiving and writing go
 * on meanwhile and nothing waits in memory: a hasher is a digest and how far it came.
 *
 * Who owns what: the hasher is the loop's.  A stretch on its way to the pool and back
 * takes the digest along, and the loop touches neither that nor the bytes of the stretch
 * until it is home; the pool's queue and the loop's mailbox hand it over.  Nothing else is
 * shared.  Bytes that a hasher was told of must not change: whoever changes them frees it.
 */
#pragma once

#include "common/base.h"
#include "regd/name.h"

struct hasher;
struct pool;

/* behind(arg) is called on the loop each time a stretch is over. */
int hasher_new(struct hasher **ret, enum digest_alg alg, void (*behind)(void *arg),
    void *arg) _mustcheck_;
/* A stretch under way ends by itself and tells nobody. */
struct hasher *hasher_free(struct hasher *h);
DEFINE_FREEP(hasher)

/*
 * The file has size bytes: posts the next stretch to the pool, if none is under way and
 * enough has gathered.  fd may be closed at once.  Where reading fails the hasher stands
 * still, and hasher_finish() tells.
 */
void hasher_advance(struct hasher *h, struct pool *p, int fd, uint64_t size);
/* Instead, where the digest must be known at once: the next n bytes. */
void hasher_feed(struct hasher *h, const void *p, size_t n);

bool hasher_busy(const struct hasher *h);
/* Bytes of size that are neither hashed nor on their way; 0 when it stands still. */
uint64_t hasher_lag(const struct hasher *h, uint64_t size);

/* These while no stretch is under way, on whichever thread has the hasher to itself. */

/* Hashes what is left up to size and says what the digest is; blocks. */
int hasher_finish(
    struct hasher *h, int fd, uint64_t size, struct oci_digest *ret) _mustcheck_;
/* The digest of what was hashed so far. */
void hasher_peek(const struct hasher *h, struct oci_digest *ret);
enum digest_alg hasher_alg(const struct hasher *h);
