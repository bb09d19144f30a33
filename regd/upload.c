/* Upload sessions: see upload.h. */
#include "regd/upload.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/http_req.h"
#include "common/log.h"
#include "regd/call.h"
#include "regd/hasher.h"
#include "regd/hooks.h"
#include "regd/meta.h"
#include "regd/pool.h"
#include "regd/quota.h"
#include "regd/regd.h"
#include "regd/writer.h"

enum {
	OPEN_MAX = 512,                 /* sessions kept in memory */
	IDLE_MS = 60 * 1000,            /* until an idle one is closed */
	FLUSH_BYTES = 16 * 1024 * 1024, /* written before the disk is set to work */
	LAG_BYTES = 32 * 1024 * 1024,   /* what a request may be ahead of the digest */
	SWEEP_MS = 10 * 60 * 1000,      /* between looks for what has expired */
	KEY_SIZE = 32,
};

struct uploads {
	struct regd *regd;
	uint8_t key[KEY_SIZE]; /* which session belongs to which repository */
	struct htable table;
	struct list_link by_age;
	size_t n;
	uint64_t swept_ms;
};

static void behind(void *arg);
static void commit_ready(struct commit *cm);

/* --- names ------------------------------------------------------------------ */

/* The second half of a session's name, from its first half and the repository. */
static void seal(struct uploads *us, const char *repo, const uint8_t half[8],
    uint8_t out[DIGEST_SHA256_SIZE])
{
	uint8_t text[8 + NAME_MAX_LEN];
	size_t n = strlen(repo);

	memcpy(text, half, 8);
	memcpy(text + 8, repo, n);
	hmac_sha256(us->key, sizeof(us->key), text, 8 + n, out);
}

static void make_session(struct uploads *us, const char *repo, char out[SESSION_MAX])
{
	uint8_t b[16], mac[DIGEST_SHA256_SIZE];

	random_bytes(b, 8);
	seal(us, repo, b, mac);
	memcpy(b + 8, mac, 8);
	snprintf(out, SESSION_MAX,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	    b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
	    b[12], b[13], b[14], b[15]);
}

/* Whether session is a name that make_session() gave for this repository. */
static bool is_session(struct uploads *us, const char *repo, const char *session)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	uint8_t b[16], mac[DIGEST_SHA256_SIZE];
	char hex[32];
	size_t n = 0;

	if (strlen(session) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i]; i++) {
		if ((form[i] == '-') != (session[i] == '-'))
			return false;
		if (form[i] != '-')
			hex[n++] = session[i];
	}
	if (hex_decode(hex, n, b, sizeof(b)) < 0)
		return false;
	seal(us, repo, b, mac);
	return str_eq_secret(b + 8, mac, 8);
}

/* --- in memory -------------------------------------------------------------- */

static void touch(struct upload *u)
{
	u->used_ms = clock_boot_ms();
	list_remove(&u->age);
	list_append(&u->all->by_age, &u->age);
}

/* Closes it; the file stays. */
static void upload_close(struct upload *u)
{
	htable_remove(&u->all->table, &u->node);
	list_remove(&u->age);
	u->all->n--;
	fd_close(u->fd);
	hasher_free(u->hasher);
	free(u);
}

static bool is_idle(const struct upload *u)
{
	return !u->writer && !u->commit && !u->fetch;
}

static void close_oldest(struct uploads *us)
{
	list_for_each_safe (it, &us->by_age) {
		struct upload *u = CONTAINER_OF(it, struct upload, age);

		if (us->n < OPEN_MAX)
			return;
		if (is_idle(u))
			upload_close(u);
	}
}

static int upload_open(
    struct upload **ret, struct uploads *us, const char *session, bool create)
{
	struct upload *u;
	int r;

	close_oldest(us);
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->all = us;
	snprintf(u->session, sizeof(u->session), "%s", session);
	list_init(&u->age);
	u->fd = store_upload_open(us->regd->store, session, create);
	if (u->fd < 0) {
		r = u->fd;
		free(u);
		return r;
	}
	r = htable_insert(&us->table, &u->node, htable_hash(session, SESSION_MAX - 1));
	if (r < 0) {
		fd_close(u->fd);
		free(u);
		return r;
	}
	us->n++;
	touch(u);
	*ret = u;
	return 0;
}

