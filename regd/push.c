/*
 * The endpoints of uploads: POST, PATCH, PUT, GET and DELETE below /blobs/uploads/.
 * Sessions themselves are in upload.c, mounting is in mount.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/http_reply.h"
#include "common/log.h"
#include "regd/call.h"
#include "regd/event.h"
#include "regd/meta.h"
#include "regd/push.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"
#include "regd/span.h"
#include "regd/store.h"
#include "regd/upload.h"

#define BODY_MAX (1ULL << 40) /* of one request */

static const char *repo_of(const struct call *c)
{
	return c->route.name;
}

/* Where a session stands, as its clients read it: "0-0" also when it is empty. */
static void session_headers(struct call *c, const struct upload *u)
{
	http_reply_header(
	    c->req, "Location", "/v2/%s/blobs/uploads/%s", repo_of(c), u->session);
	http_reply_header(
	    c->req, "Range", "0-%" PRIu64, u->size ? u->size - 1 : (uint64_t)0);
	http_reply_header(c->req, "Docker-Upload-UUID", "%s", u->session);
}

static int reply_session(struct call *c, const struct upload *u, int status)
{
	session_headers(c, u);
	http_reply_empty(c->req, status);
	return 0;
}

int push_created(struct call *c, const char *repo, const char *digest)
{
	http_reply_header(c->req, "Location", "/v2/%s/blobs/%s", repo, digest);
	http_reply_header(c->req, "Docker-Content-Digest", "%s", digest);
	http_reply_empty(c->req, 201);
	return 0;
}

static int reply_full(struct call *c)
{
	counter_add(&c->regd->stats.refused_full, 1);
	return reply_oci(c->req, 507, "DENIED",
	    "the registry's disk has no room for this; free some, or lower "
	    "storage.reserve");
}

static int reply_over(struct call *c)
{
	counter_add(&c->regd->stats.refused_quota, 1);
	return reply_oci(c->req, 507, "DENIED",
	    "the quota is used up; delete images, whose space comes back with the next "
	    "collection, or raise quotas or storage.quota");
}

bool push_replied_full(struct call *c, int r)
{
	if (r == -ENOSPC)
		reply_full(c);
	else if (r == -EDQUOT)
		reply_over(c);
	return r == -ENOSPC || r == -EDQUOT;
}

/* --- the digest a client announces ------------------------------------------- */

/* 1 with a digest, 0 without one, -1 when it was replied to. */
static int digest_param(struct call *c, struct oci_digest *ret)
{
	char text[DIGEST_TEXT_MAX];
	ssize_t n = http_req_param(c->req, "digest", text, sizeof(text));
	int r;

	if (n == -ENOENT)
		return 0;
	r = n < 0 ? -EINVAL : oci_digest_parse(ret, text);
	if (r == 0)
		return 1;
	reply_oci(c->req, 400, "DIGEST_INVALID", "%s",
	    r == -ENOTSUP ? "digests are sha256 or sha512 here"
			  : "the digest parameter is no digest");
	return -1;
}

/* --- bytes into a session ------------------------------------------------------ */

/* A request that appends.  Lives as long as its call. */
struct append {
	struct upload *upload;
	uint64_t start; /* where it began */
	uint64_t want;  /* bytes by its Content-Range; 0: unknown */
	bool finish;    /* PUT or a single POST: commit at the end */
	bool unknown;   /* its client was never told the session's name */
	struct oci_digest digest;
};

static void append_ended(struct call *c)
{
	struct append *a = c->owner;

	if (a->upload) {
		a->upload->writer = NULL;
		if (a->unknown) /* nobody can come back to it */
			upload_discard(a->upload);
		else
			upload_release(a->upload);
	}
	free(a);
}

static int append_failed(struct call *c, struct append *a, int r)
{
	struct upload *u = TAKE(a->upload);

	u->writer = NULL;
	upload_discard(u);
	return push_replied_full(c, r) ? 0 : reply_failed(c->req, r, "write an upload");
}

static int append_data(struct http_req *r, void *arg, const void *p, size_t n)
{
	struct call *c = arg;
	struct append *a = c->owner;
	int e = upload_append(a->upload, p, n);

	return e < 0 ? append_failed(c, a, e) : 0;
}

