/* Manifests from upstream: see proxy.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_reply.h"
#include "common/log.h"
#include "regd/call.h"
#include "regd/manifest.h"
#include "regd/meta.h"
#include "regd/proxy_impl.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"
#include "regd/writer.h"

enum { KEY_MAX = NAME_MAX_LEN + REST_MAX + 2 };

static const char accept_all[] =
    TYPE_OCI_MANIFEST ", " TYPE_OCI_INDEX ", " TYPE_DOCKER_MANIFEST
		      ", " TYPE_DOCKER_LIST ", " TYPE_DOCKER_SIGNED ", */*";

/* Fetched, parsed, and on its way to the database. */
struct fetch {
	struct hnode node;
	struct proxy *proxy; /* NULL: the registry stops */
	struct upstreams *upstreams;
	struct upstream_request *request;
	struct list_link waiting; /* calls */
	char key[KEY_MAX];        /* "repository reference" */
	char repo[NAME_MAX_LEN + 1], ref[REST_MAX];
	struct change change;
	struct meta_put row;
	struct oci_digest digest;
	struct manifest *manifest;
	char *body;
	const char *tags[2];
};

static void fetch_free(struct fetch *f)
{
	if (f->proxy)
		htable_remove(&f->proxy->manifests, &f->node);
	upstreams_unref(f->upstreams);
	manifest_free(f->manifest);
	free(f->body);
	free(f);
}

static void waiting_ended(struct call *c)
{
	list_remove(&c->waiting);
}

/* What is sent may be old.  299 is the only code that the OCI specification lets registries
 * use, and that clients show. */
static void warn_stale(struct call *c)
{
	http_reply_header(c->req, "Warning",
	    "299 - \"this tag is what it was when the upstream last answered for it\"");
}

/* Each that waits gets what is here; without that, what went wrong. */
static void answer(struct fetch *f, int result, const char *why)
{
	struct list_link *l;

	while ((l = list_first(&f->waiting))) {
		struct call *c = CONTAINER_OF(l, struct call, waiting);
		struct meta_manifest m = { .body = NULL };
		struct http_req *req = c->req;

		list_remove(l);
		c->ended = NULL;
		if (meta_manifest_find(c->regd->db, f->repo, f->ref, &m) < 0) {
			proxy_reply_failed(c, result, "MANIFEST_UNKNOWN", why);
			continue;
		}
		free(m.body);
		if (result != 0)
			warn_stale(c);
		http_reply_result(req, image_local(c));
	}
}

static void failed(struct fetch *f, int result, const char *why)
{
	struct stats *stats = &f->proxy->regd->stats;

	counter_add(&stats->upstream_failures, 1);
	if (result != 404)
		log_warning("cannot fetch %s:%s: %s", f->repo, f->ref, why);
	answer(f, result, why);
	fetch_free(f);
}

/* --- storing ------------------------------------------------------------------ */

/* A tag that was pushed here while the upstream was asked stays what was pushed. */
static int fetch_apply(struct change *ch, struct db *db)
{
	struct fetch *f = CONTAINER_OF(ch, struct fetch, change);
	int r = f->tags[0] ? meta_tag_is_own(db, f->repo, f->tags[0]) : 0;

	if (r < 0)
		return r;
	if (r > 0)
		f->tags[0] = NULL;
	r = meta_manifest_put(db, &f->row);
	if (r == 0 && f->tags[0])
		r = meta_tag_check(db, f->repo, f->tags[0], f->row.now);
	return r;
}

static void fetch_stored(struct change *ch)
{
	struct fetch *f = CONTAINER_OF(ch, struct fetch, change);

	if (!f->proxy) {
		fetch_free(f);
	} else if (ch->result != 0) {
		failed(f, ch->result < 0 ? ch->result : -EIO, "it cannot be stored");
	} else {
		answer(f, 0, "");
		fetch_free(f);
	}
}

/* 0 with the digest, or -EBADMSG for what is not what was asked for. */
static int take_digest(struct fetch *f, const struct str *body, const char *said)
{
	uint8_t bytes[DIGEST_MAX];
	struct oci_digest d;

	if (name_looks_like_digest(f->ref)) {
		if (oci_digest_parse(&f->digest, f->ref) < 0 ||
		    !oci_digest_matches(&f->digest, body->s, body->len))
			return -EBADMSG;
		return 0;
	}
	if (said && oci_digest_parse(&d, said) == 0 &&
	    !oci_digest_matches(&d, body->s, body->len))
		return -EBADMSG;
	digest_of(DIGEST_SHA256, body->s, body->len, bytes);
	oci_digest_set(&f->digest, DIGEST_SHA256, bytes);
	f->tags[0] = f->ref;
	return 0;
}

