/*
 * Mounting: a blob of one repository becomes one of another.  Between our own it takes a
 * row; from an overlay's its bytes are copied first, and verified, since nobody did.
 */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/http_req.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/hooks.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/pool.h"
#include "regd/push.h"
#include "regd/quota.h"
#include "regd/regd.h"
#include "regd/store.h"
#include "regd/writer.h"

struct mount {
	struct change change;
	struct job job;
	struct store_hold hold;
	struct overlay_blob source; /* fd -1: none */
	int copied;                 /* 0 or -errno */
	struct call *call;
	char repo[NAME_MAX_LEN + 1], from[NAME_MAX_LEN + 1];
	struct oci_digest digest;
	struct meta_limits limits;
	int64_t now;
	char *event;
	struct regd *regd;
};

static void mount_ended(struct call *c)
{
	((struct mount *)c->owner)->call = NULL;
}

static int mount_apply(struct change *ch, struct db *db)
{
	struct mount *m = CONTAINER_OF(ch, struct mount, change);
	int r = m->source.fd < 0
	    ? meta_blob_mount(db, m->repo, m->from, m->digest.text, m->now, &m->limits)
	    : meta_blob_add(db, m->repo, m->digest.text, (int64_t)m->source.size,
		  m->now, &m->limits);

	return r ? r : hooks_apply(db, m->event);
}

static void mount_end(struct mount *m, int result)
{
	struct call *c = m->call;

	if (m->source.fd >= 0)
		store_release(m->regd->store, &m->hold);
	fd_close(m->source.fd);
	if (result == 0 && m->event && m->regd->hooks)
		hooks_wake(m->regd->hooks);
	if (c) {
		c->ended = NULL;
		if (result == 0) {
			counter_add(&c->regd->stats.mounts, 1);
			push_created(c, m->repo, m->digest.text);
		} else if (!push_replied_full(c, result)) {
			push_start(c);
		}
	}
	free(m->event);
	free(m);
}

static void mount_done(struct change *ch)
{
	mount_end(CONTAINER_OF(ch, struct mount, change), ch->result);
}

static void copy_work(struct job *j)
{
	struct mount *m = CONTAINER_OF(j, struct mount, job);
	const struct store_part part = { m->source.offset, m->source.size };

	m->copied = store_blob_copy(m->regd->store, m->source.fd, &part, &m->digest);
}

static void copy_done(struct job *j)
{
	struct mount *m = CONTAINER_OF(j, struct mount, job);

	if (m->copied == 0 && m->regd->writer)
		writer_post(m->regd->writer, &m->change);
	else
		mount_end(m, m->copied ? m->copied : -ECANCELED);
}

static bool may_pull(void *arg, const char *repo)
{
	struct call *c = arg;

	return auth_call_rights(c, repo) & ACCESS_PULL;
}

/* Which repository the blob can be had from: false when none is known. */
static bool find_source(struct call *c, const struct oci_digest *d, char *from)
{
	ssize_t n = http_req_param(c->req, "from", from, NAME_MAX_LEN + 1);

	if (n == -ENOENT)
		return meta_blob_holder(c->regd->db, d->text, may_pull, c, from) == 0 &&
		    push_holds(c, from, d);
	return n > 0 && name_is_repository(from, (size_t)n) && may_pull(c, from) &&
	    push_holds(c, from, d);
}

/* The same in an overlay, and the disk has room for a copy. */
static bool find_overlay_source(
    struct call *c, const struct oci_digest *d, char *from, struct overlay_blob *source)
{
	ssize_t n = http_req_param(c->req, "from", from, NAME_MAX_LEN + 1);

	if (n <= 0 || !name_is_repository(from, (size_t)n) || !may_pull(c, from) ||
	    overlays_blob(c->regd->overlays, OVERLAY_LOOP, from, d, source) < 0)
		return false;
	if (regd_has_room(c->regd, source->size)) {
		regd_used(c->regd, source->size);
		return true;
	}
	fd_close(source->fd);
	source->fd = -1;
	return false;
}

/* Nothing is copied that could not stay: true when it was replied to. */
static bool is_over_quota(struct mount *m, struct call *c)
{
	if (m->source.fd < 0 || m->source.size <= quota_room(c->regd, c->route.name))
		return false;
	fd_close(m->source.fd);
	free(m);
	return push_replied_full(c, -EDQUOT);
}

int mount_start(struct call *c, const char *digest)
{
	struct mount *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->source.fd = -1;
	if (oci_digest_parse(&m->digest, digest) < 0 ||
	    (!find_source(c, &m->digest, m->from) &&
		!find_overlay_source(c, &m->digest, m->from, &m->source))) {
		free(m);
		return push_start(c);
	}
	if (is_over_quota(m, c))
		return 0;
	memcpy(m->repo, c->route.name, sizeof(m->repo));
	m->now = clock_real_s();
	m->call = c;
	m->regd = c->regd;
	quota_limits(c->regd->conf, m->repo, &m->limits);
	m->event = hooks_event(c,
	    &(struct notice){ .kind = NOTICE_MOUNT,
		.repository = m->repo,
		.from = m->from,
		.digest = m->digest.text,
		.size = -1 });
	m->change.apply = mount_apply;
	m->change.done = mount_done;
	c->owner = m;
	c->ended = mount_ended;
	if (m->source.fd < 0) {
		writer_post(c->regd->writer, &m->change);
		return 0;
	}
	store_hold(c->regd->store, &m->hold, &m->digest);
	m->job.work = copy_work;
	m->job.done = copy_done;
	pool_post(c->regd->disk, &m->job);
	return 0;
}