int upload_new(
    struct upload **ret, struct uploads *us, const char *repo, enum digest_alg alg)
{
	char session[SESSION_MAX];
	struct upload *u;
	int r;

	make_session(us, repo, session);
	r = upload_open(&u, us, session, true);
	if (r < 0)
		return r;
	u->room = quota_room(us->regd, repo);
	r = hasher_new(&u->hasher, alg, behind, u);
	if (r < 0) {
		upload_drop(u);
		return r;
	}
	counter_add(&us->regd->stats.uploads_started, 1);
	*ret = u;
	return 0;
}

static struct upload *in_memory(struct uploads *us, const char *session)
{
	uint64_t hash = htable_hash(session, SESSION_MAX - 1);

	for (struct hnode *n = htable_first(&us->table, hash); n; n = htable_next(n)) {
		struct upload *u = CONTAINER_OF(n, struct upload, node);

		if (str_eq(u->session, session))
			return u;
	}
	return NULL;
}

/* What another process did to the session meanwhile; nothing while it is ours. */
static int refresh(struct upload *u)
{
	uint64_t size;
	int r;

	if (!is_idle(u))
		return 0;
	r = store_upload_size(u->all->regd->store, u->session, u->fd, &size);
	if (r < 0 || size == u->size)
		return r;
	u->hasher = hasher_free(u->hasher);
	u->size = u->flushed = size;
	return 0;
}

int upload_find(
    struct upload **ret, struct uploads *us, const char *repo, const char *session)
{
	struct upload *u;
	int r;

	if (!is_session(us, repo, session))
		return -ENOENT;
	u = in_memory(us, session);
	if (!u) {
		r = upload_open(&u, us, session, false);
		if (r < 0)
			return r;
		(void)!hasher_new(&u->hasher, DIGEST_SHA256, behind, u);
		counter_add(&us->regd->stats.uploads_resumed, 1);
	}
	r = refresh(u);
	if (r < 0) {
		upload_close(u);
		return r;
	}
	u->room = quota_room(us->regd, repo);
	touch(u);
	*ret = u;
	return 0;
}

int upload_claim(struct upload *u)
{
	int r = store_upload_lock(u->fd);

	if (r < 0)
		return r;
	r = refresh(u);
	if (r < 0)
		upload_close(u);
	return r;
}

void upload_release(struct upload *u)
{
	store_upload_unlock(u->fd);
}

/* Ends what writes into a session that another process was asked to continue. */
static void give_way(struct upload *u)
{
	if (u->writer && store_upload_wanted(u->fd))
		http_abort(u->writer->req, "another process continues the upload");
}

/* --- bytes ------------------------------------------------------------------ */

/* Sets the disk to work on what was written, so that the sync at the end is short. */
struct flush {
	struct job job;
	int fd;
	off64_t offset, length;
};

static void flush_work(struct job *j)
{
	struct flush *f = CONTAINER_OF(j, struct flush, job);

	(void)!sync_file_range(f->fd, f->offset, f->length, SYNC_FILE_RANGE_WRITE);
}

static void flush_done(struct job *j)
{
	struct flush *f = CONTAINER_OF(j, struct flush, job);

	fd_close(f->fd);
	free(f);
}

static void flush(struct upload *u)
{
	struct flush *f = calloc(1, sizeof(*f));

	if (!f)
		return; /* only slower */
	f->fd = fcntl(u->fd, F_DUPFD_CLOEXEC, 0);
	if (f->fd < 0) {
		free(f);
		return;
	}
	f->offset = (off64_t)u->flushed;
	f->length = (off64_t)(u->size - u->flushed);
	f->job.work = flush_work;
	f->job.done = flush_done;
	u->flushed = u->size;
	pool_post(u->all->regd->disk, &f->job);
}

