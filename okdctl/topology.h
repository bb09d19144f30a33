/*
 * What cluster.yaml is made from, as text: options, answers, an existing file.  Whether
 * it makes sense is cluster_parse()'s business alone.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "okdctl/words.h"

struct cluster;

struct topology_node {
	char *name, *role, *mac, *interface, *disk; /* NULL: not given */
	struct words addresses, kargs;
};

struct topology {
	char *name, *base_domain, *bastion_name, *gateway; /* NULL: not given */
	struct words bastion, networks, ingress, upstream, etcd;
	struct topology_node *nodes;
	size_t n_nodes;
};

void topology_deinit(struct topology *t);
/* Takes over what a cluster says; t must be zeroed. */
int topology_from_cluster(struct topology *t, const struct cluster *c) _mustcheck_;
/*
 * Adds the node of "name=m,role=master,address=10.0.0.3[,mac=,interface=,disk=]"; a node
 * of that name is replaced.  address and karg may occur several times.  -EINVAL with a
 * sentence.
 */
int topology_add_node(
    struct topology *t, const char *text, struct err *err) _mustcheck_;
/* Forgets the nodes of that name. */
void topology_remove_node(struct topology *t, const char *name);
/* Sets a word that may have one already: 0 or -ENOMEM. */
int topology_set(char **word, const char *value) _mustcheck_;
/* cluster.yaml with comments. */
void topology_print(const struct topology *t, struct str *out);
