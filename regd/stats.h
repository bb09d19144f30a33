/* Counters of the registry, written by the loop alone. */
#pragma once

#include "common/metrics.h"
#include "regd/api_stats.h"

struct regd;

struct stats {
	struct counter pulls, pull_bytes; /* blobs sent whole or in part */
	struct counter manifest_gets;
	struct counter pushes, push_bytes; /* blobs made durable */
	struct counter manifest_puts, mounts, deletes;
	struct counter digest_mismatches, uploads_started, uploads_resumed;
	/* Requests refused for want of room, and by a quota. */
	struct counter refused_full, refused_quota;
	struct counter auth_failures, auth_hashes, auth_limited;
	struct counter tokens_issued, tokens_refused;
	struct counter upstream_blobs, upstream_bytes, upstream_manifests;
	struct counter upstream_failures;
	struct counter events_posted, events_failed, events_lost;
	struct counter scrubbed, scrub_bad;
	struct api_stats api;
};

void stats_metrics(struct regd *g, struct str *out);
