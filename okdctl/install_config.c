/* install-config.yaml: see install_config.h. */
#include "okdctl/install_config.h"

#include <errno.h>
#include <stdio.h>

#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/lines.h"

#define CLUSTER_NETWORK "10.128.0.0/14"
#define SERVICE_NETWORK "172.30.0.0/16"
#define REGISTRY_PORT 5000
#define NO_SECRET "{\"auths\":{}}"

/* Where the images of a release come from, and the path they are mirrored to. */
struct sources {
	const char *release, *content, *mirror;
};

/* 4.5 of "4.5.0-0.okd-..." as 405; 405 for what is no version. */
static unsigned version_of(const char *release)
{
	unsigned major = 0, minor = 0;

	if (!release || sscanf(release, "%2u.%2u", &major, &minor) != 2)
		return 405;
	return major * 100 + minor;
}

bool install_config_is_release(const char *s)
{
	unsigned major, minor;

	return sscanf(s, "%2u.%2u", &major, &minor) == 2;
}

/* OKD moved to CentOS Stream CoreOS, and to repositories of that name, with 4.16. */
static struct sources sources_of(const char *release)
{
	if (version_of(release) >= 416)
		return (struct sources){ "quay.io/okd/scos-release",
			"quay.io/okd/scos-content", "okd/scos" };
	return (struct sources){ "quay.io/openshift/okd",
		"quay.io/openshift/okd-content", "openshift/okd" };
}

/* imageDigestSources (an ImageDigestMirrorSet in the cluster) since 4.14. */
static const char *mirrors_key(const char *release)
{
	return version_of(release) >= 414 ? "imageDigestSources"
					  : "imageContentSources";
}

const char *install_config_repository(const char *release)
{
	return sources_of(release).mirror;
}

const char *install_config_source(const char *release)
{
	return sources_of(release).release;
}

void install_config_registry(const struct cluster *c, struct str *out)
{
	str_addf(out, "registry.%s:%d", c->domain, REGISTRY_PORT);
}

/* --- pieces ------------------------------------------------------------- */

static void add_source(const struct install_config *in, const char *source,
    const char *mirror, struct str *out)
{
	str_addz(out, "- mirrors:\n  - ");
	install_config_registry(in->cluster, out);
	str_addf(out, "/%s\n  source: %s\n", mirror, source);
}

static void add_mirrors(const struct install_config *in, struct str *out)
{
	struct sources s = sources_of(in->release);

	str_addf(out, "%s:\n", mirrors_key(in->release));
	add_source(in, s.release, s.mirror, out);
	add_source(in, s.content, s.mirror, out);
}

/* A YAML scalar in single quotes. */
static void add_quoted(const char *key, const char *value, struct str *out)
{
	str_addf(out, "%s: '", key);
	for (; *value; value++) {
		if (*value == '\'')
			str_addc(out, '\'');
		str_addc(out, *value);
	}
	str_addz(out, "'\n");
}

static void add_indented(const char *text, struct str *out)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n) {
			str_addz(out, "  ");
			str_add(out, text, n);
			str_addc(out, '\n');
		}
		text += n;
		text += *text == '\n';
	}
}

static void add_trust(const char *before, const char *trust, struct str *out)
{
	str_addz(out, "additionalTrustBundle: |\n");
	add_indented(before, out);
	add_indented(trust, out);
}

static unsigned count_role(const struct cluster *c, enum node_role role)
{
	unsigned n = 0;

	for (size_t i = 0; i < cluster_n_nodes(c); i++)
		n += cluster_node_at(c, i)->role == (int)role;
	return n;
}

/* --- networks ----------------------------------------------------------- */

static int check_overlap(const struct cluster *c, const char *text, const char *what,
    const char *option, struct err *err)
{
	struct net_cidr net;

	if (net_cidr_parse(text, &net) < 0)
		return err_set(err, -EINVAL,
		    "--%s: \"%s\" is no network; write one such as " CLUSTER_NETWORK,
		    option, text);
	for (size_t i = 0; i < c->machine_network.n; i++) {
		const struct net_cidr *m =
		    &conf_list_items(&c->machine_network, struct net_cidr)[i];

		if (net_cidr_has(&net, &m->ip) || net_cidr_has(m, &net.ip))
			return err_set(err, -EINVAL,
			    "the %s %s overlaps machine_network %s: pods could not "
			    "reach the nodes; choose another with --%s",
			    what, text, net_cidr_str(m), option);
	}
	return 0;
}

