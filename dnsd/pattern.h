/*
 * A pattern for names, as CoreDNS's templates have them: matched anywhere in the
 * lower-cased name with its final dot.  Those of the form .*literal$ or literal$ are a
 * comparison of the name's end; others are PCRE2's, compiled to machine code where memory
 * may be written and executed, else interpreted; a limit on steps bounds both.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "dnsd/name.h"

#define PATTERN_GROUPS 16 /* the whole match included; what is beyond is not told */

struct pattern;

int pattern_new(struct pattern **ret, const char *text, struct err *e) _mustcheck_;
struct pattern *pattern_free(struct pattern *p);
DEFINE_FREEP(pattern)

/* True for one that pattern_match_end() decides. */
bool pattern_is_end(const struct pattern *p);
bool pattern_match_end(const struct pattern *p, const struct name_buf *name);
/* Matches any pattern against a name in text, which is n bytes long; fills up to max
 * pairs of offsets and returns how many groups there are, 0 without a match.  The first
 * match of a thread allocates. */
unsigned pattern_match(
    const struct pattern *p, const char *text, size_t n, size_t *groups, unsigned max);
/* The number of a named group, or -1. */
int pattern_group(const struct pattern *p, const char *name);
