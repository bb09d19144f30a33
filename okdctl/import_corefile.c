/* CoreDNS's Corefile as dnsd.yaml. */
#include <errno.h>
#include <stdio.h>

#include "common/net.h"
#include "okdctl/import.h"

/* What was found, each a piece of YAML. */
struct corefile {
	struct import *in;
	struct words w; /* the line at hand */
	unsigned line;
	bool cut;
	unsigned depth;
	bool skipped; /* the server block is not the first one */
	unsigned n_blocks;
	char plugin[32]; /* whose braces are open */
	struct str templates, etcd, forward, cache, listen, admin, records, files,
	    hosts, allow;
	bool loadbalance, log_all, has_log;
	/* The template that is being read. */
	struct {
		struct str zones, match, answer, additional, authority, rcode;
		char type[16], zone[256];
		bool fallthrough;
	} t;
	struct {
		struct str path, endpoints, zones;
	} e;
	struct {
		struct str lines; /* "NAME A ADDRESS" for each that stands there */
		char ttl[24];
	} h;
	struct str policy; /* of forward */
	char log[8];
};

static void corefile_deinit(struct corefile *c)
{
	words_deinit(&c->w);
	str_deinit(&c->templates);
	str_deinit(&c->etcd);
	str_deinit(&c->forward);
	str_deinit(&c->cache);
	str_deinit(&c->listen);
	str_deinit(&c->admin);
	str_deinit(&c->records);
	str_deinit(&c->files);
	str_deinit(&c->hosts);
	str_deinit(&c->h.lines);
	str_deinit(&c->allow);
	str_deinit(&c->t.zones);
	str_deinit(&c->t.match);
	str_deinit(&c->t.answer);
	str_deinit(&c->t.additional);
	str_deinit(&c->t.authority);
	str_deinit(&c->t.rcode);
	str_deinit(&c->e.path);
	str_deinit(&c->e.endpoints);
	str_deinit(&c->e.zones);
	str_deinit(&c->policy);
}

static const char *word(const struct corefile *c, size_t i)
{
	return i < c->w.n ? c->w.v[i] : "";
}

/* Appends to a flow list without its brackets. */
static void add_item(struct str *list, const char *s)
{
	str_addz(list, list->len ? ", " : "");
	import_yaml_word(list, s);
}

/* A single-quoted scalar: what templates and expressions are written in. */
static void add_quoted(struct str *list, const char *s)
{
	str_addz(list, list->len ? ", '" : "'");
	for (; *s; s++)
		str_add(list, *s == '\'' ? "''" : s, *s == '\'' ? 2 : 1);
	str_addc(list, '\'');
}

static void lost(struct corefile *c, const char *why)
{
	import_note(c->in, c->line, "\"%s%s%s\" is not carried over: %s", word(c, 0),
	    c->w.n > 1 ? " " : "", word(c, 1), why);
}

static void zone_of(char *out, size_t n, const char *zone)
{
	size_t len = strlen(zone);

	while (len > 1 && zone[len - 1] == '.')
		len--;
	snprintf(out, n, "%.*s", (int)len, zone);
}

/* --- template ----------------------------------------------------------- */

static void template_begin(struct corefile *c)
{
	char zone[256];

	str_reset(&c->t.zones);
	str_reset(&c->t.match);
	str_reset(&c->t.answer);
	str_reset(&c->t.additional);
	str_reset(&c->t.authority);
	str_reset(&c->t.rcode);
	c->t.fallthrough = false;
	c->t.zone[0] = '\0';
	if (!str_eq(word(c, 1), "IN") && !str_eq(word(c, 1), "ANY"))
		lost(c, "okd-dnsd serves class IN alone");
	snprintf(c->t.type, sizeof(c->t.type), "%s", c->w.n > 2 ? word(c, 2) : "ANY");
	for (size_t i = 3; i < c->w.n; i++) {
		if (str_eq(word(c, i), "{"))
			break;
		zone_of(zone, sizeof(zone), word(c, i));
		if (!c->t.zone[0])
			snprintf(c->t.zone, sizeof(c->t.zone), "%s", zone);
		add_item(&c->t.zones, zone);
	}
}

/* ".*apps\.okd\.example\.com\.$" from a zone's name. */
static void expression_of(const char *zone, struct str *out)
{
	str_addz(out, ".*");
	for (; *zone; zone++)
		str_addf(out, *zone == '.' ? "\\." : "%c", *zone);
	str_addz(out, "\\.$");
}

/*
 * An expression that ends behind a backslash lost its end on the way: no regular
 * expression can end so.  Where it is the beginning of the zone's own expression, that
 * is what it was; else the zone alone decides.
 */
