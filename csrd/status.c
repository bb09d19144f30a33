/* What the approver shows: metrics and status. */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/loop.h"
#include "csrd/approver.h"
#include "csrd/rights.h"

static const struct {
	const char *label;
	int64_t below; /* seconds */
} ages[] = {
	{ "under-1m", 60 },
	{ "under-15m", 900 },
	{ "under-1h", 3600 },
	{ "older", INT64_MAX },
};

enum { N_AGES = ARRAY_SIZE(ages) };

static size_t count_pending(const struct approver *a, size_t counts[N_AGES])
{
	int64_t now = clock_real_s();
	size_t all = 0;

	memset(counts, 0, N_AGES * sizeof(*counts));
	list_for_each (it, &a->records) {
		const struct record *r = CONTAINER_OF(it, struct record, link);
		unsigned i = 0;

		if (r->state == RECORD_APPROVED || r->state == RECORD_DONE)
			continue;
		while (now - r->created >= ages[i].below)
			i++;
		counts[i]++;
		all++;
	}
	return all;
}

static double heard_ago(const struct approver *a, const struct follow *f)
{
	uint64_t at = follow_heard_at(f), now = loop_now_ms(a->loop);

	return at && now > at ? (double)(now - at) / 1000 : 0;
}

static void follow_metrics(struct approver *a, struct str *out)
{
	const struct {
		const char *name;
		const struct follow *f;
	} all[] = { { "certificatesigningrequests", a->csrs },
		{ "nodes", a->follow_nodes } };

	metric_family(
	    out, "okd_csrd_watch_live", METRIC_GAUGE, "Whether the watch stands.");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		metric_value(out, "okd_csrd_watch_live",
		    METRIC_LABELS("resource", all[i].name), follow_is_live(all[i].f));
	metric_family(out, "okd_csrd_watch_age_seconds", METRIC_GAUGE,
	    "Since the watch last brought anything, a bookmark included.");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		metric_value(out, "okd_csrd_watch_age_seconds",
		    METRIC_LABELS("resource", all[i].name), heard_ago(a, all[i].f));
	metric_family(out, "okd_csrd_lists_total", METRIC_COUNTER,
	    "Complete lists that were read.");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		metric_value(out, "okd_csrd_lists_total",
		    METRIC_LABELS("resource", all[i].name),
		    (double)follow_stats(all[i].f)->lists);
	metric_family(out, "okd_csrd_watch_events_total", METRIC_COUNTER,
	    "Changes that watches brought.");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		metric_value(out, "okd_csrd_watch_events_total",
		    METRIC_LABELS("resource", all[i].name),
		    (double)follow_stats(all[i].f)->events);
}

static void request_metrics(struct approver *a, struct str *out)
{
	static const char *const classes[KUBE_CLASSES] = { "none", "1xx", "2xx", "3xx",
		"4xx", "5xx" };
	const struct kube_stats *s = kube_stats(a->kube);

	metric_family(out, "okd_csrd_api_requests_total", METRIC_COUNTER,
	    "Requests to the API server by the class of the answer; none: no answer.");
	for (unsigned i = 0; i < KUBE_CLASSES; i++)
		metric_value(out, "okd_csrd_api_requests_total",
		    METRIC_LABELS("answer", classes[i]), (double)s->by_class[i]);
}

void approver_metrics(struct approver *a, struct str *out)
{
	size_t counts[N_AGES];

	stats_metrics(&a->stats, out);
	count_pending(a, counts);
	metric_family(out, "okd_csrd_pending", METRIC_GAUGE,
	    "Requests that are pending, by age.");
	for (unsigned i = 0; i < N_AGES; i++)
		metric_value(out, "okd_csrd_pending",
		    METRIC_LABELS("age", ages[i].label), (double)counts[i]);
	follow_metrics(a, out);
	request_metrics(a, out);
	metric_single(out, "okd_csrd_audit_failures_total", METRIC_COUNTER,
	    "Rows that could not be written.", (double)audit_failures(a->audit));
}

/* The cluster's Node of it, under either of its names; NULL without one. */
static const struct node *find_existing(
    const struct approver *a, const struct cluster_node *cn)
{
	const char *const names[] = { cn->fqdn, cn->name };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *n = nodes_find(&a->nodes, names[i]);

		if (n && n->exists)
			return n;
	}
	return NULL;
}

