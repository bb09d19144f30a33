/*
 * The table of requests and the decisions over them: see approver.h.
 *
 * A request is decided when it comes, and again when what it waits for may have
 * changed: nodes, tickets, configuration.  Nothing is decided while the cluster's nodes
 * are not known.
 */
#include "csrd/approver.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "csrd/rights.h"
#include "csrd/tell.h"

#define TICK_MS 100
#define RELIST_MS 10000

/* --- records ------------------------------------------------------------ */

struct record *approver_find(const struct approver *a, const char *name)
{
	struct hnode *it = htable_first(&a->table, htable_hash(name, strlen(name)));

	for (; it; it = htable_next(it)) {
		struct record *r = CONTAINER_OF(it, struct record, hnode);

		if (str_eq(r->name, name))
			return r;
	}
	return NULL;
}

static void record_free(struct record *r)
{
	http_transfer_cancel(r->transfer);
	approve_order_done(r, -ENOENT, "the request is gone");
	list_remove(&r->link);
	list_remove(&r->timed);
	csr_free(r->csr);
	free(r->name);
	free(r->uid);
	free(r->node);
	free(r->refused);
	free(r);
}

static bool is_busy(const struct record *r)
{
	return r->state == RECORD_AUDIT || r->state == RECORD_PUT;
}

void record_drop(struct record *r)
{
	struct approver *a = r->approver;

	if (is_busy(r)) {
		r->gone = true;
		return;
	}
	if (r->row) /* whether it had been approved will never be known: the key holds */
		audit_outcome(a->audit, r->row, "unknown", "it is gone");
	else
		approve_undo(r);
	htable_remove(&a->table, &r->hnode);
	a->n_records--;
	record_free(r);
}

static struct record *record_new(struct approver *a, const struct csr *csr)
{
	struct record *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	list_init(&r->link);
	list_init(&r->timed);
	r->approver = a;
	r->name = strdup(csr->name);
	r->uid = strdup(csr->uid);
	r->created = csr->created;
	if (!r->name || !r->uid ||
	    htable_insert(
		&a->table, &r->hnode, htable_hash(csr->name, strlen(csr->name))) < 0) {
		record_free(r);
		return NULL;
	}
	list_append(&a->records, &r->link);
	a->n_records++;
	return r;
}

void record_set_due(struct record *r, uint64_t ms)
{
	struct approver *a = r->approver;
	const struct timeval tick = ms_to_tv(TICK_MS);

	r->due = loop_now_ms(a->loop) + ms;
	if (list_empty(&r->timed))
		list_append(&a->timed, &r->timed);
	if (!evtimer_pending(a->tick, NULL))
		event_add(a->tick, &tick);
}

