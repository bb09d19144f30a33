/* csrd's counters: see stats.h. */
#include "csrd/stats.h"

static const double decide_bounds[] = { 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1,
	5 };
static const double approve_bounds[] = { 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600 };

void stats_init(struct stats *s)
{
	*s = (struct stats){ .approved = { 0 } };
	histogram_init(&s->decide, decide_bounds, ARRAY_SIZE(decide_bounds));
	histogram_init(&s->approve, approve_bounds, ARRAY_SIZE(approve_bounds));
}

const char *stats_decision_word(enum stats_decision d)
{
	static const char *const words[] = { "approve", "would-approve", "pending",
		"deny" };

	return words[d];
}

static void single(
    struct str *out, const char *name, const char *help, const struct counter *c)
{
	metric_single(out, name, METRIC_COUNTER, help, (double)counter_get(c));
}

static void decisions(const struct stats *s, struct str *out)
{
	metric_family(out, "okd_csrd_decisions_total", METRIC_COUNTER,
	    "Decisions by outcome and reason.");
	for (unsigned d = 0; d < N_DECIDED; d++) {
		for (unsigned r = 0; r < N_REASONS; r++) {
			uint64_t n = counter_get(&s->decisions[d][r]);

			if (n)
				metric_value(out, "okd_csrd_decisions_total",
				    METRIC_LABELS("decision",
					stats_decision_word((enum stats_decision)d),
					"reason", reason_word((enum reason)r)),
				    (double)n);
		}
	}
}

void stats_metrics(const struct stats *s, struct str *out)
{
	decisions(s, out);
	single(out, "okd_csrd_approved_total", "Requests that were approved.",
	    &s->approved);
	single(out, "okd_csrd_denied_total", "Requests that were denied.", &s->denied);
	single(out, "okd_csrd_issued_total",
	    "Approved requests whose certificate was issued.", &s->issued);
	single(out, "okd_csrd_signing_failed_total",
	    "Approved requests that the signer refused.", &s->signing_failed);
	single(out, "okd_csrd_not_issued_total",
	    "Approved requests without a certificate after issue_timeout.",
	    &s->not_issued);
	single(out, "okd_csrd_conflicts_total",
	    "Approvals that met a changed request and were decided anew.",
	    &s->conflicts);
	single(out, "okd_csrd_refused_total", "Approvals that the API server refused.",
	    &s->refused);
	single(out, "okd_csrd_forbidden_total",
	    "Approvals for which the daemon has no right.", &s->forbidden);
	single(out, "okd_csrd_failed_total",
	    "Approvals without an answer, which are tried again.", &s->failed);
	single(out, "okd_csrd_nodes_ready_total", "Nodes that turned Ready.",
	    &s->nodes_ready);
	single(out, "okd_csrd_untracked_total",
	    "Requests beyond max_pending that were decided and not kept.",
	    &s->untracked);
	metric_family(out, "okd_csrd_decision_seconds", METRIC_HISTOGRAM,
	    "From the arrival of a request to the decision.");
	metric_histogram(out, "okd_csrd_decision_seconds", NULL, &s->decide);
	metric_family(out, "okd_csrd_approval_seconds", METRIC_HISTOGRAM,
	    "From the creation of a request to its approval.");
	metric_histogram(out, "okd_csrd_approval_seconds", NULL, &s->approve);
}
