/*
 * Blobs from upstream: see proxy.h.
 *
 * Life of a fetch: asked for; coming in, appended to an upload session of the
 * repository's, and read from its file by those who wait; whole and verified; committed
 * like a push.  Clients are done when they have read to its end, whenever that is: the
 * fetch outlives its session for them.  A fetch whose clients have all gone goes on,
 * since the next node will ask for the same.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/http_reply.h"
#include "common/log.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/hooks.h"
#include "regd/proxy_impl.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"
#include "regd/upload.h"

enum { KEY_MAX = NAME_MAX_LEN + DIGEST_TEXT_MAX + 2 };

#define BLOB_MAX (1ULL << 40)

enum state {
	ASKED,  /* no head yet */
	COMING, /* bytes come in */
	WHOLE,  /* all of them, and the digest is right */
	BROKEN,
};

struct fetch {
	struct hnode node;
	struct proxy *proxy;
	struct upstreams *upstreams;
	struct upstream_request *request;
	struct upload *upload; /* NULL once it is committed or dropped */
	int fd;                /* of its file */
	enum state state;
	bool listed; /* in the table: more clients may come */
	uint64_t size;
	int64_t total; /* as announced, or -1 */
	struct oci_digest digest;
	char key[KEY_MAX], repo[NAME_MAX_LEN + 1];
	struct list_link streams; /* struct stream */
	struct list_link waiting; /* calls that want the blob in its place */
};

/* A client that reads while the blob comes in. */
struct stream {
	struct list_link link;
	struct fetch *fetch;
	struct call *call;
	uint64_t at;
	bool replied;
};

static void unlist(struct fetch *f)
{
	if (f->listed)
		htable_remove(&f->proxy->blobs, &f->node);
	f->listed = false;
}

/* Frees it once nothing comes in any more and nobody reads. */
static void release(struct fetch *f)
{
	if (f->listed || f->request || f->upload || !list_empty(&f->streams))
		return;
	assert(list_empty(&f->waiting));
	upstreams_unref(f->upstreams);
	fd_close(f->fd);
	free(f);
}

/* --- clients -------------------------------------------------------------------- */

static void stream_ended(struct call *c)
{
	struct stream *s = c->owner;
	struct fetch *f = s->fetch;

	list_remove(&s->link);
	free(s);
	release(f);
}

/* How far clients may read: the last byte waits until the digest was right. */
static uint64_t readable(const struct fetch *f)
{
	if (f->state == WHOLE || (f->total >= 0 && f->size < (uint64_t)f->total))
		return f->size;
	return f->size ? f->size - 1 : 0;
}

static ssize_t stream_pull(struct http_req *r, void *arg, char *buf, size_t n)
{
	struct stream *s = arg;
	struct fetch *f = s->fetch;
	uint64_t limit = readable(f);
	ssize_t got;

	if (f->state == BROKEN)
		return -EIO;
	if (s->at >= limit)
		return f->state == WHOLE ? 0 : -EAGAIN;
	got = pread(f->fd, buf, MIN(n, limit - s->at), (off_t)s->at);
	if (got <= 0)
		return got < 0 ? -errno : -EIO;
	s->at += (uint64_t)got;
	return got;
}

static void begin_reply(struct stream *s)
{
	struct fetch *f = s->fetch;
	struct http_req *r = s->call->req;

	s->replied = true;
	http_reply_header(r, "Docker-Content-Digest", "%s", f->digest.text);
	http_reply_header(r, "Cache-Control", "max-age=31536000");
	http_reply_header(r, "ETag", "\"%s\"", f->digest.text);
	if (s->call->method == HTTP_GET) {
		counter_add(&s->call->regd->stats.pulls, 1);
		hooks_tell(s->call,
		    &(struct notice){ .kind = NOTICE_PULL,
			.repository = f->repo,
			.digest = f->digest.text,
			.type = "application/octet-stream",
			.size = f->total });
	}
	/* May end the call, and the stream with it. */
	http_reply_stream(r, 200, "application/octet-stream",
	    f->state == WHOLE ? (int64_t)f->size : f->total, stream_pull, s);
}

/* A head alone says how long the blob is, which an upstream may leave open until its end. */
static bool may_begin(const struct stream *s)
{
	const struct fetch *f = s->fetch;

	return f->state == WHOLE ||
	    (f->state == COMING && (f->total >= 0 || s->call->method == HTTP_GET));
}

/* There is more to read, or there will not be. */
static void wake(struct fetch *f)
{
	list_for_each_safe (it, &f->streams) {
		struct stream *s = CONTAINER_OF(it, struct stream, link);

		if (s->replied)
			http_reply_resume(s->call->req);
		else if (may_begin(s))
			begin_reply(s);
	}
}

