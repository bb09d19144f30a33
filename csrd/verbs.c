/* The admin socket's verbs: see verbs.h. */
#include "csrd/verbs.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_reply.h"
#include "common/http_req.h"
#include "common/http_route.h"
#include "common/list.h"
#include "common/str.h"
#include "csrd/answer.h"
#include "csrd/approver.h"

#define NAME_SIZE 512
#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 100000

struct verbs {
	struct approver *approver;
	struct list_link waits;
};

/* A request that waits: for an order's outcome, the audit or the API server. */
struct wait {
	struct list_link link;
	struct verbs *verbs;
	struct http_req *req; /* NULL: the client went away */
	struct http_transfer *transfer;
	bool held; /* somebody will call back */
};

/* --- replies ------------------------------------------------------------ */

static void reply_json(struct http_req *req, int status, json_t *doc)
{
	_cleanup_(str_deinit) struct str body = STR_INIT;
	char *text = json_dumps(doc, JSON_INDENT(2));

	json_decref(doc);
	if (text)
		str_addf(&body, "%s\n", text);
	else
		body.err = -ENOMEM;
	free(text);
	http_reply_str(req, status, "application/json", &body);
}

static void reply_error(
    struct http_req *req, int status, const char *code, const char *message)
{
	reply_json(req, status,
	    json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message));
}

/* --- waiting ------------------------------------------------------------ */

static void wait_free(struct wait *w)
{
	list_remove(&w->link);
	http_transfer_cancel(w->transfer);
	free(w);
}

static void on_end(struct http_req *r, void *arg, enum http_end end)
{
	struct wait *w = arg;

	w->req = NULL;
	if (!w->held)
		wait_free(w);
}

static struct wait *wait_new(struct verbs *v, struct http_req *req)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->verbs = v;
	w->req = req;
	w->held = true;
	list_append(&v->waits, &w->link);
	http_req_on_end(req, on_end, w);
	return w;
}

/* The caller back: the request to reply to, or NULL when nobody waits any more. */
static struct http_req *wait_over(struct wait *w)
{
	struct http_req *req = w->req;

	w->held = false;
	if (!req)
		wait_free(w);
	return req;
}

/* --- the list ----------------------------------------------------------- */

static const char *state_word(const struct record *r)
{
	static const char *const words[] = { "pending", "approving", "approving",
		"retrying", "retrying", "approved", "decided" };

	return words[r->state];
}

static json_t *record_to_json(const struct record *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(r->name));
	json_object_set_new(o, "state", json_string(state_word(r)));
	json_object_set_new(o, "created", json_integer(r->created));
	if (r->node)
		json_object_set_new(o, "node", json_string(r->node));
	if (r->decided) {
		json_object_set_new(
		    o, "decision", json_string(stats_decision_word(r->decision)));
		json_object_set_new(o, "reason", json_string(reason_word(r->reason)));
	}
	return o;
}

static unsigned get_limit(struct http_req *req)
{
	char text[16];
	uint64_t v;

	if (http_req_param(req, "limit", text, sizeof(text)) <= 0 ||
	    str_to_u64(text, LIMIT_MAX, &v) < 0 || v == 0)
		return LIMIT_DEFAULT;
	return (unsigned)v;
}

/* GET /v1/requests?all=1&limit=N */
static int verb_list(struct verbs *v, struct http_req *req)
{
	json_t *doc = json_object(), *list = json_array();
	unsigned limit = get_limit(req);
	char all[8];
	bool pending_only = http_req_param(req, "all", all, sizeof(all)) <= 0;

	json_object_set_new(doc, "requests", list);
	list_for_each (it, &v->approver->records) {
		const struct record *r = CONTAINER_OF(it, struct record, link);

		if (json_array_size(list) >= limit)
			break;
		if (pending_only &&
		    (r->state == RECORD_DONE || r->state == RECORD_APPROVED))
			continue;
		json_array_append_new(list, record_to_json(r));
	}
	reply_json(req, 200, doc);
	return 0;
}

/* --- one request -------------------------------------------------------- */

static json_t *decode(struct approver *a, struct str *body)
{
	json_t *doc = answer_parse(body), *out;
	struct csr *csr = NULL;
	struct verdict v;

	if (!doc || csr_new(&csr, doc, NULL) < 0) {
		json_decref(doc);
		return NULL;
	}
	out = csr_to_json(csr);
	approver_verdict(a, csr, 0, true, &v);
	if (csr_is_pending(csr)) {
		json_object_set_new(out, "reason", json_string(reason_word(v.reason)));
		json_object_set_new(out, "verdict", json_string(v.text));
	}
	csr_free(csr);
	json_decref(doc);
	return out;
}

static void on_object(struct http_transfer *t, int result, void *arg)
{
	struct wait *w = arg;
	struct approver *a = w->verbs->approver;
	struct str *body = http_transfer_body(t);
	struct http_req *req;
	struct err e = ERR_INIT;
	json_t *doc;

	w->transfer = NULL;
	kube_count(a->kube, result);
	req = wait_over(w);
	if (!req)
		return;
	if (result != 200) {
		kube_explain(t, result, str_get(body), body->len, &e);
		reply_error(req, result == 404 ? 404 : 502, "api", e.text);
		return;
	}
	doc = decode(a, body);
	if (doc)
		reply_json(req, 200, doc);
	else
		reply_error(req, 502, "api", "the API server's answer is no request");
}

static int get_name(struct http_req *req, char name[NAME_SIZE])
{
	if (http_req_param(req, "name", name, NAME_SIZE) > 0)
		return 0;
	reply_error(req, 400, "name", "say which request: ?name=NAME");
	return -EINVAL;
}

