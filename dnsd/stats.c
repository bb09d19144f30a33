/* Counters and how they are shown: see stats.h. */
#include "dnsd/stats.h"

/* CoreDNS's labels, and the type's index among them. */
static const char *const type_names[STATS_N_TYPE] = { "other", "A", "AAAA", "MX", "SOA",
	"CNAME", "PTR", "TXT", "NS", "SRV", "DS", "DNSKEY", "RRSIG", "NSEC", "NSEC3",
	"IXFR", "AXFR", "ANY", "HTTPS", "SVCB", "HINFO", "NAPTR", "CAA", "TLSA" };
static const uint8_t type_index[257] = { [1] = 1,
	[28] = 2,
	[15] = 3,
	[6] = 4,
	[5] = 5,
	[12] = 6,
	[16] = 7,
	[2] = 8,
	[33] = 9,
	[43] = 10,
	[48] = 11,
	[46] = 12,
	[47] = 13,
	[50] = 14,
	[251] = 15,
	[252] = 16,
	[255] = 17,
	[65] = 18,
	[64] = 19,
	[13] = 20,
	[35] = 21,
	[52] = 23 };
#define TYPE_CAA 257
#define INDEX_CAA 22

static const char *const rcode_names[STATS_N_RCODE] = { "NOERROR", "FORMERR",
	"SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
	"NOTAUTH", "NOTZONE", [16] = "BADVERS", [23] = "BADCOOKIE" };
#define OTHER_RCODE (STATS_N_RCODE - 1)

/* Upper bounds of the size buckets, as in CoreDNS. */
static const double size_bounds[] = { 0, 100, 200, 300, 400, 511, 1023, 2047, 4095,
	8291, 16e3, 32e3, 48e3, 64e3 };

static unsigned size_bucket(size_t n)
{
	unsigned i = 5;

	if (_likely_(n <= 400))
		return (unsigned)(n + 99) / 100;
	while (i < ARRAY_SIZE(size_bounds) && (double)n > size_bounds[i])
		i++;
	return i;
}

static void count_size(struct stats_sizes *s, size_t n)
{
	counter_add(&s->buckets[size_bucket(n)], 1);
	counter_add(&s->sum, n);
}

static unsigned index_of(uint16_t type)
{
	if (_likely_(type < ARRAY_SIZE(type_index)))
		return type_index[type];
	return type == TYPE_CAA ? INDEX_CAA : 0;
}

void stats_reply(struct stats *s, const struct query *q, enum stats_proto proto,
    bool v6, size_t request_len)
{
	counter_add(&s->requests[proto][v6][index_of(q->type)], 1);
	counter_add(
	    &s->responses[stats_rcode_name(q->rcode) ? q->rcode : OTHER_RCODE], 1);
	if (q->edns_do)
		counter_add(&s->do_requests, 1);
	count_size(&s->request_size[proto], request_len);
	count_size(&s->response_size[proto], q->reply_len);
}

/* CoreDNS's buckets: from a quarter of a millisecond, each twice the one before. */
static void count_duration(struct stats_durations *d, uint64_t ns, unsigned n)
{
	unsigned i = 0;

	for (uint64_t bound = 250000; ns > bound && i < STATS_N_DURATION - 1; i++)
		bound *= 2;
	counter_add(&d->buckets[i], n);
	counter_add(&d->sum_ns, ns * n);
}

void stats_duration(struct stats *s, uint64_t ns, unsigned n)
{
	count_duration(&s->duration, ns, n);
}

static const struct {
	unsigned rcode;
	const char *name;
} upstream_rcodes[STATS_N_UPSTREAM_RCODE] = { { DNS_NOERROR, "NOERROR" },
	{ DNS_SERVFAIL, "SERVFAIL" }, { DNS_NXDOMAIN, "NXDOMAIN" }, { 0, "other" } };

void stats_upstream_duration(
    struct stats *s, unsigned upstream, unsigned rcode, uint64_t ns)
{
	unsigned i = 0;

	while (i < STATS_N_UPSTREAM_RCODE - 1 && upstream_rcodes[i].rcode != rcode)
		i++;
	count_duration(&s->upstream_duration[upstream][i], ns, 1);
}

void stats_template_match(struct stats *s, unsigned zone, uint16_t type)
{
	counter_add(&s->templates.matches[zone][index_of(type)], 1);
}