static int take_manifest(struct fetch *f, struct upstream_request *r, struct err *err)
{
	struct str *body = upstream_body(r);
	size_t n = body->len;
	int e;

	if (!n)
		return err_set(err, -EBADMSG, "it sent nothing");
	if (take_digest(f, body, upstream_header(r, "Docker-Content-Digest")) < 0) {
		counter_add(&f->proxy->regd->stats.digest_mismatches, 1);
		return err_set(err, -EBADMSG, "what it sent has another digest");
	}
	e = manifest_parse(
	    &f->manifest, upstream_header(r, "Content-Type"), body->s, n, err);
	if (e < 0)
		return e;
	f->body = str_take(body);
	if (!f->body)
		return err_set(err, -ENOMEM, "out of memory");
	f->row = (struct meta_put){
		.repo = f->repo,
		.digest = &f->digest,
		.manifest = f->manifest,
		.body = f->body,
		.size = n,
		.tags = f->tags,
		.now = clock_real_s(),
		.sparse = true,
	};
	return 0;
}

static void on_done(struct upstream_request *r, int result, void *arg)
{
	struct fetch *f = arg;
	struct err e = ERR_INIT;
	int error;

	f->request = NULL;
	if (result != 200) {
		failed(f, result, upstream_why(r));
		return;
	}
	error = take_manifest(f, r, &e);
	if (error < 0) {
		failed(f, error, e.text);
		return;
	}
	counter_add(&f->proxy->regd->stats.upstream_manifests, 1);
	f->change.apply = fetch_apply;
	f->change.done = fetch_stored;
	writer_post(f->proxy->regd->writer, &f->change);
}

/* --- asking --------------------------------------------------------------------- */

static struct fetch *find(struct proxy *p, const char *key)
{
	uint64_t hash = htable_hash(key, strlen(key));

	for (struct hnode *n = htable_first(&p->manifests, hash); n;
	     n = htable_next(n)) {
		struct fetch *f = CONTAINER_OF(n, struct fetch, node);

		if (str_eq(f->key, key))
			return f;
	}
	return NULL;
}

static int start(struct fetch **ret, struct proxy *p, struct upstream *u,
    struct call *c, const char *key, struct err *err)
{
	struct fetch *f = calloc(1, sizeof(*f));
	char what[REST_MAX + 16];
	struct upstream_options o = {
		.what = what,
		.accept = accept_all,
		.max_response = MANIFEST_MAX,
		.done = on_done,
		.arg = f,
	};
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	list_init(&f->waiting);
	snprintf(f->key, sizeof(f->key), "%s", key);
	snprintf(f->repo, sizeof(f->repo), "%s", c->route.name);
	snprintf(f->ref, sizeof(f->ref), "%s", c->route.rest);
	snprintf(what, sizeof(what), "manifests/%s", f->ref);
	o.repository = f->repo;
	if (htable_insert(&p->manifests, &f->node, htable_hash(key, strlen(key))) < 0) {
		free(f);
		return err_set(err, -ENOMEM, "out of memory");
	}
	f->proxy = p;
	f->upstreams = p->upstreams;
	f->upstreams->refs++;
	r = upstream_start(&f->request, u, &o, err);
	if (r < 0) {
		fetch_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

/* A tag that was pushed here, and one that was asked for lately, is fresh. */
static bool is_fresh(struct call *c, const struct upstream *u)
{
	int64_t checked = 0, age;

	if (name_looks_like_digest(c->route.rest))
		return true;
	if (meta_tag_checked(c->regd->db, c->route.name, c->route.rest, &checked) < 0)
		return true;
	/* Of a time to come: the clock was fast then, and nobody knows how old it is. */
	age = clock_real_s() - checked;
	return age >= 0 && age < (int64_t)(upstream_tag_ttl(u) / 1000);
}

bool proxy_get_manifest(struct call *c, bool have, int *result)
{
	struct proxy *p = c->regd->proxy;
	struct upstream *u = proxy_find(p, c->route.name);
	struct err e = ERR_INIT;
	char key[KEY_MAX];
	struct fetch *f;

	*result = 0;
	if (!u || (have && is_fresh(c, u)))
		return false;
	if (have && !upstream_is_up(u)) {
		warn_stale(c);
		return false;
	}
	snprintf(key, sizeof(key), "%s %s", c->route.name, c->route.rest);
	f = find(p, key);
	if (!f && p->manifests.n >= PROXY_FETCHES_MAX) {
		if (have) {
			warn_stale(c);
			return false;
		}
		*result = proxy_reply_busy(c);
		return true;
	}
	if (!f && start(&f, p, u, c, key, &e) < 0) {
		log_warning("cannot fetch %s: %s", key, e.text);
		if (have) {
			warn_stale(c);
			return false;
		}
		*result = proxy_reply_failed(c, -EIO, "MANIFEST_UNKNOWN", e.text);
		return true;
	}
	list_append(&f->waiting, &c->waiting);
	c->ended = waiting_ended;
	return true;
}

void proxy_manifests_end(struct proxy *p)
{
	htable_for_each (n, &p->manifests) {
		struct fetch *f = CONTAINER_OF(n, struct fetch, node);
		bool stores = !f->request;

		f->request = upstream_cancel(f->request);
		if (stores) { /* fetch_stored() frees it */
			htable_remove(&p->manifests, &f->node);
			f->proxy = NULL;
		} else {
			fetch_free(f);
		}
	}
}
