/* lbd.yaml: the tables of its keys, defaults, and what must hold between them. */
#include "lbd/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "lbd/balance.h"

/* --- status codes ("200", "200-399") --------------------------------------- */

static int parse_status_text(const char *text, struct conf_status *ret)
{
	unsigned low, high;
	int used = 0, n;

	n = sscanf(text, "%3u%n-%3u%n", &low, &used, &high, &used);
	if (n == 1)
		high = low;
	if (n < 1 || text[used] || low < 100 || high > 599 || low > high)
		return -EINVAL;
	ret->low = (uint16_t)low;
	ret->high = (uint16_t)high;
	return 0;
}

static int status_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *text = conf_scalar(n);

	if (text && parse_status_text(text, out) == 0)
		return 0;
	return conf_err(
	    n, e, "%s: write %s", f ? f->key : "expect", "200, or a range: 200-399");
}

static void status_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	const struct conf_status *s = in;

	str_addf(out, s->low == s->high ? "%u" : "%u-%u", s->low, s->high);
}

static const struct conf_type status_type = {
	.what = "a status code such as 200, or a range such as 200-399",
	.size = sizeof(struct conf_status),
	.parse = status_parse,
	.print = status_print,
};
static const struct conf_type status_list = CONF_LIST(&status_type);

/* --- tables ----------------------------------------------------------------- */

static const char *const profile_words[] = { "okd", "haproxy", NULL };
static const char *const balance_words[] = { "source", "roundrobin", "static-rr",
	"leastconn", "first", "random", NULL };
static const char *const hash_words[] = { "map-based", "consistent", NULL };
static const char *const log_words[] = { "tcplog", "none", NULL };
static const char *const check_words[] = { "tcp", "tls", "http", "https", "none",
	NULL };
static const char *const proxy_words[] = { "none", "v1", "v2", NULL };
static const char *const admit_words[] = { "all", "nodes", "install", NULL };
static const char *const serve_words[] = { "all", "masters", NULL };

static const struct conf_type profile_type = CONF_ENUM(profile_words);
static const struct conf_type balance_type = CONF_ENUM(balance_words);
static const struct conf_type hash_type = CONF_ENUM(hash_words);
static const struct conf_type log_type = CONF_ENUM(log_words);
static const struct conf_type check_type_type = CONF_ENUM(check_words);
static const struct conf_type proxy_type = CONF_ENUM(proxy_words);
static const struct conf_type admit_type = CONF_ENUM(admit_words);
static const struct conf_type serve_type = CONF_ENUM(serve_words);
static const struct conf_type endpoint_list = CONF_LIST(&conf_endpoint);
static const struct conf_type cidr_list = CONF_LIST(&conf_cidr);

#define AT(s, m) offsetof(struct s, m)

static const struct conf_field check_fields[] = {
	{ .key = "type",
	    .type = &check_type_type,
	    .offset = AT(check_conf, type),
	    .def = "tcp" },
	{ .key = "interval",
	    .type = &conf_duration,
	    .offset = AT(check_conf, interval),
	    .def = "2s",
	    .min = 10,
	    .max = 86400000 },
	{ .key = "fast_interval",
	    .type = &conf_duration,
	    .offset = AT(check_conf, fast_interval),
	    .min = 10,
	    .max = 86400000 },
	{ .key = "down_interval",
	    .type = &conf_duration,
	    .offset = AT(check_conf, down_interval),
	    .min = 10,
	    .max = 86400000 },
	{ .key = "timeout",
	    .type = &conf_duration,
	    .offset = AT(check_conf, timeout),
	    .min = 10,
	    .max = 3600000 },
	{ .key = "rise",
	    .type = &conf_uint,
	    .offset = AT(check_conf, rise),
	    .def = "2",
	    .min = 1,
	    .max = 1000 },
	{ .key = "fall",
	    .type = &conf_uint,
	    .offset = AT(check_conf, fall),
	    .def = "3",
	    .min = 1,
	    .max = 1000 },
	{ .key = "port",
	    .type = &conf_uint,
	    .offset = AT(check_conf, port),
	    .min = 1,
	    .max = 65535 },
	{ .key = "address", .type = &conf_ip, .offset = AT(check_conf, address) },
	{ .key = "path",
	    .type = &conf_string,
	    .offset = AT(check_conf, path),
	    .def = "/" },
	{ .key = "host", .type = &conf_string, .offset = AT(check_conf, host) },
	{ .key = "expect",
	    .type = &status_list,
	    .offset = AT(check_conf, expect),
	    .def = "[200-399]" },
	{ .key = "reuse",
	    .type = &conf_uint,
	    .offset = AT(check_conf, reuse),
	    .def = "1",
	    .min = 1,
	    .max = 1000 },
	{ .key = "sni", .type = &conf_string, .offset = AT(check_conf, sni) },
	{ .key = "ca", .type = &conf_string, .offset = AT(check_conf, ca) },
	CONF_END,
};
static const struct conf_type check_table = CONF_TABLE(struct check_conf, check_fields);