void stats_template_failure(
    struct stats *s, unsigned line, uint16_t type, bool filled_in)
{
	struct stats_templates *t = &s->templates;
	unsigned i = index_of(type);

	counter_add(
	    filled_in ? &t->record_failed[line][i] : &t->text_failed[line][i], 1);
}

/* Of what is nothing but counters. */
static void forget(void *counters, size_t size)
{
	struct counter *c = counters;

	for (size_t i = 0; i < size / sizeof(*c); i++)
		counter_add(&c[i], -counter_get(&c[i]));
}

void stats_forget_upstream(struct stats *s, unsigned i)
{
	forget(&s->upstream_requests[i], sizeof(struct counter));
	forget(&s->upstream_failed[i], sizeof(struct counter));
	forget(&s->upstream_probe_failed[i], sizeof(struct counter));
	forget(s->upstream_duration[i], sizeof(s->upstream_duration[i]));
}

void stats_forget_templates(struct stats *s)
{
	forget(&s->templates, sizeof(s->templates));
}

const char *stats_type_name(uint16_t type)
{
	unsigned i = index_of(type);

	return i ? type_names[i] : NULL;
}

const char *stats_rcode_name(unsigned rcode)
{
	return rcode < STATS_N_RCODE ? rcode_names[rcode] : NULL;
}

void stats_sum(struct stats *into, const struct stats *from)
{
	const struct counter *f = (const void *)from;
	struct counter *t = (void *)into;

	/* A struct stats is nothing but counters. */
	for (size_t i = 0; i < sizeof(*into) / sizeof(struct counter); i++)
		t[i].value += counter_get(&f[i]);
}

static const char *const protos[] = { "udp", "tcp" };

#define SERVER "server", "dns://:53", "zone", "."

static void show_requests(const struct stats *s, struct str *out)
{
	static const char name[] = "coredns_dns_requests_total";

	metric_family(
	    out, name, METRIC_COUNTER, "Queries by protocol, family and type.");
	for (int p = 0; p < STATS_N_PROTO; p++)
		for (int v6 = 0; v6 < 2; v6++)
			for (int t = 0; t < STATS_N_TYPE; t++)
				if (s->requests[p][v6][t].value)
					metric_value(out, name,
					    METRIC_LABELS(SERVER, "view", "", "proto",
						protos[p], "family", v6 ? "2" : "1",
						"type", type_names[t]),
					    (double)s->requests[p][v6][t].value);
	metric_family(out, "coredns_dns_do_requests_total", METRIC_COUNTER,
	    "Queries with the DO bit.");
	metric_value(out, "coredns_dns_do_requests_total",
	    METRIC_LABELS(SERVER, "view", ""), (double)s->do_requests.value);
}

static void show_responses(const struct stats *s, struct str *out)
{
	static const char name[] = "coredns_dns_responses_total";

	metric_family(out, name, METRIC_COUNTER, "Replies by rcode.");
	for (int r = 0; r < STATS_N_RCODE; r++)
		if (s->responses[r].value)
			metric_value(out, name,
			    METRIC_LABELS(SERVER, "view", "", "rcode",
				rcode_names[r] ? rcode_names[r] : "other", "plugin",
				""),
			    (double)s->responses[r].value);
}

static void show_sizes(const struct stats_sizes *sizes, const char *name,
    const char *help, struct str *out)
{
	metric_family(out, name, METRIC_HISTOGRAM, help);
	for (int p = 0; p < STATS_N_PROTO; p++) {
		struct histogram h;

		histogram_init(&h, size_bounds, ARRAY_SIZE(size_bounds));
		for (size_t i = 0; i <= h.n; i++)
			h.buckets[i] = sizes[p].buckets[i];
		h.sum = sizes[p].sum;
		h.parts = 1;
		metric_histogram(out, name,
		    METRIC_LABELS(SERVER, "view", "", "proto", protos[p]), &h);
	}
}

static void show_duration(const struct stats_durations *d, const char *name,
    const char *const *labels, struct str *out)
{
	double bounds[STATS_N_DURATION - 1];
	struct histogram h;

	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
		bounds[i] = 0.00025 * (double)(1u << i);
	histogram_init(&h, bounds, ARRAY_SIZE(bounds));
	for (size_t i = 0; i < STATS_N_DURATION; i++)
		h.buckets[i] = d->buckets[i];
	h.sum = d->sum_ns;
	metric_histogram(out, name, labels, &h);
}

