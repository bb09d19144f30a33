/*
 * Carries decisions out: see approver.h.
 *
 * PENDING -> AUDIT: the decision goes to disk -> PUT: with the resourceVersion that was
 * decided upon, so that whatever changed since makes a 409 -> APPROVED or DONE.
 * Everything else leads to WAIT and READ: the request is read again, and either it is
 * approved (the answer was lost on the way) or it is decided anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf_doc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "csrd/answer.h"
#include "csrd/approver.h"
#include "csrd/tell.h"

#define PUT_TIMEOUT_MS 20000
#define ANSWER_MAX ((size_t)4 << 20)
#define AUDIT_RETRY_MS 5000
#define FORBIDDEN_RETRY_MS 30000
#define CONFLICTS_AT_ONCE 10
#define NAMES_MAX 1024
#define OUR_REASON "OkdCsrd"

/* --- the end of it ------------------------------------------------------ */

void approve_order_done(struct record *r, int code, const char *text)
{
	struct order *o = TAKE(r->order);

	if (!o)
		return;
	if (o->arg)
		o->done(o->arg, code, text);
	free(o);
}

/* Nothing is under way any more; closes the audit's row. */
static void leave(struct record *r, const char *outcome, const char *text)
{
	struct approver *a = r->approver;

	if (r->state == RECORD_AUDIT || r->state == RECORD_PUT)
		a->in_flight--;
	r->state = RECORD_PENDING;
	if (r->row && outcome) {
		audit_outcome(a->audit, r->row, outcome, text);
		r->row = 0;
	}
	if (a->drained && !a->in_flight)
		a->drained(a->drained_arg);
}

void approve_undo(struct record *r)
{
	struct node *n =
	    r->counted && r->node ? nodes_find(&r->approver->nodes, r->node) : NULL;

	if (n)
		node_approval_failed(n, r->first ? r->key : NULL);
	r->counted = r->first = false;
}

static void read_later(struct record *r, uint64_t ms)
{
	r->state = RECORD_WAIT;
	record_set_due(r, ms);
}

/* The answer may have been lost: the audit's row stays open until we know. */
static void doubt(struct record *r, uint64_t least_ms)
{
	uint64_t ms = MAX(kube_backoff(r->failures), least_ms);

	r->failures++;
	leave(r, NULL, NULL);
	read_later(r, ms);
}

static void finish(struct record *r)
{
	struct approver *a = r->approver;
	const struct csr *csr = r->csr;

	leave(r, r->deny ? "denied" : "approved", NULL);
	r->failures = 0;
	if (r->deny) {
		counter_add(&a->stats.denied, 1);
		tell_denied(r);
		r->state = RECORD_DONE;
	} else {
		struct node *n = r->first ? nodes_find(&a->nodes, r->node) : NULL;

		counter_add(&a->stats.approved, 1);
		histogram_add(
		    &a->stats.approve, (double)MAX(clock_real_s() - csr->created, 0));
		tell_approved(r);
		r->state = RECORD_APPROVED;
		record_set_due(r, a->conf->issue_timeout);
		if (n && !n->ready)
			inventory_await(a, n);
		record_follow_up(r, csr);
	}
	r->counted = r->first = false;
	approve_order_done(r, 0, r->deny ? "denied" : "approved");
}

void approve_settle(struct record *r, const struct csr *csr)
{
	/* Only what was sent can be ours. */
	bool ours = r->state != RECORD_AUDIT && csr->approved &&
	    str_eq(csr->approved_by, OUR_REASON);

	if (r->row && !r->deny && ours && r->csr) {
		finish(r);
		return;
	}
	if (r->row)
		leave(r, csr->denied && r->deny ? "denied" : "elsewhere",
		    "somebody else decided first");
	/* Approved by somebody else, the key holds the name all the same. */
	if (csr->approved)
		r->counted = r->first = false;
	approve_undo(r);
	r->state = RECORD_DONE;
	approve_order_done(r, -EEXIST, "it is decided already");
}

/* --- the PUT ------------------------------------------------------------ */

static json_t *condition(const struct record *r, const char *message)
{
	char now[CSR_TIME_MAX];

	csr_time_format(clock_real_s(), now);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type",
	    r->deny ? "Denied" : "Approved", "status", "True", "reason", OUR_REASON,
	    "message", message, "lastUpdateTime", now, "lastTransitionTime", now);
}

