/* GET, HEAD and DELETE of blobs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/http_reply.h"
#include "common/log.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/event.h"
#include "regd/hooks.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/proxy.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"
#include "regd/store.h"
#include "regd/writer.h"

/* What containers/storage asks for at once of a zstd:chunked layer.  It goes by the parts'
 * order and number, so that none are joined; all of them are no longer than the blob. */
enum { RANGES_MAX = 1024 };

/* A change of one blob's row on behalf of a call. */
struct blob_change {
	struct change change;
	struct call *call; /* NULL: has ended, or nobody waits */
	char repo[NAME_MAX_LEN + 1];
	struct oci_digest digest;
	int64_t now;
	char *event;
	struct regd *regd;
};

static int unlink_apply(struct change *ch, struct db *db);

static void change_ended(struct call *c)
{
	((struct blob_change *)c->owner)->call = NULL;
}

static int change_post(struct call *c, const struct oci_digest *d,
    int (*apply)(struct change *ch, struct db *db), void (*done)(struct change *ch))
{
	struct blob_change *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	memcpy(b->repo, c->route.name, sizeof(b->repo));
	b->digest = *d;
	b->now = clock_real_s();
	b->call = c;
	b->regd = c->regd;
	if (apply == unlink_apply)
		b->event = hooks_event(c,
		    &(struct notice){ .kind = NOTICE_DELETE,
			.repository = b->repo,
			.digest = d->text,
			.size = -1 });
	b->change.apply = apply;
	b->change.done = done;
	c->owner = b;
	c->ended = change_ended;
	writer_post(c->regd->writer, &b->change);
	return 0;
}

/* Takes the call off the change, which is over. */
static struct call *change_over(struct blob_change *b)
{
	struct call *c = b->call;

	if (c)
		c->ended = NULL;
	return c;
}

static int reply_unknown(struct call *c)
{
	return reply_oci(
	    c->req, 404, "BLOB_UNKNOWN", "this repository does not hold the blob");
}

/* 0 with the digest in the path, or it was replied to. */
static int path_digest(struct call *c, struct oci_digest *d)
{
	int r = oci_digest_parse(d, c->route.rest);

	if (r < 0)
		reply_oci(c->req, 400, "DIGEST_INVALID", "%s",
		    r == -ENOTSUP ? "digests are sha256 or sha512 here"
				  : "that is no digest");
	return r;
}

/* --- GET and HEAD ------------------------------------------------------------- */

/* What every reply with a blob says, and its counting. */
static void blob_found(
    struct call *c, const struct oci_digest *d, struct http_static *file, uint64_t size)
{
	char etag[DIGEST_TEXT_MAX + 2];

	snprintf(etag, sizeof(etag), "\"%s\"", d->text);
	file->type = "application/octet-stream";
	file->etag = etag;
	file->max_ranges = RANGES_MAX;
	http_reply_header(c->req, "Docker-Content-Digest", "%s", d->text);
	http_reply_header(c->req, "Cache-Control", "max-age=31536000");
	if (c->method == HTTP_GET) {
		counter_add(&c->regd->stats.pulls, 1);
		counter_add(&c->regd->stats.pull_bytes, size);
		hooks_tell(c,
		    &(struct notice){ .kind = NOTICE_PULL,
			.repository = c->route.name,
			.digest = d->text,
			.type = file->type,
			.size = (int64_t)size });
	}
	http_reply_static(c->req, file);
}

/* What is not ours, or not in good order, may be an overlay's. */
static int send_other(struct call *c, const struct oci_digest *d)
{
	struct http_static file = { .flags = HTTP_FILE_PART };
	struct overlay_blob o;
	int r, result;

	r = overlays_blob(c->regd->overlays, OVERLAY_LOOP, c->route.name, d, &o);
	if (fd_is_shortage(r))
		return reply_failed(c->req, r, "open a blob");
	if (r < 0)
		return proxy_get_blob(c, d, &result) ? result : reply_unknown(c);
	file.fd = o.fd;
	file.offset = o.offset;
	file.size = o.size;
	blob_found(c, d, &file, o.size);
	return 0;
}