/* GET /v1/request?name=NAME: all of it, decoded, as the API server has it */
static int verb_show(struct verbs *v, struct http_req *req)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	struct approver *a = v->approver;
	char name[NAME_SIZE];
	struct err e = ERR_INIT;
	struct wait *w;

	if (get_name(req, name) < 0)
		return 0;
	w = wait_new(v, req);
	if (!w)
		return -ENOMEM;
	kube_csr_path(a->kube, name, "", &path);
	if (str_err(&path) < 0 || !kube_version(a->kube) ||
	    kube_start(a->kube, &w->transfer,
		&(struct kube_request){ .path = str_get(&path),
		    .timeout_ms = 20000,
		    .on_done = on_object,
		    .arg = w },
		&e) < 0) {
		w->held = false;
		reply_error(req, 503, "api", "the API server is not known");
	}
	return 0;
}

/* --- orders ------------------------------------------------------------- */

static void on_order(void *arg, int r, const char *text)
{
	struct wait *w = arg;
	struct http_req *req = wait_over(w);
	int status = r == -ENOENT ? 404 : r == -EAGAIN ? 503 : r == -EIO ? 502 : 409;

	if (!req)
		return;
	if (r == 0)
		reply_json(req, 200, json_pack("{s:s}", "result", text));
	else
		reply_error(req, status, "refused", text);
}

/* POST /v1/request/approve?name=NAME, /v1/request/deny?name=NAME */
static int verb_order(struct verbs *v, struct http_req *req, bool deny)
{
	const struct ucred *peer = http_req_peercred(req);
	char name[NAME_SIZE];
	struct order *o;
	struct wait *w;

	if (get_name(req, name) < 0)
		return 0;
	o = calloc(1, sizeof(*o));
	w = o ? wait_new(v, req) : NULL;
	if (!w) {
		free(o);
		return -ENOMEM;
	}
	o->deny = deny;
	o->done = on_order;
	o->arg = w;
	snprintf(o->by, sizeof(o->by), "uid %ld", peer ? (long)peer->uid : -1L);
	approver_order(v->approver, name, o);
	return 0;
}

/* --- the audit ---------------------------------------------------------- */

static void on_audit(void *arg, struct str *json)
{
	struct wait *w = arg;
	struct http_req *req = wait_over(w);

	if (!req)
		return;
	if (!json) {
		reply_error(req, 500, "audit", "the audit cannot be read");
		return;
	}
	str_addc(json, '\n');
	http_reply_str(req, 200, "application/json", json);
}

static char *get_text(struct http_req *req, const char *key)
{
	char text[NAME_SIZE];

	return http_req_param(req, key, text, sizeof(text)) > 0 ? strdup(text) : NULL;
}

/* "3600" is the last hour; seconds since 1970 work as well. */
static int64_t get_since(struct http_req *req)
{
	char text[24];
	uint64_t v;

	if (http_req_param(req, "since", text, sizeof(text)) <= 0 ||
	    str_to_u64(text, INT64_MAX, &v) < 0)
		return 0;
	return v < 1000000000 ? clock_real_s() - (int64_t)v : (int64_t)v;
}

/* GET /v1/audit?node=&csr=&decision=&reason=&since=&limit= */
static int verb_audit(struct verbs *v, struct http_req *req)
{
	struct audit_filter f = {
		.node = get_text(req, "node"),
		.csr = get_text(req, "csr"),
		.decision = get_text(req, "decision"),
		.reason = get_text(req, "reason"),
		.since = get_since(req),
		.limit = get_limit(req),
	};
	struct wait *w = wait_new(v, req);
	int r = w ? audit_query(v->approver->audit, &f, on_audit, w) : -ENOMEM;

	if (r < 0) {
		free(f.node);
		free(f.csr);
		free(f.decision);
		free(f.reason);
		if (w)
			w->held = false;
	}
	return r;
}

/* --- dispatch ----------------------------------------------------------- */

static int route_list(struct http_req *req, void *arg)
{
	return verb_list(arg, req);
}

static int route_show(struct http_req *req, void *arg)
{
	return verb_show(arg, req);
}

static int route_approve(struct http_req *req, void *arg)
{
	return verb_order(arg, req, false);
}

static int route_deny(struct http_req *req, void *arg)
{
	return verb_order(arg, req, true);
}

static int route_audit(struct http_req *req, void *arg)
{
	return verb_audit(arg, req);
}

static const struct http_route table[] = {
	{ HTTP_GET, "/v1/requests", route_list },
	{ HTTP_GET, "/v1/request", route_show },
	{ HTTP_POST, "/v1/request/approve", route_approve },
	{ HTTP_POST, "/v1/request/deny", route_deny },
	{ HTTP_GET, "/v1/audit", route_audit },
	{ 0, NULL, NULL },
};

int verbs_handle(struct verbs *v, struct http_req *r)
{
	return http_route(r, table, v);
}

int verbs_new(struct verbs **ret, struct approver *a)
{
	struct verbs *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->approver = a;
	list_init(&v->waits);
	*ret = v;
	return 0;
}

void verbs_stop(struct verbs *v)
{
	if (!v)
		return;
	list_for_each (it, &v->waits) {
		struct wait *w = CONTAINER_OF(it, struct wait, link);

		w->transfer = http_transfer_cancel(w->transfer);
	}
}

struct verbs *verbs_free(struct verbs *v)
{
	if (!v)
		return NULL;
	list_for_each_safe (it, &v->waits) {
		struct wait *w = CONTAINER_OF(it, struct wait, link);

		if (w->req)
			http_req_on_end(w->req, NULL, NULL);
		wait_free(w);
	}
	free(v);
	return NULL;
}
