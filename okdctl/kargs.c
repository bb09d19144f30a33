/* okdctl kargs: what a person would type at a node's boot prompt. */
#include "common/kargs.h"

#include <errno.h>

#include "common/conf_doc.h"
#include "common/json.h"
#include "ignd/ipxe.h"
#include "okdctl/check.h"
#include "okdctl/ignd_dirs.h"
#include "okdctl/okdctl.h"
#include "okdctl/target.h"

#define IMAGE "coreos.raw.xz"
#define PORT 8080
#define MAX_LISTEN 16

/* What okd-ignd says of itself, or its file. */
struct server {
	struct check check;
	struct conf_doc *doc; /* NULL without either */
	const struct conf_node *root, *boot;
};

static void server_init(struct server *s, struct cli *c, const struct cluster *cluster)
{
	*s = (struct server){ .check = { .cli = c, .cluster = cluster } };
	status_fetch_one(c, &s->check.status, IGND);
	if (check_config(&s->check, IGND, &s->doc) < 0)
		return;
	s->root = conf_doc_root(s->doc);
	s->boot = conf_get(s->root, "boot");
}

static void server_deinit(struct server *s)
{
	status_deinit(&s->check.status);
	s->doc = conf_doc_free(s->doc);
}

/* A copy of a setting of boot, or NULL. */
static char *boot_word(const struct server *s, const char *key)
{
	const char *value = conf_scalar(conf_get(s->boot, key));

	return value && *value ? strdup(value) : NULL;
}

/* What the node must show in the URL of its Ignition file, or NULL. */
static const char *token_of(const struct server *s, const char *node)
{
	const struct conf_node *list = conf_get(s->root, "nodes");

	for (size_t i = 0; i < conf_list_len(list); i++) {
		const struct conf_node *v = conf_list_at(list, i);
		const char *name = conf_scalar(conf_get(v, "name"));

		if (name && str_eq(name, node))
			return conf_scalar(conf_get(v, "token"));
	}
	return NULL;
}

/* The port for the nodes: where it listens on the bastion's address, or on all. */
static uint16_t port_of(const struct server *s)
{
	struct net_endpoint at[MAX_LISTEN];
	size_t n = check_listen(&s->check, IGND, at, MAX_LISTEN);
	uint16_t port = PORT;

	for (size_t i = n; i > 0; i--)
		if (!at[i - 1].ip.family ||
		    cluster_is_bastion(s->check.cluster, &at[i - 1].ip))
			port = at[i - 1].port;
	return port;
}

/* "http://192.168.120.101:8080", or what --url says, without a final slash. */
static void base_url(const struct server *s, struct str *out)
{
	const struct net_ip *ip =
	    conf_list_items(&s->check.cluster->bastion.addresses, struct net_ip);
	const char *given = cli_get(s->check.cli, "url");

	if (given)
		str_add(out, given, strlen(given) - str_ends(given, "/"));
	else
		str_addf(out, ip->family == 6 ? "http://[%s]:%u" : "http://%s:%u",
		    net_ip_str(ip), port_of(s));
}

/* CoreOS live by PXE, with the files that okd-ignd's own scripts name; the rootfs is an
 * image of its own since October 2020. */
static void add_ipxe(const struct server *s, const struct cluster_node *n,
    const char *base, const char *line, struct str *out)
{
	_cleanup_(str_deinit) struct str dir = STR_INIT;
	_cleanup_(freep) char *kernel = boot_word(s, "kernel"),
			      *initrd = boot_word(s, "initrd"),
			      *rootfs = boot_word(s, "rootfs");
	struct ignd_conf conf = { .boot = {
				      .kernel = kernel,
				      .initrd = initrd,
				      .rootfs = rootfs,
				  } };
	struct ipxe_files f = { 0 };
	struct root root = { .fd = -1 };
	struct err why = ERR_INIT;

	ignd_dir(s->check.cli, "install", &dir);
	conf.install_dir = dir.s;
	if (root_init(&root, str_get(&dir)) < 0 ||
	    ipxe_find_files(&f, &conf, &root, &why) < 0) {
		cli_fail(0, "%s", why.text);
		f = (struct ipxe_files){ "vmlinuz", "initramfs.img", "rootfs.img" };
	}
	root_deinit(&root);
	str_addf(out, "#!ipxe\n# %s\nkernel %s/install/%s initrd=main", n->fqdn, base,
	    f.kernel);
	if (f.rootfs[0])
		str_addf(out, " coreos.live.rootfs_url=%s/install/%s", base, f.rootfs);
	str_addf(
	    out, " %s\ninitrd --name main %s/install/%s\nboot\n", line, base, f.initrd);
}

/* boot.args of ignd.yaml, which are every node's, behind the node's own. */
static int add_args(const struct server *s, struct str *line, struct err *e)
{
	const struct conf_node *list = conf_get(s->boot, "args");

	for (size_t i = 0; i < conf_list_len(list); i++) {
		const char *arg = conf_scalar(conf_list_at(list, i));

		/* A line end in it would begin a command of an iPXE script. */
		for (const char *p = arg; p && *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return err_set(e, -EINVAL,
				    "boot.args in ignd.yaml hold a control character");
		if (arg)
			str_addf(line, " %s", arg);
	}
	return 0;
}

static int add_line(struct cli *c, const struct cluster *cluster,
    const struct cluster_node *n, struct str *out, struct err *e)
{
	_cleanup_(str_deinit) struct str base = STR_INIT, image = STR_INIT,
					 ignition = STR_INIT, line = STR_INIT;
	const char *given = cli_get(c, "image");
	_cleanup_(server_deinit) struct server s;
	struct kargs_urls urls;
	int r;

	server_init(&s, c, cluster);
	base_url(&s, &base);
	if (!given)
		given = conf_scalar(conf_get(s.boot, "image"));
	if (!given || !*given)
		given = IMAGE;
	if (strstr(given, "://"))
		str_addz(&image, given);
	else
		str_addf(&image, "%s/install/%s", str_get(&base), given);
	str_addf(&ignition, "%s/ignition/%s.ign", str_get(&base),
	    node_role_name((enum node_role)n->role));
	target_add(&ignition, "t", token_of(&s, n->name));
	urls = (struct kargs_urls){ str_get(&image), str_get(&ignition) };
	r = kargs_build(&line, cluster, n, &urls, e);
	if (r == 0)
		r = add_args(&s, &line, e);
	if (r < 0)
		return r;
	if (cli_has(c, "ipxe"))
		add_ipxe(&s, n, str_get(&base), str_get(&line), out);
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
