/* From the cluster to frontends and backends: YAML in lbd.yaml's own terms, which is
 * then decoded like a file that a person wrote. */
#include "lbd/conf.h"

/* The addresses that clients of the bastion use, and loopback. */
static void add_listen(const struct cluster *c, unsigned port, struct str *out)
{
	const struct conf_list *l = &c->bastion.addresses;
	struct net_endpoint e = { .port = (uint16_t)port };

	str_addf(out, "    listen: [\"127.0.0.1:%u\"", port);
	for (size_t i = 0; i < l->n; i++) {
		e.ip = conf_list_items(l, struct net_ip)[i];
		if (!net_ip_is_loopback(&e.ip))
			str_addf(out, ", \"%s\"", net_endpoint_str(&e));
	}
	str_addz(out, "]\n");
}

static void add_frontend(const struct cluster *c, const char *name, unsigned port,
    const char *more, struct str *out)
{
	str_addf(out, "  - name: %s\n", name);
	add_listen(c, port, out);
	str_addf(out, "    backend: %s\n%s", name, more);
}

static void add_server(
    const struct cluster_node *n, unsigned port, const char *more, struct str *out)
{
	struct net_endpoint e = { .port = (uint16_t)port };

	e.ip = *conf_list_items(&n->addresses, struct net_ip);
	str_addf(out, "      - {name: \"%s\", address: \"%s\"%s}\n", n->name,
	    net_endpoint_str(&e), more);
}

/* The nodes of one role, in the file's order. */
static void add_role(const struct cluster *c, enum node_role role, unsigned port,
    const char *more, struct str *out)
{
	for (size_t i = 0; i < cluster_n_nodes(c); i++)
		if (cluster_node_at(c, i)->role == (int)role)
			add_server(cluster_node_at(c, i), port, more, out);
}

static bool has_role(const struct cluster *c, enum node_role role)
{
	for (size_t i = 0; i < cluster_n_nodes(c); i++)
		if (cluster_node_at(c, i)->role == (int)role)
			return true;
	return false;
}

static void add_control_plane(const struct cluster *c, const char *name, unsigned port,
    const char *path, const char *bootstrap, struct str *out)
{
	str_addf(out,
	    "  - name: %s\n"
	    "    balance: roundrobin\n"
	    "    check: {type: https, path: %s, sni: \"api-int.%s\", expect: [200], "
	    "interval: 3s, timeout: 2s, rise: 2, fall: 2, reuse: 10}\n"
	    "    servers:\n",
	    name, path, c->domain);
	add_role(c, NODE_BOOTSTRAP, port, bootstrap, out);
	add_role(c, NODE_MASTER, port, "", out);
}

/* As the guide has it: equals, in the file's order, checked by connecting. */
static void add_guide_backend(
    const struct cluster *c, const char *name, unsigned port, struct str *out)
{
	str_addf(out,
	    "  - name: %s\n"
	    "    balance: source\n"
	    "    check: {type: tcp, interval: 2s, rise: 2, fall: 3}\n"
	    "    servers:\n",
	    name);
	add_role(c, NODE_BOOTSTRAP, port, "", out);
	add_role(c, NODE_MASTER, port, "", out);
}

static void add_ingress(
    const struct cluster *c, const char *name, unsigned port, struct str *out)
{
	str_addf(out,
	    "  - name: %s\n"
	    "    balance: source\n"
	    "    check: {type: http, port: 1936, path: /healthz/ready, expect: [200], "
	    "interval: 5s, timeout: 2s, rise: 2, fall: 2, reuse: 10}\n"
	    "    servers:\n",
	    name);
	add_role(c, NODE_WORKER, port, "", out);
	add_role(c, NODE_MASTER, port, "", out);
}

/* Whether *.apps points to the bastion, so that the ingress is ours to balance. */
static bool serves_ingress(const struct cluster *c)
{
	for (size_t i = 0; i < c->ingress.n; i++)
		if (cluster_is_bastion(
			c, conf_list_items(&c->ingress, struct net_ip) + i))
			return has_role(c, NODE_WORKER) || has_role(c, NODE_MASTER);
	return false;
}

void conf_derive(const struct cluster *c, int profile, struct str *out)
{
	bool okd = profile == PROFILE_OKD, ingress = okd && serves_ingress(c);
	bool control = has_role(c, NODE_MASTER) || has_role(c, NODE_BOOTSTRAP);

	str_addf(out, "frontends:%s\n", control || ingress ? "" : " []");
	if (control) {
		add_frontend(c, "openshift-api-server", 6443, "", out);
		add_frontend(c, "machine-config-server", 22623,
		    okd ? "    admit: install\n" : "", out);
	}
	if (ingress) {
		add_frontend(c, "ingress-http", 80, "", out);
		add_frontend(c, "ingress-https", 443, "", out);
	}
	str_addf(out, "backends:%s\n", control || ingress ? "" : " []");
	if (control && okd) {
		add_control_plane(
		    c, "openshift-api-server", 6443, "/readyz", ", backup: true", out);
		add_control_plane(c, "machine-config-server", 22623, "/healthz",
		    ", backup: true, serve: masters", out);
	} else if (control) {
		add_guide_backend(c, "openshift-api-server", 6443, out);
		add_guide_backend(c, "machine-config-server", 22623, out);
	}
	if (ingress) {
		add_ingress(c, "ingress-http", 80, out);
		add_ingress(c, "ingress-https", 443, out);
	}
}
