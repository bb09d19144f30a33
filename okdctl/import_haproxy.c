/* haproxy.cfg as lbd.yaml: what HAProxy does in TCP mode. */
#include <errno.h>
#include <stdio.h>

#include "common/net.h"
#include "okdctl/import.h"

enum section { NOWHERE, GLOBAL, DEFAULTS, PROXY, IGNORED };

/* What a check is made of; "" and 0 are not set. */
struct check {
	char type[8], path[128], expect[16], sni[128], ca[256];
	char interval[24], fast[24], down[24], timeout[24];
	unsigned rise, fall, port;
};

struct proxy {
	char name[128], backend[128], balance[16], hash[16];
	char monitor[128], maxconn[16];
	bool front, back, stats, tcplog, http, accept_proxy, all_backups, close_on_down;
	unsigned line, n_servers;
	struct str listen, servers;
	struct check check;
	char defaults[512]; /* of default-server, words with blanks */
};

struct haproxy {
	struct import *in;
	struct words w;
	unsigned line;
	bool cut;
	enum section section;
	struct proxy defaults, *v;
	size_t n;
	char maxconn[16];
	struct str timeouts;
	bool told_global, any;
};

static void proxy_deinit(struct proxy *p)
{
	str_deinit(&p->listen);
	str_deinit(&p->servers);
}

static void haproxy_deinit(struct haproxy *h)
{
	for (size_t i = 0; i < h->n; i++)
		proxy_deinit(&h->v[i]);
	proxy_deinit(&h->defaults);
	free(h->v);
	words_deinit(&h->w);
	str_deinit(&h->timeouts);
}

static const char *word(const struct haproxy *h, size_t i)
{
	return i < h->w.n ? h->w.v[i] : "";
}

static void lost(struct haproxy *h, const char *why)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	for (size_t i = 0; i < h->w.n && i < 4; i++)
		str_addf(&text, "%s%s", i ? " " : "", h->w.v[i]);
	import_note(
	    h->in, h->line, "\"%s\" is not carried over: %s", str_get(&text), why);
}

#define COPY(to, s) snprintf((to), sizeof(to), "%s", (s))

static bool is_number(const char *s)
{
	uint64_t v;

	return str_to_u64(s, 10000000, &v) == 0 && v > 0;
}

/* 0 leaves a server without new connections, as there. */
static bool is_weight(const char *s)
{
	uint64_t v;

	return str_to_u64(s, 256, &v) == 0;
}

/* --- global and defaults ------------------------------------------------ */

static void global_line(struct haproxy *h)
{
	if (str_eq(word(h, 0), "maxconn") && is_number(word(h, 1)))
		COPY(h->maxconn, word(h, 1));
	else
		lost(h, "the unit and okd-lbd's defaults do what is needed of it");
}

static const struct {
	const char *theirs, *ours;
} timeouts[] = { { "connect", "connect" }, { "queue", "queue" }, { "client", "client" },
	{ "server", "server" }, { "tunnel", "tunnel" }, { "client-fin", "client_fin" },
	{ "server-fin", "server_fin" } };

static void timeout_line(struct haproxy *h, struct proxy *p)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (import_duration(word(h, 2), 1, &text) < 0) {
		lost(h, "its time is odd");
		return;
	}
	if (str_eq(word(h, 1), "check")) {
		COPY(p->check.timeout, str_get(&text));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		char key[24];

		if (!str_eq(word(h, 1), timeouts[i].theirs))
			continue;
		if (p != &h->defaults) {
			lost(
			    h, "time-outs are for all frontends: set them in timeouts");
			return;
		}
		snprintf(key, sizeof(key), "%s: ", timeouts[i].ours);
		if (strstr(str_get(&h->timeouts), key))
			lost(h, "it was set before");
		else
			str_addf(&h->timeouts, "%s%s%s", h->timeouts.len ? ", " : "",
			    key, str_get(&text));
		return;
	}
	lost(h, "it is about HTTP");
}

/* --- checks ------------------------------------------------------------- */

static void httpchk(struct haproxy *h, struct proxy *p)
{
	const char *path = h->w.n > 3 ? word(h, 3) : h->w.n == 3 ? word(h, 2) : "/";

	COPY(p->check.type, str_eq(p->check.type, "tls") ? "https" : "http");
	if (*path == '/')
		COPY(p->check.path, path);
}