static const struct conf_field server_fields[] = {
	{ .key = "name",
	    .type = &conf_string,
	    .offset = AT(server_conf, name),
	    .required = true },
	{ .key = "address",
	    .type = &conf_string,
	    .offset = AT(server_conf, address),
	    .required = true },
	{ .key = "weight",
	    .type = &conf_uint,
	    .offset = AT(server_conf, weight),
	    .def = "1",
	    .max = BALANCE_WEIGHT_MAX },
	{ .key = "backup",
	    .type = &conf_bool,
	    .offset = AT(server_conf, backup),
	    .def = "false" },
	{ .key = "check",
	    .type = &conf_bool,
	    .offset = AT(server_conf, check),
	    .def = "true" },
	{ .key = "maxconn",
	    .type = &conf_uint,
	    .offset = AT(server_conf, maxconn),
	    .def = "0",
	    .max = 1000000 },
	{ .key = "slowstart",
	    .type = &conf_duration,
	    .offset = AT(server_conf, slowstart),
	    .def = "0s",
	    .max = 86400000 },
	{ .key = "send_proxy",
	    .type = &proxy_type,
	    .offset = AT(server_conf, send_proxy),
	    .def = "none" },
	{ .key = "serve",
	    .type = &serve_type,
	    .offset = AT(server_conf, serve),
	    .def = "all" },
	{ .key = "source", .type = &conf_ip, .offset = AT(server_conf, source) },
	CONF_END,
};
static const struct conf_type server_table =
    CONF_TABLE(struct server_conf, server_fields);
static const struct conf_type server_list = CONF_LIST(&server_table);

static const struct conf_field backend_fields[] = {
	{ .key = "name",
	    .type = &conf_string,
	    .offset = AT(backend_conf, name),
	    .required = true },
	{ .key = "balance",
	    .type = &balance_type,
	    .offset = AT(backend_conf, balance),
	    .def = "roundrobin" },
	{ .key = "hash_type",
	    .type = &hash_type,
	    .offset = AT(backend_conf, hash_type),
	    .def = "map-based" },
	{ .key = "all_backups",
	    .type = &conf_bool,
	    .offset = AT(backend_conf, all_backups),
	    .def = "false" },
	{ .key = "failover",
	    .type = &conf_bool,
	    .offset = AT(backend_conf, failover),
	    .def = "true" },
	{ .key = "close_on_down",
	    .type = &conf_bool,
	    .offset = AT(backend_conf, close_on_down),
	    .def = "false" },
	{ .key = "rebalance",
	    .type = &conf_uint,
	    .offset = AT(backend_conf, rebalance),
	    .def = "0",
	    .max = 100000 },
	{ .key = "rebalance_idle",
	    .type = &conf_duration,
	    .offset = AT(backend_conf, rebalance_idle),
	    .def = "30s",
	    .max = 86400000 },
	{ .key = "check", .type = &check_table, .offset = AT(backend_conf, check) },
	{ .key = "servers",
	    .type = &server_list,
	    .offset = AT(backend_conf, servers),
	    .required = true },
	CONF_END,
};
static const struct conf_type backend_table =
    CONF_TABLE(struct backend_conf, backend_fields);
static const struct conf_type backend_list = CONF_LIST(&backend_table);

