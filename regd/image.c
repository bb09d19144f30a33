/* GET, HEAD, PUT and DELETE of manifests. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_cond.h"
#include "common/http_reply.h"
#include "regd/call.h"
#include "regd/digest_set.h"
#include "regd/hooks.h"
#include "regd/ledger.h"
#include "regd/manifest.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/proxy.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"
#include "regd/writer.h"

enum { TAGS_MAX = 64 }; /* of one PUT */

static int reply_unknown(struct call *c)
{
	return reply_oci(
	    c->req, 404, "MANIFEST_UNKNOWN", "this repository holds no such manifest");
}

static int bad_digest(struct call *c, int r)
{
	return reply_oci(c->req, 400, "DIGEST_INVALID", "%s",
	    r == -ENOTSUP ? "digests are sha256 or sha512 here" : "that is no digest");
}

/* --- GET and HEAD ------------------------------------------------------------- */

static int send_manifest(struct call *c, struct meta_manifest *m)
{
	char etag[DIGEST_TEXT_MAX + 2];
	struct http_validator v = { .etag = etag };
	int status;

	snprintf(etag, sizeof(etag), "\"%s\"", m->digest);
	http_reply_header(c->req, "Docker-Content-Digest", "%s", m->digest);
	http_reply_header(c->req, "ETag", "%s", etag);
	status = http_cond_judge(http_req_head(c->req), &v);
	if (status) {
		free(m->body);
		http_reply_empty(c->req, status);
		return 0;
	}
	if (c->method == HTTP_GET) {
		struct net_ip peer = http_req_peer(c->req, NULL);

		counter_add(&c->regd->stats.manifest_gets, 1);
		hooks_tell(c,
		    &(struct notice){ .kind = NOTICE_PULL,
			.repository = c->route.name,
			.digest = m->digest,
			.type = m->type,
			.size = (int64_t)m->size,
			.tag = name_looks_like_digest(c->route.rest) ? NULL
								     : c->route.rest });
		ledger_pull(
		    c->regd->ledger, &peer, c->route.name, m->digest, clock_real_s());
	}
	http_reply_owned(c->req, 200, m->type, m->body, m->size, free, m->body);
	return 0;
}

int image_local(struct call *c)
{
	struct meta_manifest m = { .body = NULL };
	int r = meta_manifest_find(c->regd->db, c->route.name, c->route.rest, &m);

	if (r == -ENOENT)
		return reply_unknown(c);
	return r < 0 ? reply_failed(c->req, r, "look up a manifest")
		     : send_manifest(c, &m);
}

int image_get(struct call *c)
{
	struct meta_manifest m = { .body = NULL };
	const char *ref = c->route.rest;
	struct oci_digest d;
	int r, result;

	if (name_looks_like_digest(ref)) {
		r = oci_digest_parse(&d, ref);
		if (r < 0)
			return bad_digest(c, r);
	} else if (!name_is_tag(ref)) {
		return reply_unknown(c);
	}
	r = meta_manifest_find(c->regd->db, c->route.name, ref, &m);
	if (r == -ENOENT &&
	    overlays_manifest(
		c->regd->overlays, OVERLAY_LOOP, c->route.name, ref, &m) == 0)
		return send_manifest(c, &m);
	if ((r == 0 || r == -ENOENT) && proxy_get_manifest(c, r == 0, &result)) {
		free(m.body);
		return result;
	}
	if (r == -ENOENT)
		return reply_unknown(c);
	if (r < 0)
		return reply_failed(c->req, r, "look up a manifest");
	return send_manifest(c, &m);
}

/* --- PUT ------------------------------------------------------------------------ */

struct put {
	struct change change;
	struct call *call; /* NULL: has ended */
	struct regd *regd;
	struct meta_put row;
	char repo[NAME_MAX_LEN + 1];
	struct oci_digest digest;
	struct manifest *manifest;
	char *body;
	char tags[TAGS_MAX][TAG_MAX_LEN + 1];
	const char *tag_list[TAGS_MAX + 1];
	size_t n_tags;
	bool by_digest;         /* and the tags came as parameters */
	struct digest_set held; /* by overlays, of what it refers to */
	char *event;
};

static struct put *put_free(struct put *p)
{
	if (!p)
		return NULL;
	manifest_free(p->manifest);
	digest_set_deinit(&p->held);
	free(p->body);
	free(p->event);
	free(p);
	return NULL;
}
DEFINE_FREEP(put)

static void put_ended(struct call *c)
{
	((struct put *)c->owner)->call = NULL;
}