static void show_durations(const struct stats *s, struct str *out)
{
	static const char name[] = "coredns_dns_request_duration_seconds";

	metric_family(
	    out, name, METRIC_HISTOGRAM, "Time from a query's arrival to its reply.");
	show_duration(&s->duration, name, METRIC_LABELS(SERVER, "view", ""), out);
}

/* Dashboards of CoreDNS ask which server runs. */
static void show_build(struct str *out)
{
	static const char name[] = "coredns_build_info";

	metric_family(out, name, METRIC_GAUGE, "The version that runs.");
	metric_value(out, name,
	    METRIC_LABELS("version", OKD_VERSION, "revision", "", "goversion", ""), 1);
}

void stats_plugins_metrics(const struct stats_plugin *p, size_t n, struct str *out)
{
	static const char name[] = "coredns_plugin_enabled";

	metric_family(out, name, METRIC_GAUGE,
	    "What is in force, by the names of CoreDNS's plugins.");
	for (size_t i = 0; i < n; i++)
		if (p[i].enabled)
			metric_value(out, name,
			    METRIC_LABELS(SERVER, "view", "", "name", p[i].name), 1);
}

void stats_metrics(const struct stats *s, struct str *out)
{
	show_build(out);
	show_requests(s, out);
	show_responses(s, out);
	show_sizes(s->request_size, "coredns_dns_request_size_bytes",
	    "Sizes of queries in bytes.", out);
	show_sizes(s->response_size, "coredns_dns_response_size_bytes",
	    "Sizes of replies in bytes.", out);
	show_durations(s, out);
	metric_single(out, "okd_dnsd_silent_total", METRIC_COUNTER,
	    "Messages without a reply: responses and what is no message.",
	    (double)s->silent.value);
	metric_single(out, "okd_dnsd_reflected_total", METRIC_COUNTER,
	    "Queries dropped for a source port that no client uses.",
	    (double)s->reflected.value);
	metric_single(out, "okd_dnsd_not_allowed_total", METRIC_COUNTER,
	    "Queries refused because allow does not name their source.",
	    (double)s->not_allowed.value);
	metric_single(out, "okd_dnsd_truncated_total", METRIC_COUNTER,
	    "Replies with TC, to be asked for again over TCP.",
	    (double)s->truncated.value);
	metric_single(out, "okd_dnsd_send_failed_total", METRIC_COUNTER,
	    "Replies that the kernel did not take.", (double)s->send_failed.value);
	metric_single(out, "okd_dnsd_rrl_dropped_total", METRIC_COUNTER,
	    "Replies not sent because one network gets too many alike.",
	    (double)s->rrl_dropped.value);
	metric_single(out, "okd_dnsd_rrl_slipped_total", METRIC_COUNTER,
	    "Replies cut short for that reason.", (double)s->rrl_slipped.value);
	metric_single(out, "okd_dnsd_tcp_accepted_total", METRIC_COUNTER,
	    "TCP connections accepted.", (double)s->tcp_accepted.value);
	metric_single(out, "okd_dnsd_tcp_rejected_total", METRIC_COUNTER,
	    "TCP connections closed at once because of a limit.",
	    (double)s->tcp_rejected.value);
	metric_single(out, "okd_dnsd_tcp_timed_out_total", METRIC_COUNTER,
	    "TCP connections closed because nothing whole came or went in time.",
	    (double)s->tcp_timed_out.value);
	metric_single(out, "okd_dnsd_tcp_connections", METRIC_GAUGE,
	    "TCP connections open.", (double)s->tcp_open.value);
}

static void set(json_t *obj, const char *key, uint64_t v)
{
	json_object_set_new(obj, key, json_integer((json_int_t)v));
}

void stats_status(const struct stats *s, json_t *obj)
{
	json_t *rcodes = json_object();
	uint64_t total = 0;

	for (int r = 0; r < STATS_N_RCODE; r++) {
		total += s->responses[r].value;
		if (s->responses[r].value)
			set(rcodes, rcode_names[r] ? rcode_names[r] : "other",
			    s->responses[r].value);
	}
	set(obj, "replies", total);
	json_object_set_new(obj, "rcodes", rcodes);
	set(obj, "silent", s->silent.value);
	set(obj, "not_allowed", s->not_allowed.value);
	set(obj, "tcp_connections", s->tcp_open.value);
}

