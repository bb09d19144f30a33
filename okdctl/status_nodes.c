/* The nodes' table of okdctl status: how far each has come, put together from what the
 * daemons see of it. */
#include <stdio.h>

#include "common/cluster.h"
#include "okdctl/out.h"
#include "okdctl/status.h"
#include "okdctl/term.h"

/* What the daemons say of one node; each may be NULL. */
struct seen {
	const struct cluster_node *node;
	const json_t *ignd, *lbd;
	const char *csrd; /* its stage, or "" */
	const json_t *recent;
};

static void cell(struct table *t, bool color, const char *word)
{
	enum term_color c =
	    str_eq(word, "done") || str_eq(word, "serves") || str_eq(word, "Ready")
	    ? TERM_GREEN
	    : str_eq(word, "failed") ? TERM_RED
	    : str_eq(word, "-")      ? TERM_DIM
				     : TERM_YELLOW;

	table_add_color(t, color, c, word);
}

static bool is_active(const json_t *file)
{
	return json_is_true(json_object_get(file, "active"));
}

static void image(const struct seen *v, bool color, struct table *t)
{
	const json_t *file = json_object_get(v->ignd, "image");
	int64_t total = number_of(file, "total");
	char percent[16];

	if (is_active(file)) {
		snprintf(percent, sizeof(percent), "%d %%",
		    total > 0 ? (int)(100 * number_of(file, "acked") / total) : 0);
		cell(t, color, percent);
	} else {
		cell(t, color,
		    str_eq(text_of(v->ignd, "stage"), "Failed") ? "failed"
			: number_of(file, "done_at")            ? "done"
								: "-");
	}
}

static void ignition(const struct seen *v, bool color, struct table *t)
{
	bool waits = str_eq(text_of(v->ignd, "stage"), "Waiting for ignition");

	cell(t, color,
	    waits                                                 ? "waits"
		: number_of(v->ignd, "ticket_at")                 ? "done"
		: is_active(json_object_get(v->ignd, "ignition")) ? "fetches"
								  : "-");
}

static bool is_up(const struct status *s, const char *backend, const char *name)
{
	return str_starts(text_of(status_server(s, backend, name), "status"), "UP");
}

/* The bootstrap and the masters serve machine configs and the API; before that, and for
 * workers, it counts that they came through the balancer for them. */
static void through_lbd(
    const struct status *s, const struct seen *v, bool color, struct table *t)
{
	const char *name = v->node->name;

	cell(t, color,
	    is_up(s, "machine-config-server", name)     ? "serves"
		: number_of(v->lbd, "fetched")          ? "done"
		: number_of(v->lbd, "mcs_attempts") > 0 ? "asks"
							: "-");
	cell(t, color,
	    is_up(s, "openshift-api-server", name) ? "serves"
		: number_of(v->lbd, "api_first")   ? "done"
						   : "-");
}

/* Was a request of this kind approved lately? */
static bool was_approved(const struct seen *v, const char *reason)
{
	for (size_t i = 0; i < json_array_size(v->recent); i++) {
		const json_t *e = json_array_get(v->recent, i);
		const char *node = text_of(e, "node");

		if (str_eq(text_of(e, "decision"), "approve") &&
		    str_eq(text_of(e, "reason"), reason) &&
		    (str_eq(node, v->node->fqdn) || str_eq(node, v->node->name)))
			return true;
	}
	return false;
}

/* The bootstrap joins no cluster. */
static void certificates(const struct seen *v, bool color, struct table *t)
{
	bool ready = str_eq(v->csrd, "ready"), joined = str_eq(v->csrd, "joined");

	if (v->node->role == NODE_BOOTSTRAP) {
		table_add(t, "");
		table_add(t, "");
		table_add(t, "");
		return;
	}
	cell(t, color,
	    ready || joined || str_eq(v->csrd, "approved") ? "done"
		: str_eq(v->csrd, "asking")                ? "asks"
							   : "-");
	cell(t, color, ready || was_approved(v, "serving") ? "done" : "-");
	cell(t, color, ready ? "Ready" : joined ? "joined" : "-");
}

/* How fast, or what is wrong. */
static void remark(const struct seen *v, struct table *t)
{
	const json_t *file = json_object_get(v->ignd, "image");
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (is_active(file) && number_of(file, "speed") > 0) {
		term_add_bytes(&text, (uint64_t)number_of(file, "speed"));
		str_addz(&text, "/s");
	} else {
		str_addz(&text, text_of(v->ignd, "why"));
	}
	table_add(t, str_get(&text));
}

/* Without the addresses, the stages fit on a terminal of 80 columns. */
static bool is_narrow(const struct status *s)
{
	return s->columns && s->columns < 100;
}

static void add_node(
    const struct status *s, const struct cluster_node *n, bool color, struct table *t)
{
	const struct seen v = { .node = n,
		.ignd = status_node(s, IGND, n->name),
		.lbd = status_find(
		    json_object_get(status_own(s, LBD, "install"), "nodes"), n->name),
		.csrd = text_of(status_node(s, CSRD, n->fqdn), "stage"),
		.recent = status_own(s, CSRD, "recent") };

	table_add(t, n->name);
	table_add(t, node_role_name((enum node_role)n->role));
	if (!is_narrow(s))
		table_add(t, net_ip_str(conf_list_items(&n->addresses, struct net_ip)));
	image(&v, color, t);
	ignition(&v, color, t);
	through_lbd(s, &v, color, t);
	certificates(&v, color, t);
	remark(&v, t);
}

void status_print_nodes(const struct status *s, bool color, struct str *out)
{
	static const char *const head[] = { "NAME", "ROLE", "ADDRESS", "IMAGE",
		"IGNITION", "MCS", "API", "CLIENT", "SERVING", "NODE", "" };
	struct table t = { .columns = ARRAY_SIZE(head) - is_narrow(s) };

	if (!s->cluster)
		return;
	status_heading(out, color, "Nodes");
	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		if (!is_narrow(s) || !str_eq(head[i], "ADDRESS"))
			table_add_color(&t, color, TERM_DIM, head[i]);
	for (size_t i = 0; i < cluster_n_nodes(s->cluster); i++)
		add_node(s, cluster_node_at(s->cluster, i), color, &t);
	table_print(&t, 2, out);
	table_deinit(&t);
}