static const struct conf_field frontend_fields[] = {
	{ .key = "name",
	    .type = &conf_string,
	    .offset = AT(frontend_conf, name),
	    .required = true },
	{ .key = "listen",
	    .type = &endpoint_list,
	    .offset = AT(frontend_conf, listen),
	    .required = true },
	{ .key = "backend",
	    .type = &conf_string,
	    .offset = AT(frontend_conf, backend),
	    .required = true },
	{ .key = "log",
	    .type = &log_type,
	    .offset = AT(frontend_conf, log),
	    .def = "tcplog" },
	{ .key = "allow", .type = &cidr_list, .offset = AT(frontend_conf, allow) },
	{ .key = "admit",
	    .type = &admit_type,
	    .offset = AT(frontend_conf, admit),
	    .def = "all" },
	{ .key = "maxconn",
	    .type = &conf_uint,
	    .offset = AT(frontend_conf, maxconn),
	    .def = "0",
	    .max = 10000000 },
	{ .key = "source_connections",
	    .type = &conf_uint,
	    .offset = AT(frontend_conf, source_connections),
	    .def = "0",
	    .max = 1000000 },
	{ .key = "source_rate",
	    .type = &conf_uint,
	    .offset = AT(frontend_conf, source_rate),
	    .def = "0",
	    .max = 1000000 },
	{ .key = "accept_proxy",
	    .type = &conf_bool,
	    .offset = AT(frontend_conf, accept_proxy),
	    .def = "false" },
	CONF_END,
};
static const struct conf_type frontend_table =
    CONF_TABLE(struct frontend_conf, frontend_fields);
static const struct conf_type frontend_list = CONF_LIST(&frontend_table);

#define TIMEOUT(name, d)                                                       \
	{                                                                      \
		.key = #name, .type = &conf_duration,                          \
		.offset = AT(timeouts_conf, name), .def = d, .max = 2147483000 \
	}
static const struct conf_field timeouts_fields[] = {
	TIMEOUT(connect, "5s"),
	TIMEOUT(queue, "5s"),
	TIMEOUT(client, "0s"),
	TIMEOUT(server, "0s"),
	TIMEOUT(tunnel, "0s"),
	TIMEOUT(client_fin, "0s"),
	TIMEOUT(server_fin, "0s"),
	TIMEOUT(keepalive, "30s"),
	TIMEOUT(user_timeout, "2m"),
	TIMEOUT(proxy_header, "5s"),
	CONF_END,
};
static const struct conf_type timeouts_table =
    CONF_TABLE(struct timeouts_conf, timeouts_fields);

static const struct conf_field stats_fields[] = {
	{ .key = "listen", .type = &endpoint_list, .offset = AT(stats_conf, listen) },
	{ .key = "monitor_uri",
	    .type = &conf_string,
	    .offset = AT(stats_conf, monitor_uri),
	    .def = "/healthz" },
	{ .key = "ready_uri",
	    .type = &conf_string,
	    .offset = AT(stats_conf, ready_uri),
	    .def = "/readyz" },
	CONF_END,
};
static const struct conf_type stats_table = CONF_TABLE(struct stats_conf, stats_fields);

static const struct conf_field lifecycle_fields[] = {
	{ .key = "api",
	    .type = &conf_string,
	    .offset = AT(lifecycle_conf, api),
	    .def = "openshift-api-server" },
	{ .key = "mcs",
	    .type = &conf_string,
	    .offset = AT(lifecycle_conf, mcs),
	    .def = "machine-config-server" },
	{ .key = "bootstrap",
	    .type = &conf_string,
	    .offset = AT(lifecycle_conf, bootstrap) },
	{ .key = "retire_after",
	    .type = &conf_duration,
	    .offset = AT(lifecycle_conf, retire_after),
	    .def = "5m",
	    .max = 86400000 },
	CONF_END,
};
static const struct conf_type lifecycle_table =
    CONF_TABLE(struct lifecycle_conf, lifecycle_fields);

/* The first two are what the cluster file stands in for. */
#define LISTS                                             \
	{ .key = "frontends",                             \
		.type = &frontend_list,                   \
		.offset = AT(lbd_conf, frontends) },      \
	{                                                 \
		.key = "backends", .type = &backend_list, \
		.offset = AT(lbd_conf, backends)          \
	}
