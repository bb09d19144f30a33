/* Counters and how they are shown: see stats.h. */
#include "ignd/stats.h"

#include "common/http_server.h"
#include "ignd/progress.h"

/* The reasons as labels. */
static const char *const reasons[REASONS] = {
	[REASON_UNKNOWN] = "unknown_address",
	[REASON_ROLE] = "other_node",
	[REASON_SECRET] = "not_ignition",
	[REASON_TOKEN] = "token",
	[REASON_MAC] = "mac",
	[REASON_CLOSED] = "window",
	[REASON_USED] = "used",
	[REASON_STRANGER] = "stranger",
};

static void http_metrics(const struct http_stats *h, struct str *out)
{
	static const char *const classes[] = { NULL, NULL, "2xx", "3xx", "4xx", "5xx" };

	metric_family(out, "okd_ignd_http_replies_total", METRIC_COUNTER,
	    "Replies by the class of their status.");
	for (size_t i = 2; i < ARRAY_SIZE(classes); i++)
		metric_value(out, "okd_ignd_http_replies_total",
		    METRIC_LABELS("class", classes[i]), (double)h->by_class[i]);
	metric_single(out, "okd_ignd_http_requests_total", METRIC_COUNTER,
	    "Requests with a complete head.", (double)h->requests);
	metric_single(out, "okd_ignd_http_bad_requests_total", METRIC_COUNTER,
	    "Requests whose head was refused.", (double)h->bad_requests);
	metric_single(out, "okd_ignd_http_timeouts_total", METRIC_COUNTER,
	    "Connections that were too slow.", (double)h->timeouts);
	metric_single(out, "okd_ignd_http_sent_bytes_total", METRIC_COUNTER,
	    "Bytes of bodies sent.", (double)h->sent);
	metric_single(out, "okd_ignd_http_connections", METRIC_GAUGE,
	    "Connections that are open.", h->connections);
	metric_single(out, "okd_ignd_http_connections_refused_total", METRIC_COUNTER,
	    "Connections beyond the limit of one address.", (double)h->refused);
}

static void node_metrics(const struct progress *p, struct str *out)
{
	metric_family(out, "okd_ignd_node_stage", METRIC_GAUGE,
	    "The stage of a node's installation: 1 for the one it is in.");
	for (size_t i = 0; i < p->n; i++)
		metric_value(out, "okd_ignd_node_stage",
		    METRIC_LABELS("node", p->nodes[i].name, "stage",
			node_stage_text(p->nodes[i].stage)),
		    1);
	metric_family(out, "okd_ignd_node_image_acked_bytes", METRIC_GAUGE,
	    "Bytes of its image that a node has acknowledged.");
	for (size_t i = 0; i < p->n; i++)
		metric_value(out, "okd_ignd_node_image_acked_bytes",
		    METRIC_LABELS("node", p->nodes[i].name),
		    (double)p->nodes[i].image.acked);
	metric_family(out, "okd_ignd_node_image_total_bytes", METRIC_GAUGE,
	    "Bytes of the image that a node fetches.");
	for (size_t i = 0; i < p->n; i++)
		metric_value(out, "okd_ignd_node_image_total_bytes",
		    METRIC_LABELS("node", p->nodes[i].name),
		    (double)p->nodes[i].image.total);
	metric_family(out, "okd_ignd_node_ignition_timestamp_seconds", METRIC_GAUGE,
	    "When a node had its whole .ign; 0: never.");
	for (size_t i = 0; i < p->n; i++)
		metric_value(out, "okd_ignd_node_ignition_timestamp_seconds",
		    METRIC_LABELS("node", p->nodes[i].name),
		    (double)p->nodes[i].ticket_at);
}

void stats_metrics(const struct stats *s, const struct http_stats *http,
    const struct progress *p, struct str *out)
{
	http_metrics(http, out);
	metric_family(out, "okd_ignd_refused_total", METRIC_COUNTER,
	    "Requests refused because of who asked, or when.");
	for (size_t i = REASON_UNKNOWN; i < REASONS; i++)
		metric_value(out, "okd_ignd_refused_total",
		    METRIC_LABELS("reason", reasons[i]),
		    (double)counter_get(&s->refused[i]));
	metric_family(out, "okd_ignd_withheld_total", METRIC_COUNTER,
	    "Requests for files that were not served because of what is in them.");
	metric_value(out, "okd_ignd_withheld_total",
	    METRIC_LABELS("reason", "bad_ignition"),
	    (double)counter_get(&s->bad_files));
	metric_value(out, "okd_ignd_withheld_total",
	    METRIC_LABELS("reason", "certificates"),
	    (double)counter_get(&s->bad_certificates));
	metric_value(out, "okd_ignd_withheld_total", METRIC_LABELS("reason", "version"),
	    (double)counter_get(&s->bad_versions));
	metric_value(out, "okd_ignd_withheld_total", METRIC_LABELS("reason", "image"),
	    (double)counter_get(&s->bad_images));
	node_metrics(p, out);
}

void stats_status(const struct stats *s, const struct http_stats *http, json_t *obj)
{
	uint64_t refused = 0;

	for (size_t i = 0; i < REASONS; i++)
		refused += counter_get(&s->refused[i]);
	json_object_set_new(obj, "requests", json_integer((json_int_t)http->requests));
	json_object_set_new(
	    obj, "connections", json_integer((json_int_t)http->connections));
	json_object_set_new(obj, "sent_bytes", json_integer((json_int_t)http->sent));
	json_object_set_new(obj, "refused", json_integer((json_int_t)refused));
}
