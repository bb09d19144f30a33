/* The registry's HTTP side: see server.h. */
#include "regd/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/net.h"
#include "common/tls.h"
#include "regd/access_log.h"
#include "regd/auth.h"
#include "regd/bearer.h"
#include "regd/call.h"
#include "regd/certs.h"
#include "regd/event.h"
#include "regd/manifest.h"
#include "regd/proxy.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/token.h"

enum {
	MAX_LISTENERS = 32,
	HEAD_BYTES = 32 * 1024,
	CHECK_S = 3600, /* between looks at the certificate's end */
};

/* What listens, and under which certificate. */
struct bindings {
	struct http_listener *listeners[MAX_LISTENERS];
	struct net_endpoint at[MAX_LISTENERS];
	unsigned n;
	struct tls_context *tls; /* NULL: plain */
};

struct server {
	struct regd *regd;
	struct http_server *http;
	struct http_service service;
	struct bindings b;
	int64_t checked_at; /* when the certificate's end was looked at */
	/* Of the request that ends, for its line in the log and the metrics. */
	char user[64], repository[NAME_MAX_LEN + 1];
	enum route_kind kind;
};

/* --- who may ---------------------------------------------------------------- */

static unsigned needed(const struct call *c)
{
	if (c->method == HTTP_DELETE && c->route.kind != ROUTE_UPLOAD)
		return ACCESS_DELETE;
	if (c->route.kind == ROUTE_UPLOADS || c->route.kind == ROUTE_UPLOAD ||
	    c->method == HTTP_PUT)
		return ACCESS_PUSH;
	return ACCESS_PULL;
}

static int challenge(struct call *c, const char *error, const char *text)
{
	bearer_challenge(c, needed(c), error);
	return reply_oci(c->req, 401, "UNAUTHORIZED", "%s", text);
}

/* 0 to go on; else it was replied to, and *result is the handler's. */
static bool let_in(struct call *c, int *result)
{
	struct regd *g = c->regd;
	unsigned need = needed(c);

	*result = 0;
	if (!c->route.name[0]) {
		/* Clients learn here that passwords are taken at all, so /v2/ asks for
		 * one even where pulling is free for all. */
		if (c->user || c->token || g->conf->auth.off ||
		    c->route.kind == ROUTE_TOKEN)
			return true;
		*result = challenge(c, NULL, "authentication is required");
		return false;
	}
	if ((auth_call_rights(c, c->route.name) & need) == need)
		return true;
	if (c->token &&
	    (!c->token->own ||
		(auth_rights(g->auth, c->user, c->route.name) & need) == need))
		*result = challenge(c, "insufficient_scope", "the token is for less");
	else if (!c->user)
		*result = challenge(c, NULL, "authentication is required");
	else
		*result = reply_oci(c->req, 403, "DENIED",
		    "the user has no such right to this repository");
	return false;
}

/* --- dispatch --------------------------------------------------------------- */

static int base(struct call *c)
{
	http_reply(c->req, 200, "application/json", "{}", 2);
	return 0;
}

static const struct endpoint {
	enum route_kind kind;
	unsigned methods;
	int (*handler)(struct call *c);
} endpoints[] = {
	{ ROUTE_PAGE, HTTP_GET | HTTP_HEAD, page_get },
	{ ROUTE_TOKEN, HTTP_GET, bearer_issue },
	{ ROUTE_BASE, HTTP_GET | HTTP_HEAD, base },
	{ ROUTE_BLOB, HTTP_GET | HTTP_HEAD, blob_get },
	{ ROUTE_BLOB, HTTP_DELETE, blob_delete },
	{ ROUTE_MANIFEST, HTTP_GET | HTTP_HEAD, image_get },
	{ ROUTE_MANIFEST, HTTP_PUT, image_put },
	{ ROUTE_MANIFEST, HTTP_DELETE, image_delete },
	{ ROUTE_UPLOADS, HTTP_POST, upload_start },
	{ ROUTE_UPLOAD, HTTP_GET | HTTP_HEAD, upload_status },
	{ ROUTE_UPLOAD, HTTP_PATCH, upload_patch },
	{ ROUTE_UPLOAD, HTTP_PUT, upload_put },
	{ ROUTE_UPLOAD, HTTP_DELETE, upload_cancel },
	{ ROUTE_TAGS, HTTP_GET | HTTP_HEAD, list_tags },
	{ ROUTE_CATALOG, HTTP_GET | HTTP_HEAD, list_catalog },
	{ ROUTE_REFERRERS, HTTP_GET | HTTP_HEAD, list_referrers },
};

