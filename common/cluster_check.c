/* Rules of cluster.yaml: see cluster_check.h. */
#include "common/cluster_check.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/htable.h"

#define MAX_LABEL 63
#define MAX_NAME 253
/* The longest name that is derived for every cluster, with its dot. */
#define LONGEST_PREFIX "_etcd-server-ssl._tcp."

struct check {
	const struct cluster *c;
	const struct conf_node *root;
	struct str *warnings;
	struct err *e;
	struct htable seen;
};

static _printf_(3, 4) void warn(
    struct check *k, const struct conf_node *n, const char *fmt, ...)
{
	char text[sizeof(k->e->text)];
	struct err e;
	va_list ap;

	if (!k->warnings)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_err(n, &e, "%s", text);
	str_addf(k->warnings, "%s\n", err_str(&e));
}

/*
 * What must not occur twice: names, addresses, MACs.
 */

enum seen_kind {
	SEEN_NAME,
	SEEN_IP,
	SEEN_MAC,
};

struct seen {
	struct hnode hash;
	enum seen_kind kind;
	const void *key;
	size_t len;
	const char *owner;
	const struct conf_node *place;
};

static void seen_free_all(struct htable *t)
{
	htable_for_each (it, t) {
		htable_remove(t, it);
		free(CONTAINER_OF(it, struct seen, hash));
	}
	htable_deinit(t);
}

/* Remembers the key, which must outlive the check: 0, -ENOMEM, or -EEXIST with prior.
 */
static int remember(struct check *k, const struct seen *what, const struct seen **prior)
{
	uint64_t hash = htable_hash(what->key, what->len);
	struct seen *s;
	int r;

	for (struct hnode *h = htable_first(&k->seen, hash); h; h = htable_next(h)) {
		s = CONTAINER_OF(h, struct seen, hash);
		if (s->kind != what->kind || s->len != what->len ||
		    memcmp(s->key, what->key, s->len) != 0)
			continue;
		*prior = s;
		return -EEXIST;
	}
	s = malloc(sizeof(*s));
	if (!s)
		return err_set(k->e, -ENOMEM, "out of memory");
	*s = *what;
	r = htable_insert(&k->seen, &s->hash, hash);
	if (r < 0)
		free(s);
	return r < 0 ? err_set(k->e, r, "out of memory") : 0;
}

/*
 * Names
 */

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static void lower(char *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] =
		    (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + 32 : from[i]);
	to[n] = '\0';
}

/* One label of text, from at on, n bytes long (RFC 1123, section 2.1). */
static int check_label(const char *text, const char *at, size_t n,
    const struct conf_node *place, const char *what, struct err *e)
{
	if (!n)
		return conf_err(place, e, "%s \"%s\" has an empty label%s", what,
		    conf_show(text),
		    str_ends(text, ".") ? "; leave out the final dot" : "");
	if (n > MAX_LABEL)
		return conf_err(place, e,
		    "%s \"%s\" has a label of %zu characters; DNS allows %d", what,
		    conf_show(text), n, MAX_LABEL);
	for (size_t i = 0; i < n; i++) {
		if (is_label_char(at[i]))
			continue;
		if (at[i] >= 'A' && at[i] <= 'Z') {
			char small[MAX_NAME + 1];

			lower(small, text, MIN(strlen(text), (size_t)MAX_NAME));
			return conf_err(place, e,
			    "%s \"%s\" has upper-case letters; write \"%s\"", what,
			    conf_show(text), conf_show(small));
		}
		return conf_err(place, e,
		    "%s \"%s\" is no DNS name; only a-z, 0-9 and - are allowed", what,
		    conf_show(text));
	}
	if (at[0] == '-' || at[n - 1] == '-')
		return conf_err(place, e,
		    "%s \"%s\" must not have - at the beginning or end of a label",
		    what, conf_show(text));
	return 0;
}