static const struct conf_field derived_fields[] = { LISTS, CONF_END };
static const struct conf_field fields[] = {
	DAEMON_CONF_FIELDS,
	{ .key = "profile",
	    .type = &profile_type,
	    .offset = AT(lbd_conf, profile),
	    .def = "okd" },
	{ .key = "workers",
	    .type = &conf_uint,
	    .offset = AT(lbd_conf, workers),
	    .def = "1",
	    .min = 1,
	    .max = CONF_WORKERS_MAX },
	{ .key = "maxconn",
	    .type = &conf_uint_auto,
	    .offset = AT(lbd_conf, maxconn),
	    .max = 10000000 },
	{ .key = "stats", .type = &stats_table, .offset = AT(lbd_conf, stats) },
	{ .key = "timeouts",
	    .type = &timeouts_table,
	    .offset = AT(lbd_conf, timeouts) },
	{ .key = "lifecycle",
	    .type = &lifecycle_table,
	    .offset = AT(lbd_conf, lifecycle) },
	LISTS,
	CONF_END,
};

/* --- access ------------------------------------------------------------------ */

const struct frontend_conf *lbd_conf_frontend(const struct lbd_conf *c, size_t i)
{
	return conf_list_items(&c->frontends, struct frontend_conf) + i;
}

const struct backend_conf *lbd_conf_backend(const struct lbd_conf *c, size_t i)
{
	return conf_list_items(&c->backends, struct backend_conf) + i;
}

const struct server_conf *backend_conf_server(const struct backend_conf *b, size_t i)
{
	return conf_list_items(&b->servers, struct server_conf) + i;
}

int lbd_conf_find_backend(const struct lbd_conf *c, const char *name)
{
	for (size_t i = 0; i < c->backends.n; i++)
		if (str_eq(lbd_conf_backend(c, i)->name, name))
			return (int)i;
	return -1;
}

const char *conf_balance_name(int balance)
{
	return balance_words[balance];
}

/* --- what must hold ------------------------------------------------------------ */

/* The node of entry i of a list of the document, for errors; may be NULL. */
static const struct conf_node *entry_of(
    const struct conf_node *table, const char *key, size_t i)
{
	const struct conf_node *list = table ? conf_get(table, key) : NULL;

	return list && conf_is_list(list) && i < conf_list_len(list)
	    ? conf_list_at(list, i)
	    : NULL;
}

static const struct conf_node *key_of(const struct conf_node *table, const char *key)
{
	const struct conf_node *n = table ? conf_get(table, key) : NULL;

	return n ? n : table;
}

static int fault(const struct conf_node *n, struct err *e, const char *fmt, ...)
    _printf_(3, 4);
static int fault(const struct conf_node *n, struct err *e, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return n ? conf_err(n, e, "%s", text) : err_set(e, -EINVAL, "%s", text);
}

/* Names go into log lines and CSV as they are. */
static bool is_name(const char *s)
{
	size_t n = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_.:");

	return n && n < 64 && !s[n];
}

static int check_name(const char *name, const struct conf_node *n, struct err *e)
{
	if (is_name(name))
		return 0;
	return fault(n, e,
	    "\"%s\" cannot be a name; write up to 63 letters, digits, \"-\", \"_\", "
	    "\".\" and \":\"",
	    name);
}