static void show_matches(
    const struct stats *s, const struct templates *ts, struct str *out)
{
	static const char name[] = "coredns_template_matches_total";
	char zone[NAME_TEXT_MAX];

	metric_family(
	    out, name, METRIC_COUNTER, "Questions that a template's pattern matched.");
	for (unsigned z = 0; z < TEMPLATE_ZONES; z++) {
		if (!templates_zone(ts, z, zone))
			continue;
		for (int t = 0; t < STATS_N_TYPE; t++)
			if (s->templates.matches[z][t].value)
				metric_value(out, name,
				    METRIC_LABELS("server", "dns://:53", "zone", zone,
					"view", "", "class", "IN", "type",
					type_names[t]),
				    (double)s->templates.matches[z][t].value);
	}
}

static void show_template_failures(const struct counter (*c)[STATS_N_TYPE],
    const char *name, const char *help, const struct templates *ts, struct str *out)
{
	struct template_line_name line;

	metric_family(out, name, METRIC_COUNTER, help);
	for (unsigned l = 0; l < TEMPLATE_LINES; l++) {
		if (!templates_line(ts, l, &line))
			continue;
		for (int t = 0; t < STATS_N_TYPE; t++)
			if (c[l][t].value)
				metric_value(out, name,
				    METRIC_LABELS("server", "dns://:53", "zone",
					line.zone, "view", "", "class", "IN", "type",
					type_names[t], "section", line.section,
					"template", line.text),
				    (double)c[l][t].value);
	}
}

void stats_template_metrics(
    const struct stats *s, const struct templates *ts, struct str *out)
{
	if (!ts)
		return;
	show_matches(s, ts, out);
	show_template_failures(s->templates.text_failed,
	    "coredns_template_template_failures_total",
	    "Lines of templates that could not be filled in.", ts, out);
	show_template_failures(s->templates.record_failed,
	    "coredns_template_rr_failures_total",
	    "Lines of templates that were filled in and are no record.", ts, out);
}

static void show_cache(const struct stats *s, struct str *out)
{
	static const char *const kinds[] = { "success", "denial" };
	static const char hits[] = "coredns_cache_hits_total";

	metric_family(out, hits, METRIC_COUNTER, "Questions answered from the cache.");
	for (int i = 0; i < 2; i++)
		metric_value(out, hits,
		    METRIC_LABELS("server", "dns://:53", "type", kinds[i], "zones", ".",
			"view", ""),
		    (double)s->cache_hits[i].value);
	metric_single(out, "coredns_cache_misses_total", METRIC_COUNTER,
	    "Questions that the cache did not know.", (double)s->cache_misses.value);
	metric_single(out, "coredns_cache_served_stale_total", METRIC_COUNTER,
	    "Answers from the cache that were beyond their time.",
	    (double)s->cache_stale.value);
	metric_single(out, "coredns_cache_prefetch_total", METRIC_COUNTER,
	    "Answers that were asked for again before their time.",
	    (double)s->cache_prefetch.value);
	metric_single(out, "coredns_cache_entries", METRIC_GAUGE,
	    "Answers in the workers' caches.", (double)s->cache_entries.value);
	metric_single(out, "okd_dnsd_cache_bytes", METRIC_GAUGE,
	    "Memory that they take.", (double)s->cache_bytes.value);
}

static void show_old_requests(const struct stats *s, struct str *out)
{
	static const char count[] = "coredns_dns_request_count_total",
			  types[] = "coredns_dns_request_type_count_total";
	uint64_t by_type[STATS_N_TYPE] = { 0 };

	metric_family(out, count, METRIC_COUNTER, "Queries by protocol and family.");
	for (int p = 0; p < STATS_N_PROTO; p++)
		for (int v6 = 0; v6 < 2; v6++) {
			uint64_t sum = 0;

			for (int t = 0; t < STATS_N_TYPE; t++) {
				sum += s->requests[p][v6][t].value;
				by_type[t] += s->requests[p][v6][t].value;
			}
			if (sum)
				metric_value(out, count,
				    METRIC_LABELS(SERVER, "proto", protos[p], "family",
					v6 ? "2" : "1"),
				    (double)sum);
		}
	metric_family(out, types, METRIC_COUNTER, "Queries by type.");
	for (int t = 0; t < STATS_N_TYPE; t++)
		if (by_type[t])
			metric_value(out, types,
			    METRIC_LABELS(SERVER, "type", type_names[t]),
			    (double)by_type[t]);
}