/* The object as /approval wants it: existing conditions and ours. */
static char *make_body(const struct record *r, size_t *n)
{
	const struct csr *csr = r->csr;
	char version[64], message[256];
	json_t *conditions, *doc;
	char *text;

	snprintf(message, sizeof(message), "%s by okd-csrd: %s, audit row %" PRId64,
	    r->deny ? "Denied" : "Approved", reason_word(r->reason), r->row);
	snprintf(version, sizeof(version), "certificates.k8s.io/%s",
	    kube_version(r->approver->kube));
	conditions = csr->conditions ? json_copy(csr->conditions) : json_array();
	json_array_append_new(conditions, condition(r, message));
	doc = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:o}}", "apiVersion", version,
	    "kind", "CertificateSigningRequest", "metadata", "name", csr->name, "uid",
	    csr->uid, "resourceVersion", csr->version, "status", "conditions",
	    conditions);
	text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	*n = text ? strlen(text) : 0;
	return text;
}

static void forbidden(struct record *r, const char *why)
{
	counter_add(&r->approver->stats.forbidden, 1);
	tell_refused(r, why);
	approve_undo(r);
	leave(r, "forbidden", why);
	approve_order_done(r, -EPERM, why);
	read_later(r, FORBIDDEN_RETRY_MS << MIN(r->failures, 4u));
	r->failures++;
}

/* The server will not have it, now or later: only a change can help. */
static void refused(struct record *r, const char *why)
{
	counter_add(&r->approver->stats.refused, 1);
	tell_refused(r, why);
	approve_undo(r);
	free(r->refused);
	r->refused = strdup(r->csr->version);
	leave(r, "refused", why);
	approve_order_done(r, -EINVAL, why);
}

/* Somebody changed it, perhaps by an approval: until it has been read again its key holds
 * the node's name. */
static void conflict(struct record *r)
{
	counter_add(&r->approver->stats.conflicts, 1);
	leave(r, "conflict", NULL);
	if (r->failures++ < CONFLICTS_AT_ONCE)
		approve_read(r);
	else
		read_later(r, kube_backoff(r->failures));
}

/* Not there any more; another one of the same name may be, so it is read. */
static void vanished(struct record *r)
{
	approve_undo(r);
	leave(r, "gone", NULL);
	approve_order_done(r, -ENOENT, "the request is gone");
	approve_read(r);
}

/* Whether the answer is the request with its decision; a proxy's page is not. */
static bool says_decided(const struct record *r, struct str *body)
{
	_cleanup_(json_freep) json_t *doc = answer_parse(body);
	_cleanup_(csr_freep) struct csr *csr = NULL;

	return doc && csr_new(&csr, doc, NULL) == 0 && str_eq(csr->uid, r->uid) &&
	    (r->deny ? csr->denied : csr->approved);
}

static void on_put(struct http_transfer *t, int result, void *arg)
{
	struct record *r = arg;
	struct approver *a = r->approver;
	struct str *body = http_transfer_body(t);
	struct err e = ERR_INIT;

	r->transfer = NULL;
	kube_count(a->kube, result);
	if (result >= 200 && result < 300 && says_decided(r, body)) {
		finish(r);
		if (r->gone) /* another one of its name may be there */
			approve_read(r);
		return;
	}
	if (result == 404) {
		vanished(r);
		return;
	}
	kube_explain(t, result, str_get(body), body->len, &e);
	if (result == 409) {
		conflict(r);
	} else if (result == 401 || result == 403) {
		forbidden(r, e.text);
	} else if (result >= 400 && result < 500 && result != 429) {
		refused(r, e.text);
	} else {
		counter_add(&a->stats.failed, 1);
		log_info(
		    "%s: no answer to its approval: %s", conf_show(r->name), e.text);
		doubt(r, kube_retry_after(t) * 1000ull);
	}
}

static void put(struct record *r)
{
	struct approver *a = r->approver;
	_cleanup_(str_deinit) struct str path = STR_INIT;
	_cleanup_(freep) char *body = NULL;
	struct err e = ERR_INIT;
	size_t n;

	kube_csr_path(a->kube, r->name, "/approval", &path);
	body = kube_version(a->kube) ? make_body(r, &n) : NULL;
	if (!body || str_err(&path) < 0 ||
	    kube_start(a->kube, &r->transfer,
		&(struct kube_request){
		    .method = "PUT",
		    .path = str_get(&path),
		    .body = body,
		    .body_len = n,
		    .timeout_ms = PUT_TIMEOUT_MS,
		    .max_response = ANSWER_MAX,
		    .on_done = on_put,
		    .arg = r,
		},
		&e) < 0) {
		doubt(r, 0);
		return;
	}
	r->state = RECORD_PUT;
}

