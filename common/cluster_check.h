/* What cluster.yaml must obey beyond the types of its values. */
#pragma once

#include "common/cluster.h"

/* Checks a decoded cluster, of which nothing is derived yet, against itself; root is
 * where it was decoded from, for the places.  -EINVAL with e at the first fault;
 * oddities go to warnings unless that is NULL. */
int cluster_check(const struct cluster *c, const struct conf_node *root,
    struct str *warnings, struct err *e) _mustcheck_;
