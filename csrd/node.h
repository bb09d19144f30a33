/*
 * What is known about nodes by name: the cluster's Node objects, the key that was last
 * approved for a node that has not joined yet, and how often a node was approved.
 *
 * An entry is made for a Node object and for an approval, never for what a request
 * claims, so that strangers cannot make the table grow.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/htable.h"
#include "common/net.h"
#include "common/x509.h"

enum { NODE_ADDRESSES = 8, NODE_APPROVALS = 64 };

/* Times of the last approvals, a ring. */
struct node_approvals {
	int64_t at[NODE_APPROVALS];
	unsigned n; /* all of them */
};

struct node {
	struct hnode hnode;
	char *name;

	bool exists, ready; /* the Node object, and its condition Ready */
	int64_t since; /* ready: when it turned so; else when it was made; 0: unknown */
	struct net_ip addresses[NODE_ADDRESSES]; /* InternalIP and ExternalIP */
	unsigned n_addresses;
	uint64_t mark; /* the list that it was last seen in */

	/* The key of the last approved client request.  It holds the name until the
	 * Node has been seen after that. */
	bool has_key;
	unsigned n_holders; /* approvals of that key */
	uint8_t key[X509_SHA256];
	char *key_csr;                /* the first of them */
	int64_t approved_at, seen_at; /* seconds since 1970, 0: never */

	uint64_t awaited_since; /* loop time of the approval that is to make it Ready;
				   0: nobody waits */

	/* For what others asked in its name, and for what it asked itself: who has the
	 * bootstrapper's token must not use up what the node needs. */
	struct node_approvals first, own;
};

struct nodes {
	struct htable table;
	bool known; /* the list has been read and its watch is alive */
};

void nodes_init(struct nodes *ns);
void nodes_deinit(struct nodes *ns);

/* NULL where nothing is known. */
struct node *nodes_find(const struct nodes *ns, const char *name);
/* The entry of that name, made where it is missing: 0 or -ENOMEM. */
int nodes_get(struct nodes *ns, const char *name, struct node **ret) _mustcheck_;

/* Takes a Node object over: 0 with the entry, -EBADMSG, -ENOMEM. */
int nodes_update(struct nodes *ns, const json_t *object, uint64_t mark, int64_t now,
    struct node **ret) _mustcheck_;
/* The Node object is gone. */
void node_gone(struct node *n, int64_t now);

/* Remembers an approval, which is later than all that is known; key is NULL but for a first
 * client certificate. */
int node_approved(
    struct node *n, const uint8_t *key, const char *csr, int64_t at) _mustcheck_;
/* An approval came to nothing: it does not count, and its key lets go of the name unless
 * another approval of the same key stands. */
void node_approval_failed(struct node *n, const uint8_t *key);
/* How many of the last ones are younger than seconds; those of a clock that was ahead by
 * more than that do not count. */
unsigned node_approvals_within(
    const struct node_approvals *l, int64_t now, int64_t seconds);