static void mend(struct corefile *c, const char *expression)
{
	_cleanup_(str_deinit) struct str whole = STR_INIT;

	expression_of(c->t.zone, &whole);
	if (c->t.zone[0] && str_starts(str_get(&whole), expression)) {
		add_quoted(&c->t.match, str_get(&whole));
		import_note(c->in, c->line,
		    "the expression \"%s\" is cut off behind a backslash; it is taken "
		    "for \"%s\", which matches the zone %s",
		    expression, str_get(&whole), c->t.zone);
	} else {
		import_note(c->in, c->line,
		    "the expression \"%s\" is cut off behind a backslash and is left "
		    "out: every name in the template's zones matches; correct it",
		    expression);
	}
}

static void template_line(struct corefile *c)
{
	const char *key = word(c, 0);

	if (str_eq(key, "match")) {
		for (size_t i = 1; i < c->w.n; i++) {
			if (c->cut && i + 1 == c->w.n)
				mend(c, word(c, i));
			else
				add_quoted(&c->t.match, word(c, i));
		}
	} else if (str_eq(key, "answer")) {
		add_quoted(&c->t.answer, word(c, 1));
	} else if (str_eq(key, "additional")) {
		add_quoted(&c->t.additional, word(c, 1));
	} else if (str_eq(key, "authority")) {
		add_quoted(&c->t.authority, word(c, 1));
	} else if (str_eq(key, "rcode")) {
		str_reset(&c->t.rcode);
		import_yaml_word(&c->t.rcode, word(c, 1));
	} else if (str_eq(key, "fallthrough")) {
		c->t.fallthrough = true;
		if (c->w.n > 1)
			lost(c, "fallthrough is for all zones of the template");
	} else if (!str_eq(key, "upstream")) {
		lost(c, "okd-dnsd's templates do not have it");
	}
}

static void template_end(struct corefile *c)
{
	struct str *out = &c->templates;

	str_addf(out,
	    "  - zones: [%s]\n    type: ", c->t.zones.len ? c->t.zones.s : "\".\"");
	import_yaml_word(out, c->t.type);
	str_addc(out, '\n');
	if (c->t.match.len)
		str_addf(out, "    match: [%s]\n", c->t.match.s);
	if (c->t.answer.len)
		str_addf(out, "    answer: [%s]\n", c->t.answer.s);
	if (c->t.additional.len)
		str_addf(out, "    additional: [%s]\n", c->t.additional.s);
	if (c->t.authority.len)
		str_addf(out, "    authority: [%s]\n", c->t.authority.s);
	if (c->t.rcode.len)
		str_addf(out, "    rcode: %s\n", c->t.rcode.s);
	str_addf(out, "    fallthrough: %s\n", c->t.fallthrough ? "true" : "false");
}

/* --- etcd --------------------------------------------------------------- */

static void etcd_begin(struct corefile *c)
{
	str_reset(&c->e.path);
	str_reset(&c->e.endpoints);
	str_reset(&c->e.zones);
	for (size_t i = 1; i < c->w.n && !str_eq(word(c, i), "{"); i++) {
		char zone[256];

		zone_of(zone, sizeof(zone), word(c, i));
		add_item(&c->e.zones, zone);
	}
}

static void etcd_line(struct corefile *c)
{
	const char *key = word(c, 0);

	if (str_eq(key, "path")) {
		str_reset(&c->e.path);
		import_yaml_word(&c->e.path, word(c, 1));
	} else if (str_eq(key, "endpoint")) {
		for (size_t i = 1; i < c->w.n; i++)
			add_item(&c->e.endpoints, word(c, i));
	} else if (!str_eq(key, "fallthrough") && !str_eq(key, "upstream") &&
	    !str_eq(key, "stubzones")) {
		lost(c, "see okd-dnsd.yaml(5) for how etcd is reached");
	}
}

static void etcd_end(struct corefile *c)
{
	if (c->etcd.len) {
		import_note(c->in, c->line, "a second etcd block is not carried over");
		return;
	}
	str_addf(&c->etcd, "etcd: {path: %s, endpoints: [%s], zones: [%s]}\n",
	    c->e.path.len ? c->e.path.s : "/skydns",
	    c->e.endpoints.len ? c->e.endpoints.s : "\"http://localhost:2379\"",
	    c->e.zones.len ? c->e.zones.s : "\".\"");
}

/* --- the others --------------------------------------------------------- */

