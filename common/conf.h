/*
 * YAML files decoded through tables into structs, and printed back.
 *
 * A daemon describes each of its tables once, as an array of struct conf_field: key,
 * type, place in the struct, default.  conf_decode() fills the struct and refuses what
 * the tables do not allow, with file, line, column, the offending key and what would be
 * right; conf_print() writes the effective configuration as YAML that decodes to the
 * same again; conf_deinit() frees what decoding allocated.
 *
 * A key whose value is null (~, null, nothing) counts as absent.  An absent key takes
 * its default; an absent table without one is decoded as an empty table, so that its
 * own defaults hold, unless a key in it is required: then it stays zeroed.
 */
#pragma once

#include "common/base.h"
#include "common/conf_doc.h"
#include "common/err.h"
#include "common/str.h"

struct conf_type;

struct conf_field {
	const char *key;
	const struct conf_type *type;
	size_t offset;
	/* YAML text decoded when the key is absent; NULL leaves the zeroed field alone,
	 * which means "derived" or "not set". */
	const char *def;
	bool required;
	/* For numbers, durations and sizes, or the elements of a list of them; 0: no
	 * bound. A key without a default may be absent, which is 0, whatever the
	 * bounds. */
	uint64_t min, max;
};

/* A list in a struct.  set tells an empty list that was written ([]) from none. */
struct conf_list {
	void *items; /* n elements of the element type's size, contiguous */
	size_t n;
	bool set;
};
#define conf_list_items(list, type) ((type *)(list)->items)

/*
 * A type: how a node becomes bytes in a struct, and back.  The scalars below cover most
 * needs; a daemon may define its own with these functions.
 */
struct conf_type {
	const char *what; /* "a duration such as 30s", for errors */
	size_t size;
	/* Reads n, which is never null, into out, which is zeroed.  f (the key, for
	 * errors and bounds) may be NULL.  What a failed parse leaves in out must suit
	 * deinit. */
	int (*parse)(const struct conf_type *t, const struct conf_field *f,
	    const struct conf_node *n, void *out, struct err *e);
	/* Appends the value as a YAML flow node or scalar, or as a block through
	 * conf_table_print() and conf_list_print(); NULL: not printed. */
	void (*print)(
	    const struct conf_type *t, const void *in, int indent, struct str *out);
	void (*deinit)(const struct conf_type *t, void *in); /* may be NULL */
	/* The value is "not set" and left out when printing; may be NULL.  Zeroed
	 * values of keys without a default are left out in any case. */
	bool (*is_unset)(const struct conf_type *t, const void *in);
	const void *aux; /* enum names, element type, fields of a table */
	bool block;      /* prints as a block, and so do lists of it */
};

/*
 * What a scalar is in the struct:
 *   conf_string     char *, owned; NULL when not set
 *   conf_bool       bool
 *   conf_uint       uint64_t
 *   conf_uint_auto  uint64_t; 0 stands for "auto"
 *   conf_duration   uint64_t milliseconds: 500ms 30s 5m 1h 7d
 *   conf_size       uint64_t bytes: 512 64KiB 64MiB 1GiB
 *   conf_ip         struct net_ip
 *   conf_cidr       struct net_cidr
 *   conf_endpoint   struct net_endpoint, port required
 */
extern const struct conf_type conf_string, conf_bool;
extern const struct conf_type conf_uint, conf_uint_auto, conf_duration, conf_size;
extern const struct conf_type conf_ip, conf_cidr, conf_endpoint;
/* clang-format off */
/* int; aux is a NULL-terminated list of words, the value is the index. */
#define CONF_ENUM(words)                                                        \
	{ .what = "one of the words", .size = sizeof(int),                      \
	    .parse = conf_enum_parse, .print = conf_enum_print, .aux = (words) }
/* struct conf_list of the element type; a lone scalar is a list of one. */
#define CONF_LIST(elem)                                                         \
	{ .what = "a list", .size = sizeof(struct conf_list),                   \
	    .parse = conf_list_parse, .print = conf_list_print,                 \
	    .deinit = conf_list_deinit, .is_unset = conf_list_is_unset,         \
	    .aux = (elem) }
/* A nested struct; aux is its fields. */
#define CONF_TABLE(type, fields)                                                \
	{ .what = "a table of settings", .size = sizeof(type),                  \
	    .parse = conf_table_parse, .print = conf_table_print,               \
	    .deinit = conf_table_deinit, .aux = (fields), .block = true }
#define CONF_END { .key = NULL }
/* clang-format on */

typedef int conf_parse_fn(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e);
typedef void conf_print_fn(
    const struct conf_type *t, const void *in, int indent, struct str *out);
typedef void conf_deinit_fn(const struct conf_type *t, void *in);
typedef bool conf_unset_fn(const struct conf_type *t, const void *in);
conf_parse_fn conf_enum_parse, conf_list_parse, conf_table_parse;
conf_print_fn conf_enum_print, conf_list_print, conf_table_print;
conf_deinit_fn conf_list_deinit, conf_table_deinit;
conf_unset_fn conf_list_is_unset;

/* For types of one's own: the scalar's text, or an error that says what t wants. */
int conf_want_scalar(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, const char **ret, struct err *e) _mustcheck_;
/* conf_err() with the key in front of the sentence; f may be NULL. */
int conf_field_err(const struct conf_field *f, const struct conf_node *n, struct err *e,
    const char *fmt, ...) _printf_(4, 5);

/* Decodes the document's top table; out must be zeroed.  On failure out holds nothing.
 */
int conf_decode(const struct conf_doc *doc, const struct conf_field *fields, void *out,
    struct err *e) _mustcheck_;
/* Fills out as an empty document would: defaults only. */
int conf_defaults(
    const struct conf_field *fields, void *out, struct err *e) _mustcheck_;
void conf_print(const struct conf_field *fields, const void *in, struct str *out);
void conf_deinit(const struct conf_field *fields, void *out);
/* Quotes s as a YAML scalar where that is needed. */
void conf_print_string(const char *s, struct str *out);