static void http_check(struct haproxy *h, struct proxy *p)
{
	if (str_eq(word(h, 1), "expect") && str_eq(word(h, 2), "status") &&
	    is_number(word(h, 3)) && strlen(word(h, 3)) == 3) {
		COPY(p->check.expect, word(h, 3));
		return;
	}
	if (str_eq(word(h, 1), "send")) {
		for (size_t i = 2; i + 1 < h->w.n; i++)
			if (str_eq(word(h, i), "uri") && *word(h, i + 1) == '/')
				COPY(p->check.path, word(h, i + 1));
		return;
	}
	lost(h, "checks look at the status alone");
}

static void option_line(struct haproxy *h, struct proxy *p)
{
	const char *o = word(h, 1);

	if (str_eq(o, "tcplog"))
		p->tcplog = true;
	else if (str_eq(o, "httpchk"))
		httpchk(h, p);
	else if (str_eq(o, "ssl-hello-chk"))
		COPY(p->check.type, "tls");
	else if (str_eq(o, "allbackups"))
		p->all_backups = true;
	else if (!str_eq(o, "redispatch") && !str_eq(o, "tcp-check") &&
	    !str_eq(o, "dontlognull") && !str_eq(o, "log-health-checks") &&
	    !str_eq(o, "tcpka") && !str_eq(o, "clitcpka") && !str_eq(o, "srvtcpka") &&
	    !str_eq(o, "splice-auto"))
		lost(h, "okd-lbd works on TCP connections and does not look inside");
}

/* --- servers ------------------------------------------------------------ */

static void set_time(char to[24], const char *s)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (import_duration(s, 1, &text) == 0)
		snprintf(to, 24, "%s", str_get(&text));
}

/* A parameter of a check, which is the backend's here; how many words it took. */
static size_t check_param(struct check *k, const char *key, const char *value)
{
	uint64_t v;

	if (str_eq(key, "inter"))
		set_time(k->interval, value);
	else if (str_eq(key, "fastinter"))
		set_time(k->fast, value);
	else if (str_eq(key, "downinter"))
		set_time(k->down, value);
	else if (str_eq(key, "rise") && str_to_u64(value, 1000, &v) == 0)
		k->rise = (unsigned)v;
	else if (str_eq(key, "fall") && str_to_u64(value, 1000, &v) == 0)
		k->fall = (unsigned)v;
	else if (str_eq(key, "port") && str_to_u64(value, 65535, &v) == 0)
		k->port = (unsigned)v;
	else if (str_eq(key, "check-sni"))
		COPY(k->sni, value);
	else if (str_eq(key, "ca-file"))
		COPY(k->ca, value);
	else
		return 0;
	return 2;
}

struct server {
	bool check;
	struct str more;
};

/* The first of several wins: a key stands in YAML once. */
static void add_once(struct str *more, const char *key, const char *value)
{
	char pair[32];

	snprintf(pair, sizeof(pair), ", %s: ", key);
	if (!strstr(str_get(more), pair))
		str_addf(more, "%s%s", pair, value);
}

/* A parameter of the server's own; how many words it took, 0 for one unknown. */
static size_t server_param(struct haproxy *h, struct proxy *p, struct server *s,
    const char *key, const char *value)
{
	if (str_eq(key, "check")) {
		s->check = true;
		return 1;
	}
	if (str_eq(key, "backup")) {
		add_once(&s->more, "backup", "true");
		return 1;
	}
	if (str_eq(key, "check-ssl")) {
		COPY(p->check.type, str_eq(p->check.type, "http") ? "https" : "tls");
		return 1;
	}
	if (str_eq(key, "send-proxy") || str_eq(key, "send-proxy-v2")) {
		add_once(&s->more, "send_proxy", str_ends(key, "2") ? "v2" : "v1");
		return 1;
	}
	if ((str_eq(key, "weight") && is_weight(value)) ||
	    (str_eq(key, "maxconn") && is_number(value))) {
		add_once(&s->more, key, value);
		return 2;
	}
	if (str_eq(key, "slowstart")) {
		_cleanup_(str_deinit) struct str text = STR_INIT;

		if (import_duration(value, 1, &text) == 0)
			add_once(&s->more, "slowstart", str_get(&text));
		return 2;
	}
	if (str_eq(key, "on-marked-down") && str_eq(value, "shutdown-sessions")) {
		p->close_on_down = true;
		return 2;
	}
	return str_eq(key, "verify") || str_eq(key, "init-addr") ? 2 : 0;
}

