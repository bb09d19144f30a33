/* Nodes in the text of a cluster.yaml that a person wrote: every other byte stays. */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

/*
 * Both append to out, and say what is wrong with a text by name, its file's.  -EINVAL where
 * the text is written in a way that this does not see through.
 */
/* The text with one more node behind the others: its name, and its line "{name: ...}". */
int node_text_add(const char *name, const char *text, size_t n, const char *node,
    const char *line, struct str *out, struct err *err) _mustcheck_;
/* The text without the node of that name: -ENOENT when there is none. */
int node_text_remove(const char *name, const char *text, size_t n, const char *node,
    struct str *out, struct err *err) _mustcheck_;