static void show_old_responses(const struct stats *s, struct str *out)
{
	static const char name[] = "coredns_dns_response_rcode_count_total";

	metric_family(out, name, METRIC_COUNTER, "Replies by rcode.");
	for (int r = 0; r < STATS_N_RCODE; r++)
		if (s->responses[r].value)
			metric_value(out, name,
			    METRIC_LABELS(SERVER, "rcode",
				rcode_names[r] ? rcode_names[r] : "other"),
			    (double)s->responses[r].value);
}

static uint64_t count_of(const struct stats_durations *d)
{
	uint64_t n = 0;

	for (size_t i = 0; i < STATS_N_DURATION; i++)
		n += d->buckets[i].value;
	return n;
}

static void add_durations(struct stats_durations *to, const struct stats_durations *d)
{
	for (size_t i = 0; i < STATS_N_DURATION; i++)
		counter_add(&to->buckets[i], d->buckets[i].value);
	counter_add(&to->sum_ns, d->sum_ns.value);
}

static void move_upstream(struct stats *s, size_t to, size_t from)
{
	struct counter *lists[] = { s->upstream_requests, s->upstream_failed,
		s->upstream_down, s->upstream_probe_failed };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		counter_add(&lists[i][to], lists[i][from].value);
		lists[i][from] = (struct counter){ 0 };
	}
	for (size_t r = 0; r < STATS_N_UPSTREAM_RCODE; r++) {
		add_durations(
		    &s->upstream_duration[to][r], &s->upstream_duration[from][r]);
		s->upstream_duration[from][r] = (struct stats_durations){ 0 };
	}
}

size_t stats_merge_upstreams(struct stats *s, const char **to, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < left && !str_eq(to[k], to[i]))
			k++;
		to[k] = to[i];
		if (k != i)
			move_upstream(s, k, i);
		left = MAX(left, k + 1);
	}
	return left;
}

static void show_old_upstream_replies(
    const struct stats *s, const char *const *to, size_t n, struct str *out)
{
	static const char responses[] = "coredns_forward_response_rcode_count_total",
			  durations[] = "coredns_forward_request_duration_seconds";

	metric_family(out, responses, METRIC_COUNTER, "Replies of upstreams by rcode.");
	for (size_t i = 0; i < n; i++)
		for (size_t r = 0; r < STATS_N_UPSTREAM_RCODE; r++) {
			uint64_t count = count_of(&s->upstream_duration[i][r]);

			if (count)
				metric_value(out, responses,
				    METRIC_LABELS(
					"rcode", upstream_rcodes[r].name, "to", to[i]),
				    (double)count);
		}
	metric_family(out, durations, METRIC_HISTOGRAM,
	    "Time from asking an upstream to its reply.");
	for (size_t i = 0; i < n; i++) {
		struct stats_durations all = { 0 };

		for (size_t r = 0; r < STATS_N_UPSTREAM_RCODE; r++)
			add_durations(&all, &s->upstream_duration[i][r]);
		show_duration(&all, durations, METRIC_LABELS("to", to[i]), out);
	}
}

static void show_old_health(
    const struct stats *s, const char *const *to, size_t n, struct str *out)
{
	static const char failures[] =
	    "coredns_forward_healthcheck_failure_count_total";

	metric_family(out, failures, METRIC_COUNTER,
	    "Questions by which an upstream that is down was tried, and failed.");
	for (size_t i = 0; i < n; i++)
		metric_value(out, failures, METRIC_LABELS("to", to[i]),
		    (double)s->upstream_probe_failed[i].value);
	metric_single(out, "coredns_forward_healthcheck_broken_count_total",
	    METRIC_COUNTER, "Questions for which all upstreams are down.",
	    (double)s->forward_broken.value);
}