/* Who may push asks by HEAD whether it has to.  "Yes, it is here" counts for the manifest
 * that it sends next, so it is told what this repository holds, and not what is coming; nor
 * that an upstream fails, since it can do without. */
static bool asks_for_push(const struct call *c)
{
	return c->method == HTTP_HEAD &&
	    (auth_call_rights(c, c->route.name) & ACCESS_PUSH);
}

static void waiting_ended(struct call *c)
{
	list_remove(&c->waiting);
}

/* Those who wait for the blob as such: whole, or it will not come. */
static void answer_waiting(struct fetch *f, int result, const char *why)
{
	struct list_link *l;

	while ((l = list_first(&f->waiting))) {
		struct call *c = CONTAINER_OF(l, struct call, waiting);
		struct http_req *r = c->req;

		list_remove(l);
		c->ended = NULL;
		if (result == 0)
			http_reply_result(r, blob_local(c));
		else
			proxy_reply_failed(
			    c, asks_for_push(c) ? 404 : result, "BLOB_UNKNOWN", why);
	}
}

/* --- the end of a fetch ----------------------------------------------------------- */

/* Those who wait hear why; those who read get no more.  The fetch may be gone then. */
static void broken(struct fetch *f, int result, const char *why)
{
	counter_add(&f->proxy->regd->stats.upstream_failures, 1);
	if (result != 404)
		log_warning("cannot fetch %s: %s", f->key, why);
	unlist(f);
	f->state = BROKEN;
	if (f->upload) {
		f->upload->fetch = NULL;
		upload_drop(f->upload);
		f->upload = NULL;
	}
	answer_waiting(f, result, why);
	/* The last stream that ends must not take the fetch along. */
	f->listed = true;
	list_for_each_safe (it, &f->streams) {
		struct stream *s = CONTAINER_OF(it, struct stream, link);

		if (s->replied)
			http_abort(s->call->req, "the upstream failed");
		else
			proxy_reply_failed(s->call, result, "BLOB_UNKNOWN", why);
	}
	f->listed = false;
	release(f);
}

static void committed(void *arg, int result)
{
	struct fetch *f = arg;

	f->upload = NULL;
	unlist(f);
	if (result < 0)
		log_err("cannot keep %s: %s", f->key, strerror(-result));
	answer_waiting(f, result, "it cannot be stored");
	release(f);
}

static void on_head(struct upstream_request *r, void *arg)
{
	const char *length = upstream_header(r, "Content-Length");
	struct fetch *f = arg;
	uint64_t n = 0;

	if (length && str_to_u64(length, BLOB_MAX, &n) < 0) {
		f->request = upstream_cancel(f->request);
		broken(f, -EFBIG, "the length that it announces is none");
		return;
	}
	f->total = length ? (int64_t)n : -1;
	if (f->total >= 0 && !regd_has_room(f->proxy->regd, (uint64_t)f->total)) {
		f->request = upstream_cancel(f->request);
		broken(f, -ENOSPC, "the disk is full");
		return;
	}
	f->state = COMING;
	wake(f);
}

static void on_data(struct upstream_request *r, const void *p, size_t n, void *arg)
{
	struct fetch *f = arg;
	int e;

	e = f->total >= 0 && n > (uint64_t)f->total - f->size
	    ? -EBADMSG
	    : upload_append(f->upload, p, n);
	if (e < 0) {
		f->request = upstream_cancel(f->request);
		broken(f, e, strerror(-e));
		return;
	}
	f->size += n;
	wake(f);
}

/* All bytes are there: whoever reads may have the last ones if they are right. */
static void whole(struct fetch *f)
{
	struct regd *g = f->proxy->regd;
	bool right;

	right = (f->total < 0 || f->size == (uint64_t)f->total) &&
	    upload_is(f->upload, &f->digest);
	if (!right) {
		counter_add(&g->stats.digest_mismatches, 1);
		broken(f, -EBADMSG, "what it sent has another digest");
		return;
	}
	counter_add(&g->stats.upstream_blobs, 1);
	counter_add(&g->stats.upstream_bytes, f->size);
	f->state = WHOLE;
	wake(f);
	upload_commit(f->upload, NULL, f->repo, &f->digest, NULL);
}

static void on_done(struct upstream_request *r, int result, void *arg)
{
	struct fetch *f = arg;

	f->request = NULL;
	if (result != 200)
		broken(f, result, upstream_why(r));
	else if (f->state == ASKED)
		broken(f, -EPROTO, "it sent no head");
	else
		whole(f);
}

/* --- asking ------------------------------------------------------------------------ */

