/*
 * Records on their way into a zone: collected from several sources, then sorted, merged
 * by the sources' ranks and compiled.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "dnsd/name.h"
#include "dnsd/zone.h"

/* Whose records win: for one name and type only those of the lowest rank count. */
enum records_rank {
	RECORDS_STATIC,  /* written by a person in dnsd.yaml */
	RECORDS_HOSTS,   /* ... in hosts files */
	RECORDS_STORE,   /* ... in the embedded store */
	RECORDS_ETCD,    /* ... in etcd */
	RECORDS_DERIVED, /* follows from cluster.yaml */
};

struct records;

int records_new(struct records **ret) _mustcheck_;
struct records *records_free(struct records *r);
DEFINE_FREEP(records)

/* One record; a repeated one counts once. */
int records_add(struct records *r, enum records_rank rank, const struct name_buf *name,
    uint16_t type, uint32_t ttl, const void *rdata, size_t n) _mustcheck_;
/* A line of a zone file, any type that ldns knows; names without a final dot are below
 * origin.  -EINVAL with a sentence that quotes the line (no place: the caller knows
 * it). */
int records_add_line(struct records *r, enum records_rank rank, const char *line,
    const char *origin, uint32_t default_ttl, struct err *e) _mustcheck_;
/* The rest of such a line, behind the owner, as one that means the same below the root: 0,
 * with out left empty where it does already. */
int records_whole_rest(const char *rest, const char *origin, uint32_t default_ttl,
    struct str *out, struct err *e) _mustcheck_;
/* A whole file of such lines; blank ones and comments (;) are skipped. */
int records_add_file(struct records *r, enum records_rank rank, const char *path,
    const char *origin, uint32_t default_ttl, struct err *e) _mustcheck_;
/* Puts all into a zone under construction.  The TTL of an RRset is the lowest of its
 * records' (RFC 2181, 5.2); a CNAME beside other data of its rank is an error. */
int records_build(struct records *r, struct zone_edit *zone, struct err *e) _mustcheck_;
/* A record of those that were added. */
struct records_one {
	uint32_t ttl;
	uint16_t type, n;
	const uint8_t *rdata;
};
bool records_get(const struct records *r, size_t i, struct records_one *one);
/* Adds what from has for a name; from was built before. */
int records_copy(struct records *r, const struct records *from,
    const struct name_buf *name) _mustcheck_;
/* Empties it, but keeps the memory. */
void records_reset(struct records *r);
/* Calls fn for each name once; r was built before. */
int records_names(const struct records *r,
    int (*fn)(const struct name_buf *name, void *arg), void *arg);
/* No TTL is more than that, in seconds, in what is built. */
void records_limit_ttl(struct records *r, uint32_t max);
size_t records_count(const struct records *r);