static int check_name(
    const char *text, const struct conf_node *place, const char *what, struct err *e)
{
	for (const char *at = text;; at++) {
		size_t n = strcspn(at, ".");
		int r = check_label(text, at, n, place, what, e);

		if (r < 0)
			return r;
		at += n;
		if (!*at)
			return 0;
	}
}

static int check_length(
    struct check *k, const char *label, const struct conf_node *place)
{
	size_t n = strlen(label) + strlen(k->c->name) + 1 + strlen(k->c->base_domain);

	if (n <= MAX_NAME)
		return 0;
	return conf_err(place, k->e,
	    "the name %s%s.%s would have %zu characters; DNS allows %d",
	    conf_show(label), conf_show(k->c->name), conf_show(k->c->base_domain), n,
	    MAX_NAME);
}

static int check_domain(struct check *k)
{
	const struct conf_node *base = conf_get(k->root, "base_domain");
	int r = check_name(k->c->name, conf_get(k->root, "name"), "cluster name", k->e);

	if (r == 0)
		r = check_name(k->c->base_domain, base, "base_domain", k->e);
	return r < 0 ? r : check_length(k, LONGEST_PREFIX, base);
}

/* Names below the cluster domain that mean something else. */
static bool is_reserved(const char *name)
{
	static const char *const words[] = { "api", "api-int", "apps", "registry",
		"localhost", NULL };
	for (size_t i = 0; words[i]; i++) {
		if (str_eq(words[i], name))
			return true;
	}
	if (!str_starts(name, "etcd-"))
		return false;
	name += strlen("etcd-");
	return *name && !name[strspn(name, "0123456789")];
}

/* Of the bastion or a node: one label, free, and not used twice. */
static int check_host_name(
    struct check *k, const char *name, const struct conf_node *n, const char *what)
{
	struct seen s = {
		.kind = SEEN_NAME, .key = name, .len = strlen(name), .place = n
	};
	const struct seen *prior;
	char label[MAX_LABEL + 2];
	int r;

	if (strchr(name, '.'))
		return conf_err(n, k->e,
		    "%s \"%s\" must be one label; the domain is added by itself", what,
		    conf_show(name));
	r = check_label(name, name, strlen(name), n, what, k->e);
	if (r < 0)
		return r;
	if (is_reserved(name))
		return conf_err(n, k->e,
		    "%s \"%s\" is taken: %s.%s.%s means something else; choose another",
		    what, name, name, conf_show(k->c->name),
		    conf_show(k->c->base_domain));
	r = remember(k, &s, &prior);
	if (r == -EEXIST)
		return conf_err(n, k->e, "%s \"%s\" is taken by the one on line %u",
		    what, name, conf_line(prior->place));
	snprintf(label, sizeof(label), "%s.", name);
	return r < 0 ? r : check_length(k, label, n);
}

/*
 * Addresses
 */

static const struct net_ip *ip_at(const struct conf_list *l, size_t i)
{
	return &conf_list_items(l, struct net_ip)[i];
}

static int check_unique_ip(struct check *k, const struct net_ip *ip, const char *owner,
    const struct conf_node *n)
{
	struct seen s = { .kind = SEEN_IP,
		.key = ip,
		.len = sizeof(*ip),
		.owner = owner,
		.place = n };
	const struct seen *prior;
	int r = remember(k, &s, &prior);

	if (r != -EEXIST)
		return r;
	return conf_err(n, k->e,
	    "address %s of \"%s\" is that of \"%s\" on line %u too", net_ip_str(ip),
	    owner, prior->owner, conf_line(prior->place));
}

static const char *networks_str(const struct cluster *c, struct str *s)
{
	for (size_t i = 0; i < c->machine_network.n; i++)
		str_addf(s, "%s%s", i ? ", " : "",
		    net_cidr_str(
			&conf_list_items(&c->machine_network, struct net_cidr)[i]));
	return str_get(s);
}