static int put_apply(struct change *ch, struct db *db)
{
	struct put *p = CONTAINER_OF(ch, struct put, change);
	int r = meta_manifest_put(db, &p->row);

	for (size_t i = 0; i < p->n_tags && r == 0; i++)
		r = meta_tag_own(db, p->repo, p->tags[i]);
	return r ? r : hooks_apply(db, p->event);
}

static int reply_stored(struct call *c, const struct put *p)
{
	const struct oci_digest *subject = manifest_subject(p->manifest);

	counter_add(&c->regd->stats.manifest_puts, 1);
	http_reply_header(
	    c->req, "Location", "/v2/%s/manifests/%s", p->repo, p->digest.text);
	http_reply_header(c->req, "Docker-Content-Digest", "%s", p->digest.text);
	if (subject)
		http_reply_header(c->req, "OCI-Subject", "%s", subject->text);
	for (size_t i = 0; p->by_digest && i < p->n_tags; i++)
		http_reply_header(c->req, "OCI-Tag", "%s", p->tags[i]);
	http_reply_empty(c->req, 201);
	return 0;
}

/* The client was told that it need not push what an overlay holds: whether there is any
 * such, so that trying once more is worth it. */
static bool find_elsewhere(struct put *p)
{
	if (p->row.elsewhere ||
	    overlays_held(p->regd->overlays, p->repo, p->manifest, &p->held) < 0)
		return false;
	p->row.elsewhere = &p->held;
	return p->held.n > 0;
}

static void put_done(struct change *ch)
{
	struct put *p = CONTAINER_OF(ch, struct put, change);
	struct call *c = p->call;

	if (c && ch->result == META_MISSING && find_elsewhere(p)) {
		writer_post(c->regd->writer, ch);
		return;
	}
	if (ch->result == 0 && p->event && p->regd->hooks)
		hooks_wake(p->regd->hooks);
	if (c) {
		c->ended = NULL;
		if (ch->result == 0)
			reply_stored(c, p);
		else if (ch->result > 0)
			reply_oci(c->req, 400, "MANIFEST_BLOB_UNKNOWN",
			    "it refers to %s, which this repository does not hold",
			    p->row.missing);
		else
			reply_failed(c->req, ch->result, "store a manifest");
	}
	put_free(p);
}

static bool add_tag(struct put *p, const char *tag)
{
	if (p->n_tags == TAGS_MAX || !name_is_tag(tag))
		return false;
	memcpy(p->tags[p->n_tags], tag, strlen(tag) + 1);
	p->tag_list[p->n_tags] = p->tags[p->n_tags];
	p->n_tags++;
	return true;
}

/* Every tag= of the query: false when one is no tag, or there are too many. */
static bool add_query_tags(struct put *p, const char *query)
{
	char tag[TAG_MAX_LEN + 1];

	for (; query; query = strchr(query, '&'), query += query != NULL) {
		if (!str_starts(query, "tag="))
			continue;
		if (http_query_get(query, "tag", tag, sizeof(tag)) < 0 ||
		    !add_tag(p, tag))
			return false;
	}
	return true;
}

/* What the path and the query say the manifest is to be called: 0, or replied to. */
static int put_names(struct call *c, struct put *p, const char *body, size_t n)
{
	const char *ref = c->route.rest;
	uint8_t bytes[DIGEST_MAX];
	int r;

	if (!name_looks_like_digest(ref)) {
		digest_of(DIGEST_SHA256, body, n, bytes);
		oci_digest_set(&p->digest, DIGEST_SHA256, bytes);
		if (add_tag(p, ref))
			return 0;
		reply_oci(c->req, 400, "TAG_INVALID", "that cannot be a tag");
		return -1;
	}
	r = oci_digest_parse(&p->digest, ref);
	if (r < 0) {
		bad_digest(c, r);
		return -1;
	}
	p->by_digest = true;
	if (!oci_digest_matches(&p->digest, body, n)) {
		counter_add(&c->regd->stats.digest_mismatches, 1);
		reply_oci(c->req, 400, "DIGEST_INVALID",
		    "the manifest that came has another digest");
		return -1;
	}
	if (!add_query_tags(p, http_req_query(c->req))) {
		reply_oci(c->req, p->n_tags == TAGS_MAX ? 414 : 400, "TAG_INVALID",
		    "tag= is a tag, and at most %d of them", TAGS_MAX);
		return -1;
	}
	return 0;
}

