/* The keys of ignd.yaml and their defaults: see conf.h. */
#include "ignd/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "ignd/check.h"

#define IGND_PORT 8080
#define HOUR_MS 3600000ull

/* --- the keys ----------------------------------------------------------- */

static const struct conf_type endpoints = CONF_LIST(&conf_endpoint);
static const struct conf_type strings = CONF_LIST(&conf_string);

static const char *const unknown_words[] = { "images", "all", "none", NULL };
static const char *const initial_words[] = { "open", "closed", NULL };
static const char *const refuse_words[] = { "wait", "forbid", NULL };
static const char *const log_words[] = { "none", "error", "all", NULL };
static const struct conf_type unknown_type = CONF_ENUM(unknown_words);
static const struct conf_type initial_type = CONF_ENUM(initial_words);
static const struct conf_type refuse_type = CONF_ENUM(refuse_words);
static const struct conf_type log_type = CONF_ENUM(log_words);

/* Places inside a nested table. */
#define IN(table, member) \
	(offsetof(struct ignd_conf, table.member) - offsetof(struct ignd_conf, table))
#define TABLE_OF(table, fields) \
	CONF_TABLE(__typeof__(((struct ignd_conf *)0)->table), fields)

static const struct conf_field tls_fields[] = {
	{ "listen", &endpoints, IN(tls, listen), NULL, false, 0, 0 },
	{ "certificate", &conf_string, IN(tls, certificate), NULL, false, 0, 0 },
	{ "key", &conf_string, IN(tls, key), NULL, false, 0, 0 },
	CONF_END,
};
static const struct conf_type tls_type = TABLE_OF(tls, tls_fields);

static const struct conf_field window_fields[] = {
	{ "initial", &initial_type, IN(window, initial), "open", false, 0, 0 },
	{ "refuse", &refuse_type, IN(window, refuse), "wait", false, 0, 0 },
	{ "retry_after", &conf_duration, IN(window, retry_after), "10s", false, 1000,
	    HOUR_MS },
	{ "once", &conf_bool, IN(window, once), "false", false, 0, 0 },
	{ "grace", &conf_duration, IN(window, grace), "5m", false, 0, 24 * HOUR_MS },
	CONF_END,
};
static const struct conf_type window_type = TABLE_OF(window, window_fields);

static const struct conf_field certificates_fields[] = {
	{ "warn_before", &conf_duration, IN(certificates, warn_before), "12h", false, 0,
	    8784 * HOUR_MS },
	{ "refuse", &conf_bool, IN(certificates, refuse), "true", false, 0, 0 },
	CONF_END,
};
static const struct conf_type certificates_type =
    TABLE_OF(certificates, certificates_fields);

static const struct conf_field limits_fields[] = {
	{ "connections", &conf_uint, IN(limits, connections), "4096", false, 1,
	    1000000 },
	{ "per_address", &conf_uint, IN(limits, per_address), "64", false, 1, 1000000 },
	{ "client_rate", &conf_size, IN(limits, client_rate), "0", false, 0,
	    1ull << 40 },
	{ "total_rate", &conf_size, IN(limits, total_rate), "0", false, 0, 1ull << 40 },
	CONF_END,
};
static const struct conf_type limits_type = TABLE_OF(limits, limits_fields);

static const struct conf_field boot_fields[] = {
	{ "kernel", &conf_string, IN(boot, kernel), NULL, false, 0, 0 },
	{ "initrd", &conf_string, IN(boot, initrd), NULL, false, 0, 0 },
	{ "rootfs", &conf_string, IN(boot, rootfs), NULL, false, 0, 0 },
	{ "image", &conf_string, IN(boot, image), "coreos.raw.xz", false, 0, 0 },
	{ "args", &strings, IN(boot, args), NULL, false, 0, 0 },
	CONF_END,
};
static const struct conf_type boot_type = TABLE_OF(boot, boot_fields);

static const struct conf_field node_fields[] = {
	{ "name", &conf_string, offsetof(struct ignd_node_conf, name), NULL, true, 0,
	    0 },
	{ "token", &conf_string, offsetof(struct ignd_node_conf, token), NULL, false, 0,
	    0 },
	CONF_END,
};
static const struct conf_type node_type =
    CONF_TABLE(struct ignd_node_conf, node_fields);
static const struct conf_type nodes_type = CONF_LIST(&node_type);

#define AT(member) offsetof(struct ignd_conf, member)
static const struct conf_field fields[] = {
	DAEMON_CONF_FIELDS,
	{ "listen", &endpoints, AT(listen), NULL, false, 0, 0 },
	{ "tls", &tls_type, AT(tls), "{}", false, 0, 0 },
	{ "install", &conf_string, AT(install), "install", false, 0, 0 },
	{ "ignition", &conf_string, AT(ignition), "ignition", false, 0, 0 },
	{ "node_files", &conf_string, AT(node_files), "nodes", false, 0, 0 },
	{ "unknown_nodes", &unknown_type, AT(unknown_nodes), "images", false, 0, 0 },
	{ "check_mac", &conf_bool, AT(check_mac), "true", false, 0, 0 },
	{ "hostname", &conf_bool, AT(hostname), "false", false, 0, 0 },
	{ "page", &conf_bool, AT(page), "true", false, 0, 0 },
	{ "checksums", &conf_bool, AT(checksums), "true", false, 0, 0 },
	{ "log", &log_type, AT(log), "all", false, 0, 0 },
	{ "lbd_socket", &conf_string, AT(lbd_socket), "/run/okd-lbd/admin.sock", false,
	    0, 0 },
	{ "csrd_socket", &conf_string, AT(csrd_socket), "/run/okd-csrd/admin.sock",
	    false, 0, 0 },
	{ "nodes", &nodes_type, AT(nodes), NULL, false, 0, 0 },
	{ "window", &window_type, AT(window), "{}", false, 0, 0 },
	{ "certificates", &certificates_type, AT(certificates), "{}", false, 0, 0 },
	{ "limits", &limits_type, AT(limits), "{}", false, 0, 0 },
	{ "boot", &boot_type, AT(boot), "{}", false, 0, 0 },
	CONF_END,
};

