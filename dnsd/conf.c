/* The keys of dnsd.yaml and their defaults: see conf.h. */
#include "dnsd/conf.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/str.h"
#include "dnsd/derive.h"
#include "dnsd/qlog.h"
#include "dnsd/records.h"
#include "dnsd/template.h"

#define DNS_PORT 53
#define MAX_WORKERS 256

/* --- "auto" or a number ------------------------------------------------- */

static int workers_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *s = conf_scalar(n);
	uint64_t v;

	if (s && str_eq(s, "auto"))
		v = 0;
	else if (!s || str_to_u64(s, MAX_WORKERS, &v) < 0 || v == 0)
		return conf_err(n, e, "%s must be auto or a number from 1 to %d",
		    f->key, MAX_WORKERS);
	*(uint64_t *)out = v;
	return 0;
}

static void workers_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	uint64_t v = *(const uint64_t *)in;

	if (v)
		str_addf(out, "%llu", (unsigned long long)v);
	else
		str_addz(out, "auto");
}

static const struct conf_type workers_type = {
	.what = "auto or a number of workers",
	.size = sizeof(uint64_t),
	.parse = workers_parse,
	.print = workers_print,
};

/* --- the keys ----------------------------------------------------------- */

static const struct conf_type endpoints = CONF_LIST(&conf_endpoint);
static const struct conf_type networks = CONF_LIST(&conf_cidr);
static const struct conf_type strings = CONF_LIST(&conf_string);

#define TCP(member) \
	(offsetof(struct dnsd_conf, tcp.member) - offsetof(struct dnsd_conf, tcp))
static const struct conf_field tcp_fields[] = { { "clients", &conf_uint, TCP(clients),
						    "1000", false, 1, 1000000 },
	{ "clients_per_address", &conf_uint, TCP(clients_per_address), "100", false, 1,
	    1000000 },
	{ "queries", &conf_uint, TCP(queries), "100000", false, 1, UINT_MAX },
	{ "idle", &conf_duration, TCP(idle), "10s", false, 100, 3600000 }, CONF_END };
static const struct conf_type tcp_type =
    CONF_TABLE(__typeof__(((struct dnsd_conf *)0)->tcp), tcp_fields);

#define FORWARD(member)                               \
	(offsetof(struct dnsd_conf, forward.member) - \
	    offsetof(struct dnsd_conf, forward))
static const char *const policies[] = { "random", "round_robin", "sequential", NULL };
static const struct conf_type policy_type = CONF_ENUM(policies);
static const struct conf_field forward_fields[] = { { "to", &strings, FORWARD(to), NULL,
							false, 0, 0 },
	{ "policy", &policy_type, FORWARD(policy), "random", false, 0, 0 },
	{ "except", &strings, FORWARD(except), NULL, false, 0, 0 },
	{ "max_concurrent", &conf_uint, FORWARD(max_concurrent), "10000", false, 1,
	    50000 },
	{ "max_fails", &conf_uint, FORWARD(max_fails), "2", false, 0, 1000 },
	{ "timeout", &conf_duration, FORWARD(timeout), "5s", false, 100, 60000 },
	{ "attempt", &conf_duration, FORWARD(attempt), "1s", false, 50, 60000 },
	{ "random_case", &conf_bool, FORWARD(random_case), "true", false, 0, 0 },
	{ "find_loops", &conf_bool, FORWARD(find_loops), "true", false, 0, 0 },
	{ "tls_ca", &conf_string, FORWARD(tls_ca), NULL, false, 0, 0 }, CONF_END };
static const struct conf_type forward_type =
    CONF_TABLE(__typeof__(((struct dnsd_conf *)0)->forward), forward_fields);

#define CACHE(member) \
	(offsetof(struct dnsd_conf, cache.member) - offsetof(struct dnsd_conf, cache))
#define PREFETCH(member) offsetof(struct dnsd_prefetch, member)
static const struct conf_field prefetch_fields[] = {
	{ "often", &conf_uint, PREFETCH(often), "0", false, 0, 1000000 },
	{ "gap", &conf_duration, PREFETCH(gap), "1m", false, 1000, 86400000 },
	{ "percent", &conf_uint, PREFETCH(percent), "10", false, 1, 90 }, CONF_END
};
static const struct conf_type prefetch_type =
    CONF_TABLE(struct dnsd_prefetch, prefetch_fields);