static void forward_begin(struct corefile *c)
{
	str_reset(&c->policy);
	if (!str_eq(word(c, 1), ".") || c->forward.len) {
		lost(c,
		    c->forward.len ? "there is one forward for all names"
				   : "okd-dnsd forwards all names, not one zone's");
		c->plugin[0] = '\0';
		return;
	}
	for (size_t i = 2; i < c->w.n && !str_eq(word(c, i), "{"); i++) {
		const char *to = word(c, i);

		if (str_starts(to, "dns://"))
			to += strlen("dns://");
		if (*to == '/')
			import_note(c->in, c->line,
			    "the addresses in %s are not read; write them here", to);
		else
			add_item(&c->forward, to);
	}
}

static void forward_line(struct corefile *c)
{
	if (str_eq(word(c, 0), "policy") && !c->policy.len)
		str_addz(&c->policy, word(c, 1));
	else if (!str_eq(word(c, 0), "max_fails") && !str_eq(word(c, 0), "expire") &&
	    !str_eq(word(c, 0), "health_check"))
		lost(c,
		    "write it as in okd-dnsd.yaml(5), for instance "
		    "tls://9.9.9.9%dns.quad9.net");
}

static void cache_begin(struct corefile *c)
{
	_cleanup_(str_deinit) struct str ttl = STR_INIT;

	str_reset(&c->cache);
	if (c->w.n > 1 && !str_eq(word(c, 1), "{") &&
	    import_duration(word(c, 1), 1000, &ttl) == 0)
		str_addf(&c->cache, "positive: %s, negative: %s", ttl.s, ttl.s);
	else
		str_addz(&c->cache, "positive: 1h, negative: 30m");
}

static void cache_line(struct corefile *c)
{
	_cleanup_(str_deinit) struct str ttl = STR_INIT;
	const char *key = word(c, 0);

	if (str_eq(key, "serve_stale") && !strstr(str_get(&c->cache), key)) {
		if (c->w.n > 1 && import_duration(word(c, 1), 1000, &ttl) < 0)
			lost(c, "its time is odd");
		else
			str_addf(
			    &c->cache, ", serve_stale: %s", ttl.len ? ttl.s : "1h");
	} else {
		lost(c, "set positive, negative and size in cache: by hand");
	}
}

/* Without a file, CoreDNS reads the host's own, also beside lines of its own. */
static void hosts_begin(struct corefile *c)
{
	bool named = c->w.n > 1 && !str_eq(word(c, 1), "{");
	const char *path = named ? word(c, 1) : "/etc/hosts";

	str_reset(&c->h.lines);
	if (*path == '/')
		add_item(&c->hosts, path);
	else
		lost(c, "hosts takes whole paths, from / on");
	if (named && c->w.n > 2 && !str_eq(word(c, 2), "{"))
		import_note(c->in, c->line,
		    "hosts is for all names here, not for some zones alone");
}

static void hosts_line(struct corefile *c)
{
	_cleanup_(str_deinit) struct str ttl = STR_INIT;
	const char *key = word(c, 0);
	struct net_ip ip;

	if (net_ip_parse(key, &ip) == 0) {
		for (size_t i = 1; i < c->w.n; i++)
			str_addf(&c->h.lines, "%s %s %s\n", word(c, i),
			    ip.family == 4 ? "A" : "AAAA", net_ip_str(&ip));
	} else if (str_eq(key, "ttl") && import_duration(word(c, 1), 1000, &ttl) == 0) {
		snprintf(c->h.ttl, sizeof(c->h.ttl), "%s", str_get(&ttl));
	} else if (!str_eq(key, "fallthrough") && !str_eq(key, "reload")) {
		lost(c, "only addresses with their names, and their ttl, are");
	}
}

/* The lines as records, whose TTL may have been told behind them. */
static void hosts_end(struct corefile *c)
{
	unsigned long ttl = c->h.ttl[0] ? strtoul(c->h.ttl, NULL, 10) : 3600;

	for (char *line = c->h.lines.s, *next; line && *line; line = next) {
		_cleanup_(str_deinit) struct str record = STR_INIT;
		size_t name = strcspn(line, " ");

		next = line + strcspn(line, "\n");
		*next++ = '\0';
		str_add(&record, line, name);
		str_addf(&record, ". %lu IN%s", ttl, line + name);
		str_addz(&c->records, "  - ");
		import_yaml_word(&c->records, str_get(&record));
		str_addc(&c->records, '\n');
	}
}

static void log_line(struct corefile *c)
{
	if (str_eq(word(c, 0), "class"))
		snprintf(c->log, sizeof(c->log), "%s", word(c, 1));
	else
		lost(c, "its lines have a form of their own");
}

