/* csrd's counters and how they are shown. */
#pragma once

#include "common/base.h"
#include "common/metrics.h"
#include "csrd/policy.h"

struct approver;

enum stats_decision {
	DECIDED_APPROVE,
	DECIDED_WOULD_APPROVE,
	DECIDED_PENDING,
	DECIDED_DENY,
	N_DECIDED,
};

const char *stats_decision_word(enum stats_decision d);

struct stats {
	struct counter decisions[N_DECIDED][N_REASONS];
	struct counter approved, denied, issued, signing_failed, not_issued;
	struct counter conflicts, refused, forbidden, failed; /* of approval requests */
	struct counter nodes_ready, untracked;
	struct histogram decide;  /* seconds from an object's arrival to the decision */
	struct histogram approve; /* seconds from creation to the API server's yes */
};

void stats_init(struct stats *s);
void stats_metrics(const struct stats *s, struct str *out);
