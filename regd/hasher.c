/* A digest behind a growing file: see hasher.h. */
#include "regd/hasher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/fd.h"
#include "regd/pool.h"

enum {
	/* Read at once: small enough to be hashed out of the processor's cache. */
	PIECE_BYTES = 128 * 1024,
	/* Less is not worth a thread's waking; the end is hashed by who commits. */
	STRETCH_MIN = 1024 * 1024,
	/* More would let other uploads wait. */
	STRETCH_MAX = 8 * 1024 * 1024,
};

struct hasher {
	struct job job;
	struct digest *digest;
	enum digest_alg alg;
	uint64_t at, to; /* hashed; the end of the stretch under way */
	int fd;          /* of the stretch under way */
	int result;      /* of reading */
	bool busy;       /* the stretch is not home; the loop's */
	bool orphan;     /* freed meanwhile; the loop's */
	void (*behind)(void *arg);
	void *arg;
};

static int read_on(struct hasher *h, int fd, uint64_t to)
{
	char buf[PIECE_BYTES];

	while (h->at < to) {
		size_t want = (size_t)MIN((uint64_t)sizeof(buf), to - h->at);
		ssize_t n = pread(fd, buf, want, (off_t)h->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		digest_update(h->digest, buf, (size_t)n);
		h->at += (uint64_t)n;
	}
	return 0;
}

static void stretch_work(struct job *j)
{
	struct hasher *h = CONTAINER_OF(j, struct hasher, job);

	h->result = read_on(h, h->fd, h->to);
}

static void stretch_done(struct job *j)
{
	struct hasher *h = CONTAINER_OF(j, struct hasher, job);

	h->fd = fd_close(h->fd);
	h->busy = false;
	if (h->orphan)
		hasher_free(h);
	else
		h->behind(h->arg);
}

int hasher_new(
    struct hasher **ret, enum digest_alg alg, void (*behind)(void *arg), void *arg)
{
	_cleanup_(hasher_freep) struct hasher *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->fd = -1;
	h->alg = alg;
	h->behind = behind;
	h->arg = arg;
	h->job.work = stretch_work;
	h->job.done = stretch_done;
	r = digest_new(&h->digest, alg);
	if (r < 0)
		return r;

	*ret = TAKE(h);
	return 0;
}

struct hasher *hasher_free(struct hasher *h)
{
	if (!h)
		return NULL;
	if (h->busy) {
		h->orphan = true;
		return NULL;
	}
	digest_free(h->digest);
	free(h);
	return NULL;
}

void hasher_advance(struct hasher *h, struct pool *p, int fd, uint64_t size)
{
	if (h->busy || h->result < 0 || size - h->at < STRETCH_MIN)
		return;
	h->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (h->fd < 0)
		return; /* the end will take longer */
	h->to = h->at + MIN(size - h->at, (uint64_t)STRETCH_MAX);
	h->busy = true;
	pool_post(p, &h->job);
}

void hasher_feed(struct hasher *h, const void *p, size_t n)
{
	assert(!h->busy);
	digest_update(h->digest, p, n);
	h->at += n;
}

bool hasher_busy(const struct hasher *h)
{
	return h->busy;
}

uint64_t hasher_lag(const struct hasher *h, uint64_t size)
{
	if (h->busy) /* at is the pool's */
		return size - h->to;
	return h->result < 0 ? 0 : size - h->at;
}

int hasher_finish(struct hasher *h, int fd, uint64_t size, struct oci_digest *ret)
{
	assert(!h->busy);
	if (h->result == 0)
		h->result = read_on(h, fd, size);
	if (h->result == 0)
		hasher_peek(h, ret);
	return h->result;
}

void hasher_peek(const struct hasher *h, struct oci_digest *ret)
{
	uint8_t bytes[DIGEST_MAX];

	assert(!h->busy);
	digest_peek(h->digest, bytes);
	oci_digest_set(ret, h->alg, bytes);
}

enum digest_alg hasher_alg(const struct hasher *h)
{
	return h->alg;
}