/* Whether it was told that nothing can be written. */
static bool refused_write(struct call *c)
{
	if (c->method & (HTTP_GET | HTTP_HEAD))
		return false;
	if (c->regd->read_only)
		reply_oci(c->req, 405, "UNSUPPORTED", "the registry is read-only");
	else if (!regd_can_write(c->regd))
		reply_unwritable(c->req);
	else
		return false;
	return true;
}

static int dispatch(struct call *c)
{
	struct regd *g = c->regd;
	unsigned allowed = 0;
	int result;

	proxy_name_call(c);
	if (!let_in(c, &result))
		return result;
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		const struct endpoint *e = &endpoints[i];

		if (e->kind != c->route.kind)
			continue;
		allowed |= e->methods;
		if (!(e->methods & c->method))
			continue;
		if (refused_write(c))
			return 0;
		if (!g->conf->deletes && needed(c) == ACCESS_DELETE)
			return reply_oci(
			    c->req, 405, "UNSUPPORTED", "deleting is switched off");
		return e->handler(c);
	}
	http_reply_header(c->req, "Allow", "%s", http_methods_str(allowed));
	return reply_unsupported(c->req);
}

static int after_auth(struct call *c, enum auth_verdict v)
{
	switch (v) {
	case AUTH_USER:
	case AUTH_ANONYMOUS:
		return dispatch(c);
	case AUTH_WRONG:
		return challenge(c, NULL, "wrong user or password");
	case AUTH_TOKEN:
		return challenge(
		    c, "invalid_token", "the token does not hold, or not any more");
	case AUTH_TWICE:
		return reply_oci(c->req, 400, "UNAUTHORIZED",
		    "there is more than one Authorization header");
	case AUTH_LIMITED:
		http_reply_header(c->req, "Retry-After", "10");
		return reply_oci(c->req, 429, "TOOMANYREQUESTS",
		    "too many wrong passwords from this address");
	default:
		http_reply_header(c->req, "Retry-After", "2");
		return reply_oci(c->req, 503, "TOOMANYREQUESTS",
		    "too many passwords wait to be verified");
	}
}

/* A call that waited for its password: what the handler would have returned is the
 * reply. */
static void on_auth(struct call *c, enum auth_verdict v)
{
	struct http_req *r = c->req;
	int result = after_auth(c, v);

	if (result > 0)
		http_reply_error(r, result, NULL, "%s", http_status_text(result));
	else if (result < 0)
		http_abort(r, strerror(-result));
}

static void on_req_end(struct http_req *r, void *arg, enum http_end end)
{
	struct call *c = arg;
	struct server *s = c->regd->server;

	snprintf(s->user, sizeof(s->user), "%s", c->user ? c->user : "");
	memcpy(s->repository, c->route.name, sizeof(s->repository));
	s->kind = c->route.kind;
	api_stats_end(&s->regd->stats.api, s->kind);
	if (c->ended)
		c->ended(c);
	call_free(c);
}

static int no_endpoint(struct call *c)
{
	if (c->route.kind == ROUTE_BAD_NAME)
		return reply_oci(c->req, c->method & (HTTP_GET | HTTP_HEAD) ? 404 : 400,
		    "NAME_INVALID", "that cannot be a repository's name");
	return reply_oci(c->req, 404, "NAME_UNKNOWN", "there is nothing here");
}

static int on_request(struct http_req *r, void *arg)
{
	struct server *s = arg;
	enum auth_verdict v;
	struct call *c;
	int result;

	if (call_new(&c, s->regd, r) < 0)
		return -ENOMEM;
	http_req_on_end(r, on_req_end, c);
	api_stats_begin(&s->regd->stats.api, c->route.kind);
	http_reply_header(r, "Docker-Distribution-API-Version", "registry/2.0");
	if (c->route.kind == ROUTE_NONE || c->route.kind == ROUTE_BAD_NAME)
		return no_endpoint(c);
	v = auth_check(s->regd->auth, c);
	if (v != AUTH_WAIT)
		return after_auth(c, v);
	result = call_hold_body(c);
	return result;
}