static int put_gathered(struct call *c, const char *body, size_t n)
{
	_cleanup_(put_freep) struct put *p = calloc(1, sizeof(*p));
	struct err e = ERR_INIT;
	int r;

	if (!p)
		return -ENOMEM;
	r = manifest_parse(
	    &p->manifest, http_req_header(c->req, "Content-Type"), body, n, &e);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return reply_oci(c->req, 400, "MANIFEST_INVALID",
		    "the manifest cannot be read: %s", e.text);
	if (put_names(c, p, body, n) < 0)
		return 0;
	memcpy(p->repo, c->route.name, sizeof(p->repo));
	p->body = str_take(&c->body);
	p->row = (struct meta_put){
		.repo = p->repo,
		.digest = &p->digest,
		.manifest = p->manifest,
		.body = p->body,
		.size = n,
		.tags = p->tag_list,
		.now = clock_real_s(),
	};
	p->call = c;
	p->regd = c->regd;
	p->event = hooks_event(c,
	    &(struct notice){ .kind = NOTICE_PUSH,
		.repository = p->repo,
		.digest = p->digest.text,
		.type = p->manifest->type,
		.size = (int64_t)n,
		.tag = p->n_tags ? p->tags[0] : NULL });
	p->change.apply = put_apply;
	p->change.done = put_done;
	c->owner = p;
	c->ended = put_ended;
	writer_post(c->regd->writer, &TAKE(p)->change);
	return 0;
}

int image_put(struct call *c)
{
	if (!regd_has_room(c->regd, 1))
		return reply_oci(
		    c->req, 507, "DENIED", "the registry's disk has no room for this");
	return call_gather(c, MANIFEST_MAX, put_gathered);
}

/* --- DELETE --------------------------------------------------------------------- */

struct removal {
	struct change change;
	struct call *call;
	char repo[NAME_MAX_LEN + 1];
	char reference[DIGEST_TEXT_MAX]; /* a tag fits */
	char *event;
	struct regd *regd;
	int64_t now;
};

static void removal_ended(struct call *c)
{
	((struct removal *)c->owner)->call = NULL;
}

static int removal_apply(struct change *ch, struct db *db)
{
	struct removal *x = CONTAINER_OF(ch, struct removal, change);
	int r;

	if (name_looks_like_digest(x->reference))
		r = meta_manifest_delete(db, x->repo, x->reference, x->now);
	else
		r = meta_tag_delete(db, x->repo, x->reference);
	return r ? r : hooks_apply(db, x->event);
}

/* What an overlay holds can be pulled and not be deleted. */
static void not_ours(struct call *c)
{
	struct meta_manifest m = { .body = NULL };
	int r = overlays_manifest(
	    c->regd->overlays, OVERLAY_LOOP, c->route.name, c->route.rest, &m);

	free(m.body);
	if (r == 0)
		reply_oci(c->req, 405, "UNSUPPORTED",
		    "it lies in an overlay, which is read-only");
	else
		reply_unknown(c);
}

static void removal_done(struct change *ch)
{
	struct removal *x = CONTAINER_OF(ch, struct removal, change);
	struct call *c = x->call;

	if (ch->result == 0 && x->event && x->regd->hooks)
		hooks_wake(x->regd->hooks);
	if (c) {
		c->ended = NULL;
		if (ch->result == 0) {
			counter_add(&c->regd->stats.deletes, 1);
			http_reply_empty(c->req, 202);
		} else if (ch->result > 0) {
			not_ours(c);
		} else {
			reply_failed(c->req, ch->result, "delete a manifest");
		}
	}
	free(x->event);
	free(x);
}

int image_delete(struct call *c)
{
	const char *ref = c->route.rest;
	struct oci_digest d;
	struct removal *x;
	int r;

	if (name_looks_like_digest(ref)) {
		r = oci_digest_parse(&d, ref);
		if (r < 0)
			return bad_digest(c, r);
	} else if (!name_is_tag(ref)) {
		return reply_unknown(c);
	}
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	memcpy(x->repo, c->route.name, sizeof(x->repo));
	memcpy(x->reference, ref, strlen(ref) + 1);
	x->now = clock_real_s();
	x->call = c;
	x->regd = c->regd;
	x->event = hooks_event(c,
	    &(struct notice){ .kind = NOTICE_DELETE,
		.repository = x->repo,
		.size = -1,
		.digest = name_looks_like_digest(ref) ? ref : NULL,
		.tag = name_looks_like_digest(ref) ? NULL : ref });
	x->change.apply = removal_apply;
	x->change.done = removal_done;
	c->owner = x;
	c->ended = removal_ended;
	writer_post(c->regd->writer, &x->change);
	return 0;
}