static void acl_line(struct corefile *c)
{
	if (!str_eq(word(c, 0), "allow")) {
		lost(c,
		    "\"allow\" in dnsd.yaml names who may ask, everybody else is "
		    "refused");
		return;
	}
	for (size_t i = 1; i < c->w.n; i++) {
		struct net_cidr net;

		if (str_eq(word(c, i), "net"))
			continue;
		if (net_cidr_parse(word(c, i), &net) == 0)
			add_item(&c->allow, word(c, i));
		else
			import_note(c->in, c->line, "\"%s\" is no network", word(c, i));
	}
}

static void admin(struct corefile *c)
{
	const char *at = c->w.n > 1 ? word(c, 1) : "localhost:9153";

	str_reset(&c->admin);
	if (str_starts(at, "localhost:"))
		str_addf(&c->admin, "127.0.0.1:%s", at + strlen("localhost:"));
	else
		str_addz(&c->admin, at);
}

static void listen_on(struct corefile *c, const struct net_ip *ip)
{
	const struct net_endpoint at = { .ip = *ip, .port = 53 };

	add_item(&c->listen, net_endpoint_str(&at));
}

static void bind_to(struct corefile *c)
{
	for (size_t i = 1; i < c->w.n; i++) {
		struct net_ip ip;

		if (net_ip_parse(word(c, i), &ip) < 0)
			import_note(c->in, c->line,
			    "\"%s\" is no address; write those to listen on",
			    word(c, i));
		else
			listen_on(c, &ip);
	}
}

/* --- plugins ------------------------------------------------------------ */

static const struct plugin {
	const char *name;
	void (*begin)(struct corefile *c);
	void (*line)(struct corefile *c);
	void (*end)(struct corefile *c);
	/* Why there is nothing to carry over; NULL: it simply is so here too. */
	const char *why;
} plugins[] = {
	{ "template", template_begin, template_line, template_end, NULL },
	{ "etcd", etcd_begin, etcd_line, etcd_end, NULL },
	{ "forward", forward_begin, forward_line, NULL, NULL },
	{ "cache", cache_begin, cache_line, NULL, NULL },
	{ "hosts", hosts_begin, hosts_line, hosts_end, NULL },
	{ "log", NULL, log_line, NULL, NULL },
	{ "acl", NULL, acl_line, NULL, NULL },
	{ "loadbalance", NULL, NULL, NULL, NULL },
	{ "prometheus", admin, NULL, NULL, NULL },
	{ "bind", bind_to, NULL, NULL, NULL },
	{ "errors", NULL, NULL, NULL, NULL },
	{ "loop", NULL, NULL, NULL, NULL },
	{ "reload", NULL, NULL, NULL, "okdctl reload, or systemctl reload" },
	{ "health", NULL, NULL, NULL, "GET /healthz on the admin address" },
	{ "ready", NULL, NULL, NULL, "GET /readyz on the admin address" },
	{ NULL, NULL, NULL, NULL, NULL },
};

static const struct plugin *find(const char *name)
{
	const struct plugin *p = plugins;

	while (p->name && !str_eq(p->name, name))
		p++;
	return p->name ? p : NULL;
}

static void zone_file(struct corefile *c)
{
	if (*word(c, 1) == '/')
		add_item(&c->files, word(c, 1));
	else
		lost(c, "record_files takes whole paths, from / on");
}

static void plugin_begin(struct corefile *c)
{
	const struct plugin *p = find(word(c, 0));

	snprintf(c->plugin, sizeof(c->plugin), "%s", word(c, 0));
	if (str_eq(word(c, 0), "loadbalance"))
		c->loadbalance = true;
	if (str_eq(word(c, 0), "log")) {
		c->has_log = true;
		snprintf(c->log, sizeof(c->log), "all");
	}
	if (str_eq(word(c, 0), "file"))
		zone_file(c);
	else if (!p)
		lost(c, "okd-dnsd has no such thing");
	else if (p->why)
		lost(c, p->why);
	else if (p->begin)
		p->begin(c);
}

static void plugin_end(struct corefile *c)
{
	const struct plugin *p = find(c->plugin);

	if (p && p->end)
		p->end(c);
	c->plugin[0] = '\0';
}

/* --- blocks ------------------------------------------------------------- */

