/*
 * What dnsd counts.  Each worker has a struct stats that it alone writes; the main thread
 * reads them all and adds them up, under CoreDNS's metric names and our own.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/metrics.h"
#include "common/str.h"
#include "dnsd/query.h"
#include "dnsd/template.h"

enum stats_proto {
	STATS_UDP,
	STATS_TCP,
	STATS_N_PROTO,
};

enum {
	STATS_N_TYPE = 24,  /* those that have a name in stats.c, and "other" */
	STATS_N_RCODE = 25, /* the last is for those without a name in stats.c */
	STATS_N_SIZE = 16,  /* buckets of message sizes */
	STATS_N_DURATION = 17,
	STATS_N_UPSTREAM = 15,
	STATS_N_UPSTREAM_RCODE = 4, /* NOERROR, SERVFAIL, NXDOMAIN, and all others */
};

struct stats_sizes {
	struct counter buckets[STATS_N_SIZE], sum;
};

struct stats_durations {
	struct counter buckets[STATS_N_DURATION], sum_ns;
};

/* By the numbers of template.h, and by the question's type. */
struct stats_templates {
	struct counter matches[TEMPLATE_ZONES][STATS_N_TYPE];
	struct counter text_failed[TEMPLATE_LINES][STATS_N_TYPE];
	struct counter record_failed[TEMPLATE_LINES][STATS_N_TYPE];
};

struct stats {
	struct counter requests[STATS_N_PROTO][2][STATS_N_TYPE]; /* [][IPv6][] */
	struct counter do_requests;
	struct counter responses[STATS_N_RCODE];
	struct stats_sizes request_size[STATS_N_PROTO], response_size[STATS_N_PROTO];
	struct stats_durations duration;
	struct counter silent;    /* messages that get no reply: responses, runts */
	struct counter reflected; /* from ports that no resolver asks from */
	struct counter not_allowed;
	struct counter truncated;
	struct counter send_failed;
	struct counter rrl_dropped, rrl_slipped;
	struct counter tcp_accepted, tcp_rejected, tcp_timed_out;
	struct counter tcp_open;      /* right now */
	struct counter cache_hits[2]; /* success, denial */
	struct counter cache_misses, cache_stale, cache_prefetch;
	struct counter cache_entries, cache_bytes; /* right now */
	struct counter upstream_requests[STATS_N_UPSTREAM];
	struct counter
	    upstream_failed[STATS_N_UPSTREAM];          /* no reply, or no usable one */
	struct counter upstream_down[STATS_N_UPSTREAM]; /* workers that avoid it */
	struct counter upstream_probe_failed[STATS_N_UPSTREAM];
	struct stats_durations upstream_duration[STATS_N_UPSTREAM]
						[STATS_N_UPSTREAM_RCODE];
	struct counter forward_broken; /* questions for which no upstream is well */
	struct counter forward_merged, forward_wrong, forward_truncated,
	    forward_rejected, forward_expired;
	struct counter forward_waiting; /* questions on their way */
	struct stats_templates templates;
};

/* A message that was asked and answered. */
void stats_reply(struct stats *s, const struct query *q, enum stats_proto proto,
    bool v6, size_t request_len);
/* n messages that each took ns from their arrival to their reply. */
void stats_duration(struct stats *s, uint64_t ns, unsigned n);
/* Upstream i took ns for a usable reply. */
void stats_upstream_duration(
    struct stats *s, unsigned upstream, unsigned rcode, uint64_t ns);
/* A template of the zone matched a question, or the next name of its chain. */
void stats_template_match(struct stats *s, unsigned zone, uint16_t type);
/* A template's line could not be filled in; or it was, and is no record. */
void stats_template_failure(
    struct stats *s, unsigned line, uint16_t type, bool filled_in);
/* For another server in its place; whether it is down stays. */
void stats_forget_upstream(struct stats *s, unsigned upstream);
/* For other templates, whose numbers mean something else. */
void stats_forget_templates(struct stats *s);
/* A type's or rcode's name; NULL for those without one in our metrics. */
const char *stats_type_name(uint16_t type);
const char *stats_rcode_name(unsigned rcode);
/* Adds all workers' counters up. */
void stats_sum(struct stats *into, const struct stats *from);
void stats_metrics(const struct stats *sum, struct str *out);
struct stats_plugin {
	const char *name;
	bool enabled;
};
void stats_plugins_metrics(const struct stats_plugin *p, size_t n, struct str *out);
/* The same by the names that CoreDNS 1.6 has for what 1.7 and later call otherwise. */
void stats_old_metrics(
    const struct stats *sum, const char *const *to, size_t n, struct str *out);
/* Adds up those of a sum whose address is the same, as a series may be there but once:
 * returns how many are left. */
size_t stats_merge_upstreams(struct stats *sum, const char **to, size_t n);
/* Of upstream i, whose address is to. */
void stats_upstream_metrics(
    const struct stats *sum, const char *const *to, size_t n, struct str *out);
/* ts may be NULL. */
void stats_template_metrics(
    const struct stats *sum, const struct templates *ts, struct str *out);
void stats_status(const struct stats *sum, json_t *obj);
