/* The digest behind a growing file is that of the bytes, whatever comes in between. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/loop.h"
#include "regd/hasher.h"
#include "regd/pool.h"

enum { MIB = 1024 * 1024, BYTES = 21 * MIB + 4711 };

/* A file that grows by a piece each time its hasher is home, or at once. */
struct growing {
	struct loop *loop;
	struct mailbox *home;
	struct pool *pool;
	struct hasher *h;
	char *bytes;
	int fd;
	uint64_t size;
	unsigned stretches;
};

static void grow(struct growing *g, size_t n)
{
	n = MIN(n, (size_t)(BYTES - g->size));
	CHECK(pwrite(g->fd, g->bytes + g->size, n, (off_t)g->size) == (ssize_t)n);
	g->size += n;
	hasher_advance(g->h, g->pool, g->fd, g->size);
}

static void behind(void *arg)
{
	struct growing *g = arg;

	CHECK(!hasher_busy(g->h));
	g->stretches++;
	if (g->pool)
		grow(g, 3 * MIB);
	if (!hasher_busy(g->h))
		loop_stop(g->loop);
}

static void begin(struct growing *g, enum digest_alg alg)
{
	char path[] = "/tmp/okd-test-hasher.XXXXXX";

	memset(g, 0, sizeof(*g));
	g->fd = mkstemp(path);
	CHECK(unlink(path) == 0);
	g->bytes = malloc(BYTES);
	for (unsigned i = 0, x = 1; i < BYTES; i++, x = x * 1664525 + 1013904223)
		g->bytes[i] = (char)(x >> 24);
	CHECK(loop_new(&g->loop) == 0 && mailbox_new(&g->home, g->loop) == 0);
	CHECK(pool_new(&g->pool, "test", 2, g->home) == 0);
	CHECK(hasher_new(&g->h, alg, behind, g) == 0);
}

static void end(struct growing *g)
{
	g->pool = pool_free(g->pool);
	g->home = mailbox_free(g->home);
	g->h = hasher_free(g->h);
	loop_free(g->loop);
	close(g->fd);
	free(g->bytes);
}

static bool is_digest(const struct growing *g, const struct oci_digest *d)
{
	return oci_digest_matches(d, g->bytes, g->size);
}

static void whole_file(enum digest_alg alg)
{
	struct oci_digest d = { .text = "" };
	struct growing g;

	begin(&g, alg);
	grow(&g, 5 * MIB);
	CHECK(hasher_busy(g.h));
	loop_run(g.loop);
	CHECK(g.size == BYTES && g.stretches > 3);
	/* What is too little for a stretch is left to the end. */
	CHECK(hasher_lag(g.h, g.size) < MIB);
	CHECK(hasher_finish(g.h, g.fd, g.size, &d) == 0);
	CHECK(hasher_lag(g.h, g.size) == 0);
	CHECK(d.alg == alg && is_digest(&g, &d));
	end(&g);
}

TEST(the_digest_follows_a_file_that_grows)
{
	whole_file(DIGEST_SHA256);
	whole_file(DIGEST_SHA512);
}

TEST(little_needs_no_thread)
{
	struct oci_digest d = { .text = "" };
	struct growing g;

	begin(&g, DIGEST_SHA256);
	grow(&g, MIB - 1);
	CHECK(!hasher_busy(g.h) && hasher_lag(g.h, g.size) == MIB - 1);
	CHECK(hasher_finish(g.h, g.fd, g.size, &d) == 0 && is_digest(&g, &d));
	end(&g);
}

TEST(a_stretch_is_bounded)
{
	struct growing g;

	begin(&g, DIGEST_SHA256);
	grow(&g, 20 * MIB);
	CHECK(hasher_busy(g.h));
	CHECK(hasher_lag(g.h, g.size) == 12 * MIB);
	/* No second one beside it. */
	grow(&g, MIB);
	CHECK(hasher_lag(g.h, g.size) == 13 * MIB);
	loop_run(g.loop);
	end(&g);
}

TEST(it_may_be_freed_under_way)
{
	struct growing g;

	begin(&g, DIGEST_SHA256);
	grow(&g, 20 * MIB);
	CHECK(hasher_busy(g.h));
	g.h = hasher_free(g.h);
	end(&g); /* the stretch comes home to nobody */
	CHECK(g.stretches == 0);
}

TEST(the_descriptor_may_be_closed_under_way)
{
	struct oci_digest d = { .text = "" };
	struct growing g;
	int fd;

	begin(&g, DIGEST_SHA256);
	CHECK(pwrite(g.fd, g.bytes, 8 * MIB, 0) == 8 * MIB);
	g.size = 8 * MIB;
	fd = dup(g.fd);
	hasher_advance(g.h, g.pool, fd, g.size);
	close(fd);
	g.pool = pool_free(g.pool);
	CHECK(hasher_busy(g.h));
	g.home = mailbox_free(g.home);
	CHECK(hasher_finish(g.h, g.fd, 8 * MIB, &d) == 0);
	CHECK(oci_digest_matches(&d, g.bytes, 8 * MIB));
	end(&g);
}

TEST(a_file_that_is_too_short_is_told_at_the_end)
{
	struct oci_digest d = { .text = "" };
	struct growing g;

	begin(&g, DIGEST_SHA256);
	grow(&g, 2 * MIB);
	g.size = BYTES; /* behind() says so, and there are no more bytes */
	loop_run(g.loop);
	/* It stands still, and holds nobody up. */
	hasher_advance(g.h, g.pool, g.fd, BYTES);
	CHECK(g.stretches == 2);
	CHECK(!hasher_busy(g.h) && hasher_lag(g.h, BYTES) == 0);
	CHECK(hasher_finish(g.h, g.fd, 2 * MIB, &d) == -EIO);
	CHECK(d.text[0] == '\0');
	end(&g);
}

TEST(fed_bytes_count_like_read_ones)
{
	struct oci_digest d = { .text = "" };
	struct growing g;

	begin(&g, DIGEST_SHA512);
	hasher_feed(g.h, g.bytes, 100);
	hasher_peek(g.h, &d);
	CHECK(hasher_alg(g.h) == DIGEST_SHA512);
	CHECK(oci_digest_matches(&d, g.bytes, 100));
	CHECK(pwrite(g.fd, g.bytes, 2 * MIB, 0) == 2 * MIB);
	CHECK(hasher_finish(g.h, g.fd, 2 * MIB, &d) == 0);
	CHECK(oci_digest_matches(&d, g.bytes, 2 * MIB));
	end(&g);
}