static void server_params(struct haproxy *h, struct proxy *p, struct server *s,
    const struct words *w, size_t from)
{
	for (size_t i = from; i < w->n;) {
		const char *value = i + 1 < w->n ? w->v[i + 1] : "";
		size_t n = server_param(h, p, s, w->v[i], value);

		if (!n)
			n = check_param(&p->check, w->v[i], value);
		if (!n) {
			import_note(h->in, h->line,
			    "\"%s\" of server %s is not carried over", w->v[i],
			    word(h, 1));
			n = 1;
		}
		i += n;
	}
}

/* "10.0.0.3:6443"; a server without a port gets the one the clients came to. */
static void server_line(struct haproxy *h, struct proxy *p)
{
	_cleanup_(words_deinit) struct words defaults = { 0 };
	_cleanup_(str_deinit) struct str address = STR_INIT;
	struct server s = { .more = STR_INIT };
	const char *at = word(h, 2);

	if (str_starts(at, "ipv4@") || str_starts(at, "ipv6@"))
		at += 5;
	if (!*at || strchr(at, '/') || strchr(at, '@')) {
		lost(h, "its address is no host and port");
		return;
	}
	str_addz(&address, at);
	if (!strrchr(at, ':')) {
		const char *colon = strrchr(str_get(&p->listen), ':');
		int port = colon ? atoi(colon + 1) : 0;

		str_addf(&address, ":%d", port ? port : 6443);
		import_note(h->in, h->line,
		    "server %s has no port; it is given %d, see whether that is right",
		    word(h, 1), port ? port : 6443);
	}
	if (words_split(&defaults, p->defaults) == 0)
		server_params(h, p, &s, &defaults, 0);
	server_params(h, p, &s, &h->w, 3);
	str_addz(&p->servers, "      - {name: ");
	import_yaml_word(&p->servers, word(h, 1));
	str_addz(&p->servers, ", address: ");
	import_yaml_word(&p->servers, str_get(&address));
	str_addf(
	    &p->servers, "%s%s}\n", s.check ? "" : ", check: false", str_get(&s.more));
	p->n_servers++;
	str_deinit(&s.more);
}

/* --- frontends ---------------------------------------------------------- */

static void bind_line(struct haproxy *h, struct proxy *p)
{
	char *save = NULL;

	if (h->w.n < 2) {
		lost(h, "it has no address");
		return;
	}
	for (char *at = strtok_r(h->w.v[1], ",", &save); at;
	     at = strtok_r(NULL, ",", &save)) {
		struct net_endpoint e;

		if (net_endpoint_parse(at, 0, &e) < 0) {
			import_note(h->in, h->line,
			    "\"%s\" is not carried over: write addresses with a port",
			    at);
			continue;
		}
		str_addz(&p->listen, p->listen.len ? ", " : "");
		/* A lone colon is YAML's; so the address is always in quotes. */
		str_addf(&p->listen, "\"%s\"", at);
	}
	for (size_t i = 2; i < h->w.n; i++) {
		if (str_eq(word(h, i), "accept-proxy"))
			p->accept_proxy = true;
		else if (str_eq(word(h, i), "ssl"))
			import_note(h->in, h->line,
			    "TLS is not ended here: connections pass as they are");
		else
			import_note(
			    h->in, h->line, "\"%s\" is not carried over", word(h, i));
	}
}

static void stats_line(struct haproxy *h, struct proxy *p)
{
	p->stats = true;
	if (str_eq(word(h, 1), "auth") || str_eq(word(h, 1), "admin"))
		lost(h,
		    "the page shows and changes nothing; the verbs are on the admin "
		    "socket");
	else if (str_eq(word(h, 1), "uri") && !str_eq(word(h, 2), "/"))
		lost(h, "the page is at /");
}

static const char *const algorithms[] = { "source", "roundrobin", "static-rr",
	"leastconn", "first", "random", NULL };

static void balance_line(struct haproxy *h, struct proxy *p)
{
	for (size_t i = 0; algorithms[i]; i++) {
		if (str_eq(word(h, 1), algorithms[i])) {
			COPY(p->balance, word(h, 1));
			return;
		}
	}
	lost(h, "it looks inside HTTP; roundrobin is used");
}

static void use_backend(struct haproxy *h, struct proxy *p)
{
	if (h->w.n > 2 || p->backend[0])
		lost(h, "a frontend has one backend");
	else
		COPY(p->backend, word(h, 1));
}

static void defaults_of_servers(struct haproxy *h, struct proxy *p)
{
	size_t at = strlen(p->defaults);

	for (size_t i = 1; i < h->w.n && at < sizeof(p->defaults); i++)
		at += (size_t)snprintf(
		    p->defaults + at, sizeof(p->defaults) - at, "%s ", word(h, i));
}

