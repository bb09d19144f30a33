/* Byte ranges (RFC 9110 section 14), judged as nginx judges them. */
#pragma once

#include "common/base.h"

struct http_range {
	uint64_t offset, length;
};

/*
 * Decodes a Range header for a representation of size bytes.  Returns
 *   206  with *n >= 1 ranges, clipped to the size, in the order asked for;
 *   200  when the header is to be ignored: another unit, more than max ranges, more
 *        bytes in all than the whole has, nothing to cut from;
 *   416  when it is malformed or no range lies within.
 */
int http_range_parse(const char *value, uint64_t size, struct http_range *ranges,
    unsigned max, unsigned *n);