static void on_due(struct record *r)
{
	list_remove(&r->timed);
	if (r->state == RECORD_WAIT) {
		approve_read(r);
	} else if (r->state == RECORD_APPROVED) {
		counter_add(&r->approver->stats.not_issued, 1);
		tell_not_issued(r);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct approver *a = arg;
	uint64_t now = loop_now_ms(a->loop);
	const struct timeval tick = ms_to_tv(TICK_MS);

	list_for_each_safe (it, &a->timed) {
		struct record *r = CONTAINER_OF(it, struct record, timed);

		if (r->due <= now)
			on_due(r);
	}
	if (!list_empty(&a->timed))
		event_add(a->tick, &tick);
}

/* --- decisions ---------------------------------------------------------- */

void approver_verdict(const struct approver *a, const struct csr *csr, unsigned counted,
    bool thorough, struct verdict *ret)
{
	const struct policy_input in = {
		.policy = &a->conf->policy,
		.cluster = a->conf->cluster,
		.nodes = &a->nodes,
		.tickets = &a->tickets,
		.now = clock_real_s(),
		.counted = counted,
		/* What is denied for its signature must be looked at. */
		.thorough = thorough || a->conf->hostile == HOSTILE_DENY,
	};

	policy_decide(&in, csr, ret);
}

enum stats_decision approver_decision(
    const struct approver *a, const struct csr *csr, const struct verdict *v)
{
	bool kubelets =
	    str_eq(csr->signer, SIGNER_CLIENT) || str_eq(csr->signer, SIGNER_SERVING);

	if (verdict_is_good(v))
		return a->conf->mode == MODE_AUTO ? DECIDED_APPROVE
						  : DECIDED_WOULD_APPROVE;
	return reason_kind(v->reason) == REASON_HOSTILE && kubelets &&
		a->conf->mode == MODE_AUTO && a->conf->hostile == HOSTILE_DENY
	    ? DECIDED_DENY
	    : DECIDED_PENDING;
}

/* What may change by itself, or for a person's order, keeps its request. */
static bool is_worth_keeping(const struct record *r)
{
	enum reason_kind kind = reason_kind(r->reason);

	return r->decision == DECIDED_WOULD_APPROVE || kind == REASON_WAITING ||
	    r->reason == REASON_NODE_EXISTS || r->reason == REASON_SECOND_KEY;
}

/* The first look at a request that needs a ticket: ignd knows more than its last
 * answer says, and may have forgotten what stands there. */
static bool asks_first(struct record *r, const struct verdict *v)
{
	bool by_ticket =
	    v->reason == REASON_CLIENT && v->node && r->approver->tickets.required;

	if ((v->reason != REASON_NO_TICKET && !by_ticket) || r->asked_tickets)
		return false;
	r->asked_tickets = true;
	inventory_ask(r->approver);
	return true;
}

static void note_decision(
    struct record *r, const struct verdict *v, enum stats_decision d)
{
	struct approver *a = r->approver;

	if (r->decided && r->reason == v->reason && r->decision == d)
		return;
	r->reason = v->reason;
	r->decision = d;
	free(r->node);
	r->node = *v->name ? strdup(v->name) : NULL;
	if (!r->decided)
		histogram_add(
		    &a->stats.decide, (double)(clock_boot_ms() - r->arrived) / 1000);
	r->decided = true;
	tell_decision(r, v, d);
}

static void by_order(struct record *r)
{
	struct approver *a = r->approver;
	char by[sizeof(r->order->by)];
	struct verdict v;

	a->tickets.required = inventory_needs_tickets(a);
	approver_verdict(a, r->csr, 0, true, &v);
	if (!r->order->deny && v.reason == REASON_NODES_UNKNOWN) {
		approve_order_done(r, -EAGAIN, v.text);
		return;
	}
	if (!r->order->deny &&
	    (reason_kind(v.reason) == REASON_HOSTILE ||
		reason_kind(v.reason) == REASON_FOREIGN)) {
		approve_order_done(r, -EACCES, v.text);
		record_decide(r);
		return;
	}
	if (!verdict_is_good(&v) || r->order->deny)
		v.reason = REASON_BY_PERSON;
	free(r->node);
	r->node = *v.name ? strdup(v.name) : NULL;
	snprintf(by, sizeof(by), "%s", r->order->by);
	approve_begin(r, &v, r->order->deny, by);
}

void record_decide(struct record *r)
{
	struct approver *a = r->approver;
	enum stats_decision d;
	struct verdict v;

	if (r->state != RECORD_PENDING || !r->csr || a->closing || a->drained)
		return;
	if (r->order) {
		by_order(r);
		return;
	}
	if (!a->nodes.known || (r->refused && str_eq(r->refused, r->csr->version)))
		return;
	a->tickets.required = inventory_needs_tickets(a);
	approver_verdict(a, r->csr, 0, false, &v);
	if (asks_first(r, &v))
		return;
	d = approver_decision(a, r->csr, &v);
	note_decision(r, &v, d);
	if (d == DECIDED_APPROVE || d == DECIDED_DENY)
		approve_begin(r, &v, d == DECIDED_DENY, "policy");
	else if (v.reason == REASON_TOO_MANY)
		inventory_await_rate(a);
	else if (!is_worth_keeping(r))
		r->csr = csr_free(r->csr);
}

/* Requests that were decided and not kept come back with a list. */
static void relist_if_untracked(struct approver *a)
{
	uint64_t now = loop_now_ms(a->loop);

	if (!a->untracked || now - a->relisted_at < RELIST_MS)
		return;
	a->untracked = false;
	a->relisted_at = now;
	follow_again(a->csrs);
}

void approver_decide_all(struct approver *a)
{
	list_for_each_safe (it, &a->records)
		record_decide(CONTAINER_OF(it, struct record, link));
	relist_if_untracked(a);
}

/* --- objects ------------------------------------------------------------ */

/* An approval whose outcome a crash kept from the audit. */
static void tie_loose_end(struct approver *a, const struct csr *csr)
{
	list_for_each_safe (it, &a->loose_ends) {
		struct loose_end *l = CONTAINER_OF(it, struct loose_end, link);

		if (!str_eq(l->uid, csr->uid))
			continue;
		audit_outcome(a->audit, l->row,
		    csr->approved     ? "approved"
			: csr->denied ? "denied"
				      : "interrupted",
		    "seen after a restart");
		list_remove(&l->link);
		free(l);
	}
}

/* Approved by whomever: its key holds the node's name. */
static void note_approval(struct approver *a, const struct csr *csr)
{
	const char *name = policy_first_client(&a->conf->policy, csr);
	int64_t at = csr->approved_at ? csr->approved_at : clock_real_s();
	struct node *n;

	if (!name || strlen(name) > 253 || nodes_get(&a->nodes, name, &n) < 0)
		return;
	if (n->exists || at < n->seen_at || (n->has_key && n->approved_at >= at))
		return;
	if (n->has_key && memcmp(n->key, csr->request->key.sha256, X509_SHA256) == 0) {
		n->approved_at = at; /* ours, by the API server's clock */
		return;
	}
	if (node_approved(n, csr->request->key.sha256, csr->name, at) < 0)
		log_err("out of memory");
	else
		tell_elsewhere(a, csr, name, at);
}

void record_follow_up(struct record *r, const struct csr *csr)
{
	struct stats *s = &r->approver->stats;

	if (csr->issued) {
		counter_add(&s->issued, 1);
		tell_issued(r);
	} else if (csr->failed) {
		counter_add(&s->signing_failed, 1);
		tell_signing_failed(r, csr->failed_text);
	} else {
		return;
	}
	r->state = RECORD_DONE;
	list_remove(&r->timed);
}

static void take_decided(struct record *r, const struct csr *csr)
{
	switch (r->state) {
	case RECORD_PENDING:
		if (r->row || r->order || r->counted)
			approve_settle(r, csr);
		break;
	case RECORD_WAIT:
	case RECORD_READ:
		r->transfer = http_transfer_cancel(r->transfer);
		approve_settle(r, csr);
		break;
	default:
		break;
	}
	if (r->state == RECORD_APPROVED)
		record_follow_up(r, csr);
	else if (r->state == RECORD_PENDING)
		r->state = RECORD_DONE;
	if (r->state == RECORD_DONE) {
		list_remove(&r->timed);
		r->csr = csr_free(r->csr);
	}
}

/* It was known by its name alone. */
static int adopt(struct record *r, const struct csr *csr)
{
	char *uid = strdup(csr->uid);

	if (!uid)
		return -ENOMEM;
	free(r->uid);
	r->uid = uid;
	r->created = csr->created;
	r->arrived = clock_boot_ms();
	return 0;
}

/* The record of that object: an older one of the same name makes way. */
static struct record *record_for(struct approver *a, const struct csr *csr)
{
	struct record *r = approver_find(a, csr->name);

	if (r && !*r->uid && adopt(r, csr) < 0)
		return NULL;
	if (r && !str_eq(r->uid, csr->uid)) {
		/* What is on its way is refused (409 by uid and version), and then
		 * the successor is read. */
		if (is_busy(r))
			return r;
		record_drop(r);
		r = NULL;
	}
	if (r)
		return r;
	r = record_new(a, csr);
	if (r)
		r->arrived = clock_boot_ms();
	return r;
}

static void take_csr(struct approver *a, struct record *r, struct csr *csr)
{
	if (!csr_is_pending(csr) && is_busy(r) && str_eq(r->uid, csr->uid)) {
		/* Its turn comes when the disk or the API server has answered. */
		csr_free(r->csr);
		r->csr = csr;
		return;
	}
	if (!csr_is_pending(csr)) {
		take_decided(r, csr);
		csr_free(csr);
		return;
	}
	/* What is under way goes on; an old version of what was approved is no news. */
	if (r->state != RECORD_PENDING) {
		csr_free(csr);
		return;
	}
	if (r->row) {
		/* It was read again, and it is not approved: the PUT came to nothing. */
		audit_outcome(a->audit, r->row, "failed", "it was tried again");
		r->row = 0;
	}
	approve_undo(r);
	csr_free(r->csr);
	r->csr = csr;
	record_decide(r);
	if (a->n_records > a->conf->max_pending && r->state == RECORD_PENDING &&
	    !r->order) {
		counter_add(&a->stats.untracked, 1);
		a->untracked = true;
		record_drop(r);
	}
}

int record_take(struct approver *a, json_t *object)
{
	struct csr *csr = NULL;
	struct err e = ERR_INIT;
	struct record *r;

	if (csr_new(&csr, object, &e) < 0) {
		log_warning("%s", e.text);
		return -EBADMSG;
	}
	if (!list_empty(&a->loose_ends))
		tie_loose_end(a, csr);
	if (csr->approved)
		note_approval(a, csr);
	r = record_for(a, csr);
	if (!r) {
		log_err(
		    "out of memory: the request %s waits for the next list", csr->name);
		csr_free(csr);
		return 0;
	}
	r->mark = a->csr_mark;
	take_csr(a, r, csr);
	return 0;
}

/* --- following requests ------------------------------------------------- */

static void csrs_begin(void *arg)
{
	struct approver *a = arg;

	a->csr_mark++;
}

static void csrs_object(void *arg, json_t *object)
{
	(void)record_take(arg, object); /* it has been told */
}

static void csrs_deleted(void *arg, json_t *object)
{
	struct approver *a = arg;
	const json_t *meta = json_object_get(object, "metadata");
	const char *name = json_string_value(json_object_get(meta, "name"));
	const char *uid = json_string_value(json_object_get(meta, "uid"));
	struct record *r = name ? approver_find(a, name) : NULL;

	if (r && uid && str_eq(r->uid, uid))
		record_drop(r);
}

/* Requests of before the crash that are not there any more. */
static void cut_loose_ends(struct approver *a)
{
	list_for_each_safe (it, &a->loose_ends) {
		struct loose_end *l = CONTAINER_OF(it, struct loose_end, link);

		audit_outcome(
		    a->audit, l->row, "unknown", "it was gone after a restart");
		list_remove(&l->link);
		free(l);
	}
}

static void csrs_synced(void *arg)
{
	struct approver *a = arg;

	list_for_each_safe (it, &a->records) {
		struct record *r = CONTAINER_OF(it, struct record, link);

		if (r->mark != a->csr_mark)
			record_drop(r);
	}
	cut_loose_ends(a);
}

static void csrs_live(void *arg, bool live)
{
}

static const struct follow_ops csr_ops = {
	.kind = "CertificateSigningRequestList",
	.begin = csrs_begin,
	.object = csrs_object,
	.deleted = csrs_deleted,
	.synced = csrs_synced,
	.live = csrs_live,
};

/* --- up and down -------------------------------------------------------- */

static void on_up(void *arg)
{
	struct approver *a = arg;
	char path[128];

	if (a->drained || a->closing)
		return;
	snprintf(path, sizeof(path), KUBE_GROUP "/%s/certificatesigningrequests",
	    kube_version(a->kube));
	rights_check(a->rights);
	/* With other credentials what failed may work at once. */
	list_for_each (it, &a->timed) {
		struct record *r = CONTAINER_OF(it, struct record, timed);

		if (r->state == RECORD_WAIT)
			r->due = 0;
	}
	if (follow_start(a->follow_nodes, "/api/v1/nodes") < 0 ||
	    follow_start(a->csrs, path) < 0)
		log_err("out of memory");
}

static void on_down(void *arg)
{
	struct approver *a = arg;

	rights_forget(a->rights);
	follow_stop(a->csrs);
	follow_stop(a->follow_nodes);
}

static const struct kube_ops kube_ops = { .up = on_up, .down = on_down };

/* --- life --------------------------------------------------------------- */

static void remember_approval(void *arg, int64_t row, const char *uid, const char *node,
    const char *csr, const uint8_t *key, bool holds_name, int64_t at, bool open)
{
	struct approver *a = arg;
	struct node *n;

	if (nodes_get(&a->nodes, node, &n) == 0 &&
	    node_approved(n, holds_name ? key : NULL, csr, at) < 0)
		log_err("out of memory");
	if (open) {
		struct loose_end *l = malloc(sizeof(*l) + strlen(uid) + 1);

		if (!l)
			return;
		l->row = row;
		strcpy(l->uid, uid);
		list_append(&a->loose_ends, &l->link);
	}
}

static void remember_seen(void *arg, const char *node, int64_t at)
{
	struct approver *a = arg;
	struct node *n;

	if (nodes_get(&a->nodes, node, &n) == 0)
		n->seen_at = MAX(n->seen_at, at);
}

static void set_limits(struct approver *a)
{
	audit_limit(a->audit,
	    &(struct audit_limits){ .keep_s = (int64_t)(a->conf->audit_keep / 1000),
		.refused = a->conf->audit_refused });
}

static int start_parts(struct approver *a, const char *audit_path, struct err *e)
{
	int r;

	a->tick = evtimer_new(loop_base(a->loop), on_tick, a);
	if (!a->tick || inventory_start(a) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	r = audit_new(&a->audit, a->loop, audit_path, e);
	if (r < 0)
		return r;
	r = kube_new(&a->kube, a->loop, &kube_ops, a);
	if (r == 0)
		r = follow_new(
		    &a->csrs, a->loop, a->kube, "certificate requests", &csr_ops, a);
	if (r == 0)
		r = follow_new(
		    &a->follow_nodes, a->loop, a->kube, "nodes", &inventory_nodes, a);
	if (r == 0)
		r = rights_new(&a->rights, a->kube);
	return r < 0 ? err_set(e, r, "cannot start: %s", strerror(-r)) : 0;
}

int approver_new(struct approver **ret, struct loop *l, const struct csrd_conf *conf,
    const char *audit_path, struct err *e)
{
	_cleanup_(approver_freep) struct approver *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, -ENOMEM, "out of memory");
	a->loop = l;
	a->conf = conf;
	htable_init(&a->table);
	nodes_init(&a->nodes);
	list_init(&a->records);
	list_init(&a->timed);
	list_init(&a->loose_ends);
	stats_init(&a->stats);
	r = start_parts(a, audit_path, e);
	if (r < 0)
		return r;
	set_limits(a);
	inventory_needs_tickets(a); /* notes that okd-ignd is here */

	*ret = TAKE(a);
	return 0;
}

int approver_begin(struct approver *a, const char *audit_path, struct err *e)
{
	const struct audit_memory memory = { remember_approval, remember_seen, a };
	int r = audit_recall(audit_path, &memory, e);

	if (r < 0)
		return r;
	a->begun = true;
	kube_configure(a->kube, &a->conf->kubeconfig);
	return 0;
}

struct approver *approver_free(struct approver *a)
{
	if (!a)
		return NULL;
	a->closing = true;
	http_transfer_cancel(a->asking);
	a->rights = rights_free(a->rights);
	a->csrs = follow_free(a->csrs);
	a->follow_nodes = follow_free(a->follow_nodes);
	/* Rows that are on their way come back to records that are still there. */
	a->audit = audit_free(a->audit);
	list_for_each_safe (it, &a->records)
		record_free(CONTAINER_OF(it, struct record, link));
	a->kube = kube_free(a->kube);
	htable_deinit(&a->table);
	nodes_deinit(&a->nodes);
	tickets_deinit(&a->tickets);
	list_for_each_safe (it, &a->loose_ends)
		free(CONTAINER_OF(it, struct loose_end, link));
	if (a->tick)
		event_free(a->tick);
	inventory_stop(a);
	free(a);
	return NULL;
}

void approver_configure(struct approver *a, const struct csrd_conf *conf)
{
	a->conf = conf;
	set_limits(a);
	if (a->begun)
		kube_configure(a->kube, &conf->kubeconfig);
	list_for_each (it, &a->records)
		CONTAINER_OF(it, struct record, link)->asked_tickets = false;
	/* What was left alone for good may be welcome under the new rules. */
	follow_again(a->csrs);
}

void approver_drain(struct approver *a, void (*done)(void *arg), void *arg)
{
	a->drained = done;
	a->drained_arg = arg;
	follow_stop(a->csrs);
	follow_stop(a->follow_nodes);
	if (!a->in_flight)
		done(arg);
}

void approver_order(struct approver *a, const char *name, struct order *order)
{
	const struct csr stub = { .name = (char *)name, .uid = (char *)"" };
	struct record *r = approver_find(a, name);

	/* Beyond max_pending it may be there and not be known. */
	if (!r && !a->drained)
		r = record_new(a, &stub);
	if (r && r->state == RECORD_PENDING && !r->order && !a->drained) {
		r->order = order;
		approve_read(r);
		return;
	}
	if (!r)
		order->done(order->arg, -EAGAIN, "try again in a moment");
	else if (r->state == RECORD_DONE || r->state == RECORD_APPROVED)
		order->done(order->arg, -EEXIST, "it is decided already");
	else
		order->done(order->arg, -EBUSY, "a decision is under way");
	free(order);
}