static void proxy_line(struct haproxy *h, struct proxy *p)
{
	const char *key = word(h, 0);

	if (str_eq(key, "bind"))
		bind_line(h, p);
	else if (str_eq(key, "mode"))
		p->http = str_eq(word(h, 1), "http");
	else if (str_eq(key, "option"))
		option_line(h, p);
	else if (str_eq(key, "no") && str_eq(word(h, 1), "option"))
		p->tcplog = p->tcplog && !str_eq(word(h, 2), "tcplog");
	else if (str_eq(key, "timeout"))
		timeout_line(h, p);
	else if (str_eq(key, "balance"))
		balance_line(h, p);
	else if (str_eq(key, "hash-type"))
		COPY(p->hash, word(h, 1));
	else if (str_eq(key, "server"))
		server_line(h, p);
	else if (str_eq(key, "default-server"))
		defaults_of_servers(h, p);
	else if (str_eq(key, "default_backend") || str_eq(key, "use_backend"))
		use_backend(h, p);
	else if (str_eq(key, "http-check"))
		http_check(h, p);
	else if (str_eq(key, "stats"))
		stats_line(h, p);
	else if (str_eq(key, "monitor-uri"))
		COPY(p->monitor, word(h, 1));
	else if (str_eq(key, "maxconn") && is_number(word(h, 1)))
		COPY(p->maxconn, word(h, 1));
	else if (str_eq(key, "retries") || str_eq(key, "log"))
		lost(h, "okd-lbd tries each server that is left, and logs by itself");
	else
		lost(h, "okd-lbd has no such thing");
}

/* --- sections ----------------------------------------------------------- */

static struct proxy *open_proxy(struct haproxy *h, const char *kind)
{
	struct proxy *v = reallocarray(h->v, h->n + 1, sizeof(*v)), *p;

	if (!v) {
		h->in->out->err = -ENOMEM;
		return NULL;
	}
	h->v = v;
	p = &v[h->n++];
	*p = h->defaults;
	p->listen = p->servers = (struct str)STR_INIT;
	p->line = h->line;
	p->front = !str_eq(kind, "backend");
	p->back = !str_eq(kind, "frontend");
	COPY(p->name, word(h, 1));
	return p;
}

static bool begins_section(struct haproxy *h)
{
	static const char *const others[] = { "resolvers", "peers", "mailers",
		"userlist", "program", "cache", "ring", "http-errors", "log-forward",
		NULL };
	const char *key = word(h, 0);

	if (str_eq(key, "global"))
		h->section = GLOBAL;
	else if (str_eq(key, "defaults"))
		h->section = DEFAULTS;
	else if (str_eq(key, "frontend") || str_eq(key, "backend") ||
	    str_eq(key, "listen"))
		h->section = open_proxy(h, key) ? PROXY : IGNORED;
	else {
		for (size_t i = 0; others[i]; i++) {
			if (str_eq(key, others[i])) {
				h->section = IGNORED;
				lost(h, "okd-lbd has no such section");
				return true;
			}
		}
		return false;
	}
	h->any = true;
	return true;
}

static void one_line(struct haproxy *h)
{
	if (!h->w.n || begins_section(h))
		return;
	switch (h->section) {
	case NOWHERE:
		lost(h, "it is in no section");
		break;
	case GLOBAL:
		global_line(h);
		break;
	case DEFAULTS:
		proxy_line(h, &h->defaults);
		break;
	case PROXY:
		proxy_line(h, &h->v[h->n - 1]);
		break;
	case IGNORED:
		lost(h, "its section is not");
		break;
	}
}

/* --- output ------------------------------------------------------------- */

static void print_frontend(struct haproxy *h, const struct proxy *p)
{
	struct str *out = h->in->out;

	str_addz(out, "  - name: ");
	import_yaml_word(out, p->name);
	str_addf(out, "\n    listen: [%s]\n    backend: ", str_get(&p->listen));
	import_yaml_word(out, p->back ? p->name : p->backend);
	str_addf(out, "\n    log: %s\n", p->tcplog ? "tcplog" : "none");
	if (p->maxconn[0])
		str_addf(out, "    maxconn: %s\n", p->maxconn);
	if (p->accept_proxy)
		str_addz(out, "    accept_proxy: true\n");
}

static void print_word(struct str *out, const char *key, const char *value)
{
	if (!*value)
		return;
	str_addf(out, ", %s: ", key);
	import_yaml_word(out, value);
}