static int check_networks(const struct install_config *in, struct err *err)
{
	const char *pods = in->cluster_network ? in->cluster_network : CLUSTER_NETWORK;
	const char *services =
	    in->service_network ? in->service_network : SERVICE_NETWORK;
	struct net_cidr a, b;
	int r =
	    check_overlap(in->cluster, pods, "cluster network", "cluster-network", err);

	if (r == 0)
		r = check_overlap(
		    in->cluster, services, "service network", "service-network", err);
	if (r < 0 || net_cidr_parse(pods, &a) < 0 || net_cidr_parse(services, &b) < 0)
		return r;
	if (net_cidr_has(&a, &b.ip) || net_cidr_has(&b, &a.ip))
		return err_set(err, -EINVAL,
		    "the cluster network %s overlaps the service network %s; choose "
		    "another with --cluster-network or --service-network",
		    pods, services);
	return 0;
}

static void add_networking(const struct install_config *in, struct str *out)
{
	const struct conf_list *l = &in->cluster->machine_network;

	str_addf(out,
	    "networking:\n"
	    "  clusterNetwork:\n"
	    "  - cidr: %s\n"
	    "    hostPrefix: 23\n"
	    "  machineNetwork:\n",
	    in->cluster_network ? in->cluster_network : CLUSTER_NETWORK);
	for (size_t i = 0; i < l->n; i++)
		str_addf(out, "  - cidr: %s\n",
		    net_cidr_str(&conf_list_items(l, struct net_cidr)[i]));
	str_addf(out,
	    "  networkType: OVNKubernetes\n"
	    "  serviceNetwork:\n"
	    "  - %s\n",
	    in->service_network ? in->service_network : SERVICE_NETWORK);
}

/* --- whole -------------------------------------------------------------- */

