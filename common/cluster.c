/* cluster.yaml: see cluster.h. */
#include "common/cluster.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/cluster_check.h"

/*
 * Keys
 */

/* mac and has_mac of a node, as one value. */
struct mac {
	uint8_t bytes[6];
	bool set;
};
_Static_assert(offsetof(struct cluster_node, has_mac) ==
	offsetof(struct cluster_node, mac) + offsetof(struct mac, set),
    "mac and has_mac must lie like struct mac");

static int mac_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	struct mac *mac = out;
	const char *text, *p;
	int r = conf_want_scalar(t, f, n, &text, e);
	size_t i = 0;

	if (r < 0)
		return r;
	for (p = text; i < 6 && isxdigit((unsigned char)p[0]); i++) {
		char digits[3] = { p[0], p[1], '\0' };

		if (!isxdigit((unsigned char)p[1]))
			break;
		mac->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
		p += 2;
		if (i < 5 && (*p != ':' && *p != '-'))
			break;
		p += i < 5;
	}
	if (i < 6 || *p)
		return conf_field_err(f, n, e,
		    "\"%s\" is no MAC address; write six bytes such as "
		    "\"52:54:00:00:00:03\"",
		    conf_show(text));
	if (mac->bytes[0] & 1)
		return conf_field_err(f, n, e,
		    "%s is a multicast address; a network card's first byte is even",
		    text);
	mac->set = true;
	return 0;
}

static void mac_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_print_string(cluster_mac_str(((const struct mac *)in)->bytes), out);
}

static bool mac_is_unset(const struct conf_type *t, const void *in)
{
	return !((const struct mac *)in)->set;
}

static const struct conf_type mac_type = {
	.what = "a MAC address such as \"52:54:00:00:00:03\"",
	.size = sizeof(struct mac),
	.parse = mac_parse,
	.print = mac_print,
	.is_unset = mac_is_unset,
};

static const struct conf_type strings = CONF_LIST(&conf_string);
static const struct conf_type ips = CONF_LIST(&conf_ip);
static const struct conf_type cidrs = CONF_LIST(&conf_cidr);

/* address and addresses are the same list; one address prints under the first name. */
static int node_ips_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	if (((struct conf_list *)out)->set)
		return conf_field_err(
		    f, n, e, "address and addresses are both given; keep one of them");
	if (str_eq(f->key, "address") && !conf_scalar(n))
		return conf_field_err(f, n, e,
		    "this is a %s, but must be one IP address; use the key addresses "
		    "for "
		    "several",
		    conf_is_list(n) ? "list" : "table");
	return conf_list_parse(t, f, n, out, e);
}

static bool address_is_unset(const struct conf_type *t, const void *in)
{
	return ((const struct conf_list *)in)->n != 1;
}

static bool addresses_is_unset(const struct conf_type *t, const void *in)
{
	return ((const struct conf_list *)in)->n < 2;
}

static void address_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_ip.print(&conf_ip, ((const struct conf_list *)in)->items, indent, out);
}

static const struct conf_type address_type = {
	.what = "an IP address such as 192.168.120.103",
	.size = sizeof(struct conf_list),
	.parse = node_ips_parse,
	.print = address_print,
	.deinit = conf_list_deinit,
	.is_unset = address_is_unset,
	.aux = &conf_ip,
};

static const struct conf_type addresses_type = {
	.what = "a list of IP addresses",
	.size = sizeof(struct conf_list),
	.parse = node_ips_parse,
	.print = conf_list_print,
	.deinit = conf_list_deinit,
	.is_unset = addresses_is_unset,
	.aux = &conf_ip,
};

static const char *const roles[] = {
	[NODE_BOOTSTRAP] = "bootstrap",
	[NODE_MASTER] = "master",
	[NODE_WORKER] = "worker",
	NULL,
};
static const struct conf_type role_type = CONF_ENUM(roles);

