/* The path of a request target: decoding and normalisation (RFC 3986 section 6.2.2). */
#pragma once

#include <sys/types.h>

#include "common/base.h"

/*
 * Decodes the path of a target ("/path?query") into out: percent-encoding undone, "//"
 * merged, "." and ".." resolved, also where these come encoded.  *query points behind the
 * "?" in the target, or is NULL.  Returns the length (out is NUL-terminated and starts
 * with "/"), -EINVAL for a bad or zero escape and for a path that leads above the root,
 * -ENOSPC when out is too small (strlen(target) + 1 is always enough).
 */
ssize_t http_path_decode(
    const char *target, char *out, size_t size, const char **query) _mustcheck_;

/* The value of two hexadecimal digits, or -1. */
int http_hex_pair(const char *p);
