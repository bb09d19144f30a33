/* okdctl kargs: what a person would type at a node's boot prompt. */
#include "common/kargs.h"

#include <errno.h>

#include "common/json.h"
#include "okdctl/okdctl.h"

#define IMAGE "coreos.raw.xz"
#define PORT "8080"

/* "http://192.168.120.101:8080", or what --url says, without a final slash. */
static void base_url(struct cli *c, const struct cluster *cluster, struct str *out)
{
	const struct net_ip *ip =
	    conf_list_items(&cluster->bastion.addresses, struct net_ip);
	const char *given = cli_get(c, "url");

	if (given)
		str_add(out, given, strlen(given) - str_ends(given, "/"));
	else
		str_addf(out, ip->family == 6 ? "http://[%s]:" PORT : "http://%s:" PORT,
		    net_ip_str(ip));
}

/* CoreOS live by PXE; the rootfs is an image of its own since October 2020. */
static void add_ipxe(
    const struct cluster_node *n, const char *base, const char *line, struct str *out)
{
	str_addf(out,
	    "#!ipxe\n# %s\n"
	    "kernel %s/install/vmlinuz initrd=initramfs.img "
	    "coreos.live.rootfs_url=%s/install/rootfs.img %s\n"
	    "initrd --name initramfs.img %s/install/initramfs.img\n"
	    "boot\n",
	    n->fqdn, base, base, line, base);
}

static int add_line(struct cli *c, const struct cluster *cluster,
    const struct cluster_node *n, struct str *out, struct err *e)
{
	_cleanup_(str_deinit) struct str base = STR_INIT, image = STR_INIT,
					 ignition = STR_INIT, line = STR_INIT;
	const char *given = cli_get(c, "image");
	struct kargs_urls urls;
	int r;

	base_url(c, cluster, &base);
	if (given && strstr(given, "://"))
		str_addz(&image, given);
	else
		str_addf(
		    &image, "%s/install/%s", str_get(&base), given ? given : IMAGE);
	str_addf(&ignition, "%s/ignition/%s.ign", str_get(&base),
	    node_role_name((enum node_role)n->role));
	urls = (struct kargs_urls){ str_get(&image), str_get(&ignition) };
	r = kargs_build(&line, cluster, n, &urls, e);
	if (r < 0)
		return r;
	if (cli_has(c, "ipxe"))
		add_ipxe(n, str_get(&base), str_get(&line), out);
	else
		str_addf(out, "%s\n", str_get(&line));
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static void names_of(const struct cluster *cluster, struct str *out)
{
	for (size_t i = 0; i < cluster_n_nodes(cluster); i++)
		str_addf(out, "%s%s", i ? ", " : "", cluster_node_at(cluster, i)->name);
}

static int print_json(const struct cluster_node *n, struct str *line)
{
	_cleanup_(json_freep) json_t *v = NULL;
	_cleanup_(str_deinit) struct str out = STR_INIT;

	line->s[line->len - 1] = '\0';
	v = json_pack("{ssss}", "node", n->name, "kargs", line->s);
	if (json_dump_str(v, &out) < 0)
		return cli_fail(EXIT_FAILED, "out of memory");
	puts(str_get(&out));
	return 0;
}

/* What the line leaves open, for the person at the prompt. */
static void hints(const struct cluster_node *n)
{
	if (!n->interface)
		fprintf(stderr,
		    "node %s has no interface in cluster.yaml: with more than one "
		    "card, "
		    "name the one to use\n",
		    n->name);
}

int kargs_run(struct cli *c)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	_cleanup_(str_deinit) struct str out = STR_INIT, names = STR_INIT;
	const struct cluster_node *n;
	struct err e = ERR_INIT;
	int r;

	if (cli_has(c, "ipxe") && cli_has(c, "raw"))
		return cli_fail(EXIT_USAGE, "--ipxe and --raw exclude each other");
	r = cli_cluster(c, &cluster);
	if (r)
		return r;
	n = cluster_node_by_name(cluster, c->args[0]);
	names_of(cluster, &names);
	if (!n)
		return cli_fail(EXIT_FAILED, "%s has no node \"%s\"; it has %s",
		    cluster->path, c->args[0], str_get(&names));
	r = add_line(c, cluster, n, &out, &e);
	if (r < 0)
		return cli_fail_err(cli_status_of(r), &e);
	if (c->json)
		return print_json(n, &out);
	if (!cli_has(c, "raw") && !cli_has(c, "ipxe"))
		hints(n);
	fputs(str_get(&out), stdout);
	return 0;
}