/* Has the digest follow, and the request wait where it is too far ahead. */
static void follow(struct upload *u)
{
	if (!u->hasher || u->fetch)
		return;
	hasher_advance(u->hasher, u->all->regd->digest, u->fd, u->size);
	if (u->writer && !u->paused && hasher_busy(u->hasher) &&
	    hasher_lag(u->hasher, u->size) > LAG_BYTES) {
		u->paused = true;
		http_req_pause(u->writer->req);
	}
}

/* The hasher has done a stretch. */
static void behind(void *arg)
{
	struct upload *u = arg;

	if (u->commit) {
		commit_ready(u->commit);
		return;
	}
	if (u->all->regd->digest)
		hasher_advance(u->hasher, u->all->regd->digest, u->fd, u->size);
	if (u->paused &&
	    (!hasher_busy(u->hasher) ||
		hasher_lag(u->hasher, u->size) <= LAG_BYTES / 2)) {
		u->paused = false;
		if (u->writer)
			http_req_resume(u->writer->req);
	}
}

int upload_append(struct upload *u, const void *p, size_t n)
{
	const char *at = p;

	if (!regd_has_room(u->all->regd, n))
		return -ENOSPC;
	if (n > u->room || u->size > u->room - n)
		return -EDQUOT;
	regd_used(u->all->regd, n);
	if (u->hasher && u->fetch) /* its readers wait for the last byte's verdict */
		hasher_feed(u->hasher, p, n);
	while (n) {
		ssize_t r = pwrite(u->fd, at, n, (off_t)u->size);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EDQUOT)
			return -ENOSPC; /* the disk's quota, and none of ours */
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		at += r;
		n -= (size_t)r;
		u->size += (uint64_t)r;
	}
	if (u->size - u->flushed >= FLUSH_BYTES)
		flush(u);
	follow(u);
	return 0;
}

int upload_truncate(struct upload *u, uint64_t size)
{
	if (ftruncate(u->fd, (off_t)size) < 0)
		return -errno;
	u->hasher = hasher_free(u->hasher);
	u->size = size;
	u->flushed = MIN(u->flushed, size);
	return 0;
}

void upload_drop(struct upload *u)
{
	int r = store_upload_remove(u->all->regd->store, u->session);

	if (r < 0 && r != -ENOENT)
		log_warning("cannot remove upload %s: %s", u->session, strerror(-r));
	assert(!u->writer && !u->commit);
	upload_close(u);
}

void upload_discard(struct upload *u)
{
	(void)!upload_truncate(u, 0);
	upload_drop(u);
}

/* --- commit ----------------------------------------------------------------- */

struct commit {
	struct job job;
	struct change change;
	struct store_hold hold;
	struct upload *upload;
	struct call *call; /* who waits; NULL: has ended */
	char repo[NAME_MAX_LEN + 1];
	struct oci_digest digest;
	struct meta_limits limits;
	int64_t now;
	char *event;
	int result;
	void (*done)(
	    struct call *c, int result, const char *repo, const struct oci_digest *d);
};

static void commit_finish(struct commit *cm, int result)
{
	struct upload *u = cm->upload;
	struct regd *g = u->all->regd;

	store_release(g->store, &cm->hold);
	if (result == 0) {
		counter_add(&g->stats.pushes, 1);
		counter_add(&g->stats.push_bytes, u->size);
		if (cm->event && g->hooks)
			hooks_wake(g->hooks);
	}
	u->commit = NULL;
	if (u->fetched)
		u->fetched(u->fetch, result);
	/* A renamed file is not there any more: dropping is right in every case. */
	upload_drop(u);
	if (cm->call)
		cm->call->ended = NULL;
	if (cm->done)
		cm->done(cm->call, result, cm->repo, &cm->digest);
	free(cm->event);
	free(cm);
}

static int row_apply(struct change *ch, struct db *db)
{
	struct commit *cm = CONTAINER_OF(ch, struct commit, change);
	int r = meta_blob_add(db, cm->repo, cm->digest.text, (int64_t)cm->upload->size,
	    cm->now, &cm->limits);

	return r ? r : hooks_apply(db, cm->event);
}