static int check_bastion(struct check *k)
{
	const struct conf_list *l = &k->c->bastion.addresses;
	const struct conf_node *table = conf_get(k->root, "bastion");
	const struct conf_node *name = conf_get(table, "name");
	const struct conf_node *nodes = conf_get(table, "addresses");
	_cleanup_(str_deinit) struct str nets = STR_INIT;
	int r = check_host_name(
	    k, k->c->bastion.name, conf_is_null(name) ? table : name, "bastion name");

	if (r < 0)
		return r;
	if (!l->n)
		return conf_err(nodes, k->e, "the bastion needs at least one address");
	networks_str(k->c, &nets);
	for (size_t i = 0; i < l->n; i++) {
		const struct conf_node *n = conf_list_at(nodes, i);

		r = check_unique_ip(k, ip_at(l, i), k->c->bastion.name, n);
		if (r < 0)
			return r;
		if (!cluster_has_ip(k->c, ip_at(l, i)))
			warn(k, n,
			    "bastion address %s lies outside machine_network (%s); the "
			    "nodes "
			    "need a route to it",
			    net_ip_str(ip_at(l, i)), str_get(&nets));
	}
	return 0;
}

static int check_gateway(struct check *k)
{
	_cleanup_(str_deinit) struct str nets = STR_INIT;
	const struct net_ip *gateway = &k->c->gateway;

	if (gateway->family && !cluster_has_ip(k->c, gateway))
		warn(k, conf_get(k->root, "gateway"),
		    "gateway %s lies outside machine_network (%s)", net_ip_str(gateway),
		    networks_str(k->c, &nets));
	return 0;
}

/*
 * Services elsewhere
 */

static const char *string_at(const struct conf_list *l, size_t i)
{
	return conf_list_items(l, char *)[i];
}

/* An address with an optional port that somebody could answer on. */
static bool is_server(const char *s, size_t n)
{
	struct net_endpoint ep;
	char buf[NET_ENDPOINT_MAX];

	if (n >= sizeof(buf))
		return false;
	memcpy(buf, s, n);
	buf[n] = '\0';
	return net_endpoint_parse(buf, 53, &ep) == 0 && ep.ip.family && ep.port;
}

/* 9.9.9.9, 9.9.9.9:53, [2620:fe::fe]:53, tls://9.9.9.9%dns.quad9.net */
static int check_upstream(struct check *k, const char *s, const struct conf_node *n)
{
	const char *name;

	if (!str_starts(s, "tls://")) {
		if (is_server(s, strlen(s)))
			return 0;
		return conf_err(n, k->e,
		    "upstream_dns: \"%s\" is no server; write an address such as "
		    "9.9.9.9, "
		    "9.9.9.9:53 or tls://9.9.9.9%%dns.quad9.net",
		    conf_show(s));
	}
	s += strlen("tls://");
	name = strchr(s, '%');
	if (!name)
		return conf_err(n, k->e,
		    "upstream_dns: tls://%s lacks the name on its certificate; append "
		    "it as "
		    "in tls://9.9.9.9%%dns.quad9.net",
		    conf_show(s));
	if (!is_server(s, (size_t)(name - s)))
		return conf_err(n, k->e,
		    "upstream_dns: tls://%s has no valid address; write it as in "
		    "tls://9.9.9.9%%dns.quad9.net",
		    conf_show(s));
	return check_name(name + 1, n, "upstream_dns: TLS name", k->e);
}

static bool is_host(const char *s, size_t n)
{
	char buf[MAX_NAME + 1];
	struct net_ip ip;

	if (!n || n >= sizeof(buf))
		return false;
	memcpy(buf, s, n);
	buf[n] = '\0';
	if (buf[0] == '[' && buf[n - 1] == ']') {
		buf[n - 1] = '\0';
		return strchr(buf, ':') && net_ip_parse(buf + 1, &ip) == 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)buf[i]) && !strchr(".-_", buf[i]))
			return false;
	}
	return true;
}

