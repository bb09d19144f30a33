/*
 * A YAML file as a tree of nodes that know where they stand.
 *
 * Bounds on what a file may hold: 1 MiB, 64 levels, 100000 nodes after aliases are
 * expanded, 1000 anchors.  Refused with a sentence: duplicate keys, more than one
 * document, merge keys (<<), tags, bytes that are no UTF-8, control characters and NUL.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

#define CONF_MAX_BYTES ((size_t)1 << 20)
#define CONF_MAX_DEPTH 64
#define CONF_MAX_NODES 100000

struct conf_doc;  /* a parsed file */
struct conf_node; /* a node of it, with its position; lives as long as the document */

/* 0, -ENOENT without a word in e when the file does not exist, or -errno with one. */
int conf_doc_load(struct conf_doc **ret, const char *path, struct err *e) _mustcheck_;
/* The same from memory; name stands for the file in errors. */
int conf_doc_parse(struct conf_doc **ret, const char *name, const char *text, size_t n,
    struct err *e) _mustcheck_;
struct conf_doc *conf_doc_free(struct conf_doc *doc);
DEFINE_FREEP(conf_doc)
/* The top node; an empty document is an empty table. */
const struct conf_node *conf_doc_root(const struct conf_doc *doc);

/* Looking into a document by hand: NULL where there is no such thing, or no table. */
const struct conf_node *conf_get(const struct conf_node *table, const char *key);
/* The text of a scalar, in UTF-8 and without a NUL in it; NULL for anything else. */
const char *conf_scalar(const struct conf_node *n);
/* A scalar without quotes: only these can be null or a boolean. */
bool conf_is_plain(const struct conf_node *n);
/* ~, null or nothing at all, which counts as if the key were absent; true for NULL. */
bool conf_is_null(const struct conf_node *n);
bool conf_is_list(const struct conf_node *n);
bool conf_is_table(const struct conf_node *n);
/* A lone scalar is a list of one, null and a table are lists of none. */
size_t conf_list_len(const struct conf_node *list);
const struct conf_node *conf_list_at(const struct conf_node *list, size_t i);
/* The pairs of a table in the file's order; NULL past the last one. */
const struct conf_node *conf_key_at(const struct conf_node *table, size_t i);
const struct conf_node *conf_value_at(const struct conf_node *table, size_t i);
/* The line of a node, from 1. */
unsigned conf_line(const struct conf_node *n);
/* Fills e with the node's place; returns -EINVAL. */
int conf_err(const struct conf_node *n, struct err *e, const char *fmt, ...)
    _printf_(3, 4);

/* The text as errors show it: shortened, and harmless in a log. */
#define CONF_SHOW_MAX 80
const char *conf_show_text(const char *s, char buf[CONF_SHOW_MAX]);
#define conf_show(s) conf_show_text((s), (char[CONF_SHOW_MAX]){ "" })