/* The file of a blob that got no row goes at once, unless it is somebody else's too. */
static int orphan_apply(struct change *ch, struct db *db)
{
	struct commit *cm = CONTAINER_OF(ch, struct commit, change);

	return meta_blob_exists(db, cm->digest.text);
}

static void orphan_committed(struct change *ch, struct db *db)
{
	struct commit *cm = CONTAINER_OF(ch, struct commit, change);

	(void)store_blob_remove(cm->upload->all->regd->store, &cm->digest);
}

static void orphan_done(struct change *ch)
{
	struct commit *cm = CONTAINER_OF(ch, struct commit, change);

	commit_finish(cm, cm->result);
}

static void row_done(struct change *ch)
{
	struct commit *cm = CONTAINER_OF(ch, struct commit, change);
	struct regd *g = cm->upload->all->regd;

	if (ch->result >= 0 || !g->writer) {
		commit_finish(cm, ch->result);
		return;
	}
	cm->result = ch->result;
	store_release(g->store, &cm->hold);
	cm->change.apply = orphan_apply;
	cm->change.committed = orphan_committed;
	cm->change.done = orphan_done;
	writer_post(g->writer, &cm->change);
}

/* Where the digest followed, only the end is to be read. */
static int verify(struct commit *cm)
{
	struct oci_digest is = { .text = "" };
	struct upload *u = cm->upload;
	bool known = u->hasher && hasher_alg(u->hasher) == cm->digest.alg;
	int r;

	if (!known || hasher_finish(u->hasher, u->fd, u->size, &is) < 0) {
		r = store_digest_fd(u->fd, cm->digest.alg, &is);
		if (r < 0)
			return r;
	}
	return str_eq(is.text, cm->digest.text) ? 0 : COMMIT_MISMATCH;
}

static void file_work(struct job *j)
{
	struct commit *cm = CONTAINER_OF(j, struct commit, job);
	struct upload *u = cm->upload;

	cm->result = verify(cm);
	if (cm->result == 0)
		cm->result = store_blob_commit(
		    u->all->regd->store, u->session, u->fd, &cm->digest);
}

static void file_done(struct job *j)
{
	struct commit *cm = CONTAINER_OF(j, struct commit, job);

	if (cm->result != 0) {
		commit_finish(cm, cm->result);
		return;
	}
	cm->change.apply = row_apply;
	cm->change.done = row_done;
	writer_post(cm->upload->all->regd->writer, &cm->change);
}

/* Hands the file to the disk's threads once the hasher has let go of it. */
static void commit_ready(struct commit *cm)
{
	struct upload *u = cm->upload;

	if (u->hasher && hasher_busy(u->hasher))
		return; /* behind() comes back here */
	cm->job.work = file_work;
	cm->job.done = file_done;
	if (u->all->regd->disk) {
		pool_post(u->all->regd->disk, &cm->job);
	} else { /* the daemon ends, and finishes what was begun */
		file_work(&cm->job);
		file_done(&cm->job);
	}
}

static void commit_call_ended(struct call *c)
{
	((struct commit *)c->owner)->call = NULL;
}

static void commit_wait(struct commit *cm, struct call *c)
{
	cm->call = c;
	c->owner = cm;
	c->ended = commit_call_ended;
}

bool upload_is(const struct upload *u, const struct oci_digest *d)
{
	struct oci_digest is = { .text = "" };

	assert(u->fetch);
	if (!u->hasher || hasher_alg(u->hasher) != d->alg)
		return false;
	hasher_peek(u->hasher, &is);
	return str_eq(is.text, d->text);
}

void upload_commit(struct upload *u, struct call *c, const char *repo,
    const struct oci_digest *d,
    void (*done)(
	struct call *c, int result, const char *repo, const struct oci_digest *d))
{
	struct regd *g = u->all->regd;
	struct commit *cm = calloc(1, sizeof(*cm));

