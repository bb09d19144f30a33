/* Pull-through: see proxy.h. */
#include "regd/proxy.h"

#include <errno.h>
#include <string.h>

#include "common/http_client.h"
#include "common/http_reply.h"
#include "common/log.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/meta.h"
#include "regd/proxy_impl.h"
#include "regd/regd.h"
#include "regd/reply.h"

enum { HOST_CONNECTIONS = 8 };

struct upstreams *upstreams_unref(struct upstreams *us)
{
	if (!us || --us->refs)
		return NULL;
	for (size_t i = 0; i < us->n; i++)
		upstream_free(us->v[i]);
	free(us->v);
	free(us);
	return NULL;
}

int upstreams_new(
    struct upstreams **ret, struct proxy *p, const struct conf *conf, struct err *err)
{
	const struct conf_pull_through *from =
	    conf_list_items(&conf->pull_through, struct conf_pull_through);
	struct upstreams *us = calloc(1, sizeof(*us));
	int r = 0;

	if (us)
		us->v = calloc(conf->pull_through.n + 1, sizeof(struct upstream *));
	if (!us || !us->v) {
		free(us);
		return err_set(err, -ENOMEM, "out of memory");
	}
	us->refs = 1;
	for (; us->n < conf->pull_through.n && r == 0; us->n += r == 0)
		r = upstream_new(&us->v[us->n], p->client, &from[us->n], err);
	if (r < 0) {
		upstreams_unref(us);
		return r;
	}
	*ret = us;
	return 0;
}

struct upstream *proxy_find(const struct proxy *p, const char *repository)
{
	char name[2 * NAME_MAX_LEN];
	struct upstream *best = NULL;

	if (p->regd->read_only)
		return NULL; /* what is fetched is stored */
	for (size_t i = 0; i < p->upstreams->n; i++) {
		struct upstream *u = p->upstreams->v[i];

		if (upstream_name(u, repository, name) &&
		    (!best ||
			strlen(upstream_prefix(u)) > strlen(upstream_prefix(best))))
			best = u;
	}
	return best;
}

int proxy_reply_failed(struct call *c, int result, const char *code, const char *why)
{
	if (result == 404)
		return reply_oci(c->req, 404, code, "the upstream does not hold it");
	if (result == -ENOSPC || result == -EDQUOT)
		return reply_oci(
		    c->req, 507, "DENIED", "the registry's disk has no room for this");
	if (result == 401 || result == 403)
		return reply_oci(
		    c->req, 404, code, "the upstream does not show it: %.300s", why);
	return reply_oci(c->req, 502, "UNKNOWN", "the upstream failed: %.300s", why);
}

int proxy_reply_busy(struct call *c)
{
	http_reply_header(c->req, "Retry-After", "5");
	return reply_oci(c->req, 429, "TOOMANYREQUESTS",
	    "too much is being fetched from upstreams already");
}

/* Whether the repository that was named holds what is asked for. */
static bool is_here(struct call *c)
{
	struct meta_manifest m = { .body = NULL };
	struct meta_blob blob;

	if (!(auth_call_rights(c, c->route.name) & ACCESS_PULL))
		return false;
	if (c->route.kind == ROUTE_BLOB)
		return meta_blob_find(
			   c->regd->db, c->route.name, c->route.rest, &blob) == 0;
	if (meta_manifest_find(c->regd->db, c->route.name, c->route.rest, &m) < 0)
		return false;
	free(m.body);
	return true;
}

void proxy_name_call(struct call *c)
{
	const struct upstreams *us = c->regd->proxy->upstreams;
	char ns[256], name[2 * NAME_MAX_LEN];
	size_t n;

	if (!us->n || !(c->method & (HTTP_GET | HTTP_HEAD)) ||
	    (c->route.kind != ROUTE_BLOB && c->route.kind != ROUTE_MANIFEST) ||
	    http_req_param(c->req, "ns", ns, sizeof(ns)) <= 0)
		return;
	for (size_t i = 0; i < us->n; i++) {
		const char *prefix = upstream_prefix(us->v[i]);

		if (!str_eq(upstream_host(us->v[i]), ns) ||
		    upstream_name(us->v[i], c->route.name, name) || is_here(c))
			continue;
		n = (size_t)snprintf(
		    name, sizeof(name), "%s/%s", prefix, c->route.name);
		if (n > NAME_MAX_LEN)
			return;
		memcpy(c->route.name, name, n + 1);
		http_reply_header(c->req, "OCI-Namespace", "%s", ns);
		return;
	}
}

void proxy_take(struct proxy *p, struct upstreams *us)
{
	upstreams_unref(p->upstreams);
	p->upstreams = us;
}

int proxy_new(struct proxy **ret, struct regd *g, struct err *err)
{
	static const struct http_client_options options = {
		.host_connections = HOST_CONNECTIONS,
	};
	_cleanup_(proxy_freep) struct proxy *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->regd = g;
	htable_init(&p->manifests);
	htable_init(&p->blobs);
	r = http_client_new(&p->client, g->loop, &options);
	if (r < 0)
		return err_set(err, r, "cannot start: %s", strerror(-r));
	r = upstreams_new(&p->upstreams, p, g->conf, err);
	if (r < 0)
		return r;

	*ret = TAKE(p);
	return 0;
}

struct proxy *proxy_free(struct proxy *p)
{
	if (!p)
		return NULL;
	proxy_manifests_end(p);
	proxy_blobs_end(p);
	p->client = http_client_free(p->client);
	upstreams_unref(p->upstreams);
	htable_deinit(&p->manifests);
	htable_deinit(&p->blobs);
	free(p);
	return NULL;
}
