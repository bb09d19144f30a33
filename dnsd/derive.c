/* What follows from cluster.yaml: see derive.h. */
#include "dnsd/derive.h"

#include <errno.h>
#include <stdio.h>

#define SOA_REFRESH 7200
#define SOA_RETRY 1800
#define SOA_EXPIRE 86400
#define MAX_REVERSE 1024 /* zones */

/* Calls fn for each reverse zone of a network. */
static int each_reverse(const struct net_cidr *net,
    int (*fn)(const struct name_buf *zone, void *arg), void *arg)
{
	unsigned step = net->ip.family == 4 ? 8 : 4;
	unsigned bits = net->ip.family == 4 ? 32 : 128;
	unsigned prefix = (net->prefix + step - 1) / step * step;
	struct net_ip ip = net->ip;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < 1u << (prefix - net->prefix); i++) {
		struct name_buf whole, zone;
		size_t off = 0;

		if (prefix)
			ip.bytes[(prefix - 1) / 8] =
			    (uint8_t)(net->ip.bytes[(prefix - 1) / 8] |
				i << (8 - prefix % 8) % 8);
		name_reverse(&whole, &ip);
		for (unsigned k = 0; k < (bits - prefix) / step; k++)
			off += whole.wire[off] + 1u;
		name_set(&zone, whole.wire + off, whole.len - off);
		r = fn(&zone, arg);
	}
	return r;
}

struct names {
	struct name_buf *list;
	size_t n;
};

static int collect(const struct name_buf *zone, void *arg)
{
	struct names *a = arg;

	if (a->n == MAX_REVERSE)
		return -E2BIG;
	a->list[a->n++] = *zone;
	return 0;
}

static int by_length(const void *a, const void *b)
{
	const struct name_buf *x = a, *y = b;

	return x->len - y->len;
}

/* All apexes, outer ones first. */
static int collect_apexes(const struct cluster *c, struct names *a)
{
	const struct net_cidr *nets =
	    conf_list_items(&c->machine_network, struct net_cidr);
	int r;

	a->n = 0;
	a->list = calloc(MAX_REVERSE + 1, sizeof(*a->list));
	if (!a->list)
		return -ENOMEM;
	for (size_t i = 0; i < c->machine_network.n; i++) {
		r = each_reverse(&nets[i], collect, a);
		if (r < 0)
			return r;
	}
	r = name_parse(&a->list[a->n], c->domain);
	if (r < 0)
		return r;
	a->n++;
	qsort(a->list, a->n, sizeof(*a->list), by_length);
	return 0;
}

int derive_apexes(const struct cluster *c, uint32_t negative_ttl, struct zone_edit *e)
{
	struct zone_soa soa = { .ttl = negative_ttl,
		.refresh = SOA_REFRESH,
		.retry = SOA_RETRY,
		.expire = SOA_EXPIRE };
	struct names a;
	int r = name_parse(&soa.mname, c->bastion.fqdn);

	if (r == 0)
		r = name_parse(&soa.rname, c->domain);
	if (r == 0)
		r = name_prepend(&soa.rname, "hostmaster");
	if (r < 0)
		return r;
	r = collect_apexes(c, &a);
	for (size_t i = 0; r == 0 && i < a.n; i++) {
		r = zone_edit_apex(e, &a.list[i], &soa);
		if (r == -EEXIST)
			r = 0;
	}
	free(a.list);
	return r;
}

/* Where records go while they are derived. */
struct derive {
	const struct cluster *c;
	struct records *to;
	uint32_t ttl;
	struct name_buf domain, bastion;
};

static int add(struct derive *d, const struct name_buf *owner, uint16_t type,
    const void *rdata, size_t n)
{
	return records_add(d->to, RECORDS_DERIVED, owner, type, d->ttl, rdata, n);
}

static int add_addresses(
    struct derive *d, const struct name_buf *owner, const struct conf_list *ips)
{
	const struct net_ip *ip = conf_list_items(ips, struct net_ip);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ips->n; i++)
		r = add(d, owner, ip[i].family == 4 ? DNS_A : DNS_AAAA, ip[i].bytes,
		    ip[i].family == 4 ? 4 : 16);
	return r;
}