	u->writer = NULL;
	if (c)
		c->ended = NULL;
	if (!cm) {
		if (u->fetched)
			u->fetched(u->fetch, -ENOMEM);
		upload_drop(u);
		if (done)
			done(c, -ENOMEM, repo, d);
		return;
	}
	cm->upload = u;
	u->commit = cm;
	snprintf(cm->repo, sizeof(cm->repo), "%s", repo);
	cm->digest = *d;
	cm->done = done;
	cm->now = clock_real_s();
	quota_limits(g->conf, cm->repo, &cm->limits);
	if (c) {
		cm->event = hooks_event(c,
		    &(struct notice){ .kind = NOTICE_PUSH,
			.repository = cm->repo,
			.digest = cm->digest.text,
			.type = "application/octet-stream",
			.size = (int64_t)u->size });
		commit_wait(cm, c);
	}
	store_hold(g->store, &cm->hold, &cm->digest);
	commit_ready(cm);
}

bool upload_join(struct upload *u, struct call *c, const struct oci_digest *d)
{
	struct commit *cm = u->commit;
	struct call *before = cm->call;

	if (!str_eq(cm->digest.text, d->text))
		return false;
	commit_wait(cm, c);
	if (before) {
		before->ended = NULL;
		http_abort(before->req, "another request asked for the same");
	}
	return true;
}

/* --- all of them ------------------------------------------------------------ */

/* The key outlives the process: sessions must. */
static int load_key(struct uploads *us, struct err *err)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/session.key", store_root(us->regd->store));
	r = file_read(path, KEY_SIZE, &text);
	if (r == 0 && text.len == KEY_SIZE) {
		memcpy(us->key, text.s, KEY_SIZE);
		return 0;
	}
	random_bytes(us->key, KEY_SIZE);
	r = file_replace(path, 0600, us->key, KEY_SIZE);
	if (r < 0)
		return err_set(err, r, "cannot write %s: %s", path, strerror(-r));
	return 0;
}

int uploads_new(struct uploads **ret, struct regd *g, struct err *err)
{
	_cleanup_(uploads_freep) struct uploads *us = calloc(1, sizeof(*us));
	int r;

	if (!us)
		return err_set(err, -ENOMEM, "out of memory");
	us->regd = g;
	htable_init(&us->table);
	list_init(&us->by_age);
	r = load_key(us, err);
	if (r < 0)
		return r;

	*ret = TAKE(us);
	return 0;
}

struct uploads *uploads_free(struct uploads *us)
{
	if (!us)
		return NULL;
	list_for_each_safe (it, &us->by_age)
		upload_close(CONTAINER_OF(it, struct upload, age));
	htable_deinit(&us->table);
	free(us);
	return NULL;
}

static void sweep_one(void *arg, const char *session, uint64_t size, int64_t used)
{
	struct uploads *us = arg;
	struct regd *g = us->regd;
	int64_t keep = (int64_t)(g->conf->upload_expire / 1000);

	if (used + keep > clock_real_s() || in_memory(us, session))
		return;
	if (store_upload_remove(g->store, session) == 0)
		log_info("upload %s expired with %llu bytes", session,
		    (unsigned long long)size);
}

void uploads_tick(struct uploads *us)
{
	uint64_t now = clock_boot_ms();
	int r;

	list_for_each_safe (it, &us->by_age)
		give_way(CONTAINER_OF(it, struct upload, age));
	list_for_each_safe (it, &us->by_age) {
		struct upload *u = CONTAINER_OF(it, struct upload, age);

		if (u->used_ms + IDLE_MS > now)
			break;
		if (is_idle(u))
			upload_close(u);
	}
	if (us->swept_ms && us->swept_ms + SWEEP_MS > now)
		return;
	us->swept_ms = now;
	r = store_upload_walk(us->regd->store, sweep_one, us);
	if (r < 0)
		log_warning("cannot look for expired uploads: %s", strerror(-r));
}

size_t uploads_count(const struct uploads *us)
{
	return us->n;
}