/* http://host:2379 or https://host:2379, without a path of its own. */
static int check_etcd(struct check *k, const char *s, const struct conf_node *n)
{
	const char *host = strstr(s, "://"), *colon, *end;
	uint64_t port = 1;

	if (!str_starts(s, "http://") && !str_starts(s, "https://"))
		return conf_err(n, k->e,
		    "etcd_dns: \"%s\" is no http:// or https:// URL; write one such as "
		    "http://192.168.120.101:2379",
		    conf_show(s));
	host += strlen("://");
	end = host + strcspn(host, "/?#");
	colon = end;
	while (colon > host && colon[-1] >= '0' && colon[-1] <= '9')
		colon--;
	if (colon > host && colon[-1] == ':' && colon < end) {
		char digits[8] = "";

		if (end - colon < (ptrdiff_t)sizeof(digits))
			memcpy(digits, colon, (size_t)(end - colon));
		if (str_to_u64(digits, UINT16_MAX, &port) < 0)
			port = 0;
		colon--;
	} else {
		colon = end;
	}
	if (!port || !is_host(host, (size_t)(colon - host)))
		return conf_err(n, k->e,
		    "etcd_dns: \"%s\" has no valid host and port; write one such as "
		    "http://192.168.120.101:2379",
		    conf_show(s));
	if (*end && !str_eq(end, "/"))
		return conf_err(n, k->e,
		    "etcd_dns: \"%s\" has something behind the host; leave \"%s\" out",
		    conf_show(s), conf_show(end));
	return 0;
}

static int check_services(struct check *k)
{
	const struct conf_list *up = &k->c->upstream_dns, *etcd = &k->c->etcd_dns;
	int r = 0;

	for (size_t i = 0; r == 0 && i < up->n; i++)
		r = check_upstream(k, string_at(up, i),
		    conf_list_at(conf_get(k->root, "upstream_dns"), i));
	for (size_t i = 0; r == 0 && i < etcd->n; i++)
		r = check_etcd(k, string_at(etcd, i),
		    conf_list_at(conf_get(k->root, "etcd_dns"), i));
	return r;
}

/*
 * Nodes
 */

/* One word of the kernel's command line. */
static int check_word(
    struct check *k, const char *s, const struct conf_node *n, const char *what)
{
	if (!s)
		return 0;
	if (!*s)
		return conf_err(n, k->e, "%s is empty; leave the key out", what);
	for (const char *p = s; *p; p++) {
		if (*p <= ' ' || *p > '~')
			return conf_err(n, k->e,
			    "%s \"%s\" must be one word of printable ASCII", what,
			    conf_show(s));
	}
	return 0;
}

static int check_interface(struct check *k, const char *s, const struct conf_node *n)
{
	int r = check_word(k, s, n, "interface");

	if (r < 0 || !s)
		return r;
	if (strlen(s) > 15 || strpbrk(s, "/:") || str_eq(s, ".") || str_eq(s, ".."))
		return conf_err(n, k->e,
		    "\"%s\" is no interface name; at most 15 characters, without / and "
		    ":",
		    conf_show(s));
	return 0;
}

static int check_node_ips(
    struct check *k, const struct cluster_node *node, const struct conf_node *table)
{
	const struct conf_node *one = conf_get(table, "address");
	const struct conf_node *ips =
	    conf_is_null(one) ? conf_get(table, "addresses") : one;
	_cleanup_(str_deinit) struct str nets = STR_INIT;

	if (!node->addresses.n)
		return conf_err(conf_is_null(ips) ? table : ips, k->e,
		    "node \"%s\" has no address; add one such as address: "
		    "192.168.120.103",
		    node->name);
	for (size_t i = 0; i < node->addresses.n; i++) {
		const struct net_ip *ip = ip_at(&node->addresses, i);
		const struct conf_node *n = conf_list_at(ips, i);
		int r = check_unique_ip(k, ip, node->name, n);

		if (r < 0)
			return r;
		if (!cluster_has_ip(k->c, ip))
			return conf_err(n, k->e,
			    "address %s of \"%s\" lies outside machine_network (%s); "
			    "correct "
			    "one of the two",
			    net_ip_str(ip), node->name, networks_str(k->c, &nets));
	}
	return 0;
}

