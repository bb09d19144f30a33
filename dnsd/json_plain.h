/*
 * Reading JSON that is as plain as machines write it, without building values: objects and
 * arrays of scalars, strings of printable ASCII without escapes, integers of up to 18
 * digits.  Whatever else there is, right or wrong, is no plain JSON: false, and the caller
 * asks common/json.h, which knows all of it and has the sentences.
 */
#pragma once

#include <string.h>

#include "common/base.h"

struct json_plain {
	const char *p, *end;
};

enum json_plain_kind {
	JSON_PLAIN_STRING,
	JSON_PLAIN_INTEGER,
	JSON_PLAIN_TRUE,
	JSON_PLAIN_FALSE,
	JSON_PLAIN_NULL,
};

/* A piece of the text; of a string what is between the quotes. */
struct json_plain_span {
	const char *p;
	size_t n;
	enum json_plain_kind kind;
};

static inline bool json_plain_is(const struct json_plain_span *s, const char *text)
{
	return s->n == strlen(text) && memcmp(s->p, text, s->n) == 0;
}

bool json_plain_scalar(struct json_plain *j, struct json_plain_span *ret) _mustcheck_;
/* member() takes the value of each key, item() that of each place. */
bool json_plain_object(struct json_plain *j,
    bool (*member)(struct json_plain *j, const struct json_plain_span *key, void *arg),
    void *arg) _mustcheck_;
bool json_plain_array(struct json_plain *j,
    bool (*item)(struct json_plain *j, void *arg), void *arg) _mustcheck_;
/* Nothing follows. */
bool json_plain_end(struct json_plain *j) _mustcheck_;
