/* Content-Range of an upload's chunk, and the n= and last= of a listing.  Pure. */
#pragma once

#include "common/base.h"

/* "first-last", both inclusive, as the distribution spec has it (no "bytes "); the form
 * of RFC 9110 ("bytes first-last/size") is taken too.  0 or -EINVAL. */
int span_parse(const char *s, uint64_t *first, uint64_t *last) _mustcheck_;