static void print_check(const struct check *k, struct str *out)
{
	bool http = str_starts(k->type, "http");

	str_addf(out, "    check: {type: %s, interval: %s",
	    k->type[0] ? k->type : "tcp", k->interval[0] ? k->interval : "2s");
	print_word(out, "fast_interval", k->fast);
	print_word(out, "down_interval", k->down);
	print_word(out, "timeout", k->timeout);
	str_addf(
	    out, ", rise: %u, fall: %u", k->rise ? k->rise : 2, k->fall ? k->fall : 3);
	if (k->port)
		str_addf(out, ", port: %u", k->port);
	if (http)
		print_word(out, "path", k->path);
	if (http && k->expect[0])
		str_addf(out, ", expect: [%s]", k->expect);
	if (str_eq(k->type, "tls") || str_eq(k->type, "https")) {
		print_word(out, "sni", k->sni);
		print_word(out, "ca", k->ca);
	}
	str_addz(out, "}\n");
}

static void print_backend(struct haproxy *h, const struct proxy *p)
{
	struct str *out = h->in->out;

	str_addz(out, "  - name: ");
	import_yaml_word(out, p->name);
	str_addf(out, "\n    balance: %s\n", p->balance[0] ? p->balance : "roundrobin");
	if (str_eq(p->hash, "consistent"))
		str_addz(out, "    hash_type: consistent\n");
	if (p->all_backups)
		str_addz(out, "    all_backups: true\n");
	if (p->close_on_down)
		str_addz(out, "    close_on_down: true\n");
	print_check(&p->check, out);
	str_addf(out, "    servers:\n%s", str_get(&p->servers));
}

static bool is_front(const struct proxy *p)
{
	return p->front && !p->stats && p->listen.len &&
	    (p->back ? p->n_servers : p->backend[0] != 0);
}

static bool is_back(const struct proxy *p)
{
	return p->back && !p->stats && p->n_servers;
}

static void print_stats(struct haproxy *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct proxy *p = &h->v[i];

		if (!p->stats || !p->listen.len)
			continue;
		str_addf(h->in->out, "stats: {listen: [%s]", p->listen.s);
		print_word(h->in->out, "monitor_uri", p->monitor);
		str_addz(h->in->out, "}\n");
		return;
	}
}

static void print(struct haproxy *h)
{
	struct str *out = h->in->out;

	str_addf(out, "# From HAProxy's %s by okdctl import.\nprofile: haproxy\n",
	    h->in->name);
	if (h->maxconn[0])
		str_addf(out, "maxconn: %s\n", h->maxconn);
	if (h->timeouts.len)
		str_addf(out, "timeouts: {%s}\n", h->timeouts.s);
	print_stats(h);
	str_addz(out, "frontends:\n");
	for (size_t i = 0; i < h->n; i++)
		if (is_front(&h->v[i]))
			print_frontend(h, &h->v[i]);
	str_addz(out, "backends:\n");
	for (size_t i = 0; i < h->n; i++)
		if (is_back(&h->v[i]))
			print_backend(h, &h->v[i]);
}

/* Proxies that came to nothing, each with its line. */
static size_t review(struct haproxy *h)
{
	size_t fronts = 0;

	for (size_t i = 0; i < h->n; i++) {
		struct proxy *p = &h->v[i];

		fronts += is_front(p);
		if (p->stats)
			continue;
		if (p->http)
			import_note(h->in, p->line,
			    "\"%s\" is in HTTP mode; its connections pass as TCP, "
			    "without a look inside",
			    p->name);
		if (!is_front(p) && !is_back(p))
			import_note(h->in, p->line,
			    "\"%s\" is not carried over: it has no %s", p->name,
			    p->front && !p->listen.len ? "address to listen on"
				: p->front             ? "backend without conditions"
						       : "server");
	}
	return fronts;
}

int import_haproxy(struct import *in)
{
	_cleanup_(haproxy_deinit) struct haproxy h = { .in = in };
	const char *at = in->text;

	while (import_line(in, SYNTAX_HAPROXY, &at, &h.line, &h.w, &h.cut))
		one_line(&h);
	if (!h.any)
		return err_set(in->err, -EINVAL,
		    "%s is no HAProxy configuration: it has no section such as "
		    "\"frontend\"",
		    in->name);
	if (!review(&h))
		return err_set(in->err, -EINVAL,
		    "%s has no frontend with a backend that could be carried over",
		    in->name);
	print(&h);
	return 0;
}
