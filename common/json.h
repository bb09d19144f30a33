/*
 * Small helpers over jansson: bounded loading with the place of a fault, looking up, and
 * compact output.  Those that look up take NULL and give NULL, so that they nest.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

#define JSON_MAX_DEPTH 64

static inline void json_freep(json_t **p)
{
	json_decref(*p);
	*p = NULL;
}

/* Parses one document of at most JSON_MAX_DEPTH levels; flags are jansson's, and
 * JSON_REJECT_DUPLICATES is worth giving where the text decides about access.  -EINVAL
 * with e: name (NULL for none) as the file, line and column, and what is wrong. */
int json_load_limited(json_t **ret, const char *name, const char *text, size_t n,
    size_t flags, struct err *e) _mustcheck_;

/* The string under a key of an object; NULL when there is none. */
const char *json_str(const json_t *obj, const char *key);
/* What lies below obj under the keys in turn, which end with NULL; borrowed. */
json_t *json_path(const json_t *obj, ...) __attribute__((sentinel));
/* An integer, or one in a string as protobuf writes its 64-bit numbers: 0, -ENOENT for
 * NULL, -EINVAL or -ERANGE. */
int json_i64(const json_t *v, int64_t *ret) _mustcheck_;

/* Appends v without blanks, keys in their order: 0, -ENOMEM, or -EINVAL when v has a
 * cycle or more levels than jansson allows. */
int json_dump_str(const json_t *v, struct str *out) _mustcheck_;
