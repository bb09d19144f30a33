/*
 * A node's own configuration: the role's config and the node's bits behind it, as two
 * entries of ignition.config.merge (append in spec 2) with data: URLs.  A later entry
 * wins over an earlier one, and a merged config over the one that merges it, so that the
 * node's bits must be an entry of their own.  Nothing is fetched over the network.
 */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/err.h"
#include "common/str.h"
#include "ignd/conf.h"
#include "ignd/file.h"
#include "ignd/ignfile.h"

/* Whether the node has bits of its own: a file nodes/<name>.ign or .yaml, or a host name
 * file to be made. */
bool merge_wanted(
    const struct ignd_conf *c, struct root *nodes, const struct cluster_node *n);
/* Appends the merged config, which has been validated and keeps the role's spec version.
 * -EINVAL with e for bits that a node would refuse, -ENOMEM. */
int merge_build(struct str *out, const struct ignd_conf *c, struct root *nodes,
    const struct cluster_node *n, const struct ignfile *role,
    struct err *e) _mustcheck_;