static int check_node_mac(
    struct check *k, const struct cluster_node *node, const struct conf_node *n)
{
	struct seen s = { .kind = SEEN_MAC,
		.key = node->mac,
		.len = sizeof(node->mac),
		.owner = node->name,
		.place = n };
	const struct seen *prior;
	int r = node->has_mac ? remember(k, &s, &prior) : 0;

	if (r != -EEXIST)
		return r;
	return conf_err(n, k->e, "mac %s of \"%s\" is that of \"%s\" on line %u too",
	    cluster_mac_str(node->mac), node->name, prior->owner,
	    conf_line(prior->place));
}

static int check_node(
    struct check *k, const struct cluster_node *node, const struct conf_node *table)
{
	const struct conf_node *kargs = conf_get(table, "kargs");
	int r = check_host_name(k, node->name, conf_get(table, "name"), "node name");

	if (r == 0)
		r = check_node_ips(k, node, table);
	if (r == 0)
		r = check_node_mac(k, node, conf_get(table, "mac"));
	if (r == 0)
		r = check_interface(k, node->interface, conf_get(table, "interface"));
	if (r == 0)
		r = check_word(k, node->disk, conf_get(table, "disk"), "disk");
	for (size_t i = 0; r == 0 && i < node->kargs.n; i++)
		r = check_word(k, string_at(&node->kargs, i), conf_list_at(kargs, i),
		    "kernel argument");
	return r;
}

static int check_roles(struct check *k)
{
	const struct conf_node *nodes = conf_get(k->root, "nodes"), *bootstrap = NULL;
	size_t masters = 0;

	for (size_t i = 0; i < cluster_n_nodes(k->c); i++) {
		const struct conf_node *table = conf_list_at(nodes, i);
		int role = cluster_node_at(k->c, i)->role;

		masters += role == NODE_MASTER;
		if (role != NODE_BOOTSTRAP)
			continue;
		if (bootstrap)
			return conf_err(conf_get(table, "role"), k->e,
			    "a second bootstrap; the first is on line %u, and a "
			    "cluster has "
			    "one at most",
			    conf_line(bootstrap));
		bootstrap = table;
	}
	if (!masters)
		return conf_err(nodes, k->e,
		    "no node has the role master; a cluster needs one, better three");
	if (masters == 2)
		warn(k, nodes,
		    "2 masters: etcd stops as soon as one of them fails, which is "
		    "worse than "
		    "one master alone; use 1 or 3");
	else if (masters % 2 == 0)
		warn(k, nodes,
		    "%zu masters: an even number survives no more failures than %zu "
		    "do; use "
		    "an odd number",
		    masters, masters - 1);
	return 0;
}

static int run(struct check *k)
{
	const struct conf_node *nodes = conf_get(k->root, "nodes");
	int r = check_domain(k);

	if (r == 0 && !k->c->machine_network.n)
		r = conf_err(conf_get(k->root, "machine_network"), k->e,
		    "machine_network needs at least one network such as "
		    "192.168.120.0/24");
	if (r == 0)
		r = check_bastion(k);
	if (r == 0)
		r = check_gateway(k);
	if (r == 0)
		r = check_services(k);
	for (size_t i = 0; r == 0 && i < cluster_n_nodes(k->c); i++)
		r = check_node(k, cluster_node_at(k->c, i), conf_list_at(nodes, i));
	return r < 0 ? r : check_roles(k);
}

int cluster_check(const struct cluster *c, const struct conf_node *root,
    struct str *warnings, struct err *e)
{
	struct check k = { .c = c, .root = root, .warnings = warnings, .e = e };
	int r;

	htable_init(&k.seen);
	r = run(&k);
	seen_free_all(&k.seen);
	return r;
}