static const struct conf_field cache_fields[] = {
	{ "positive", &conf_duration, CACHE(positive), "1h", false, 0, 604800000 },
	{ "negative", &conf_duration, CACHE(negative), "30m", false, 0, 604800000 },
	{ "min_ttl", &conf_duration, CACHE(min_ttl), "0s", false, 0, 3600000 },
	{ "failure", &conf_duration, CACHE(failure), "5s", false, 1000, 300000 },
	{ "size", &conf_size, CACHE(size), "64MiB", false, 0, 1ULL << 40 },
	{ "serve_stale", &conf_duration, CACHE(serve_stale), "1h", false, 0,
	    604800000 },
	{ "prefetch", &prefetch_type, CACHE(prefetch), "{}", false, 0, 0 }, CONF_END
};
static const struct conf_type cache_type =
    CONF_TABLE(__typeof__(((struct dnsd_conf *)0)->cache), cache_fields);

#define RRL(member) \
	(offsetof(struct dnsd_conf, rrl.member) - offsetof(struct dnsd_conf, rrl))
static const struct conf_field rrl_fields[] = {
	{ "rate", &conf_uint, RRL(rate), "0", false, 0, 1000000 },
	{ "slip", &conf_uint, RRL(slip), "2", false, 0, 100 },
	{ "ipv4_prefix", &conf_uint, RRL(ipv4_prefix), "24", false, 1, 32 },
	{ "ipv6_prefix", &conf_uint, RRL(ipv6_prefix), "56", false, 1, 128 }, CONF_END
};
static const struct conf_type rrl_type =
    CONF_TABLE(__typeof__(((struct dnsd_conf *)0)->rrl), rrl_fields);

#define STORE(member) \
	(offsetof(struct dnsd_conf, store.member) - offsetof(struct dnsd_conf, store))
static const struct conf_field store_fields[] = {
	{ "enabled", &conf_bool, STORE(enabled), "true", false, 0, 0 },
	{ "path", &conf_string, STORE(path), "/skydns", false, 0, 0 },
	{ "file", &conf_string, STORE(file), NULL, false, 0, 0 }, CONF_END
};
static const struct conf_type store_type =
    CONF_TABLE(__typeof__(((struct dnsd_conf *)0)->store), store_fields);

/* CoreDNS's classes.  "none" beside others means nothing. */
static const char *const log_words[] = { "none", "success", "denial", "error", "all",
	NULL };
static const unsigned log_classes[] = { 0, QLOG_SUCCESS, QLOG_DENIAL, QLOG_ERROR,
	QLOG_SUCCESS | QLOG_DENIAL | QLOG_ERROR };
static const struct conf_type log_word = CONF_ENUM(log_words);
static const struct conf_type log_list = CONF_LIST(&log_word);

#define AT(member) offsetof(struct dnsd_conf, member)
static const struct conf_field fields[] = { DAEMON_CONF_FIELDS,
	{ "listen", &endpoints, AT(listen), NULL, false, 0, 0 },
	{ "workers", &workers_type, AT(workers), "auto", false, 0, 0 },
	{ "allow", &networks, AT(allow), NULL, false, 0, 0 },
	{ "ttl", &conf_duration, AT(ttl), "60s", false, 0, 604800000 },
	{ "negative_ttl", &conf_duration, AT(negative_ttl), "30s", false, 0, 10800000 },
	{ "records", &strings, AT(records), NULL, false, 0, 0 },
	{ "record_files", &strings, AT(record_files), NULL, false, 0, 0 },
	{ "hosts", &strings, AT(hosts), NULL, false, 0, 0 },
	{ "hosts_ttl", &conf_duration, AT(hosts_ttl), "1h", false, 0, 604800000 },
	{ "log", &log_list, AT(log), "error", false, 0, 0 },
	{ "store", &store_type, AT(store), "{}", false, 0, 0 },
	{ "etcd", &etcd_list_type, AT(etcd), "{}", false, 0, 0 },
	{ "cache", &cache_type, AT(cache), "{}", false, 0, 0 },
	{ "forward", &forward_type, AT(forward), "{}", false, 0, 0 },
	{ "template", &template_list_type, AT(templates), NULL, false, 0, 0 },
	{ "loadbalance", &conf_bool, AT(loadbalance), "true", false, 0, 0 },
	{ "receive_buffer", &conf_size, AT(receive_buffer), "4MiB", false, 4096,
	    1 << 30 },
	{ "tcp", &tcp_type, AT(tcp), "{}", false, 0, 0 },
	{ "cookies", &conf_bool, AT(cookies), "true", false, 0, 0 },
	{ "rrl", &rrl_type, AT(rrl), "{}", false, 0, 0 },
	{ "old_metrics", &conf_bool, AT(old_metrics), "false", false, 0, 0 },
	CONF_END };

/* --- what is derived ---------------------------------------------------- */

