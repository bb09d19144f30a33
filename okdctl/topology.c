/* What cluster.yaml is made from: see topology.h. */
#include "okdctl/topology.h"

#include <errno.h>

#include "common/cluster.h"

static void node_deinit(struct topology_node *n)
{
	free(n->name);
	free(n->role);
	free(n->mac);
	free(n->interface);
	free(n->disk);
	words_deinit(&n->addresses);
	words_deinit(&n->kargs);
	*n = (struct topology_node){ 0 };
}

void topology_deinit(struct topology *t)
{
	for (size_t i = 0; i < t->n_nodes; i++)
		node_deinit(&t->nodes[i]);
	free(t->nodes);
	free(t->name);
	free(t->base_domain);
	free(t->bastion_name);
	free(t->gateway);
	words_deinit(&t->bastion);
	words_deinit(&t->networks);
	words_deinit(&t->ingress);
	words_deinit(&t->upstream);
	words_deinit(&t->etcd);
	*t = (struct topology){ 0 };
}

int topology_set(char **word, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*word);
	*word = copy;
	return 0;
}

/* Room for one more node, zeroed; NULL without memory. */
static struct topology_node *push_node(struct topology *t)
{
	struct topology_node *v = reallocarray(t->nodes, t->n_nodes + 1, sizeof(*v));

	if (!v)
		return NULL;
	t->nodes = v;
	v[t->n_nodes] = (struct topology_node){ 0 };
	return &v[t->n_nodes++];
}

/* --- from a cluster ----------------------------------------------------- */

static int add_ips(struct words *w, const struct conf_list *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++)
		r = words_add(w, net_ip_str(&conf_list_items(l, struct net_ip)[i]));
	return r;
}

static int add_strings(struct words *w, const struct conf_list *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++)
		r = words_add(w, conf_list_items(l, char *)[i]);
	return r;
}

static int add_cluster_node(struct topology *t, const struct cluster_node *from)
{
	struct topology_node *n = push_node(t);
	int r = n ? topology_set(&n->name, from->name) : -ENOMEM;

	if (r == 0)
		r = topology_set(&n->role, node_role_name((enum node_role)from->role));
	if (r == 0 && from->has_mac)
		r = topology_set(&n->mac, cluster_mac_str(from->mac));
	if (r == 0)
		r = topology_set(&n->interface, from->interface);
	if (r == 0)
		r = topology_set(&n->disk, from->disk);
	if (r == 0)
		r = add_ips(&n->addresses, &from->addresses);
	return r < 0 ? r : add_strings(&n->kargs, &from->kargs);
}

int topology_from_cluster(struct topology *t, const struct cluster *c)
{
	const struct cluster_node *n;
	int r = topology_set(&t->name, c->name);

	if (r == 0)
		r = topology_set(&t->base_domain, c->base_domain);
	if (r == 0)
		r = topology_set(&t->bastion_name, c->bastion.name);
	if (r == 0 && c->gateway.family)
		r = topology_set(&t->gateway, net_ip_str(&c->gateway));
	if (r == 0)
		r = add_ips(&t->bastion, &c->bastion.addresses);
	for (size_t i = 0; r == 0 && i < c->machine_network.n; i++)
		r = words_add(&t->networks,
		    net_cidr_str(
			&conf_list_items(&c->machine_network, struct net_cidr)[i]));
	if (r == 0 && c->ingress.set)
		r = add_ips(&t->ingress, &c->ingress);
	if (r == 0)
		r = add_strings(&t->upstream, &c->upstream_dns);
	if (r == 0)
		r = add_strings(&t->etcd, &c->etcd_dns);
	for (size_t i = 0; r == 0 && (n = cluster_node_at(c, i)); i++)
		r = add_cluster_node(t, n);
	return r;
}

/* --- from an option ----------------------------------------------------- */

static int set_key(
    struct topology_node *n, const char *key, const char *value, struct err *err)
{
	static const char *const keys[] = { "name", "role", "address", "mac",
		"interface", "disk", "karg", NULL };
	const char *near;