static void committed(
    struct call *c, int result, const char *repo, const struct oci_digest *d)
{
	if (result == COMMIT_MISMATCH)
		log_with(LOG_WARNING,
		    LOG_FIELDS(
			"MESSAGE_ID", EVENT_WRONG_DIGEST, "OKD_REPOSITORY", repo),
		    "%s: an upload is not what its digest says: %s", repo, d->text);
	if (!c)
		return;
	if (result == COMMIT_MISMATCH) {
		counter_add(&c->regd->stats.digest_mismatches, 1);
		reply_oci(c->req, 400, "DIGEST_INVALID",
		    "the bytes that came have another digest");
	} else if (result < 0) {
		if (!push_replied_full(c, result))
			reply_failed(c->req, result, "make a blob durable");
	} else {
		push_created(c, repo, d->text);
	}
}

static int reply_bad_order(struct call *c, struct upload *u)
{
	session_headers(c, u);
	return reply_oci(c->req, 416, "RANGE_INVALID",
	    "the upload stands at %" PRIu64 " bytes", u->size);
}

/* Fewer or more bytes came than Content-Range said: as if they had not. */
static int append_odd(struct call *c, struct append *a)
{
	if (upload_truncate(a->upload, a->start) < 0)
		return append_failed(c, a, -EIO);
	upload_release(a->upload);
	a->unknown = false;
	session_headers(c, a->upload);
	return reply_oci(c->req, 400, "SIZE_INVALID",
	    "the body is not as long as its Content-Range");
}

static int append_end(struct http_req *r, void *arg)
{
	struct call *c = arg;
	struct append *a = c->owner;
	struct upload *u = a->upload;
	struct oci_digest d = a->digest;

	if (a->want && u->size - a->start != a->want)
		return append_odd(c, a);
	if (!a->finish) {
		upload_release(u);
		return reply_session(c, u, 202);
	}
	/* From here the commit is what the call belongs to. */
	c->ended = NULL;
	free(a);
	upload_commit(u, c, repo_of(c), &d, committed);
	return 0;
}

static const struct http_sink append_sink = {
	.data = append_data,
	.end = append_end,
};

/* A request that is still appending has lost its client, or is about to: whoever comes
 * last has the session. */
static void take_over(struct upload *u)
{
	struct call *before = TAKE(u->writer);

	if (!before)
		return;
	((struct append *)before->owner)->upload = NULL;
	http_abort(before->req, "another request continues the upload");
}

/* Checks Content-Range against where the session stands: 0, or it was replied to. */
static int check_range(struct call *c, struct upload *u, uint64_t *want)
{
	const struct http_head *h = http_req_head(c->req);
	const char *range = http_req_header(c->req, "Content-Range");
	uint64_t first, last;

	*want = 0;
	if (!range)
		return 0;
	if (span_parse(range, &first, &last) < 0) {
		session_headers(c, u);
		reply_oci(c->req, 416, "RANGE_INVALID",
		    "Content-Range is <first>-<last>, both inclusive");
		return -1;
	}
	if (first != u->size) {
		reply_bad_order(c, u);
		return -1;
	}
	*want = last - first + 1;
	if (h->has_length && h->content_length != *want) {
		session_headers(c, u);
		reply_oci(c->req, 400, "SIZE_INVALID",
		    "Content-Range and Content-Length differ");
		return -1;
	}
	return 0;
}

static int reply_unknown(struct call *c)
{
	return reply_oci(c->req, 404, "BLOB_UPLOAD_UNKNOWN",
	    "there is no such upload; it was committed, cancelled or has expired");
}

bool push_holds(struct call *c, const char *repo, const struct oci_digest *d)
{
	struct meta_blob blob;

	return meta_blob_find(c->regd->db, repo, d->text, &blob) == 0 && !blob.bad &&
	    store_blob_has(c->regd->store, d, (uint64_t)blob.size);
}

/* The session is gone, but a client that missed the answer to its PUT asks again: if
 * the blob is there, so is what it wants. */
static int put_again(struct call *c, const struct oci_digest *d)
{
	return push_holds(c, repo_of(c), d) ? push_created(c, repo_of(c), d->text)
					    : reply_unknown(c);
}

/* Makes the session this request's: 0, or it was replied to. */
static int claim(struct call *c, struct upload *u, const struct oci_digest *d)
{
	int r;

	take_over(u);
	r = upload_claim(u);
	if (r == -EBUSY)
		reply_bad_order(c, u);
	else if (r == -ENOENT)
		(void)!(d ? put_again(c, d) : reply_unknown(c));
	else if (r < 0)
		reply_failed(c->req, r, "open an upload");
	return r;
}