/* Who may ask when nothing is written: this host and private networks (RFC 1918, 4193,
 * 3927, 4291), and the nodes. */
static const char *const private_networks[] = { "127.0.0.0/8", "10.0.0.0/8",
	"172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7",
	"fe80::/10" };

static int derive_allow(struct dnsd_conf *c)
{
	size_t n = ARRAY_SIZE(private_networks);
	const struct conf_list *nodes =
	    c->cluster ? &c->cluster->machine_network : NULL;
	struct net_cidr *list;

	if (c->allow.set)
		return 0;
	list = calloc(n + (nodes ? nodes->n : 0), sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (net_cidr_parse(private_networks[i], &list[i]) < 0)
			abort();
	if (nodes && nodes->n)
		memcpy(list + n, nodes->items, nodes->n * sizeof(*list));
	c->allow = (struct conf_list){ list, n + (nodes ? nodes->n : 0), true };
	return 0;
}

/* This host and the nodes are never limited. */
static int derive_rrl(struct dnsd_conf *c)
{
	const struct conf_list *nodes =
	    c->cluster ? &c->cluster->machine_network : NULL;
	size_t n = nodes ? nodes->n : 0;
	struct net_cidr *list = calloc(n + 2, sizeof(*list));
	struct rrl_settings *s = &c->settings.rrl;
	int r;

	if (!list)
		return -ENOMEM;
	if (n)
		memcpy(list, nodes->items, n * sizeof(*list));
	if (net_cidr_parse("127.0.0.0/8", &list[n++]) < 0 ||
	    net_cidr_parse("::1/128", &list[n++]) < 0)
		abort();
	r = acl_init(&s->exempt, list, n);
	free(list);
	s->rate = (unsigned)c->rrl.rate;
	s->slip = (unsigned)c->rrl.slip;
	s->prefix_v4 = (unsigned)c->rrl.ipv4_prefix;
	s->prefix_v6 = (unsigned)c->rrl.ipv6_prefix;
	return r;
}

static int derive(struct dnsd_conf *c, struct err *e)
{
	int r = cluster_listeners(c->cluster, DNS_PORT, &c->listen);

	if (r == 0)
		r = derive_allow(c);
	if (r == 0)
		r = acl_init(&c->settings.acl,
		    conf_list_items(&c->allow, struct net_cidr), c->allow.n);
	if (r == 0)
		r = derive_rrl(c);
	if (r < 0)
		return err_set(e, r, "out of memory");
	c->settings.cookies = c->cookies;
	c->settings.tcp_idle = c->tcp.idle;
	c->settings.tcp_queries = (unsigned)c->tcp.queries;
	for (size_t i = 0; i < c->log.n; i++)
		c->settings.log |= log_classes[conf_list_items(&c->log, int)[i]];
	return 0;
}

static struct dnsd_conf *dnsd_conf_end(struct dnsd_conf *c)
{
	if (!c)
		return NULL;
	conf_deinit(fields, c);
	acl_deinit(&c->settings.acl);
	acl_deinit(&c->settings.rrl.exempt);
	templates_free(c->settings.templates);
	forward_settings_deinit(&c->settings.forward);
	zone_free(c->zone);
	records_free(c->base);
	cluster_free(c->cluster);
	free(c);
	return NULL;
}

static void dnsd_conf_endp(struct dnsd_conf **c)
{
	*c = dnsd_conf_end(*c);
}

/* Gives an error the place of a list's item. */
static int place(const struct conf_doc *doc, const char *key, size_t i, struct err *e)
{
	const struct conf_node *list = conf_get(conf_doc_root(doc), key);
	const struct conf_node *n = conf_is_list(list) ? conf_list_at(list, i) : list;
	char text[sizeof(e->text)];

	if (!n)
		return -EINVAL;
	snprintf(text, sizeof(text), "%s", e->text);
	return conf_err(n, e, "%s", text);
}

static const char *origin(const struct dnsd_conf *c)
{
	return c->cluster ? c->cluster->domain : ".";
}

/* Gives the error the place of item i of a list in the table "forward". */
static int place_forward(
    const struct conf_doc *doc, const char *key, size_t i, struct err *e)
{
	const struct conf_node *table =
	    doc ? conf_get(conf_doc_root(doc), "forward") : NULL;
	const struct conf_node *list = table ? conf_get(table, key) : NULL;
	const struct conf_node *n = conf_is_list(list) ? conf_list_at(list, i) : list;
	char text[sizeof(e->text)];

	if (!n || !e)
		return -EINVAL;
	snprintf(text, sizeof(text), "%s", e->text);
	return conf_err(n, e, "%s", text);
}

static int derive_servers(
    struct dnsd_conf *c, const struct conf_doc *doc, struct err *e)
{
	const struct conf_list *to = &c->forward.to;
	struct forward_settings *s = &c->settings.forward;

	if (!to->set && c->cluster)
		to = &c->cluster->upstream_dns;
	if (to->n > FORWARD_SERVERS)
		return err_set(
		    e, -E2BIG, "forward: at most %d servers", FORWARD_SERVERS);
	for (; s->n_servers < to->n; s->n_servers++) {
		size_t i = s->n_servers;

		if (forward_server_parse(
			&s->servers[i], conf_list_items(to, char *)[i], e) < 0)
			return place_forward(doc, "to", i, e);
	}
	for (; s->n_except < c->forward.except.n; s->n_except++) {
		size_t i = s->n_except;
		const char *zone = conf_list_items(&c->forward.except, char *)[i];

		if (name_parse(&s->except[i], zone) < 0) {
			err_set(e, -EINVAL, "\"%.64s\" is no zone", zone);
			return place_forward(doc, "except", i, e);
		}
	}
	return 0;
}

static int derive_forward(
    struct dnsd_conf *c, const struct conf_doc *doc, struct err *e)
{
	struct forward_settings *s = &c->settings.forward;
	int r;

	s->except = calloc(c->forward.except.n + 1, sizeof(*s->except));
	if (!s->except)
		return err_set(e, -ENOMEM, "out of memory");
	r = derive_servers(c, doc, e);
	if (r < 0)
		return r;
	s->loop = calloc(1, sizeof(*s->loop));
	if (!s->loop)
		return err_set(e, -ENOMEM, "out of memory");
	random_bytes(s->loop->token, sizeof(s->loop->token));
	s->rotate = c->settings.rotate = c->loadbalance;
	s->policy = (enum forward_policy)c->forward.policy;
	s->max_concurrent = (unsigned)c->forward.max_concurrent;
	s->max_fails = (unsigned)c->forward.max_fails;
	s->timeout_ms = c->forward.timeout;
	s->attempt_ms = c->forward.attempt;
	s->random_case = c->forward.random_case;
	s->find_loops = c->forward.find_loops;
	s->limits.positive = (uint32_t)(c->cache.positive / 1000);
	s->limits.negative = (uint32_t)(c->cache.negative / 1000);
	s->limits.min = (uint32_t)(c->cache.min_ttl / 1000);
	s->failure_ttl = (uint32_t)(c->cache.failure / 1000);
	s->cache_bytes = c->cache.size / dnsd_conf_workers(c);
	s->stale_ms = c->cache.serve_stale;
	s->prefetch_often = (unsigned)c->cache.prefetch.often;
	s->prefetch_percent = (unsigned)c->cache.prefetch.percent;
	s->prefetch_gap_ms = c->cache.prefetch.gap;
	return forward_settings_tls(s, c->forward.tls_ca, e);
}

/* doc, where there is one, gives errors their place. */
static int add_static(const struct dnsd_conf *c, const struct conf_doc *doc,
    struct records *to, struct err *e)
{
	char *const *lines = conf_list_items(&c->records, char *);
	char *const *files = conf_list_items(&c->record_files, char *);
	uint32_t ttl = (uint32_t)(c->ttl / 1000);
	int r;

	for (size_t i = 0; i < c->records.n; i++) {
		r = records_add_line(to, RECORDS_STATIC, lines[i], origin(c), ttl, e);
		if (r < 0)
			return doc && e ? place(doc, "records", i, e) : r;
	}
	for (size_t i = 0; i < c->record_files.n; i++) {
		if (files[i][0] != '/') {
			r = err_set(
			    e, -EINVAL, "%s must be a whole path, from / on", files[i]);
			return doc && e ? place(doc, "record_files", i, e) : r;
		}
		r = records_add_file(to, RECORDS_STATIC, files[i], origin(c), ttl, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_hosts(
    const struct dnsd_conf *c, const struct conf_doc *doc, struct err *e)
{
	for (size_t i = 0; i < c->hosts.n; i++) {
		const char *path = conf_list_items(&c->hosts, char *)[i];

		if (path[0] != '/') {
			err_set(e, -EINVAL, "%s must be a whole path, from / on", path);
			return doc && e ? place(doc, "hosts", i, e) : -EINVAL;
		}
	}
	return 0;
}

/* The zones in an etcd cluster beside the root and those that are there already.  What is not
 * in them does not exist. */
static int add_zones_of(const struct etcd_settings *s, const struct zone_soa *like,
    struct zone_edit *edit, struct err *e)
{
	struct zone_soa soa = *like;
	int r = 0;

	for (size_t i = 0; r == 0 && !s->fallthrough && i < s->zones.n; i++) {
		const char *text = conf_list_items(&s->zones, char *)[i];
		struct name_buf zone;

		if (name_parse(&zone, text) < 0)
			return err_set(e, -EINVAL, "etcd: \"%.64s\" is no zone", text);
		if (zone.len == 1)
			continue;
		soa.mname = soa.rname = zone;
		if (name_prepend(&soa.mname, "dns") < 0 ||
		    name_prepend(&soa.mname, "ns") < 0 ||
		    name_prepend(&soa.rname, "hostmaster") < 0)
			return err_set(
			    e, -EINVAL, "etcd: the zone %.64s is too long", text);
		r = zone_edit_apex(edit, &zone, &soa);
		r = r == -EEXIST ? 0 : r;
	}
	return r < 0 ? err_set(e, r, "out of memory") : 0;
}

static uint32_t negative_ttl(const struct dnsd_conf *c)
{
	return (uint32_t)(MIN(c->negative_ttl, c->cache.negative) / 1000);
}

static int add_etcd_apexes(
    const struct dnsd_conf *c, struct zone_edit *edit, struct err *e)
{
	struct zone_soa soa = {
		.ttl = negative_ttl(c), .refresh = 7200, .retry = 1800, .expire = 86400
	};
	struct etcd_settings s[ETCD_CLUSTERS];
	size_t n = dnsd_conf_etcd(c, s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_zones_of(&s[i], &soa, edit, e);
	return r;
}

/* Every record is compiled before the configuration is taken. */
static int compile(struct dnsd_conf *c, const struct conf_doc *doc, struct err *e)
{
	_cleanup_(records_freep) struct records *records = NULL;
	_cleanup_(zone_edit_freep) struct zone_edit *edit = NULL;
	int r = records_new(&records);

	if (r == 0)
		r = zone_edit_new(&edit, NULL);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (c->cluster)
		r = derive_apexes(c->cluster, negative_ttl(c), edit);
	if (r == 0 && c->cluster)
		r = derive_records(c->cluster, (uint32_t)(c->ttl / 1000), records);
	if (r < 0)
		return err_set(
		    e, r, "cannot derive the cluster's records: %s", strerror(-r));
	r = add_etcd_apexes(c, edit, e);
	if (r < 0)
		return r;
	/* As CoreDNS's cache, which sees what is ours too. */
	records_limit_ttl(records, c->settings.forward.limits.positive);
	r = add_static(c, doc, records, e);
	if (r == 0)
		r = records_build(records, edit, e);
	if (r < 0)
		return r;
	c->base = TAKE(records);
	c->zone = zone_edit_commit(TAKE(edit), (uint32_t)clock_real_s());
	return 0;
}

int dnsd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e)
{
	_cleanup_(dnsd_conf_endp) struct dnsd_conf *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	r = doc ? conf_decode(doc, fields, c, e) : conf_defaults(fields, c, e);
	if (r < 0)
		return r;
	c->cluster = *cluster;
	r = derive(c, e);
	if (r == 0)
		r = derive_forward(c, doc, e);
	if (r == 0)
		r = check_hosts(c, doc, e);
	if (r == 0)
		r = templates_new(&c->settings.templates, &c->templates,
		    &c->settings.forward.limits, doc, e);
	if (r == 0)
		r = compile(c, doc, e);
	if (r < 0) {
		c->cluster = NULL; /* still the caller's */
		return r;
	}
	*cluster = NULL;
	*ret = TAKE(c);
	return 0;
}

void dnsd_conf_free(void *conf)
{
	dnsd_conf_end(conf);
}

void dnsd_conf_print(const void *conf, struct str *out)
{
	conf_print(fields, conf, out);
}

unsigned dnsd_conf_workers(const struct dnsd_conf *c)
{
	cpu_set_t set;

	if (c->workers)
		return (unsigned)c->workers;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)MIN(CPU_COUNT(&set), MAX_WORKERS);
}

size_t dnsd_conf_etcd(
    const struct dnsd_conf *c, struct etcd_settings ret[ETCD_CLUSTERS])
{
	size_t n = 0;

	for (size_t i = 0; i < c->etcd.n; i++) {
		ret[n] = conf_list_items(&c->etcd, struct etcd_settings)[i];
		if (!ret[n].endpoints.set && c->cluster)
			ret[n].endpoints = c->cluster->etcd_dns;
		n += ret[n].endpoints.n > 0;
	}
	return n;
}