	if (!*value)
		return err_set(err, -EINVAL, "\"%s=\" in --node has no value", key);
	if (str_eq(key, "name"))
		return topology_set(&n->name, value);
	if (str_eq(key, "role"))
		return topology_set(&n->role, value);
	if (str_eq(key, "mac"))
		return topology_set(&n->mac, value);
	if (str_eq(key, "interface"))
		return topology_set(&n->interface, value);
	if (str_eq(key, "disk"))
		return topology_set(&n->disk, value);
	if (str_eq(key, "address"))
		return words_add(&n->addresses, value);
	if (str_eq(key, "karg"))
		return words_add(&n->kargs, value);
	near = str_nearest(key, keys);
	return err_set(err, -EINVAL,
	    "--node does not know \"%s\"%s%s%s; its keys are name, role, address, mac, "
	    "interface, disk, karg",
	    key, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int parse_node(struct topology_node *n, const char *text, struct err *err)
{
	for (const char *at = text;; at++) {
		_cleanup_(freep) char *pair = strndup(at, strcspn(at, ","));
		char *equals = pair ? strchr(pair, '=') : NULL;
		int r;

		if (!pair)
			return -ENOMEM;
		if (!equals)
			return err_set(err, -EINVAL,
			    "\"%s\" in --node is no key=value; write "
			    "name=worker,role=worker,address=192.168.120.104",
			    pair);
		*equals = '\0';
		r = set_key(n, pair, equals + 1, err);
		if (r < 0)
			return r;
		at += strcspn(at, ",");
		if (!*at)
			break;
	}
	if (!n->name || !n->role || !n->addresses.n)
		return err_set(err, -EINVAL,
		    "--node \"%s\" lacks its %s; write "
		    "name=worker,role=worker,address=192.168.120.104",
		    text,
		    !n->name       ? "name"
			: !n->role ? "role"
				   : "address");
	return 0;
}

int topology_add_node(struct topology *t, const char *text, struct err *err)
{
	struct topology_node n = { 0 }, *to = NULL;
	int r = parse_node(&n, text, err);

	for (size_t i = 0; r == 0 && !to && i < t->n_nodes; i++) {
		if (str_eq(t->nodes[i].name, n.name)) {
			to = &t->nodes[i];
			node_deinit(to);
		}
	}
	if (r == 0 && !to)
		to = push_node(t);
	if (r == 0 && !to)
		r = -ENOMEM;
	if (r < 0) {
		node_deinit(&n);
		return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
	}
	*to = n;
	return 0;
}

void topology_remove_node(struct topology *t, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n_nodes; i++) {
		if (str_eq(t->nodes[i].name, name))
			node_deinit(&t->nodes[i]);
		else
			t->nodes[kept++] = t->nodes[i];
	}
	t->n_nodes = kept;
}

/* --- to a file ---------------------------------------------------------- */

static void print_value(const char *key, const char *value, struct str *out)
{
	str_addf(out, "%s: ", key);
	conf_print_string(value, out);
}

static void print_words(const char *key, const struct words *w, struct str *out)
{
	str_addf(out, "%s: [", key);
	for (size_t i = 0; i < w->n; i++) {
		str_addz(out, i ? ", " : "");
		conf_print_string(w->v[i], out);
	}
	str_addc(out, ']');
}

static void print_node(const struct topology_node *n, struct str *out)
{
	str_addz(out, "  - {");
	print_value("name", n->name, out);
	str_addz(out, ", ");
	print_value("role", n->role, out);
	str_addz(out, ", ");
	if (n->addresses.n == 1)
		print_value("address", n->addresses.v[0], out);
	else
		print_words("addresses", &n->addresses, out);
	if (n->mac) {
		str_addz(out, ", ");
		print_value("mac", n->mac, out);
	}
	if (n->interface) {
		str_addz(out, ", ");
		print_value("interface", n->interface, out);
	}
	if (n->disk) {
		str_addz(out, ", ");
		print_value("disk", n->disk, out);
	}
	if (n->kargs.n) {
		str_addz(out, ", ");
		print_words("kargs", &n->kargs, out);
	}
	str_addz(out, "}\n");
}

/* The comment stands above its key, so that long values do not matter. */
static void print_list(
    const char *comment, const char *key, const struct words *w, struct str *out)
{
	str_addf(out, "# %s\n", comment);
	print_words(key, w, out);
	str_addc(out, '\n');
}

void topology_print(const struct topology *t, struct str *out)
{
	str_addz(out,
	    "# The cluster, described once for every daemon of the bastion: see\n"
	    "# okd-cluster.yaml(5).  After a change: okdctl reload.\n\n"
	    "# metadata.name of install-config.yaml, and the domain it is below.\n");
	print_value("name", t->name ? t->name : "", out);
	str_addc(out, '\n');
	print_value("base_domain", t->base_domain ? t->base_domain : "", out);
	str_addz(out,
	    "\n\n# This host, and the addresses by which the nodes reach it.\n"
	    "bastion:\n  ");
	print_value("name", t->bastion_name ? t->bastion_name : "bastion", out);
	str_addz(out, "\n  ");
	print_words("addresses", &t->bastion, out);
	str_addz(out, "\n\n");
	print_list("The nodes' networks: who may ask for names, and the netmask of the "
		   "kernel arguments.",
	    "machine_network", &t->networks, out);
	if (t->gateway) {
		print_value("gateway", t->gateway, out);
		str_addc(out, '\n');
	}
	str_addc(out, '\n');
	print_list(
	    "Where *.apps points; empty: to the bastion, which balances over the "
	    "workers.",
	    "ingress", &t->ingress, out);
	print_list("Who is asked for names outside the cluster; empty: nobody.",
	    "upstream_dns", &t->upstream, out);
	print_list(
	    "etcd endpoints that hold further records; empty: the store of okd-dnsd "
	    "alone.",
	    "etcd_dns", &t->etcd, out);
	str_addz(out,
	    "\n# role is bootstrap, master or worker.  mac, interface (for the kernel\n"
	    "# arguments), disk (where CoreOS goes) and kargs may be left out.\n"
	    "nodes:\n");
	for (size_t i = 0; i < t->n_nodes; i++)
		print_node(&t->nodes[i], out);
}