static struct fetch *find(struct proxy *p, const char *key)
{
	uint64_t hash = htable_hash(key, strlen(key));

	for (struct hnode *n = htable_first(&p->blobs, hash); n; n = htable_next(n)) {
		struct fetch *f = CONTAINER_OF(n, struct fetch, node);

		if (str_eq(f->key, key))
			return f;
	}
	return NULL;
}

static int open_session(struct fetch *f)
{
	int r = upload_new(&f->upload, f->proxy->regd->uploads, f->repo, f->digest.alg);

	if (r < 0)
		return r;
	f->upload->fetch = f;
	f->upload->fetched = committed;
	f->fd = fcntl(f->upload->fd, F_DUPFD_CLOEXEC, 0);
	return f->fd < 0 ? -errno : 0;
}

static int ask(struct fetch *f, struct upstream *u, struct err *err)
{
	char what[DIGEST_TEXT_MAX + 16];
	struct upstream_options o = {
		.repository = f->repo,
		.what = what,
		.stream = true,
		.head = on_head,
		.data = on_data,
		.done = on_done,
		.arg = f,
	};
	int r = open_session(f);

	if (r < 0)
		return err_set(err, r, "cannot write: %s", strerror(-r));
	snprintf(what, sizeof(what), "blobs/%s", f->digest.text);
	return upstream_start(&f->request, u, &o, err);
}

static int start(struct fetch **ret, struct proxy *p, struct upstream *u,
    struct call *c, const struct oci_digest *d, struct err *err)
{
	struct fetch *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	f->proxy = p;
	f->digest = *d;
	f->fd = -1;
	f->total = -1;
	list_init(&f->streams);
	list_init(&f->waiting);
	snprintf(f->repo, sizeof(f->repo), "%s", c->route.name);
	snprintf(f->key, sizeof(f->key), "%s@%s", f->repo, d->text);
	if (htable_insert(&p->blobs, &f->node, htable_hash(f->key, strlen(f->key))) <
	    0) {
		free(f);
		return err_set(err, -ENOMEM, "out of memory");
	}
	f->listed = true;
	f->upstreams = p->upstreams;
	f->upstreams->refs++;
	r = ask(f, u, err);
	if (r < 0) {
		unlist(f);
		if (f->upload) {
			f->upload->fetch = NULL;
			upload_drop(TAKE(f->upload));
		}
		release(f);
		return r;
	}
	*ret = f;
	return 0;
}

/* Who wants a part waits for all of it. */
static bool wants_whole(const struct call *c)
{
	return http_req_header(c->req, "Range") || http_req_header(c->req, "If-Range");
}

static int join(struct fetch *f, struct call *c)
{
	struct stream *s;

	if (wants_whole(c) || asks_for_push(c)) {
		list_append(&f->waiting, &c->waiting);
		c->ended = waiting_ended;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fetch = f;
	s->call = c;
	list_append(&f->streams, &s->link);
	c->owner = s;
	c->ended = stream_ended;
	if (may_begin(s))
		begin_reply(s);
	return 0;
}

bool proxy_get_blob(struct call *c, const struct oci_digest *d, int *result)
{
	struct proxy *p = c->regd->proxy;
	struct upstream *u = proxy_find(p, c->route.name);
	struct err e = ERR_INIT;
	char key[KEY_MAX];
	struct fetch *f;
	int r;

	*result = 0;
	if (!u)
		return false;
	snprintf(key, sizeof(key), "%s@%s", c->route.name, d->text);
	f = find(p, key);
	if (!f && asks_for_push(c) &&
	    (!upstream_is_up(u) || p->blobs.n >= PROXY_FETCHES_MAX))
		return false;
	if (!f && p->blobs.n >= PROXY_FETCHES_MAX) {
		*result = proxy_reply_busy(c);
		return true;
	}
	if (!f) {
		r = start(&f, p, u, c, d, &e);
		if (r < 0) {
			log_warning("cannot fetch %s: %s", key, e.text);
			if (asks_for_push(c))
				return false;
			*result = proxy_reply_failed(c, r, "BLOB_UNKNOWN", e.text);
			return true;
		}
	}
	*result = join(f, c);
	return true;
}

void proxy_blobs_end(struct proxy *p)
{
	htable_for_each (n, &p->blobs) {
		struct fetch *f = CONTAINER_OF(n, struct fetch, node);

		f->request = upstream_cancel(f->request);
		unlist(f);
		if (f->upload) {
			f->upload->fetch = NULL;
			f->upload->fetched = NULL;
			if (!f->upload->commit)
				upload_drop(f->upload);
			f->upload = NULL;
		}
		release(f);
	}
}
