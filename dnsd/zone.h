/*
 * What dnsd knows: an immutable snapshot of names and their answers.
 *
 * Names are found through a hash trie of 64 ways that is copied along the path of a
 * change, so that a change among a million names costs microseconds and a reader of the
 * snapshot before it notices nothing.  Lookups neither allocate nor lock.  Each name
 * holds its RRsets as they go out on the wire, with a pointer to the question as their
 * owner. Ancestors of a name exist as names without records (empty non-terminals, RFC
 * 4592).
 *
 * A zone has apexes: the domains for which it is authoritative, each with an SOA
 * record. A name with records outside of them is answered too, as an island of its own.
 *
 * Lineage: zone_edit_new(base) ... zone_edit_commit() makes the next snapshot out of
 * the base, which it shares most of its memory with.  Once no reader holds the base any
 * more, zone_release(base) frees what was replaced.  zone_free() ends the newest
 * snapshot, and with it the lineage.  Only one edit of a snapshot may be committed.
 */
#pragma once

#include "common/base.h"
#include "dnsd/name.h"

#define ZONE_NO_APEX UINT16_MAX
/* What the records of an RRset may take on the wire, for a reply to hold them. */
#define ZONE_SET_MAX (DNS_MESSAGE_MAX - DNS_HEADER - DNS_NAME_MAX - 4 - DNS_OPT_LEN)
#define ZONE_RECORD_HEAD 12u /* of each, before its data */

/* One RRset of a name: count records, len bytes at the name's address plus off.  Each
 * record's owner is the pointer 0xC00C; names in rdata are not compressed. */
struct zone_set {
	uint16_t type, count;
	uint32_t off, len;
};

struct zone_name {
	uint64_t hash;
	uint32_t generation; /* of the edit that made it */
	uint32_t n_children; /* names one label below */
	uint16_t apex;       /* index of the apex above or at it, or ZONE_NO_APEX */
	uint16_t n_sets;
	uint8_t len;         /* of its wire format */
	bool wildcard_below; /* "*" is among the children */
	bool at_apex;
	struct zone_set sets[]; /* then the wire name, then the records */
};

static inline const uint8_t *zone_name_wire(const struct zone_name *n)
{
	return (const uint8_t *)(n->sets + n->n_sets);
}

static inline const uint8_t *zone_set_wire(
    const struct zone_name *n, const struct zone_set *s)
{
	return (const uint8_t *)n + s->off;
}

/* An SOA record, owner included, in which pointers to the apex are to be filled in. */
struct zone_apex {
	uint8_t len; /* of its name */
	uint8_t name[DNS_NAME_MAX];
	uint16_t soa_len;
	uint16_t pointers[3]; /* offsets in soa of up to three pointers, 0-terminated
			       * after the first */
	uint8_t soa[2 * DNS_NAME_MAX + 40];
};

struct zone_node; /* of the trie */

struct zone {
	struct zone_node *root;
	struct zone_apex *apexes;
	uint16_t n_apexes;
	uint32_t generation;
	size_t n_names, n_records;
	void **retired; /* what the next snapshot replaced */
	size_t n_retired;
};

/* The name in b from offset off on, or NULL. */
const struct zone_name *zone_find(
    const struct zone *z, const struct name_buf *b, size_t off);
/* Where a name that does not exist would hang: the nearest name that does, with its
 * offset in b; NULL when not even the root exists. */
const struct zone_name *zone_encloser(
    const struct zone *z, const struct name_buf *b, size_t *off);
/* "*" below a closest encloser, or NULL (RFC 4592, 3.3.1). */
const struct zone_name *zone_wildcard(
    const struct zone *z, const struct zone_name *above);

static inline const struct zone_set *zone_set_find(
    const struct zone_name *n, uint16_t type)
{
	for (unsigned i = 0; i < n->n_sets; i++)
		if (n->sets[i].type == type)
			return &n->sets[i];
	return NULL;
}

/* What goes in: rdata in wire format, names in it uncompressed. */
struct zone_rdata {
	const uint8_t *p;
	uint16_t n;
};

struct zone_rrset {
	uint16_t type;
	uint32_t ttl;
	size_t n;
	const struct zone_rdata *rdata;
};

struct zone_soa {
	struct name_buf mname, rname;
	uint32_t ttl; /* of the record and of negative answers alike (RFC 2308) */
	uint32_t serial, refresh, retry, expire;
};

/* Compiles an SOA record, for answers outside of a zone. */
void zone_apex_init(
    struct zone_apex *a, const struct name_buf *name, const struct zone_soa *soa);

struct zone_edit;

/* base NULL: the first of a lineage. */
int zone_edit_new(struct zone_edit **ret, struct zone *base) _mustcheck_;
/* Gives up: the base is as it was. */
struct zone_edit *zone_edit_free(struct zone_edit *e);
DEFINE_FREEP(zone_edit)
/* Before any name is put, in the first edit of a lineage: 0, -EEXIST, -ENOMEM. */
int zone_edit_apex(struct zone_edit *e, const struct name_buf *name,
    const struct zone_soa *soa) _mustcheck_;
/* Replaces all that a name has; n 0 takes it away.  SOA is the apex's and is not put.
 * After a failure the edit is only good for zone_edit_free().  0, -ENOMEM, -E2BIG when
 * it would not fit a message, -EXFULL in the case, not seen in practice, that its hash
 * is taken. */
int zone_edit_put(struct zone_edit *e, const struct name_buf *name,
    const struct zone_rrset *sets, size_t n) _mustcheck_;
/* Ends and frees the edit: the next snapshot, with the serial in its SOA records. */
struct zone *zone_edit_commit(struct zone_edit *e, uint32_t serial) _mustcheck_;

void zone_release(struct zone *base);
struct zone *zone_free(struct zone *z);
DEFINE_FREEP(zone)