/* --- what is derived ---------------------------------------------------- */

/* A folder below the state folder unless it is absolute. */
static char *absolute(const char *dir)
{
	const char *state = getenv("STATE_DIRECTORY");
	char *out;
	int n;

	if (dir[0] == '/')
		return strdup(dir);
	if (!state || !*state)
		state = "/var/lib/okd-ignd";
	n = asprintf(&out, "%.*s/%s", (int)strcspn(state, ":"), state, dir);
	return n < 0 ? NULL : out;
}

static int derive(struct ignd_conf *c, struct err *e)
{
	int r = cluster_listeners(c->cluster, IGND_PORT, &c->listen);

	c->install_dir = absolute(c->install);
	c->ignition_dir = absolute(c->ignition);
	c->nodes_dir = absolute(c->node_files);
	if (r < 0 || !c->install_dir || !c->ignition_dir || !c->nodes_dir)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

/* --- what must fit together --------------------------------------------- */

static int check_tls(const struct ignd_conf *c, struct err *e)
{
	if (c->tls.listen.n && (!c->tls.certificate || !c->tls.key))
		return err_set(e, -EINVAL,
		    "tls: listen needs both certificate and key, the paths of PEM "
		    "files");
	return 0;
}

static int check_nodes(
    const struct ignd_conf *c, const struct conf_doc *doc, struct err *e)
{
	const struct ignd_node_conf *n =
	    conf_list_items(&c->nodes, struct ignd_node_conf);
	const struct conf_node *list =
	    doc ? conf_get(conf_doc_root(doc), "nodes") : NULL;

	for (size_t i = 0; i < c->nodes.n; i++) {
		const struct conf_node *at = list ? conf_list_at(list, i) : NULL;

		if (c->cluster && cluster_node_by_name(c->cluster, n[i].name))
			continue;
		if (!at)
			return err_set(e, -EINVAL,
			    "nodes: %s is no node of the cluster",
			    conf_show(n[i].name));
		return conf_err(at, e, "%s is no node of the cluster%s%s",
		    conf_show(n[i].name), c->cluster ? "; its nodes stand in " : "",
		    c->cluster ? c->cluster->path : "");
	}
	return 0;
}

/* Whether a path is a folder or lies below it. */
static bool lies_in(const char *path, const char *dir)
{
	_cleanup_(freep) char *p = realpath(path, NULL), *d = realpath(dir, NULL);
	size_t n;

	path = p ? p : path;
	dir = d ? d : dir;
	n = strlen(dir);
	while (n > 1 && dir[n - 1] == '/')
		n--;
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]);
}

/* Whoever may have images must not find a .ign among them. */
static int check_folders(const struct ignd_conf *c, struct err *e)
{
	const char *const secret[] = { c->ignition_dir, c->nodes_dir };

	for (size_t i = 0; i < ARRAY_SIZE(secret); i++)
		if (lies_in(secret[i], c->install_dir))
			return err_set(e, -EINVAL,
			    "install: everybody may read %s, so %s must not be in it",
			    c->install_dir, secret[i]);
	return 0;
}

static void check_oddities(const struct ignd_conf *c, struct str *warnings)
{
	if (!warnings)
		return;
	if (c->unknown_nodes == UNKNOWN_ALL)
		str_addz(warnings,
		    "unknown_nodes: all hands the cluster's secrets to every "
		    "address\n");
	if (!c->cluster && c->unknown_nodes != UNKNOWN_ALL)
		str_addz(warnings,
		    "without cluster.yaml no address is a node, and no .ign is "
		    "served\n");
	check_ignition(c, warnings);
}

/* --- life --------------------------------------------------------------- */

static struct ignd_conf *ignd_conf_end(struct ignd_conf *c)
{
	if (!c)
		return NULL;
	conf_deinit(fields, c);
	free(c->install_dir);
	free(c->ignition_dir);
	free(c->nodes_dir);
	cluster_free(c->cluster);
	free(c);
	return NULL;
}

static void ignd_conf_endp(struct ignd_conf **c)
{
	*c = ignd_conf_end(*c);
}

int ignd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e)
{
	_cleanup_(ignd_conf_endp) struct ignd_conf *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	r = doc ? conf_decode(doc, fields, c, e) : conf_defaults(fields, c, e);
	if (r < 0)
		return r;
	c->cluster = *cluster;
	r = derive(c, e);
	if (r == 0)
		r = check_tls(c, e);
	if (r == 0)
		r = check_folders(c, e);
	if (r == 0)
		r = check_nodes(c, doc, e);
	if (r < 0) {
		c->cluster = NULL; /* still the caller's */
		return r;
	}
	check_oddities(c, warnings);
	*cluster = NULL;
	*ret = TAKE(c);
	return 0;
}

void ignd_conf_free(void *conf)
{
	ignd_conf_end(conf);
}

void ignd_conf_print(const void *conf, struct str *out)
{
	conf_print(fields, conf, out);
}

const char *ignd_conf_token(const struct ignd_conf *c, const char *node)
{
	const struct ignd_node_conf *n =
	    conf_list_items(&c->nodes, struct ignd_node_conf);

	for (size_t i = 0; i < c->nodes.n; i++)
		if (str_eq(n[i].name, node))
			return n[i].token;
	return NULL;
}
