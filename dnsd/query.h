/*
 * From a query to its reply, without I/O, allocation or locks: what the workers call
 * for each message, and what unit tests and fuzzers reach.
 *
 * Local data are answered with AA (RFC 1035), names below our apexes that do not exist
 * with NXDOMAIN and SOA (RFC 2308), wildcards and empty non-terminals after RFC 4592,
 * ANY after RFC 8482, EDNS after RFC 6891.  What no local source knows is left to the
 * caller.
 */
#pragma once

#include <sys/socket.h>

#include "common/base.h"
#include "dnsd/answer_write.h"
#include "dnsd/name.h"
#include "dnsd/zone.h"

/* What the caller knows before the query is read. */
struct cookie_key;
struct stats;
struct templates;

struct query_env {
	const struct zone *zone;
	const struct templates *templates; /* NULL: none */
	struct stats *stats;         /* counts what templates do; NULL: nobody counts */
	const struct sockaddr *peer; /* who asks, for templates that want to know */
	const struct cookie_key *cookies; /* NULL: none are given */
	bool tcp;
	bool refuse;    /* who asks is not allowed to */
	bool wildcards; /* in questions mean something */
	bool recursion; /* RA: somebody will forward */
	bool rotate;    /* addresses and mail servers take turns in being the first */
};

#define QUERY_TARGETS 8

/* What was asked, valid as far as parsing got. */
struct query {
	uint16_t id, flags;   /* as they came */
	uint16_t type, class; /* 0 until the question was read */
	struct name_buf name;
	size_t question_end; /* offset in the message; DNS_HEADER without a question */
	bool edns, edns_do;
	uint8_t edns_version;
	uint16_t udp_size; /* the most that a reply may take */
	uint16_t bufsize;  /* what the client said that it takes */
	/* The client's cookie, and the server's as it is to be sent (RFC 7873). */
	uint8_t cookie[24];
	uint8_t cookie_len;   /* as it came: 0 without one */
	bool cookie_valid;    /* it is one that we gave to this client */
	uint16_t options_len; /* bytes of the reply's options, both of these together */
	uint16_t ederror_len;
	const uint8_t *ederror; /* an option with an extended error, the template's */
	/* Unless it is 0: the name from that offset on has one source for the replies about
	 * all names below it: a wildcard, a template, or that they do not exist. */
	uint8_t source_at;
	/* A chain of CNAMEs that leads out of our data: the offset in out of the name to
	 * ask an upstream for, 0 for none, and the end of what was written. */
	size_t chase_at, chase_end;
	/* A whole reply whose SRV or MX records lead out of our data: the offsets in out of
	 * the names whose addresses an upstream may know, at most so many. */
	uint16_t targets[QUERY_TARGETS];
	uint8_t n_targets;
	/* Of the reply, once there is one. */
	uint8_t rcode;
	uint16_t reply_flags; /* the second 16 bits of its header */
	uint16_t answers;     /* records in its answer section */
	size_t reply_len;
};

enum query_outcome {
	QUERY_SILENT,   /* no reply: too short, or itself a reply */
	QUERY_ANSWERED, /* reply_len bytes are in out */
	/* No local source knows the name: query_error() or an upstream.  Or the reply is
	 * in out, and query_targets() may add to it. */
	QUERY_FORWARD,
	QUERY_WILDCARD, /* a wildcard in the question: query_wildcard() */
};

/* Bytes that out has to have for UDP. */
#define QUERY_UDP_OUT DNS_UDP_MAX

/*
 * Answers the message of n bytes at in.  out has room for out_max bytes, at least
 * QUERY_UDP_OUT; it may be in itself, which saves copying the question.
 */
enum query_outcome query_answer(const struct query_env *env, struct query *q,
    const uint8_t *in, size_t n, uint8_t *out, size_t out_max);
/* The reply without records, for a query whose question is at in (or in out already).
 */
void query_error(const struct query_env *env, struct query *q, unsigned rcode,
    const uint8_t *in, uint8_t *out, size_t out_max);

/* The reply to what the caller cannot get the rest of: an error, or what is whole without. */
void query_give_up(const struct query_env *env, struct query *q, const uint8_t *in,
    uint8_t *out, size_t out_max);

/* The reply to a question with a wildcard, by the name that was made for it; NULL when there
 * is nothing that it stands for.  QUERY_FORWARD when it is somebody else's then. */
enum query_outcome query_wildcard(const struct query_env *env, struct query *q,
    const struct zone_name *found, const uint8_t *in, uint8_t *out, size_t out_max);

/* Instead of a reply to a client that gets too many: without records and with TC, or
 * BADCOOKIE for one that has a cookie, so that it comes back with a valid one. */
void query_limit(const struct query_env *env, struct query *q, const uint8_t *in,
    uint8_t *out, size_t out_max);

/* The message that the rest of the reply is made from: the query, or what is in out. */
static inline const uint8_t *query_begun(
    const struct query *q, const uint8_t *in, const uint8_t *out)
{
	return q->chase_at || q->n_targets ? out : in;
}

/* The reply, by an upstream's answer, to what was left to the caller.  in holds the
 * question and what was written of a chain; it may be out. */
void query_upstream(const struct query_env *env, struct query *q, const uint8_t *in,
    uint8_t *out, size_t out_max, const struct answer_aged *g);
/* Adds the addresses of the targets to the reply in out, by what upstreams answered about
 * each, as far as they fit. */
void query_targets(const struct query_env *env, struct query *q, uint8_t *out,
    size_t out_max, const struct answer_pair *pairs);
