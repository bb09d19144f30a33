/* Nodes in the text of a cluster.yaml that a person wrote: every other byte stays. */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

/* Appends the text with one more node (a line of it, "{name: ...}") behind the others. */
int node_text_add(const char *name, const char *text, size_t n, const char *node,
    struct str *out, struct err *err) _mustcheck_;
/* Appends the text without the node of that name: -ENOENT when there is none. */
int node_text_remove(const char *name, const char *text, size_t n, const char *node,
    struct str *out, struct err *err) _mustcheck_;
