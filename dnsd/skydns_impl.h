/* The tree, for skydns.c and skydns_records.c alone. */
#pragma once

#include "common/htable.h"
#include "dnsd/skydns.h"

#define SKYDNS_SEARCHED 100000 /* values below a wildcard that are looked at */

struct skydns_node {
	struct hnode node; /* by parent and label */
	struct skydns_node *parent;
	struct list_link sibling, children, changed;
	struct skydns_value *value; /* NULL: none */
	uint32_t generation;
	uint32_t n_values; /* here and below */
	uint8_t len;
	char label[];
};

/* The values of a name, with where they stand. */
struct skydns_found {
	const struct skydns_node *nodes[SKYDNS_UNION + 1];
	unsigned depth[SKYDNS_UNION + 1]; /* below the name */
	size_t n;
	bool reverse; /* the name is below in-addr.arpa or ip6.arpa */
};

struct skydns {
	struct htable nodes;
	struct list_link changed;
	char *path;
	enum records_rank rank;
	enum skydns_place (*place)(const struct name_buf *name, void *arg);
	void *arg;
	size_t n_values;
	struct name_buf *zones;
	size_t n_zones;
	bool hidden;
	struct skydns_found *found; /* of the name at hand, lest each allocates one */
	/* What skydns_changed() tells of, which is asked for its records at once. */
	struct {
		const struct name_buf *name;
		const struct skydns_node *node;
	} at_hand;
	struct skydns_node root;
};

struct skydns_node *skydns_child(const struct skydns *s,
    const struct skydns_node *parent, const char *label, size_t n);
bool skydns_is_line(const struct skydns_node *n);
/* False for a node that is no name. */
bool skydns_name(const struct skydns_node *n, struct name_buf *b);
