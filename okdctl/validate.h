/*
 * Ignition files on this disk, judged by okd-ignd's own parser: nothing has to run, and
 * nothing is published yet.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/str.h"

/* The bytes that a file may have. */
#define VALIDATE_MAX ((size_t)32 << 20)

/* Reads a plain file, or one that a link names: -EINVAL for anything else, since a pipe
 * would be waited for. */
int validate_read(const char *path, struct str *out) _mustcheck_;
/*
 * What okd-ignd would say of the text, in the shape of its status: name, state ("good" or
 * "bad"), error with line and column, version, bytes, warnings a line each, and
 * certificates with their state at the time now.  NULL without memory.
 */
json_t *validate_text(const char *name, const char *text, size_t n, int64_t now);
/* May a node start from it, as such an object has it?  The reason it may not, NULL if it
 * may; borrowed from v. */
const char *validate_reason(const json_t *v);