#define NODE(member) .offset = offsetof(struct cluster_node, member)
static const struct conf_field node_fields[] = {
	{ .key = "name", .type = &conf_string, NODE(name), .required = true },
	{ .key = "role", .type = &role_type, NODE(role), .required = true },
	{ .key = "address", .type = &address_type, NODE(addresses) },
	{ .key = "addresses", .type = &addresses_type, NODE(addresses) },
	{ .key = "mac", .type = &mac_type, NODE(mac) },
	{ .key = "interface", .type = &conf_string, NODE(interface) },
	{ .key = "disk", .type = &conf_string, NODE(disk) },
	{ .key = "kargs", .type = &strings, NODE(kargs) },
	CONF_END,
};
static const struct conf_type node_type = CONF_TABLE(struct cluster_node, node_fields);
static const struct conf_type nodes_type = CONF_LIST(&node_type);

#define BASTION(member)                                      \
	.offset = offsetof(struct cluster, bastion.member) - \
	    offsetof(struct cluster, bastion)
static const struct conf_field bastion_fields[] = {
	{ .key = "name", .type = &conf_string, BASTION(name), .def = "bastion" },
	{ .key = "addresses", .type = &ips, BASTION(addresses), .required = true },
	CONF_END,
};
static const struct conf_type bastion_type =
    CONF_TABLE(((struct cluster *)0)->bastion, bastion_fields);

#define CLUSTER(member) .offset = offsetof(struct cluster, member)
static const struct conf_field fields[] = {
	{ .key = "name", .type = &conf_string, CLUSTER(name), .required = true },
	{ .key = "base_domain",
	    .type = &conf_string,
	    CLUSTER(base_domain),
	    .required = true },
	{ .key = "bastion", .type = &bastion_type, CLUSTER(bastion), .required = true },
	{ .key = "machine_network",
	    .type = &cidrs,
	    CLUSTER(machine_network),
	    .required = true },
	{ .key = "gateway", .type = &conf_ip, CLUSTER(gateway) },
	{ .key = "ingress", .type = &ips, CLUSTER(ingress) },
	{ .key = "upstream_dns", .type = &strings, CLUSTER(upstream_dns) },
	{ .key = "etcd_dns", .type = &strings, CLUSTER(etcd_dns) },
	{ .key = "nodes", .type = &nodes_type, CLUSTER(nodes), .required = true },
	CONF_END,
};

/*
 * Life
 */

static char *join_name(const char *label, const char *domain)
{
	char *s;

	return asprintf(&s, "%s.%s", label, domain) < 0 ? NULL : s;
}

static int derive(struct cluster *c)
{
	struct conf_list *in = &c->ingress;

	c->domain = join_name(c->name, c->base_domain);
	if (!c->domain)
		return -ENOMEM;
	c->bastion.fqdn = join_name(c->bastion.name, c->domain);
	if (!c->bastion.fqdn)
		return -ENOMEM;
	for (size_t i = 0; i < c->nodes.n; i++) {
		struct cluster_node *n =
		    &conf_list_items(&c->nodes, struct cluster_node)[i];

		n->fqdn = join_name(n->name, c->domain);
		if (!n->fqdn)
			return -ENOMEM;
	}
	if (in->n)
		return 0;
	in->items = calloc(c->bastion.addresses.n, sizeof(struct net_ip));
	if (!in->items)
		return -ENOMEM;
	in->n = c->bastion.addresses.n;
	memcpy(in->items, c->bastion.addresses.items, in->n * sizeof(struct net_ip));
	return 0;
}

static int from_doc(struct cluster **ret, const char *name, const struct conf_doc *doc,
    struct str *warnings, struct err *e)
{
	_cleanup_(cluster_freep) struct cluster *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->path = strdup(name);
	if (!c->path)
		return err_set(e, -ENOMEM, "out of memory");
	r = conf_decode(doc, fields, c, e);
	if (r == 0)
		r = cluster_check(c, conf_doc_root(doc), warnings, e);
	if (r < 0)
		return r;
	r = derive(c);
	if (r < 0)
		return err_set(e, r, "out of memory");
	*ret = TAKE(c);
	return 0;
}

