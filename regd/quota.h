/*
 * How much repositories may hold.  A blob that several hold counts whole in each of them,
 * so that what one deletes never pushes another over its bound, and once in the total.
 *
 * Whoever is sending learns early: before a byte when the length is known, else with the
 * byte that is too much.  What counts in the end is judged with the row, by the writer
 * (struct meta_limits), so that pushes at the same time cannot go over it together.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/conf.h"
#include "regd/meta.h"

struct conf;
struct regd;

struct quota {
	struct conf_list repositories; /* char *: patterns, see acl.h */
	uint64_t size;                 /* bytes of the blobs of each */
};

/* Pure.  The bounds of a repository: the least of the rules that fit it, and the total. */
void quota_limits(
    const struct conf *conf, const char *repository, struct meta_limits *ret);
/* Whether a pattern can fit any repository at all. */
bool quota_pattern_is_sane(const char *pattern);

/* Bytes that a push to the repository may bring, UINT64_MAX without a bound.  Blobs known
 * to be damaged do not count, so that they can be pushed again. */
uint64_t quota_room(struct regd *g, const char *repository);
/* {"limit","used"} of the total, NULL without such a bound. */
json_t *quota_total(struct regd *g);
/* [{"repositories","limit","fullest":{"repository","bytes"}}] */
json_t *quota_list(struct regd *g);
