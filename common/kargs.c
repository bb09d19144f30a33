/* Kernel arguments of a node: see kargs.h. */
#include "common/kargs.h"

#include <errno.h>

static void add_ip(struct str *out, const struct net_ip *ip)
{
	const char *brackets = ip->family == 6 ? "[]" : "";

	if (!ip->family)
		return;
	str_addf(out, "%.1s%s%s", brackets, net_ip_str(ip), *brackets ? "]" : "");
}

static void add_netmask(struct str *out, const struct net_cidr *net)
{
	uint32_t mask;

	if (net->ip.family == 6) {
		str_addf(out, "%u", net->prefix);
		return;
	}
	mask = net->prefix ? ~0u << (32 - net->prefix) : 0;
	str_addf(out, "%u.%u.%u.%u", mask >> 24, mask >> 16 & 255, mask >> 8 & 255,
	    mask & 255);
}

/* The smallest machine network that holds the address, or NULL. */
static const struct net_cidr *network_of(
    const struct cluster *c, const struct net_ip *ip)
{
	const struct net_cidr *found = NULL;

	for (size_t i = 0; i < c->machine_network.n; i++) {
		const struct net_cidr *net =
		    &conf_list_items(&c->machine_network, struct net_cidr)[i];

		if (net_cidr_has(net, ip) && (!found || net->prefix > found->prefix))
			found = net;
	}
	return found;
}

static void add_address(struct str *out, const struct cluster *c,
    const struct cluster_node *n, const struct net_ip *ip, const struct net_cidr *net)
{
	str_addz(out, "ip=");
	add_ip(out, ip);
	str_addz(out, "::");
	if (c->gateway.family == ip->family)
		add_ip(out, &c->gateway);
	str_addc(out, ':');
	add_netmask(out, net);
	str_addf(out, ":%s:%s:none", n->fqdn, n->interface ? n->interface : "");
}

int kargs_build(struct str *out, const struct cluster *c, const struct cluster_node *n,
    const struct kargs_urls *urls, struct err *e)
{
	const struct net_ip *ip = conf_list_items(&n->addresses, struct net_ip);
	const struct net_cidr *net = network_of(c, ip);

	if (!net)
		return err_set(e, -EINVAL,
		    "no machine_network holds %s, the address of node %s, so its "
		    "netmask is not known",
		    net_ip_str(ip), n->name);
	if (!n->disk)
		return err_set(e, -EINVAL,
		    "node %s has no disk to install to; write disk: sda, or what it is",
		    n->name);
	add_address(out, c, n, ip, net);
	if (c->bastion.addresses.n) {
		str_addz(out, " nameserver=");
		add_ip(out, conf_list_items(&c->bastion.addresses, struct net_ip));
	}
	str_addf(out, " coreos.inst.install_dev=%s", n->disk);
	if (urls->image)
		str_addf(out, " coreos.inst.image_url=%s", urls->image);
	if (urls->ignition)
		str_addf(out, " coreos.inst.ignition_url=%s", urls->ignition);
	for (size_t i = 0; i < n->kargs.n; i++)
		str_addf(out, " %s", conf_list_items(&n->kargs, char *)[i]);
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}