int cluster_parse(struct cluster **ret, const char *name, const char *text, size_t n,
    struct str *warnings, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r = conf_doc_parse(&doc, name, text, n, e);

	return r < 0 ? r : from_doc(ret, name, doc, warnings, e);
}

int cluster_load(
    struct cluster **ret, const char *path, struct str *warnings, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r = conf_doc_load(&doc, path, e);

	return r < 0 ? r : from_doc(ret, path, doc, warnings, e);
}

struct cluster *cluster_free(struct cluster *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->nodes.n; i++)
		free(conf_list_items(&c->nodes, struct cluster_node)[i].fqdn);
	free(c->bastion.fqdn);
	free(c->domain);
	free(c->path);
	conf_deinit(fields, c);
	free(c);
	return NULL;
}

void cluster_print(const struct cluster *c, struct str *out)
{
	conf_print(fields, c, out);
}

/*
 * Questions
 */

size_t cluster_n_nodes(const struct cluster *c)
{
	return c->nodes.n;
}

const struct cluster_node *cluster_node_at(const struct cluster *c, size_t i)
{
	return i < c->nodes.n ? &conf_list_items(&c->nodes, struct cluster_node)[i]
			      : NULL;
}

static bool list_has_ip(const struct conf_list *l, const struct net_ip *ip)
{
	for (size_t i = 0; i < l->n; i++) {
		if (net_ip_eq(&conf_list_items(l, struct net_ip)[i], ip))
			return true;
	}
	return false;
}

const struct cluster_node *cluster_node_by_name(
    const struct cluster *c, const char *name)
{
	const struct cluster_node *n;

	for (size_t i = 0; (n = cluster_node_at(c, i)); i++) {
		if (str_eq(n->name, name))
			return n;
	}
	return NULL;
}

const struct cluster_node *cluster_node_by_ip(
    const struct cluster *c, const struct net_ip *ip)
{
	const struct cluster_node *n;

	for (size_t i = 0; (n = cluster_node_at(c, i)); i++) {
		if (list_has_ip(&n->addresses, ip))
			return n;
	}
	return NULL;
}

const struct cluster_node *cluster_node_by_mac(
    const struct cluster *c, const uint8_t mac[6])
{
	const struct cluster_node *n;

	for (size_t i = 0; (n = cluster_node_at(c, i)); i++) {
		if (n->has_mac && memcmp(n->mac, mac, sizeof(n->mac)) == 0)
			return n;
	}
	return NULL;
}

const char *node_role_name(enum node_role role)
{
	return roles[role];
}

const char *cluster_mac_format(const uint8_t mac[6], char buf[CLUSTER_MAC_MAX])
{
	snprintf(buf, CLUSTER_MAC_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
	    mac[2], mac[3], mac[4], mac[5]);
	return buf;
}

bool cluster_is_bastion(const struct cluster *c, const struct net_ip *ip)
{
	return list_has_ip(&c->bastion.addresses, ip);
}

bool cluster_has_ip(const struct cluster *c, const struct net_ip *ip)
{
	for (size_t i = 0; i < c->machine_network.n; i++) {
		if (net_cidr_has(
			&conf_list_items(&c->machine_network, struct net_cidr)[i], ip))
			return true;
	}
	return false;
}

int cluster_listeners(const struct cluster *c, uint16_t port, struct conf_list *listen)
{
	static const char *const loopback[] = { "127.0.0.1", "::1" };
	const struct conf_list *own = c ? &c->bastion.addresses : NULL;
	struct net_endpoint *list;
	size_t n = 0;

	if (listen->set)
		return 0;
	list = calloc(ARRAY_SIZE(loopback) + (own ? own->n : 0), sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (; n < ARRAY_SIZE(loopback); n++)
		if (net_ip_parse(loopback[n], &list[n].ip) < 0)
			abort();
	for (size_t i = 0; own && i < own->n; i++)
		list[n++].ip = conf_list_items(own, struct net_ip)[i];
	for (size_t i = 0; i < n; i++)
		list[i].port = port;
	*listen = (struct conf_list){ list, n, true };
	return 0;
}