int install_config_make(
    const struct install_config *in, struct str *out, struct err *err)
{
	const struct cluster *c = in->cluster;
	unsigned masters = count_role(c, NODE_MASTER);
	int r = check_networks(in, err);

	if (r < 0)
		return r;
	str_addf(out,
	    "# For openshift-install, which consumes the file: work on a copy.\n"
	    "apiVersion: v1\n"
	    "baseDomain: %s\n"
	    "# Workers join by themselves once they boot; the installer makes none.\n"
	    "compute:\n"
	    "- hyperthreading: Enabled\n"
	    "  name: worker\n"
	    "  replicas: 0\n"
	    "controlPlane:\n"
	    "  hyperthreading: Enabled\n"
	    "  name: master\n"
	    "  replicas: %u\n"
	    "metadata:\n"
	    "  name: %s\n",
	    c->base_domain, masters ? masters : 1, c->name);
	add_networking(in, out);
	str_addz(out, "platform:\n  none: {}\nfips: false\n");
	add_quoted("pullSecret", in->pull_secret, out);
	if (in->ssh_key)
		add_quoted("sshKey", in->ssh_key, out);
	add_mirrors(in, out);
	add_trust("", in->trust, out);
	return str_err(out) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* --- pull secrets ------------------------------------------------------- */

static int load_secret(
    json_t **ret, const char *name, const char *text, struct err *err)
{
	int r = json_load_limited(ret, name, text, strlen(text), 0, err);

	if (r == 0 && !json_is_object(json_object_get(*ret, "auths")))
		r = err_set(err, -EINVAL,
		    "%s is no pull secret; it looks like "
		    "{\"auths\":{\"quay.io\":{\"auth\":\"...\"}}}",
		    name);
	return r;
}

int install_config_merge_secret(const char *name, const char *first, const char *second,
    struct str *out, struct err *err)
{
	_cleanup_(json_freep) json_t *a = NULL, *b = NULL;
	_cleanup_(freep) char *text = NULL;
	int r = load_secret(&a, name, first, err);

	if (r == 0)
		r = load_secret(&b, "(the registry's)", second, err);
	if (r < 0)
		return r;
	if (json_object_update(
		json_object_get(a, "auths"), json_object_get(b, "auths")) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	/* ASCII alone: what YAML takes for line ends is escaped. */
	text = json_dumps(a, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	str_addz(out, text);
	return 0;
}

/* --- completing --------------------------------------------------------- */

/* A person's file: its top keys own the lines from theirs to the next one's. */
struct edit {
	const struct install_config *in;
	const char *name, *text, *end;
	const struct conf_node *root;
	struct str *out;
	struct err *err;
};

static int complete_secret(struct edit *e, const struct conf_node *value)
{
	_cleanup_(str_deinit) struct str merged = STR_INIT, own = STR_INIT;
	const char *text = conf_scalar(value);
	int r;

	if (!text)
		return conf_err(value, e->err, "pullSecret must be JSON in quotes");
	r = install_config_merge_secret(
	    e->name, text, e->in->pull_secret, &merged, e->err);
	if (r == 0)
		r = install_config_merge_secret(e->name, text, NO_SECRET, &own, e->err);
	if (r < 0)
		return r;
	if (str_eq(str_get(&merged), str_get(&own)))
		return 1;
	add_quoted("pullSecret", str_get(&merged), e->out);
	return 0;
}

static int complete_trust(struct edit *e, const struct conf_node *value)
{
	const char *text = conf_scalar(value);

	if (!text)
		return conf_err(
		    value, e->err, "additionalTrustBundle must be certificates in PEM");
	if (strstr(text, e->in->trust))
		return 1;
	add_trust(text, e->in->trust, e->out);
	return 0;
}

static bool has_source(const struct conf_node *list, const char *source)
{
	for (size_t i = 0; i < conf_list_len(list); i++) {
		const char *s = conf_scalar(conf_get(conf_list_at(list, i), "source"));

		if (s && str_eq(s, source))
			return true;
	}
	return false;
}

/* Those of the release that is asked for, else of the one that the list is of. */
static struct sources sources_in(const struct edit *e, const struct conf_node *list)
{
	struct sources later = sources_of("4.16");

	if (!e->in->release &&
	    (has_source(list, later.release) || has_source(list, later.content)))
		return later;
	return sources_of(e->in->release);
}

/* Adds to a list in block style, whose items a person may have indented. */
static int complete_mirrors(
    struct edit *e, const char *from, const char *to, const struct conf_node *value)
{
	struct sources s = sources_in(e, value);
	const char *const wanted[] = { s.release, s.content };
	_cleanup_(str_deinit) struct str more = STR_INIT;
	const char *dash = memmem(from, (size_t)(to - from), "\n", 1);
	size_t blanks = dash ? strspn(dash + 1, " ") : 0;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!has_source(value, wanted[i]))
			add_source(e->in, wanted[i], s.mirror, &more);
	}
	if (!more.len)
		return 1;
	if (!conf_is_list(value) || !dash || dash[1 + blanks] != '-' ||
	    dash[2 + blanks] != ' ')
		return conf_err(value, e->err,
		    "this list lacks the sources %s and %s, and is not written item by "
		    "item (\"- mirrors:\" on lines of their own), so they cannot be "
		    "added; add them, or leave the key out",
		    s.release, s.content);
	str_add(e->out, from, (size_t)(to - from));
	if (to > from && to[-1] != '\n')
		str_addc(e->out, '\n');
	for (const char *at = str_get(&more); *at;) {
		size_t n = strcspn(at, "\n") + 1;

		str_addf(e->out, "%*s", (int)blanks, "");
		str_add(e->out, at, n);
		at += n;
	}
	return 0;
}

/* Writes the lines of one key: as they are, or completed. */
static int add_key(struct edit *e, size_t i, const char *from, const char *to)
{
	const char *key = conf_scalar(conf_key_at(e->root, i));
	const struct conf_node *value = conf_value_at(e->root, i);
	int r = 1;

	if (str_eq(key, "pullSecret"))
		r = complete_secret(e, value);
	else if (str_eq(key, "additionalTrustBundle"))
		r = complete_trust(e, value);
	else if (str_eq(key, "imageContentSources") ||
	    str_eq(key, "imageDigestSources"))
		r = complete_mirrors(e, from, to, value);
	if (r == 1) {
		str_add(e->out, from, (size_t)(to - from));
		if (to > from && to[-1] != '\n')
			str_addc(e->out, '\n');
	}
	return r < 0 ? r : 0;
}

static void add_missing(struct edit *e)
{
	const struct conf_node *root = e->root;

	if (!conf_get(root, "pullSecret"))
		add_quoted("pullSecret", e->in->pull_secret, e->out);
	if (!conf_get(root, "sshKey") && e->in->ssh_key)
		add_quoted("sshKey", e->in->ssh_key, e->out);
	if (!conf_get(root, "imageContentSources") &&
	    !conf_get(root, "imageDigestSources"))
		add_mirrors(e->in, e->out);
	if (!conf_get(root, "additionalTrustBundle"))
		add_trust("", e->in->trust, e->out);
	if (!conf_get(root, "networking"))
		add_networking(e->in, e->out);
	if (!conf_get(root, "platform"))
		str_addz(e->out, "platform:\n  none: {}\n");
}

/* A person's way of writing may be one that this file does not see through. */
static int check_result(struct edit *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	struct err why = ERR_INIT;

	if (str_err(e->out))
		return err_set(e->err, -ENOMEM, "out of memory");
	if (conf_doc_parse(&doc, e->name, str_get(e->out), e->out->len, &why) < 0)
		return err_set(e->err, -EINVAL,
		    "%s cannot be completed as it is written (%s); write each key of "
		    "it "
		    "on lines of its own",
		    e->name, why.text);
	return 0;
}

/* The file must mean the cluster that it is completed for. */
static int check_same(struct edit *e)
{
	const struct cluster *c = e->in->cluster;
	const struct conf_node *base = conf_get(e->root, "baseDomain");
	const struct conf_node *name = conf_get(conf_get(e->root, "metadata"), "name");

	if (!conf_scalar(base) || !str_eq(conf_scalar(base), c->base_domain))
		return err_at(e->err, -EINVAL, e->name, base ? conf_line(base) : 0, 0,
		    "baseDomain must be %s, as in cluster.yaml", c->base_domain);
	if (!conf_scalar(name) || !str_eq(conf_scalar(name), c->name))
		return err_at(e->err, -EINVAL, e->name, name ? conf_line(name) : 0, 0,
		    "metadata.name must be %s, as in cluster.yaml", c->name);
	return 0;
}

int install_config_complete(const struct install_config *in, const char *name,
    const char *text, size_t n, struct str *out, struct err *err)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r = conf_doc_parse(&doc, name, text, n, err);
	struct edit e = { .in = in,
		.name = name,
		.text = text,
		.end = text + n,
		.out = out,
		.err = err };
	const struct conf_node *key;

	if (r < 0)
		return r;
	if (!lines_are_plain(text, n))
		return err_set(err, -EINVAL,
		    "%s has line ends that are neither Unix's nor Windows'", name);
	e.root = conf_doc_root(doc);
	if (conf_key_at(e.root, 0) == NULL || text[strspn(text, " \n\t")] == '{')
		return err_at(err, -EINVAL, name, 1, 0,
		    "this is no install-config.yaml; it is a table with keys such as "
		    "baseDomain, a line each");
	r = check_same(&e);
	if (r < 0)
		return r;
	str_add(out, text,
	    (size_t)(lines_at(text, e.end, conf_line(conf_key_at(e.root, 0))) - text));
	for (size_t i = 0; (key = conf_key_at(e.root, i)); i++) {
		const struct conf_node *next = conf_key_at(e.root, i + 1);
		const char *from = lines_at(text, e.end, conf_line(key));
		const char *to = next ? lines_at(text, e.end, conf_line(next)) : e.end;

		r = add_key(&e, i, from, to);
		if (r < 0)
			return r;
	}
	add_missing(&e);
	return check_result(&e);
}