/* A name and a port: the name's characters alone are looked at here. */
static bool is_host_and_port(const char *s)
{
	const char *colon = strrchr(s, ':');
	uint64_t port;

	return colon && colon > s && colon - s < 254 &&
	    strspn(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-_.") == (size_t)(colon - s) &&
	    str_to_u64(colon + 1, 65535, &port) == 0 && port > 0;
}

static int check_server(struct server_conf *s, const struct conf_node *n, struct err *e)
{
	int r = check_name(s->name, key_of(n, "name"), e);

	if (r < 0)
		return r;
	if (net_endpoint_parse(s->address, 0, &s->at) == 0 && s->at.ip.family)
		return 0;
	memset(&s->at, 0, sizeof(s->at));
	if (!is_host_and_port(s->address))
		return fault(key_of(n, "address"), e,
		    "\"%s\" is no address with a port; write one such as "
		    "192.168.120.103:6443",
		    s->address);
	return 0;
}

static int check_backend(
    struct lbd_conf *c, size_t at, const struct conf_node *n, struct err *e)
{
	struct backend_conf *b =
	    conf_list_items(&c->backends, struct backend_conf) + at;
	int r = check_name(b->name, key_of(n, "name"), e);

	if (r < 0)
		return r;
	if (lbd_conf_find_backend(c, b->name) != (int)at)
		return fault(key_of(n, "name"), e,
		    "there are two backends of the name \"%s\"", b->name);
	if (b->servers.n > CONF_SERVERS_MAX)
		return fault(key_of(n, "servers"), e,
		    "a backend may have at most %d servers", CONF_SERVERS_MAX);
	if (b->check.path[0] != '/' || strpbrk(b->check.path, " \r\n"))
		return fault(key_of(key_of(n, "check"), "path"), e,
		    "path: \"%s\" must begin with \"/\" and have no blanks",
		    b->check.path);
	if (b->check.host && strpbrk(b->check.host, " \r\n"))
		return fault(key_of(key_of(n, "check"), "host"), e,
		    "host: \"%s\" must have no blanks", b->check.host);
	for (size_t i = 0; i < b->servers.n; i++) {
		struct server_conf *s =
		    conf_list_items(&b->servers, struct server_conf);
		const struct conf_node *sn = entry_of(n, "servers", i);

		r = check_server(&s[i], sn, e);
		if (r < 0)
			return r;
		for (size_t k = 0; k < i; k++)
			if (str_eq(s[k].name, s[i].name))
				return fault(key_of(sn, "name"), e,
				    "backend %s has two servers of the name \"%s\"",
				    b->name, s[i].name);
	}
	return 0;
}

static int check_frontend(
    struct lbd_conf *c, size_t at, const struct conf_node *n, struct err *e)
{
	const struct frontend_conf *f = lbd_conf_frontend(c, at);
	int r = check_name(f->name, key_of(n, "name"), e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < at; i++)
		if (str_eq(lbd_conf_frontend(c, i)->name, f->name))
			return fault(key_of(n, "name"), e,
			    "there are two frontends of the name \"%s\"", f->name);
	if (!f->listen.n)
		return fault(key_of(n, "listen"), e,
		    "frontend %s listens nowhere; write listen: [\"*:6443\"]", f->name);
	if (lbd_conf_find_backend(c, f->backend) < 0)
		return fault(key_of(n, "backend"), e,
		    "there is no backend \"%s\"; add it below backends", f->backend);
	if (f->admit != ADMIT_ALL && !c->cluster)
		return fault(key_of(n, "admit"), e,
		    "admit: %s needs a cluster file that names the nodes",
		    admit_words[f->admit]);
	return 0;
}

static int check_listen(
    const struct lbd_conf *c, const struct conf_node *top, struct err *e)
{
	for (size_t i = 0; i < c->frontends.n; i++) {
		const struct frontend_conf *f = lbd_conf_frontend(c, i);

		for (size_t k = 0; k < f->listen.n; k++) {
			struct net_endpoint *a =
			    conf_list_items(&f->listen, struct net_endpoint) + k;

			for (size_t j = 0; j <= i; j++) {
				const struct frontend_conf *g = lbd_conf_frontend(c, j);
				size_t n = j == i ? k : g->listen.n;

				for (size_t m = 0; m < n; m++)
					if (memcmp(a,
						conf_list_items(
						    &g->listen, struct net_endpoint) +
						    m,
						sizeof(*a)) == 0)
						return fault(key_of(entry_of(top,
									"frontends", i),
								 "listen"),
						    e,
						    "%s is listened on twice, by "
						    "%s and %s",
						    net_endpoint_str(a), g->name,
						    f->name);
			}
		}
	}
	return 0;
}

static int validate(struct lbd_conf *c, const struct conf_doc *doc, struct err *e)
{
	const struct conf_node *top = doc ? conf_doc_root(doc) : NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->backends.n; i++)
		r = check_backend(c, i, entry_of(top, "backends", i), e);
	for (size_t i = 0; r == 0 && i < c->frontends.n; i++)
		r = check_frontend(c, i, entry_of(top, "frontends", i), e);
	if (r == 0)
		r = check_listen(c, top, e);
	return r;
}

