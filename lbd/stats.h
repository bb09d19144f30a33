/*
 * The figures of every frontend, backend and server at one moment, for whoever shows
 * them: the page, CSV, JSON, metrics, the CLI.
 */
#pragma once

#include <jansson.h>

#include "lbd/snapshot.h"

enum stats_type { STATS_FRONTEND, STATS_BACKEND, STATS_SERVER };

struct stats_row {
	enum stats_type type; /* HAProxy's column "type" */
	const char *proxy, *name;
	unsigned iid, sid; /* HAProxy's numbers: of the proxy, of the server in it */
	char status[HEALTH_TEXT_MAX];
	unsigned queue, queue_max, sessions, sessions_max, rate, rate_max;
	uint64_t limit; /* 0: none */
	uint64_t total, connections, in, out, denied, bad, errors, retries,
	    redispatches, client_aborts, server_aborts;
	int64_t last_session;                    /* seconds ago, -1: never */
	uint64_t queue_ms, connect_ms, total_ms; /* averages over sessions */
	uint64_t changed_s, downtime_s;
	/* of a server, or summed up for a backend */
	unsigned weight, active, backup, downs;
	bool up;
	/* of a server alone */
	const struct server_live *live;
	char moved[NET_ENDPOINT_MAX]; /* where it was sent by hand; "": it was not */
	const struct server_conf *server;
	/* of a backend and its servers */
	const struct backend_conf *backend;
};

struct stats {
	size_t n;
	struct stats_row *rows;
};

/* Each frontend with its backend behind it, in the file's order.  The rows point into
 * the snapshot.  0 or -ENOMEM. */
int stats_gather(struct stats *ret, const struct snapshot *snap) _mustcheck_;
void stats_deinit(struct stats *s);
/* Where a server's connections go: as the file has it, else where they were sent by
 * hand. */
const char *stats_address(const struct stats_row *r);
/* HAProxy's word for a backend or frontend's state is in status; these colour it:
 * "up", "going-down", "going-up", "down", "drain", "maint", "nocheck". */
const char *stats_colour(const struct stats_row *r);
/* Every frontend has a server that can be used; else names those that do not. */
bool stats_usable(const struct snapshot *snap, struct str *reasons);

/* HAProxy's CSV (its management manual, 9.1), without the columns after "-". */
void stats_csv(const struct stats *s, struct str *out);
/* Members "frontends" and "backends", these with their servers. */
void stats_json(const struct stats *s, json_t *obj);
/* HAProxy's exporter's metrics, and okd_lbd_*. */
void stats_metrics(const struct stats *s, const struct snapshot *snap, struct str *out);
/* The table as HTML, and the page around it. */
void stats_page(const struct stats *s, const struct snapshot *snap, const char *state,
    struct str *out);