static int send_blob(
    struct call *c, const struct oci_digest *d, const struct meta_blob *blob)
{
	struct http_static file = { .flags = 0 };
	uint64_t size;

	file.fd = store_blob_open(c->regd->store, d, &size);
	if (fd_is_shortage(file.fd))
		return reply_failed(c->req, file.fd, "open a blob");
	if (file.fd < 0 || size != (uint64_t)blob->size) {
		log_with(LOG_ERR,
		    LOG_FIELDS("MESSAGE_ID", EVENT_DAMAGED, "OKD_BLOB", d->text),
		    "blob %s is damaged: its file is %s", d->text,
		    file.fd < 0 ? strerror(-file.fd) : "of another size");
		fd_close(file.fd);
		return send_other(c, d);
	}
	blob_found(c, d, &file, size);
	return 0;
}

static int touch_apply(struct change *ch, struct db *db)
{
	struct blob_change *b = CONTAINER_OF(ch, struct blob_change, change);

	return meta_blob_touch(db, b->digest.text, b->now);
}

static int send_found(struct call *c, const struct oci_digest *d)
{
	struct meta_blob blob;
	int r = meta_blob_find(c->regd->db, c->route.name, d->text, &blob);

	if (r == -ENOENT || (r == 0 && blob.bad))
		return send_other(c, d);
	if (r < 0)
		return reply_failed(c->req, r, "look up a blob");
	return send_blob(c, d, &blob);
}

static void touch_done(struct change *ch)
{
	struct blob_change *b = CONTAINER_OF(ch, struct blob_change, change);
	struct call *c = change_over(b);

	if (c)
		send_found(c, &b->digest);
	free(b);
}

/*
 * A client that may push asks whether it has to.  What it hears "yes" about must stay
 * until its manifest comes, so the grace begins anew, before the answer.
 */
static bool must_touch(struct call *c, const struct meta_blob *blob)
{
	int64_t grace = (int64_t)(c->regd->conf->gc.grace / 1000);

	return c->method == HTTP_HEAD && !c->regd->read_only &&
	    blob->touched + grace / 2 < clock_real_s() &&
	    (auth_call_rights(c, c->route.name) & ACCESS_PUSH) &&
	    regd_can_write(c->regd);
}

int blob_local(struct call *c)
{
	struct oci_digest d;

	return path_digest(c, &d) < 0 ? 0 : send_found(c, &d);
}

int blob_get(struct call *c)
{
	struct meta_blob blob;
	struct oci_digest d;
	int r;

	if (path_digest(c, &d) < 0)
		return 0;
	r = meta_blob_find(c->regd->db, c->route.name, d.text, &blob);
	if (r == -ENOENT || (r == 0 && blob.bad))
		return send_other(c, &d);
	if (r < 0)
		return reply_failed(c->req, r, "look up a blob");
	if (must_touch(c, &blob))
		return change_post(c, &d, touch_apply, touch_done);
	return send_blob(c, &d, &blob);
}

/* --- DELETE --------------------------------------------------------------------- */

static int unlink_apply(struct change *ch, struct db *db)
{
	struct blob_change *b = CONTAINER_OF(ch, struct blob_change, change);
	int r = meta_blob_unlink(db, b->repo, b->digest.text, b->now);

	return r ? r : hooks_apply(db, b->event);
}

static void unlink_done(struct change *ch)
{
	struct blob_change *b = CONTAINER_OF(ch, struct blob_change, change);
	struct call *c = change_over(b);

	if (ch->result == 0 && b->event && b->regd->hooks)
		hooks_wake(b->regd->hooks);
	if (c && ch->result == 0) {
		counter_add(&c->regd->stats.deletes, 1);
		http_reply_empty(c->req, 202);
	} else if (c && ch->result > 0) {
		reply_unknown(c);
	} else if (c) {
		reply_failed(c->req, ch->result, "delete a blob");
	}
	free(b->event);
	free(b);
}

int blob_delete(struct call *c)
{
	struct oci_digest d;

	if (path_digest(c, &d) < 0)
		return 0;
	return change_post(c, &d, unlink_apply, unlink_done);
}
