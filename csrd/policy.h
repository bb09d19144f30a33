/*
 * The policy: may this certificate be issued?  A pure function from a request, the
 * cluster file, the cluster's nodes, install tickets and the time of day to a decision
 * with a reason.  Whatever is not recognised to the last detail as what an expected
 * kubelet asks for is left alone.
 */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/conf.h"
#include "csrd/csr.h"
#include "csrd/node.h"
#include "csrd/ticket.h"

#define SIGNER_CLIENT "kubernetes.io/kube-apiserver-client-kubelet"
#define SIGNER_SERVING "kubernetes.io/kubelet-serving"
#define SIGNER_LEGACY "kubernetes.io/legacy-unknown"

/* What a reason means for what may come next. */
enum reason_kind {
	REASON_GOOD,    /* approve */
	REASON_WAITING, /* what it waits for may yet come by itself */
	REASON_PERSON,  /* a person may approve it with the daemon's own verb */
	REASON_HOSTILE, /* no kubelet asks for this */
	REASON_FOREIGN, /* another signer's business */
};

/* clang-format off: one reason a line */
#define REASONS(X)                                            \
	X(CLIENT, "client", REASON_GOOD)                      \
	X(CLIENT_RENEWAL, "client-renewal", REASON_GOOD)      \
	X(SERVING, "serving", REASON_GOOD)                    \
	X(BY_PERSON, "by-person", REASON_GOOD)                \
	X(NODES_UNKNOWN, "nodes-unknown", REASON_WAITING)     \
	X(NODE_ABSENT, "node-absent", REASON_WAITING)         \
	X(NO_TICKET, "no-ticket", REASON_WAITING)             \
	X(TOO_MANY, "too-many", REASON_WAITING)               \
	X(NODE_EXISTS, "node-exists", REASON_PERSON)          \
	X(SECOND_KEY, "second-key", REASON_PERSON)            \
	X(UNKNOWN_NODE, "unknown-node", REASON_PERSON)        \
	X(NAME_MISMATCH, "name-mismatch", REASON_PERSON)      \
	X(ADDRESSES, "addresses", REASON_PERSON)              \
	X(BOOTSTRAP, "bootstrap", REASON_HOSTILE)             \
	X(REQUESTOR, "requestor", REASON_HOSTILE)             \
	X(GROUPS, "groups", REASON_HOSTILE)                   \
	X(USAGES, "usages", REASON_HOSTILE)                   \
	X(LIFETIME, "lifetime", REASON_HOSTILE)               \
	X(UNREADABLE, "unreadable", REASON_HOSTILE)           \
	X(TEXT_AROUND, "text-around", REASON_HOSTILE)         \
	X(SIGNATURE, "signature", REASON_HOSTILE)             \
	X(KEY, "key", REASON_HOSTILE)                         \
	X(COMMON_NAME, "common-name", REASON_HOSTILE)         \
	X(ORGANIZATION, "organization", REASON_HOSTILE)       \
	X(SUBJECT, "subject", REASON_HOSTILE)                 \
	X(EXTENSIONS, "extensions", REASON_HOSTILE)           \
	X(NAME_KINDS, "name-kinds", REASON_HOSTILE)           \
	X(DNS_NAMES, "dns-names", REASON_HOSTILE)             \
	X(NO_NAMES, "no-names", REASON_HOSTILE)               \
	X(FOREIGN_ADDRESS, "foreign-address", REASON_HOSTILE) \
	X(LEGACY_SIGNER, "legacy-signer", REASON_HOSTILE)     \
	X(SIGNER, "signer", REASON_FOREIGN)
/* clang-format on */

#define REASON_ENUM(id, word, kind) REASON_##id,
enum reason { REASONS(REASON_ENUM) N_REASONS };
#undef REASON_ENUM

const char *reason_word(enum reason r);
enum reason_kind reason_kind(enum reason r);

/* Nodes beyond cluster.yaml that may join: struct policy_extra in policy.extra. */
struct policy_extra {
	char *name;                 /* a pattern: "*" stands for part of one label */
	struct conf_list addresses; /* struct net_cidr */
};

enum policy_addresses { ADDRESSES_EXACT, ADDRESSES_SUBSET };

struct policy {
	char *bootstrapper; /* who asks for first client certificates */
	struct conf_list bootstrapper_groups; /* char * */
	uint64_t ticket_window;      /* ms after the fetch in which a node may ask */
	int addresses;               /* enum policy_addresses */
	uint64_t max_lifetime;       /* ms */
	uint64_t approvals_per_hour; /* of one node */
	struct conf_list extra;      /* struct policy_extra */
};

struct policy_input {
	const struct policy *policy;
	const struct cluster *cluster; /* NULL: none */
	const struct nodes *nodes;
	const struct tickets *tickets;
	int64_t now;      /* seconds since 1970 */
	unsigned counted; /* approvals of this very request among the node's */
	/* Look at the signature, which costs more than all the rest, even where something
	 * else speaks against an approval: a person may be about to approve it all the
	 * same. */
	bool thorough;
};

#define VERDICT_TEXT_MAX 512
struct verdict {
	enum reason reason;
	const struct cluster_node *node; /* whose certificate, where it is known */
	char name[256];                  /* the node's name as it asks, or "" */
	char text[VERDICT_TEXT_MAX];     /* a sentence for the operator */
};

static inline bool verdict_is_good(const struct verdict *v)
{
	return reason_kind(v->reason) == REASON_GOOD;
}

void policy_decide(
    const struct policy_input *in, const struct csr *csr, struct verdict *ret);

/*
 * The node's name in a client request that is or was approved, by anybody, for a node
 * that is to join: NULL when it is none.  Its key holds that name.
 */
const char *policy_first_client(const struct policy *p, const struct csr *csr);
/* Does the name fit the pattern?  For tests. */
bool policy_name_fits(const char *pattern, const char *name);
