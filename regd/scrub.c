/* The scrubber: see scrub.h. */
#include "regd/scrub.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "regd/event.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/pool.h"
#include "regd/regd.h"
#include "regd/store.h"
#include "regd/writer.h"

enum { PIECE = 256 * 1024 };

struct scrub {
	struct regd *regd;
	struct pool *pool; /* one thread */
	struct job job;
	struct change change;
	bool running;
	bool stop; /* atomic */
	struct oci_digest digest;
	int64_t before; /* when the blob was checked before, as its row says */
	/* Overlays to look into, when nothing of ours is due; they are told on the thread. */
	unsigned overlays;
	struct overlay_due due;
	uint64_t rate; /* bytes a second */
	int64_t now, cutoff;
	int result; /* 0 good, 1 bad, -errno: could not tell */
};

/* Sleeps until n bytes since start are within the rate. */
static void pace(const struct scrub *s, uint64_t start_ns, uint64_t n)
{
	uint64_t due = start_ns + n * (NSEC_PER_SEC / 1000) / MAX(s->rate / 1000, 1u);
	uint64_t now = clock_boot_ns();
	struct timespec ts;

	if (due <= now)
		return;
	ts.tv_sec = (time_t)((due - now) / NSEC_PER_SEC);
	ts.tv_nsec = (long)((due - now) % NSEC_PER_SEC);
	nanosleep(&ts, NULL);
}

/* What cannot be read counts as wrong: nobody else gets the bytes either. */
static int unreadable(int error)
{
	return fd_is_shortage(error) ? error : 1;
}

/* 0 when the bytes of the part of fd are what the digest says, 1 when not. */
static int verify(
    struct scrub *s, int fd, const struct store_part *part, const struct oci_digest *d)
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	_cleanup_(freep) char *buf = malloc(PIECE);
	uint64_t start = clock_boot_ns(), done = 0;
	uint8_t bytes[DIGEST_MAX];
	struct oci_digest is;
	ssize_t n;

	if (!buf || digest_new(&digest, d->alg) < 0)
		return -ENOMEM;
	while ((n = pread(fd, buf, MIN((uint64_t)PIECE, part->size - done),
		    (off_t)(part->offset + done))) > 0) {
		if (__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
			return -ECANCELED;
		digest_update(digest, buf, (size_t)n);
		done += (uint64_t)n;
		pace(s, start, done);
	}
	if (n < 0)
		return unreadable(-errno);
	digest_final(digest, bytes);
	oci_digest_set(&is, d->alg, bytes);
	return strcmp(is.text, d->text) != 0;
}

static void scrub_work(struct job *j)
{
	static const struct store_part whole = { 0, INT64_MAX };
	struct scrub *s = CONTAINER_OF(j, struct scrub, job);
	_cleanup_(fd_closep) int fd = -1;
	uint64_t size;

	fd = store_blob_open(s->regd->store, &s->digest, &size);
	s->result = fd >= 0 ? verify(s, fd, &whole, &s->digest) : unreadable(fd);
}

/* What came in while the old bytes were read was verified on its way: the verdict is not
 * about that. */
static int checked_apply(struct change *c, struct db *db)
{
	struct scrub *s = CONTAINER_OF(c, struct scrub, change);

	return meta_blob_checked(db, s->digest.text, s->result == 1, s->before, s->now);
}

static void checked_done(struct change *c)
{
	struct scrub *s = CONTAINER_OF(c, struct scrub, change);

	s->running = false;
	if (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		scrub_tick(s);
}

static void count(struct scrub *s, const struct oci_digest *d, const char *overlay)
{
	counter_add(&s->regd->stats.scrubbed, 1);
	if (!s->result)
		return;
	counter_add(&s->regd->stats.scrub_bad, 1);
	log_with(LOG_ERR, LOG_FIELDS("MESSAGE_ID", EVENT_DAMAGED, "OKD_BLOB", d->text),
	    "blob %s%s%s is damaged: its bytes have another digest; push it again to "
	    "heal "
	    "it",
	    d->text, overlay ? " of overlay " : "", overlay ? overlay : "");
}

static void scrub_done(struct job *j)
{
	struct scrub *s = CONTAINER_OF(j, struct scrub, job);

	if (s->result < 0) {
		s->running = false;
		if (s->result != -ECANCELED)
			log_warning("cannot check blob %s: %s", s->digest.text,
			    strerror(-s->result));
		return;
	}
	count(s, &s->digest, NULL);
	s->change.apply = checked_apply;
	s->change.done = checked_done;
	writer_post(s->regd->writer, &s->change);
}

/* --- what overlays hold ------------------------------------------------------------- */

static void overlay_work(struct job *j)
{
	struct scrub *s = CONTAINER_OF(j, struct scrub, job);
	struct overlay_due *due = &s->due;
	struct store_part part;

	s->result = overlays_due(s->regd->overlays, s->overlays, s->cutoff, due);
	if (s->result == 0) {
		part = (struct store_part){ due->blob.offset, due->blob.size };
		s->result = verify(s, due->blob.fd, &part, &due->digest);
		fd_close(due->blob.fd);
	}
	if (s->result >= 0 && overlays_checked(due, s->result == 1, s->now) < 0)
		s->result = -EIO;
}

static void overlay_done(struct job *j)
{
	struct scrub *s = CONTAINER_OF(j, struct scrub, job);

	s->running = false;
	if (s->result >= 0) {
		count(s, &s->due.digest, overlay_path(s->due.overlay));
		if (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
			scrub_tick(s);
	} else if (s->result != -ENOENT && s->result != -ECANCELED) {
		log_warning(
		    "cannot check the blobs of overlays: %s", strerror(-s->result));
	}
}

void scrub_tick(struct scrub *s)
{
	const struct conf_scrub *conf = &s->regd->conf->scrub;
	int64_t now = clock_real_s();

	if (s->running || !conf->interval)
		return;
	s->rate = conf->rate;
	s->now = now;
	s->cutoff = now - (int64_t)(conf->interval / 1000);
	s->overlays = overlays_served(s->regd->overlays);
	if (meta_blob_unchecked(s->regd->db, s->cutoff, &s->digest, &s->before) == 0) {
		s->job.work = scrub_work;
		s->job.done = scrub_done;
	} else if (s->overlays) {
		s->job.work = overlay_work;
		s->job.done = overlay_done;
	} else {
		return;
	}
	s->running = true;
	pool_post(s->pool, &s->job);
}

int scrub_new(struct scrub **ret, struct regd *g)
{
	_cleanup_(scrub_freep) struct scrub *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->regd = g;
	r = pool_new(&s->pool, "regd-scrub", 1, g->jobs);
	if (r < 0)
		return r;

	*ret = TAKE(s);
	return 0;
}

void scrub_stop(struct scrub *s)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	s->pool = pool_free(s->pool);
}

struct scrub *scrub_free(struct scrub *s)
{
	if (!s)
		return NULL;
	scrub_stop(s);
	free(s);
	return NULL;
}