void stats_old_metrics(
    const struct stats *s, const char *const *to, size_t n, struct str *out)
{
	static const char requests[] = "coredns_forward_request_count_total";

	show_old_requests(s, out);
	show_old_responses(s, out);
	metric_family(out, "coredns_dns_request_do_count_total", METRIC_COUNTER,
	    "Queries with the DO bit.");
	metric_value(out, "coredns_dns_request_do_count_total", METRIC_LABELS(SERVER),
	    (double)s->do_requests.value);
	/* Both kinds are in one cache here. */
	metric_family(out, "coredns_cache_size", METRIC_GAUGE, "Answers in the cache.");
	metric_value(out, "coredns_cache_size",
	    METRIC_LABELS("server", "dns://:53", "type", "success"),
	    (double)s->cache_entries.value);
	if (!n)
		return;
	metric_family(out, requests, METRIC_COUNTER, "Attempts to ask an upstream.");
	for (size_t i = 0; i < n; i++)
		metric_value(out, requests, METRIC_LABELS("to", to[i]),
		    (double)s->upstream_requests[i].value);
	show_old_upstream_replies(s, to, n, out);
	show_old_health(s, to, n, out);
	metric_single(out, "coredns_forward_max_concurrent_reject_count_total",
	    METRIC_COUNTER, "Questions refused because too many are on their way.",
	    (double)s->forward_rejected.value);
}

static void show_upstreams(const struct counter *c, const char *name,
    enum metric_type type, const char *help, const char *const *to, size_t n,
    struct str *out)
{
	metric_family(out, name, type, help);
	for (size_t i = 0; i < n; i++)
		metric_value(out, name,
		    METRIC_LABELS("proxy_name", "forward", "to", to[i]),
		    (double)c[i].value);
}

static void show_upstream_durations(
    const struct stats *s, const char *const *to, size_t n, struct str *out)
{
	static const char name[] = "coredns_proxy_request_duration_seconds";

	metric_family(
	    out, name, METRIC_HISTOGRAM, "Time from asking an upstream to its reply.");
	for (size_t i = 0; i < n; i++)
		for (size_t r = 0; r < STATS_N_UPSTREAM_RCODE; r++)
			if (count_of(&s->upstream_duration[i][r]))
				show_duration(&s->upstream_duration[i][r], name,
				    METRIC_LABELS("proxy_name", "forward", "to", to[i],
					"rcode", upstream_rcodes[r].name),
				    out);
}

void stats_upstream_metrics(
    const struct stats *s, const char *const *to, size_t n, struct str *out)
{
	show_cache(s, out);
	if (!n)
		return;
	show_upstreams(s->upstream_requests, "coredns_proxy_requests_total",
	    METRIC_COUNTER, "Attempts to ask an upstream.", to, n, out);
	show_upstream_durations(s, to, n, out);
	show_upstreams(s->upstream_probe_failed,
	    "coredns_proxy_healthcheck_failures_total", METRIC_COUNTER,
	    "Questions by which an upstream that is down was tried, and failed.", to, n,
	    out);
	metric_single(out, "coredns_forward_healthcheck_broken_total", METRIC_COUNTER,
	    "Questions for which all upstreams are down.",
	    (double)s->forward_broken.value);
	show_upstreams(s->upstream_failed, "okd_dnsd_upstream_failures_total",
	    METRIC_COUNTER, "Attempts without a usable reply.", to, n, out);
	show_upstreams(s->upstream_down, "okd_dnsd_upstream_down", METRIC_GAUGE,
	    "Workers that avoid an upstream.", to, n, out);
	metric_single(out, "coredns_forward_max_concurrent_rejects_total",
	    METRIC_COUNTER, "Questions refused because too many are on their way.",
	    (double)s->forward_rejected.value);
	metric_single(out, "okd_dnsd_forward_merged_total", METRIC_COUNTER,
	    "Questions that waited for the same one on its way.",
	    (double)s->forward_merged.value);
	metric_single(out, "okd_dnsd_forward_wrong_total", METRIC_COUNTER,
	    "Replies of upstreams that fit no question.",
	    (double)s->forward_wrong.value);
	metric_single(out, "okd_dnsd_forward_truncated_total", METRIC_COUNTER,
	    "Replies of upstreams that were asked for again over TCP.",
	    (double)s->forward_truncated.value);
	metric_single(out, "okd_dnsd_forward_expired_total", METRIC_COUNTER,
	    "Questions that no upstream answered in time.",
	    (double)s->forward_expired.value);
	metric_single(out, "okd_dnsd_forward_waiting", METRIC_GAUGE,
	    "Questions on their way to an upstream.", (double)s->forward_waiting.value);
}
