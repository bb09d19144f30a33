/* Metrics: see stats.h.  Names beside okd_regd_* are the replaced registry's. */
#include "regd/stats.h"

#include "common/http_server.h"
#include "regd/meta.h"
#include "regd/pool.h"
#include "regd/regd.h"
#include "regd/server.h"
#include "regd/store.h"
#include "regd/upload.h"
#include "regd/writer.h"

static const struct row {
	const char *name, *help;
	size_t offset;
} rows[] = {
#define ROW(n, field, h)                                        \
	{                                                       \
		"okd_regd_" n, h, offsetof(struct stats, field) \
	}
	ROW("blob_pulls_total", pulls, "Blobs asked for by GET."),
	ROW("blob_pull_bytes_total", pull_bytes, "Sizes of the blobs asked for."),
	ROW("manifest_pulls_total", manifest_gets, "Manifests sent."),
	ROW("blob_pushes_total", pushes, "Blobs made durable."),
	ROW("blob_push_bytes_total", push_bytes, "Their sizes."),
	ROW("manifest_pushes_total", manifest_puts, "Manifests stored."),
	ROW("mounts_total", mounts, "Blobs mounted from another repository."),
	ROW("deletes_total", deletes, "Tags, manifests and blobs deleted."),
	ROW("digest_mismatches_total", digest_mismatches,
	    "Pushes whose bytes were not what their digest says."),
	ROW("uploads_started_total", uploads_started, "Upload sessions started."),
	ROW("uploads_resumed_total", uploads_resumed,
	    "Upload sessions found on disk and gone on with."),
	ROW("refused_full_total", refused_full, "Pushes refused for want of room."),
	ROW("refused_quota_total", refused_quota, "Pushes refused by a quota."),
	ROW("auth_failures_total", auth_failures, "Wrong users or passwords."),
	ROW("auth_hashes_total", auth_hashes, "Passwords hashed."),
	ROW("scrubbed_total", scrubbed, "Blobs read again and compared."),
	ROW("scrub_bad_total", scrub_bad, "Damaged blobs found by that."),
	ROW("auth_limited_total", auth_limited,
	    "Attempts refused without hashing: too many failures before."),
	ROW("upstream_blobs_total", upstream_blobs, "Blobs fetched from upstreams."),
	ROW("upstream_blob_bytes_total", upstream_bytes, "Their sizes."),
	ROW("upstream_manifests_total", upstream_manifests,
	    "Manifests fetched from upstreams."),
	ROW("upstream_failures_total", upstream_failures,
	    "Fetches that an upstream did not answer well."),
	ROW("event_posts_total", events_posted, "Envelopes that an endpoint took."),
	ROW("event_failures_total", events_failed,
	    "Envelopes that an endpoint did not take; they are tried again."),
	ROW("events_lost_total", events_lost,
	    "Events given up because an endpoint's queue was full."),
	ROW("tokens_issued_total", tokens_issued, "Bearer tokens given out."),
	ROW("tokens_refused_total", tokens_refused, "Bearer tokens that did not hold."),
};

static void http_metrics(const struct http_stats *h, struct str *out)
{
	static const char *const classes[] = { NULL, "1xx", "2xx", "3xx", "4xx",
		"5xx" };

	metric_family(out, "okd_regd_http_replies_total", METRIC_COUNTER,
	    "Replies by the class of their status.");
	for (size_t i = 1; i < ARRAY_SIZE(classes); i++)
		metric_value(out, "okd_regd_http_replies_total",
		    METRIC_LABELS("class", classes[i]), (double)h->by_class[i]);
	metric_single(out, "okd_regd_http_received_bytes_total", METRIC_COUNTER,
	    "Bytes of request bodies.", (double)h->received);
	metric_single(out, "okd_regd_http_sent_bytes_total", METRIC_COUNTER,
	    "Bytes of reply bodies.", (double)h->sent);
	metric_single(out, "okd_regd_http_connections", METRIC_GAUGE,
	    "Connections open.", h->connections);
	metric_single(out, "okd_regd_http_active_requests", METRIC_GAUGE,
	    "Requests under way.", h->active);
}

static void writer_metrics(const struct writer *w, struct str *out)
{
	struct writer_stats ws;

	writer_stats(w, &ws);
	metric_single(out, "okd_regd_db_commits_total", METRIC_COUNTER,
	    "Transactions of the database.", (double)ws.commits);
	metric_single(out, "okd_regd_db_changes_total", METRIC_COUNTER,
	    "Changes in them.", (double)ws.changes);
	metric_single(out, "okd_regd_db_failures_total", METRIC_COUNTER,
	    "Changes that failed.", (double)ws.failures);
	metric_single(out, "okd_regd_db_waiting", METRIC_GAUGE,
	    "Changes that wait for their transaction.", ws.waiting);
}

void stats_metrics(struct regd *g, struct str *out)
{
	uint64_t room;
	int64_t used;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct counter *c =
		    (const void *)((const char *)&g->stats + rows[i].offset);

		metric_single(out, rows[i].name, METRIC_COUNTER, rows[i].help,
		    (double)counter_get(c));
	}
	http_metrics(server_stats(g->server), out);
	api_stats_print(&g->stats.api, out);
	writer_metrics(g->writer, out);
	metric_single(out, "okd_regd_uploads_open", METRIC_GAUGE,
	    "Upload sessions in memory.", (double)uploads_count(g->uploads));
	if (store_free_bytes(g->store, &room) == 0)
		metric_single(out, "okd_regd_storage_free_bytes", METRIC_GAUGE,
		    "Room on the file system of the blobs.", (double)room);
	if (meta_bytes(g->db, NULL, false, &used) == 0)
		metric_single(out, "okd_regd_storage_blob_bytes", METRIC_GAUGE,
		    "Sizes of all blobs, each counted once.", (double)used);
	if (g->conf->storage.quota)
		metric_single(out, "okd_regd_storage_quota_bytes", METRIC_GAUGE,
		    "What they may come to.", (double)g->conf->storage.quota);
	if (server_cert_ends(g->server))
		metric_single(out, "okd_regd_certificate_expiry_seconds", METRIC_GAUGE,
		    "When the certificate ends, since the epoch.",
		    (double)server_cert_ends(g->server));
}