/* --- the audit ---------------------------------------------------------- */

/* The world may have moved while the disk was busy. */
static bool still_holds(struct record *r)
{
	struct verdict v;

	if (r->order)
		return true;
	approver_verdict(r->approver, r->csr, r->deny ? 0 : 1, false, &v);
	return approver_decision(r->approver, r->csr, &v) ==
	    (r->deny ? DECIDED_DENY : DECIDED_APPROVE);
}

static void on_written(void *arg, int64_t row)
{
	struct record *r = arg;

	if (r->approver->closing)
		return;
	if (row < 0) {
		approve_undo(r);
		leave(r, NULL, NULL);
		approve_order_done(r, (int)row, "the audit cannot be written");
		read_later(r, AUDIT_RETRY_MS);
		return;
	}
	r->row = row;
	if (r->gone) {
		vanished(r);
	} else if (!csr_is_pending(r->csr)) {
		approve_settle(r, r->csr);
	} else if (!still_holds(r)) {
		approve_undo(r);
		leave(r, "withdrawn", "something changed before it was sent");
		record_decide(r);
	} else {
		put(r);
	}
}

void approve_begin(struct record *r, const struct verdict *v, bool deny, const char *by)
{
	struct approver *a = r->approver;
	char names[NAMES_MAX];
	struct audit_entry entry;
	struct node *n = NULL;
	int64_t seen_at;

	r->deny = deny;
	r->first = !deny && policy_first_client(&a->conf->policy, r->csr);
	r->reason = v->reason;
	tell_entry(r, v, deny, by, names, sizeof(names), &entry);
	entry.holds_name = r->first;
	if (!deny && nodes_get(&a->nodes, v->name, &n) < 0) {
		approve_order_done(r, -ENOMEM, "out of memory");
		read_later(r, AUDIT_RETRY_MS);
		return;
	}
	seen_at = n ? n->seen_at : 0;
	/* The key holds the name from here on: another one's turn may be next. */
	if (n && node_approved(n, r->first ? entry.key : NULL, r->name, entry.at) < 0) {
		approve_order_done(r, -ENOMEM, "out of memory");
		read_later(r, AUDIT_RETRY_MS);
		return;
	}
	if (n && n->seen_at != seen_at)
		audit_seen(a->audit, n->name, n->seen_at);
	if (r->first)
		memcpy(r->key, entry.key, sizeof(r->key));
	r->counted = !deny;
	if (audit_decision(a->audit, &entry, on_written, r) < 0) {
		approve_undo(r);
		approve_order_done(r, -ENOMEM, "out of memory");
		read_later(r, AUDIT_RETRY_MS);
		return;
	}
	r->state = RECORD_AUDIT;
	a->in_flight++;
}

/* --- reading again ------------------------------------------------------ */

static bool is_named(const json_t *doc, const char *name)
{
	const char *is = json_string_value(
	    json_object_get(json_object_get(doc, "metadata"), "name"));

	return is && str_eq(is, name);
}

static void take_again(struct record *r, struct str *body)
{
	_cleanup_(json_freep) json_t *doc = answer_parse(body);

	r->state = RECORD_PENDING;
	if (is_named(doc, r->name) && record_take(r->approver, doc) == 0)
		return; /* r may be gone */
	approve_order_done(r, -EIO, "the API server's answer is no request");
	doubt(r, 0);
}

static void on_read(struct http_transfer *t, int result, void *arg)
{
	struct record *r = arg;
	struct str *body = http_transfer_body(t);

	r->transfer = NULL;
	kube_count(r->approver->kube, result);
	if (result == 200) {
		take_again(r, body);
	} else if (result == 404) {
		record_drop(r);
	} else {
		approve_order_done(r, -EIO, "the API server does not answer");
		doubt(r, kube_retry_after(t) * 1000ull);
	}
}

void approve_read(struct record *r)
{
	struct approver *a = r->approver;
	_cleanup_(str_deinit) struct str path = STR_INIT;
	struct err e = ERR_INIT;

	kube_csr_path(a->kube, r->name, "", &path);
	if (!kube_version(a->kube) || str_err(&path) < 0 ||
	    kube_start(a->kube, &r->transfer,
		&(struct kube_request){
		    .path = str_get(&path),
		    .timeout_ms = PUT_TIMEOUT_MS,
		    .max_response = ANSWER_MAX,
		    .on_done = on_read,
		    .arg = r,
		},
		&e) < 0) {
		approve_order_done(r, -EIO, "the API server is not known");
		doubt(r, 0);
		return;
	}
	r->state = RECORD_READ;
}
