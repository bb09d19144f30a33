/*
 * Records as SkyDNS and CoreDNS keep them in etcd, in a tree of names: the key
 * /skydns/com/example/okd/api is api.okd.example.com, its value a JSON object (host, port,
 * priority, weight, text, mail, ttl, targetstrip, group) or, in the embedded store, the
 * rest of a zone file's line.
 *
 * A name answers with its own record and those of everything below it, so that
 * .../etcd/x1 and .../etcd/x2 are two records of one name.  Exceptions: apexes and what is
 * above them; numbers below reverse names, which are names of their own; and names with
 * more than SKYDNS_UNION records below them.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/list.h"
#include "dnsd/name.h"
#include "dnsd/records.h"

#define SKYDNS_UNION 1000
#define SKYDNS_TTL 300 /* of values that tell none */

/* What a name is to the zones. */
enum skydns_place {
	SKYDNS_BELOW, /* united with what is below it */
	SKYDNS_ABOVE, /* above an apex: its own records alone */
	/* ... and those of apex.dns below it, and an NS record for each address of ns.dns */
	SKYDNS_APEX,
};

struct skydns;
struct skydns_node;

/* One value, parsed. */
struct skydns_value {
	uint32_t ttl;
	int32_t port; /* -1: none to be told */
	uint16_t priority, weight, targetstrip;
	bool mail;
	uint16_t type, rdlen; /* of a line's record; type 0 for JSON */
	struct net_ip ip;     /* family 0: host is a name, or empty */
	/* Never NULL; host is empty beside an address. */
	const char *host, *text, *group;
	uint8_t data[]; /* a line's rdata, or those strings */
};

/* -EINVAL with a sentence. */
int skydns_value_new(
    struct skydns_value **ret, const char *text, size_t n, struct err *e) _mustcheck_;

/* path: "/skydns".  place() tells of apexes beside the zones of skydns_set_zones(). */
int skydns_new(struct skydns **ret, const char *path, enum records_rank rank,
    enum skydns_place (*place)(const struct name_buf *name, void *arg),
    void *arg) _mustcheck_;
struct skydns *skydns_free(struct skydns *s);
DEFINE_FREEP(skydns)

/*
 * Puts the value at a key, or takes it away (text NULL).  -EINVAL with a sentence when key
 * or value is none; a bad value counts as absent.  generation marks the key for
 * skydns_prune().
 */
int skydns_put(struct skydns *s, const char *key, size_t key_len, const char *text,
    size_t n, uint32_t generation, struct err *e) _mustcheck_;
/* What skydns_put() would say, without doing it. */
int skydns_check(const struct skydns *s, const char *key, size_t key_len,
    const char *text, size_t n, struct err *e) _mustcheck_;
/* The TTL of the value at a key is at most that, in seconds; no key, no harm. */
void skydns_limit_ttl(struct skydns *s, const char *key, size_t key_len, uint32_t max);
const char *skydns_path(const struct skydns *s);
/* Takes away all keys that were not put with this generation; returns how many. */
size_t skydns_prune(struct skydns *s, uint32_t generation);
size_t skydns_count(const struct skydns *s); /* values */

/* Only names in these zones have records; n 0: all have.  Takes the list, and returns the
 * one before. */
struct name_buf *skydns_set_zones(struct skydns *s, struct name_buf *zones, size_t n);
/* While it is hidden, no name has records. */
void skydns_hide(struct skydns *s, bool hidden);
/* All names whose records may have changed.  fn gets each once; skydns_records() tells its
 * records.  They count as changed until skydns_settle(), so that a change which came to
 * nothing can be made again. */
int skydns_changed(
    struct skydns *s, int (*fn)(const struct name_buf *name, void *arg), void *arg);
/* Nothing counts as changed any more, and what is empty is freed. */
void skydns_settle(struct skydns *s);
bool skydns_has_changes(const struct skydns *s);
/* Every name counts as changed. */
void skydns_touch_all(struct skydns *s);
/* Adds the records that a name with * or any among its labels stands for: those of keys as
 * long as it, or longer, whose labels are the others (SkyDNS). */
int skydns_wildcard(const struct skydns *s, const struct name_buf *name,
    struct records *to) _mustcheck_;
/* Adds the records of a name. */
int skydns_records(const struct skydns *s, const struct name_buf *name,
    struct records *to) _mustcheck_;
