/* Lists: tags of a repository, the catalog, referrers of a manifest. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/http_reply.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"

enum { REFERRERS_BYTES = 3 * 1024 * 1024 }; /* of one page */

/* A page that is being written.  Names and tags need no escaping: see name.h. */
struct page {
	struct call *call;
	struct str text;
	uint64_t n; /* asked for; UINT64_MAX: all */
	char start[NAME_MAX_LEN + 1], last[NAME_MAX_LEN + 1];
	bool any;
};

/* Without formats: this is done for every name of a catalog. */
static void add_name(struct page *p, const char *name)
{
	size_t n = strnlen(name, sizeof(p->last) - 1);

	if (p->any)
		str_addc(&p->text, ',');
	str_addc(&p->text, '"');
	str_add(&p->text, name, n);
	str_addc(&p->text, '"');
	memcpy(p->last, name, n);
	p->last[n] = '\0';
	p->any = true;
}

/* n= and last= of the query: 0, or it was replied to. */
static int page_init(struct page *p, struct call *c)
{
	char n[24];
	ssize_t len = http_req_param(c->req, "n", n, sizeof(n));

	p->call = c;
	p->n = UINT64_MAX;
	if (len != -ENOENT && (len < 0 || str_to_u64(n, INT64_MAX, &p->n) < 0)) {
		reply_oci(c->req, 400, "PAGINATION_NUMBER_INVALID",
		    "n is the number of entries wanted");
		return -1;
	}
	len = http_req_param(c->req, "last", p->start, sizeof(p->start));
	if (len < 0 && len != -ENOENT) {
		reply_oci(c->req, 400, "PAGINATION_NUMBER_INVALID",
		    "last is the last entry that was seen");
		return -1;
	}
	if (len < 0)
		p->start[0] = '\0';
	return 0;
}

static int send_page(struct page *p, int r, bool more, const char *path)
{
	struct http_req *req = p->call->req;

	if (r < 0) {
		str_deinit(&p->text);
		return reply_failed(req, r, "list names");
	}
	if (more && p->any)
		http_reply_header(req, "Link",
		    "<%s?n=%" PRIu64 "&last=%s>; rel=\"next\"", path, p->n, p->last);
	str_addz(&p->text, "]}\n");
	http_reply_str(req, 200, "application/json", &p->text);
	return 0;
}

static void add_tag(void *arg, const char *name)
{
	add_name(arg, name);
}

static bool add_tag_too(void *arg, const char *name)
{
	add_name(arg, name);
	return true;
}

int list_tags(struct call *c)
{
	struct page p = { .text = STR_INIT };
	char path[NAME_MAX_LEN + 32];
	bool more = false;
	struct overlays *os = c->regd->overlays;
	bool also;
	int64_t repo;
	int r;

	r = meta_repo_find(c->regd->db, c->route.name, &repo);
	also = overlays_repo(os, c->route.name);
	if (r == -ENOENT && also)
		r = 0;
	if (r == -ENOENT)
		return reply_oci(
		    c->req, 404, "NAME_UNKNOWN", "there is no such repository");
	if (page_init(&p, c) < 0)
		return 0;
	str_addf(&p.text, "{\"name\":\"%s\",\"tags\":[", c->route.name);
	if (r == 0 && p.n && also)
		r = overlays_names(
		    os, c->route.name, p.start, p.n, add_tag_too, &p, &more);
	else if (r == 0 && p.n)
		r = meta_tags(c->regd->db, repo, p.start, p.n, add_tag, &p, &more);
	snprintf(path, sizeof(path), "/v2/%s/tags/list", c->route.name);
	return send_page(&p, r, more, path);
}

static bool add_repository(void *arg, const char *name)
{
	struct page *p = arg;
	struct call *c = p->call;

	if (!auth_may_list(c, name))
		return false;
	add_name(p, name);
	return true;
}

int list_catalog(struct call *c)
{
	struct page p = { .text = STR_INIT };
	bool more = false;
	int r = 0;

	if (page_init(&p, c) < 0)
		return 0;
	str_addz(&p.text, "{\"repositories\":[");
	if (p.n && overlays_any(c->regd->overlays))
		r = overlays_names(
		    c->regd->overlays, NULL, p.start, p.n, add_repository, &p, &more);
	else if (p.n)
		r = meta_catalog(c->regd->db, p.start, p.n, add_repository, &p, &more);
	return send_page(&p, r, more, "/v2/_catalog");
}

/* --- referrers -------------------------------------------------------------------- */

struct referrers {
	struct str text;
	char last[DIGEST_TEXT_MAX];
	bool any, more;
};

static bool add_referrer(void *arg, const struct meta_referrer *r)
{
	struct referrers *p = arg;

	if (p->text.len > REFERRERS_BYTES) {
		p->more = true;
		return false;
	}
	str_addf(&p->text,
	    "%s{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%" PRId64,
	    p->any ? "," : "", r->type, r->digest, r->size);
	if (r->artifact_type)
		str_addf(&p->text, ",\"artifactType\":\"%s\"", r->artifact_type);
	if (r->annotations)
		str_addf(&p->text, ",\"annotations\":%s", r->annotations);
	str_addc(&p->text, '}');
	snprintf(p->last, sizeof(p->last), "%s", r->digest);
	p->any = true;
	return true;
}

static void link_next(struct call *c, const struct referrers *p, const char *type)
{
	_cleanup_(str_deinit) struct str link = STR_INIT;

	str_addf(&link, "</v2/%s/referrers/%s?last=", c->route.name, c->route.rest);
	reply_encode(&link, p->last);
	if (type) {
		str_addz(&link, "&artifactType=");
		reply_encode(&link, type);
	}
	http_reply_header(c->req, "Link", "%s>; rel=\"next\"", str_get(&link));
}

int list_referrers(struct call *c)
{
	char type[MANIFEST_TYPE_MAX], last[DIGEST_TEXT_MAX];
	struct referrers p = { .text = STR_INIT };
	const char *filter = NULL;
	struct oci_digest d;
	int r;

	if (oci_digest_parse(&d, c->route.rest) < 0)
		return reply_oci(c->req, 400, "DIGEST_INVALID", "that is no digest");
	if (http_req_param(c->req, "artifactType", type, sizeof(type)) > 0)
		filter = type;
	if (http_req_param(c->req, "last", last, sizeof(last)) < 0)
		last[0] = '\0';
	str_addf(&p.text, "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[",
	    TYPE_OCI_INDEX);
	r = meta_referrers(
	    c->regd->db, c->route.name, d.text, filter, last, add_referrer, &p);
	if (r == 0 && !p.more)
		r = overlays_referrers(c->regd->overlays, c->route.name, d.text, filter,
		    last, add_referrer, &p);
	if (r < 0) {
		str_deinit(&p.text);
		return reply_failed(c->req, r, "list referrers");
	}
	if (filter)
		http_reply_header(c->req, "OCI-Filters-Applied", "artifactType");
	if (p.more)
		link_next(c, &p, filter);
	str_addz(&p.text, "]}");
	http_reply_str(c->req, 200, TYPE_OCI_INDEX, &p.text);
	return 0;
}