static int append_begin(struct call *c, struct upload *u, const struct oci_digest *d)
{
	const struct http_head *h = http_req_head(c->req);
	struct append *a;
	uint64_t want;

	if (claim(c, u, d) < 0)
		return 0;
	if (check_range(c, u, &want) < 0) {
		upload_release(u);
		return 0;
	}
	if (h->has_length && !regd_has_room(c->regd, h->content_length)) {
		upload_discard(u);
		return reply_full(c);
	}
	if (h->has_length &&
	    (h->content_length > u->room || u->size > u->room - h->content_length)) {
		upload_discard(u);
		return reply_over(c);
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		upload_release(u);
		return -ENOMEM;
	}
	a->upload = u;
	a->start = u->size;
	a->want = want;
	if (d) {
		a->finish = true;
		a->digest = *d;
	}
	a->unknown = c->method == HTTP_POST;
	u->writer = c;
	u->paused = false;
	c->owner = a;
	c->ended = append_ended;
	return call_body(c, &append_sink, c, BODY_MAX);
}

/* --- PATCH, PUT, GET, DELETE ---------------------------------------------------- */

/* 0 with the session, or it was replied to. */
static int find(struct call *c, struct upload **u)
{
	int r = upload_find(u, c->regd->uploads, repo_of(c), c->route.rest);

	if (r == -ENOENT)
		reply_unknown(c);
	else if (r < 0)
		reply_failed(c->req, r, "open an upload");
	return r;
}

int upload_patch(struct call *c)
{
	struct upload *u;

	if (find(c, &u) < 0)
		return 0;
	if (u->commit)
		return reply_bad_order(c, u);
	return append_begin(c, u, NULL);
}

int upload_put(struct call *c)
{
	struct oci_digest d;
	struct upload *u;
	int r = digest_param(c, &d);

	if (r < 0)
		return 0;
	if (r == 0)
		return reply_oci(
		    c->req, 400, "DIGEST_INVALID", "the digest parameter is missing");
	r = upload_find(&u, c->regd->uploads, repo_of(c), c->route.rest);
	if (r == -ENOENT)
		return put_again(c, &d);
	if (r < 0)
		return reply_failed(c->req, r, "open an upload");
	if (u->commit)
		return upload_join(u, c, &d) ? 0 : reply_bad_order(c, u);
	return append_begin(c, u, &d);
}

int upload_status(struct call *c)
{
	struct upload *u;

	return find(c, &u) < 0 ? 0 : reply_session(c, u, 204);
}

int upload_cancel(struct call *c)
{
	struct upload *u;

	if (find(c, &u) < 0)
		return 0;
	if (u->commit)
		return reply_unknown(c);
	take_over(u);
	upload_drop(u);
	http_reply_empty(c->req, 204);
	return 0;
}

/* --- POST ------------------------------------------------------------------------ */

static int start_session(struct call *c, enum digest_alg alg, struct upload **u)
{
	int r = upload_new(u, c->regd->uploads, repo_of(c), alg);

	if (r == 0 && !(*u)->room) {
		upload_drop(*u);
		r = -EDQUOT;
	}
	if (r < 0 && !push_replied_full(c, r))
		reply_failed(c->req, r, "start an upload");
	return r;
}

int push_start(struct call *c)
{
	enum digest_alg alg = DIGEST_SHA256;
	struct upload *u;
	char name[16];
	ssize_t n;

	n = http_req_param(c->req, "digest-algorithm", name, sizeof(name));
	if (n != -ENOENT && (n < 0 || digest_alg_parse(name, (size_t)n, &alg) < 0))
		return reply_oci(
		    c->req, 400, "DIGEST_INVALID", "digests are sha256 or sha512 here");
	return start_session(c, alg, &u) < 0 ? 0 : reply_session(c, u, 202);
}

int upload_start(struct call *c)
{
	char text[DIGEST_TEXT_MAX];
	struct oci_digest d;
	struct upload *u;
	ssize_t n;
	int r;

	if (!regd_has_room(c->regd, 1))
		return reply_full(c);
	n = http_req_param(c->req, "mount", text, sizeof(text));
	if (n != -ENOENT)
		return mount_start(c, n < 0 ? "" : text);
	r = digest_param(c, &d);
	if (r < 0)
		return 0;
	if (r == 0)
		return push_start(c);
	if (start_session(c, d.alg, &u) < 0)
		return 0;
	return append_begin(c, u, &d);
}