/* --- life --------------------------------------------------------------------- */

/* Comes right after on_req_end(). */
static void on_log(const struct http_log *l, void *arg)
{
	struct server *s = arg;

	access_log(s->regd, l, s->user, s->repository);
	if (l->req)
		api_stats_add(&s->regd->stats.api, s->kind, http_req_method(l->req), l);
	s->user[0] = s->repository[0] = '\0';
	s->kind = ROUTE_NONE;
}

static void on_refused(const struct http_refusal *f, void *arg)
{
	struct server *s = arg;
	const struct conf *conf = s->regd->conf;
	const struct cluster_node *n =
	    conf->cluster ? cluster_node_by_ip(conf->cluster, &f->peer) : NULL;
	const char *file = conf->tls.certificate;
	char who[300] = "", text[HTTP_REFUSAL_MAX], ca[4096];

	if (n)
		snprintf(who, sizeof(who), "node %s: ", n->name);
	http_refusal_text(f, text);
	if (f->fault != TLS_FAULT_DISTRUST) {
		log_with(LOG_INFO,
		    LOG_FIELDS("OKD_CLIENT", net_ip_str(&f->peer), "OKD_NODE",
			n ? n->name : NULL),
		    "%s%s", who, text);
		return;
	}
	snprintf(ca, sizeof(ca), "%s/tls/ca.crt", daemon_state_dir(s->regd->daemon));
	log_with(LOG_WARNING,
	    LOG_FIELDS("MESSAGE_ID", EVENT_NOT_TRUSTED, "OKD_CLIENT",
		net_ip_str(&f->peer), "OKD_NODE", n ? n->name : NULL, "OKD_FILE",
		file ? file : ca),
	    "%s%s: it has to trust %s%s, and to use a name that is in the certificate",
	    who, text, file ? "the authority of " : "", file ? file : ca);
}

/* One of our own making that has not begun: it is served, because what is wrong may be our
 * clock alone, and who starts without a battery or a network would not serve at all. */
static void check_begin(const struct tls_context *tls, const char *file)
{
	int64_t begins = tls_context_not_before(tls);
	char when[REPLY_TIME_MAX];

	if (begins <= clock_real_s())
		return;
	reply_time(begins, when);
	log_with(LOG_ERR,
	    LOG_FIELDS("MESSAGE_ID", EVENT_NOT_YET_VALID, "OKD_FILE", file),
	    "the certificate in %s begins at %s only: set this host's clock, or, where "
	    "that "
	    "was fast when the certificate was made, remove the folder and restart",
	    file, when);
}

static int load_tls(struct server *s, const struct conf *conf, struct tls_context **ret,
    struct err *err)
{
	struct tls_server_options o = {
		.certificate = conf->tls.certificate,
		.key = conf->tls.key,
		.client_ca = conf->tls.client_ca,
	};
	_cleanup_(freep) char *certificate = NULL;
	_cleanup_(freep) char *key = NULL;
	int r;

	*ret = NULL;
	if (conf->tls.off)
		return 0;
	if (!o.certificate) {
		r = certs_make(daemon_state_dir(s->regd->daemon), conf->cluster,
		    &certificate, &key, err);
		if (r < 0)
			return r;
		o.certificate = certificate;
		o.key = key;
		o.any_time = true;
	}
	r = tls_server_new(ret, &o, err);
	if (r == 0 && certificate)
		check_begin(*ret, certificate);
	return r;
}

static bool same_endpoint(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && net_ip_eq(&a->ip, &b->ip);
}

static struct http_listener *find_listener(
    const struct bindings *b, const struct net_endpoint *at)
{
	for (unsigned i = 0; i < b->n; i++)
		if (same_endpoint(&b->at[i], at))
			return b->listeners[i];
	return NULL;
}

/* Listeners of b that old does not have (all of them, when all). */
static void unbind(struct bindings *b, const struct bindings *keep)
{
	for (unsigned i = 0; i < b->n; i++)
		if (!find_listener(keep, &b->at[i]))
			http_listener_free(b->listeners[i]);
}

