/*
 * What the API server answers, as JSON.  Whoever may make an object also chooses texts in
 * it that nobody here reads (annotations, managedFields): none of them may make what it is
 * among unreadable.
 */
#pragma once

#include <jansson.h>

#include "common/str.h"

/*
 * Parses a text, which is changed: a zero character (\u0000), which jansson does not take
 * and C would end a string at, becomes U+FFFD; what lies deeper than JSON_MAX_DEPTH is
 * emptied.  NULL for what is no JSON.
 */
json_t *answer_parse(struct str *text);