/* A name below the cluster domain; dotted labels are put in front one by one. */
static int below(
    struct derive *d, const char *first, const char *second, struct name_buf *ret)
{
	int r;

	*ret = d->domain;
	r = second ? name_prepend(ret, second) : 0;
	return r < 0 ? r : name_prepend(ret, first);
}

static int add_below(struct derive *d, const char *label, const struct conf_list *ips)
{
	struct name_buf owner;
	int r = below(d, label, NULL, &owner);

	return r < 0 ? r : add_addresses(d, &owner, ips);
}

static int add_ptrs(
    struct derive *d, const struct conf_list *ips, const struct name_buf *target)
{
	const struct net_ip *ip = conf_list_items(ips, struct net_ip);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ips->n; i++) {
		struct name_buf owner;

		name_reverse(&owner, &ip[i]);
		r = add(d, &owner, DNS_PTR, target->wire, target->len);
	}
	return r;
}

static int add_bastion(struct derive *d)
{
	static const char *const names[] = { "api", "api-int", "registry" };
	const struct conf_list *ips = &d->c->bastion.addresses;
	int r = add_addresses(d, &d->bastion, ips);

	if (r == 0)
		r = add_ptrs(d, ips, &d->bastion);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
		struct name_buf owner;

		r = below(d, names[i], NULL, &owner);
		if (r == 0)
			r = add_addresses(d, &owner, ips);
		/* The installer's documents ask for the reverse of both, and of no other
		 * service. */
		if (r == 0 && i < 2)
			r = add_ptrs(d, ips, &owner);
	}
	return r;
}

static int add_apps(struct derive *d)
{
	struct name_buf star;
	int r = add_below(d, "apps", &d->c->ingress);

	if (r == 0)
		r = below(d, "*", "apps", &star);
	return r < 0 ? r : add_addresses(d, &star, &d->c->ingress);
}

static int add_etcd(
    struct derive *d, const struct cluster_node *master, unsigned number)
{
	uint8_t rdata[6 + DNS_NAME_MAX] = { 0, 0, 0, 10, 2380 >> 8, 2380 & 0xff };
	struct name_buf etcd, service;
	char label[24];
	int r;

	snprintf(label, sizeof(label), "etcd-%u", number);
	r = below(d, label, NULL, &etcd);
	if (r == 0)
		r = below(d, "_etcd-server-ssl", "_tcp", &service);
	if (r == 0)
		r = add_addresses(d, &etcd, &master->addresses);
	if (r < 0)
		return r;
	memcpy(rdata + 6, etcd.wire, etcd.len);
	return add(d, &service, DNS_SRV, rdata, 6u + etcd.len);
}

static int add_nodes(struct derive *d)
{
	const struct cluster_node *nodes =
	    conf_list_items(&d->c->nodes, struct cluster_node);
	unsigned masters = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->c->nodes.n; i++) {
		struct name_buf owner;

		r = name_parse(&owner, nodes[i].fqdn);
		if (r == 0)
			r = add_addresses(d, &owner, &nodes[i].addresses);
		if (r == 0)
			r = add_ptrs(d, &nodes[i].addresses, &owner);
		if (r == 0 && nodes[i].role == NODE_MASTER)
			r = add_etcd(d, &nodes[i], masters++);
	}
	return r;
}

static int add_ns(const struct name_buf *zone, void *arg)
{
	struct derive *d = arg;

	return add(d, zone, DNS_NS, d->bastion.wire, d->bastion.len);
}

int derive_records(const struct cluster *c, uint32_t ttl, struct records *to)
{
	const struct net_cidr *nets =
	    conf_list_items(&c->machine_network, struct net_cidr);
	struct derive d = { .c = c, .to = to, .ttl = ttl };
	int r = name_parse(&d.domain, c->domain);

	if (r == 0)
		r = name_parse(&d.bastion, c->bastion.fqdn);
	if (r == 0)
		r = add_ns(&d.domain, &d);
	for (size_t i = 0; r == 0 && i < c->machine_network.n; i++)
		r = each_reverse(&nets[i], add_ns, &d);
	if (r == 0)
		r = add_bastion(&d);
	if (r == 0)
		r = add_apps(&d);
	if (r == 0)
		r = add_nodes(&d);
	return r;
}
