/*
 * A node's own config: nodes/<name>.ign, or nodes/<name>.yaml, which is an Ignition config
 * in another notation, plain scalars typed as in YAML's core schema.  Whatever is wrong
 * with it has its place in the file that somebody wrote.
 */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/err.h"
#include "common/str.h"
#include "ignd/file.h"
#include "ignd/ignition.h"

#define FRAGMENT_SUFFIXES 2
extern const char *const fragment_suffixes[FRAGMENT_SUFFIXES]; /* in order of weight */

struct fragment {
	struct str json;     /* validated; empty where there is no such file */
	struct str warnings; /* lines of "line:column: text" */
};

void fragment_deinit(struct fragment *f);
/* Whether there is such a file, readable or not. */
bool fragment_exists(
    struct root *nodes, const struct cluster_node *n, const char *suffix);
/* Reads the node's file with that suffix for a config of the role's version, which it must
 * not be newer than, and has when it names none.  -EINVAL with e for what a node would
 * refuse, -errno with e for what cannot be read, -ENOMEM. */
int fragment_read(struct fragment *ret, struct root *nodes,
    const struct cluster_node *n, const char *suffix, const struct ignition *role,
    struct err *e) _mustcheck_;
/* The same from memory. */
int fragment_parse(struct fragment *ret, const char *name, const char *text, size_t n,
    const struct ignition *role, struct err *e) _mustcheck_;