/* One address: the listener that is there, or a fresh one. */
static int bind_one(struct server *s, struct bindings *b, const struct net_endpoint *at,
    struct err *err)
{
	struct http_listener *l = find_listener(&s->b, at);
	int fd, r;

	/* An address that is named twice is one socket, and has one listener. */
	if (find_listener(b, at))
		return 0;
	r = daemon_listen(s->regd->daemon, at, SOCK_STREAM, 1, &fd, 1, err);
	if (r < 0)
		return r;
	if (!l) {
		r = http_server_listen(&l, s->http, fd, &s->service, b->tls);
		if (r < 0)
			return err_set(err, r, "cannot listen on %s: %s",
			    net_endpoint_str(at), strerror(-r));
	}
	b->listeners[b->n] = l;
	b->at[b->n++] = *at;
	return 0;
}

int server_reload(struct server *s, const struct conf *conf, struct err *err)
{
	const struct net_endpoint *at =
	    conf_list_items(&conf->listen, struct net_endpoint);
	struct http_options options = {
		.connections = (unsigned)conf->connections,
		.per_address = (unsigned)conf->per_address,
		.head_bytes = HEAD_BYTES,
		/* Who sends a manifest that is too large shall hear so. */
		.drop_bytes = 2 * MANIFEST_MAX,
	};
	struct bindings b = { 0 };
	int r;

	if (conf->listen.n > MAX_LISTENERS)
		return err_set(
		    err, -E2BIG, "listen: at most %d addresses", MAX_LISTENERS);
	r = load_tls(s, conf, &b.tls, err);
	for (size_t i = 0; r == 0 && i < conf->listen.n; i++)
		r = bind_one(s, &b, &at[i], err);
	if (r < 0) {
		unbind(&b, &s->b);
		tls_context_free(b.tls);
		return r;
	}
	unbind(&s->b, &b);
	for (unsigned i = 0; i < b.n; i++)
		http_listener_set_tls(b.listeners[i], b.tls);
	tls_context_free(s->b.tls);
	s->b = b;
	http_server_set_options(s->http, &options);
	return 0;
}

int server_new(struct server **ret, struct regd *g, struct err *err)
{
	_cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->regd = g;
	api_stats_init(&g->stats.api);
	s->service = (struct http_service){
		.request = on_request,
		.log = on_log,
		.refused = on_refused,
		.arg = s,
	};
	r = auth_new(&g->auth, g, on_auth, err);
	if (r < 0)
		return r;
	r = http_server_new(&s->http, g->loop, NULL);
	if (r < 0)
		return err_set(err, r, "cannot start the server: %s", strerror(-r));
	r = server_reload(s, g->conf, err);
	if (r < 0)
		return r;

	*ret = TAKE(s);
	return 0;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	s->http = http_server_free(s->http);
	tls_context_free(s->b.tls);
	free(s);
	return NULL;
}

void server_drain(struct server *s, void (*done)(void *arg), void *arg)
{
	http_server_drain(s->http, UINT32_MAX, done, arg);
}

const struct http_stats *server_stats(const struct server *s)
{
	return http_server_stats(s->http);
}

void server_tick(struct server *s)
{
	const struct conf *conf = s->regd->conf;
	struct tls_context *fresh;
	struct err e = ERR_INIT;
	int64_t now = clock_real_s();

	if (!s->b.tls || conf->tls.certificate || now < s->checked_at + CHECK_S)
		return;
	s->checked_at = now;
	if (tls_context_not_after(s->b.tls) > now + CERTS_RENEW_S)
		return;
	if (load_tls(s, conf, &fresh, &e) < 0) {
		log_with(LOG_ERR, LOG_FIELDS("MESSAGE_ID", EVENT_NOT_RENEWED),
		    "cannot renew the certificate: %s", err_str(&e));
		return;
	}
	for (unsigned i = 0; i < s->b.n; i++)
		http_listener_set_tls(s->b.listeners[i], fresh);
	tls_context_free(s->b.tls);
	s->b.tls = fresh;
}

int64_t server_cert_ends(const struct server *s)
{
	return s->b.tls ? tls_context_not_after(s->b.tls) : 0;
}