/* --- life ---------------------------------------------------------------------- */

static int derive_lists(struct lbd_conf *c, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct lbd_conf derived = { 0 };
	int r;

	conf_derive(c->cluster, c->profile, &text);
	if (str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	r = conf_doc_parse(&doc, c->cluster->path ? c->cluster->path : "cluster.yaml",
	    text.s, text.len, e);
	if (r == 0)
		r = conf_decode(doc, derived_fields, &derived, e);
	if (r < 0)
		return r;
	if (!c->frontends.set) {
		c->frontends = derived.frontends;
		derived.frontends = (struct conf_list){ 0 };
	}
	if (!c->backends.set) {
		c->backends = derived.backends;
		derived.backends = (struct conf_list){ 0 };
	}
	conf_deinit(derived_fields, &derived);
	return 0;
}

/* Port 9000 on loopback and the bastion's addresses; everywhere without a cluster. */
static int derive_stats(struct lbd_conf *c, struct err *e)
{
	const struct conf_list *l = c->cluster ? &c->cluster->bastion.addresses : NULL;
	struct net_endpoint *at = calloc((l ? l->n : 0) + 1, sizeof(*at));
	size_t n = 0;

	if (!at)
		return err_set(e, -ENOMEM, "out of memory");
	at[n].port = 9000;
	(void)!net_ip_parse("127.0.0.1", &at[n++].ip);
	for (size_t i = 0; l && i < l->n; i++) {
		const struct net_ip *ip = conf_list_items(l, struct net_ip) + i;

		if (net_ip_is_loopback(ip))
			continue;
		at[n].ip = *ip;
		at[n++].port = 9000;
	}
	c->stats.listen = (struct conf_list){ .items = at, .n = n, .set = true };
	return 0;
}

/* The server that goes when the install is over is named like the bootstrap node. */
static int derive_lifecycle(struct lbd_conf *c, struct err *e)
{
	const char *name = "bootstrap";

	if (c->lifecycle.bootstrap)
		return 0;
	for (size_t i = 0; c->cluster && i < cluster_n_nodes(c->cluster); i++)
		if (cluster_node_at(c->cluster, i)->role == NODE_BOOTSTRAP)
			name = cluster_node_at(c->cluster, i)->name;
	c->lifecycle.bootstrap = strdup(name);
	return c->lifecycle.bootstrap ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static void warn(const struct lbd_conf *c, struct str *warnings)
{
	for (size_t i = 0; i < c->backends.n; i++)
		if (!lbd_conf_backend(c, i)->servers.n)
			str_addf(warnings, "backend %s has no server\n",
			    lbd_conf_backend(c, i)->name);
}

int lbd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e)
{
	struct lbd_conf *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	r = doc ? conf_decode(doc, fields, c, e) : conf_defaults(fields, c, e);
	c->cluster = *cluster;
	if (r == 0 && c->cluster && (!c->frontends.set || !c->backends.set))
		r = derive_lists(c, e);
	if (r == 0 && !c->stats.listen.set)
		r = derive_stats(c, e);
	if (r == 0)
		r = derive_lifecycle(c, e);
	if (r == 0)
		r = validate(c, doc, e);
	if (r == 0 && !c->frontends.n && !c->frontends.set)
		r = err_set(e, -EINVAL,
		    "there is nothing to balance: write frontends and backends, or a "
		    "cluster file with nodes");
	if (r < 0) {
		c->cluster = NULL;
		lbd_conf_free(c);
		return r;
	}
	warn(c, warnings);
	*cluster = NULL;
	*ret = c;
	return 0;
}

void lbd_conf_free(void *conf)
{
	struct lbd_conf *c = conf;

	if (!c)
		return;
	conf_deinit(fields, c);
	cluster_free(c->cluster);
	free(c);
}

void lbd_conf_print(const void *conf, struct str *out)
{
	conf_print(fields, conf, out);
}