/* The addresses of a server block: ".:53", "dns://.:53", "example.org". */
static void block_begin(struct corefile *c)
{
	c->skipped = ++c->n_blocks > 1;
	if (c->skipped) {
		import_note(c->in, c->line,
		    "the server block \"%s\" is not carried over: okd-dnsd has one set "
		    "of settings",
		    word(c, 0));
		return;
	}
	for (size_t i = 0; i < c->w.n && !str_eq(word(c, i), "{"); i++) {
		const char *s = word(c, i), *port;
		size_t scheme = str_starts(s, "dns://") ? strlen("dns://") : 0;
		uint64_t number;

		if (strstr(s, "://") && !scheme) {
			import_note(c->in, c->line,
			    "\"%s\" is not carried over: UDP and "
			    "TCP are served",
			    s);
			continue;
		}
		port = strrchr(s + scheme, ':');
		if (!str_starts(s + scheme, "."))
			import_note(c->in, c->line,
			    "the block is for \"%s\" alone; okd-dnsd answers for every "
			    "name it has or may forward",
			    s);
		if (port && str_to_u64(port + 1, 65535, &number) == 0 && number &&
		    number != 53)
			import_note(c->in, c->line,
			    "port %llu: write it into listen, as in "
			    "[\"127.0.0.1:%llu\"]",
			    (unsigned long long)number, (unsigned long long)number);
	}
}

static bool opens(const struct corefile *c)
{
	return c->w.n && str_eq(c->w.v[c->w.n - 1], "{");
}

static void one_line(struct corefile *c)
{
	const struct plugin *p;

	if (!c->w.n)
		return;
	if (str_eq(word(c, 0), "}")) {
		if (c->depth == 2 && !c->skipped)
			plugin_end(c);
		c->depth -= c->depth > 0;
		c->skipped = c->skipped && c->depth > 0;
		return;
	}
	if (c->depth == 0) {
		block_begin(c);
	} else if (c->skipped) {
		lost(c, "it is in another server block");
	} else if (c->depth == 1) {
		plugin_begin(c);
		if (!opens(c))
			plugin_end(c);
	} else if (c->depth == 2) {
		p = find(c->plugin);
		if (p && p->line)
			p->line(c);
		else if (c->plugin[0])
			lost(c, "okd-dnsd has no such thing");
	}
	c->depth += opens(c);
}

/* --- the file ----------------------------------------------------------- */

static void list(struct str *out, const char *key, const struct str *items)
{
	if (items->len)
		str_addf(out, "%s: [%s]\n", key, items->s);
}

static void print(struct corefile *c)
{
	struct str *out = c->in->out;

	str_addf(out, "# From CoreDNS's %s by okdctl import.\n", c->in->name);
	list(out, "listen", &c->listen);
	if (c->admin.len) {
		str_addz(out, "admin: ");
		import_yaml_word(out, c->admin.s);
		str_addc(out, '\n');
	}
	list(out, "allow", &c->allow);
	str_addf(out, "log: %s\n", c->has_log && c->log[0] ? c->log : "error");
	str_addf(out, "loadbalance: %s\n", c->loadbalance ? "true" : "false");
	if (c->cache.len)
		str_addf(out, "cache: {%s}\n", c->cache.s);
	if (c->templates.len)
		str_addf(out, "template:\n%s", c->templates.s);
	if (c->records.len)
		str_addf(out, "records:\n%s", c->records.s);
	list(out, "record_files", &c->files);
	list(out, "hosts", &c->hosts);
	if (c->h.ttl[0])
		str_addf(out, "hosts_ttl: %s\n", c->h.ttl);
	str_add(out, str_get(&c->etcd), c->etcd.len);
	str_addf(out, "forward: {to: [%s]", str_get(&c->forward));
	if (c->policy.len) {
		str_addz(out, ", policy: ");
		import_yaml_word(out, c->policy.s);
	}
	str_addz(out, "}\n");
}

static bool is_log_class(const char *s)
{
	return str_eq(s, "all") || str_eq(s, "error") || str_eq(s, "denial") ||
	    str_eq(s, "success");
}

int import_corefile(struct import *in)
{
	_cleanup_(corefile_deinit) struct corefile c = { .in = in };
	const char *at = in->text;

	while (import_line(in, SYNTAX_CADDY, &at, &c.line, &c.w, &c.cut))
		one_line(&c);
	if (!c.n_blocks)
		return err_set(in->err, -EINVAL,
		    "%s is no Corefile: it has no server block such as \".:53 {\"",
		    in->name);
	if (c.depth)
		import_note(
		    in, c.line, "%u closing braces are missing at the end", c.depth);
	if (c.plugin[0] && c.depth > 1)
		plugin_end(&c);
	if (c.log[0] && !is_log_class(c.log))
		snprintf(c.log, sizeof(c.log), "all");
	if (!c.allow.len)
		import_note(in, 1,
		    "CoreDNS answers everybody, okd-dnsd private networks and the "
		    "nodes "
		    "alone; \"allow\" widens that");
	print(&c);
	return 0;
}