/* How far a node of the cluster file has come that has no Node yet. */
static const char *early_stage(const struct approver *a, const struct cluster_node *cn)
{
	const char *const names[] = { cn->fqdn, cn->name };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *n = nodes_find(&a->nodes, names[i]);

		if (n && n->has_key && n->approved_at >= n->seen_at)
			return "approved";
	}
	list_for_each (it, &a->records) {
		const struct record *r = CONTAINER_OF(it, struct record, link);

		if (r->node && r->state < RECORD_APPROVED &&
		    (str_eq(r->node, cn->fqdn) || str_eq(r->node, cn->name)))
			return "asking";
	}
	return tickets_find(&a->tickets, cn->name) ? "ignition-fetched" : "expected";
}

static json_t *node_to_json(const struct approver *a, const struct cluster_node *cn)
{
	const struct node *n = find_existing(a, cn);
	json_t *out = json_pack("{s:s, s:s}", "name", cn->fqdn, "role",
	    node_role_name((enum node_role)cn->role));

	json_object_set_new(out, "stage",
	    json_string(!n     ? early_stage(a, cn)
		    : n->ready ? "ready"
			       : "joined"));
	if (n && n->since)
		json_object_set_new(out, "since", json_integer(n->since));
	return out;
}

static json_t *nodes_to_json(const struct approver *a)
{
	const struct cluster *c = a->conf->cluster;
	const struct cluster_node *n;
	json_t *out = json_array();

	for (size_t i = 0; c && (n = cluster_node_at(c, i)); i++) {
		if (n->role != NODE_BOOTSTRAP)
			json_array_append_new(out, node_to_json(a, n));
	}
	return out;
}

/* The last decisions, newest first; the audit has them all. */
static json_t *recent_to_json(const struct approver *a)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < MIN(a->n_recent, (unsigned)RECENT_MAX); i++) {
		const struct recent *e = &a->recent[(a->n_recent - 1 - i) % RECENT_MAX];

		json_array_append_new(out,
		    json_pack("{s:I, s:s, s:s, s:s, s:s}", "at", (json_int_t)e->at,
			"csr", e->csr, "node", e->node, "decision",
			stats_decision_word(e->decision), "reason",
			reason_word(e->reason)));
	}
	return out;
}

static json_t *api_to_json(const struct approver *a)
{
	json_t *out = json_object();
	const char *version = kube_version(a->kube), *trouble = kube_trouble(a->kube);

	if (!a->begun)
		trouble = "the process before it carries out what it decided";
	if (!*trouble)
		trouble = follow_trouble(a->csrs);
	if (!*trouble)
		trouble = follow_trouble(a->follow_nodes);
	json_object_set_new(out, "server", json_string(kube_server(a->kube)));
	json_object_set_new(
	    out, "version", version ? json_string(version) : json_null());
	json_object_set_new(out, "following",
	    json_boolean(follow_is_live(a->csrs) && follow_is_live(a->follow_nodes)));
	json_object_set_new(
	    out, "trouble", *trouble ? json_string(trouble) : json_null());
	json_object_set_new(out, "rights", rights_to_json(a->rights));
	return out;
}

void approver_status(struct approver *a, json_t *obj)
{
	size_t counts[N_AGES], all = count_pending(a, counts);
	json_t *pending = json_object();

	for (unsigned i = 0; i < N_AGES; i++)
		json_object_set_new(
		    pending, ages[i].label, json_integer((json_int_t)counts[i]));
	json_object_set_new(obj, "mode", json_string(csrd_mode_words[a->conf->mode]));
	json_object_set_new(obj, "tickets_required", json_boolean(a->tickets.required));
	json_object_set_new(obj, "api", api_to_json(a));
	json_object_set_new(obj, "requests", json_integer((json_int_t)a->n_records));
	json_object_set_new(obj, "pending", json_integer((json_int_t)all));
	json_object_set_new(obj, "pending_by_age", pending);
	json_object_set_new(
	    obj, "approved", json_integer((json_int_t)counter_get(&a->stats.approved)));
	json_object_set_new(
	    obj, "denied", json_integer((json_int_t)counter_get(&a->stats.denied)));
	json_object_set_new(obj, "nodes", nodes_to_json(a));
	json_object_set_new(obj, "recent", recent_to_json(a));
	json_object_set_new(obj, "audit_error",
	    *audit_trouble(a->audit) ? json_string(audit_trouble(a->audit))
				     : json_null());
}
