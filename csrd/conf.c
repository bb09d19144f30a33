/* The keys of csrd.yaml and their defaults: see conf.h. */
#include "csrd/conf.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"

#define DAY_MS 86400000ull
#define NODE_BOOTSTRAPPER \
	"system:serviceaccount:openshift-machine-config-operator:node-bootstrapper"
#define NODE_BOOTSTRAPPER_GROUPS                                         \
	"[\"system:serviceaccounts\", "                                  \
	"\"system:serviceaccounts:openshift-machine-config-operator\", " \
	"\"system:authenticated\"]"

const char *const csrd_mode_words[] = { "auto", "ask", "dry-run", NULL };
static const char *const ticket_words[] = { "auto", "yes", "no", NULL };
static const char *const hostile_words[] = { "leave", "deny", NULL };
static const char *const addresses_words[] = { "exact", "subset", NULL };

static const struct conf_type strings = CONF_LIST(&conf_string);
static const struct conf_type networks = CONF_LIST(&conf_cidr);
static const struct conf_type mode_type = CONF_ENUM(csrd_mode_words);
static const struct conf_type ticket_type = CONF_ENUM(ticket_words);
static const struct conf_type hostile_type = CONF_ENUM(hostile_words);
static const struct conf_type addresses_type = CONF_ENUM(addresses_words);

#define EXTRA(member) offsetof(struct policy_extra, member)
static const struct conf_field extra_fields[] = {
	{ "name", &conf_string, EXTRA(name), NULL, true, 0, 0 },
	{ "addresses", &networks, EXTRA(addresses), NULL, true, 0, 0 },
	CONF_END,
};
static const struct conf_type extra_type =
    CONF_TABLE(struct policy_extra, extra_fields);
static const struct conf_type extras = CONF_LIST(&extra_type);

#define AT(member) offsetof(struct csrd_conf, member)
static const struct conf_field fields[] = {
	DAEMON_CONF_FIELDS,
	{ "kubeconfig", &strings, AT(kubeconfig), NULL, false, 0, 0 },
	{ "mode", &mode_type, AT(mode), "auto", false, 0, 0 },
	{ "require_ticket", &ticket_type, AT(require_ticket), "auto", false, 0, 0 },
	{ "ticket_window", &conf_duration, AT(policy.ticket_window), "6h", false, 60000,
	    30 * DAY_MS },
	{ "ignd_socket", &conf_string, AT(ignd_socket), "/run/okd-ignd/admin.sock",
	    false, 0, 0 },
	{ "addresses", &addresses_type, AT(policy.addresses), "exact", false, 0, 0 },
	{ "extra_nodes", &extras, AT(policy.extra), "[]", false, 0, 0 },
	{ "max_lifetime", &conf_duration, AT(policy.max_lifetime), "367d", false,
	    600000, 3660 * DAY_MS },
	{ "approvals_per_hour", &conf_uint, AT(policy.approvals_per_hour), "10", false,
	    1, NODE_APPROVALS },
	{ "hostile", &hostile_type, AT(hostile), "leave", false, 0, 0 },
	{ "bootstrapper", &conf_string, AT(policy.bootstrapper), NODE_BOOTSTRAPPER,
	    false, 0, 0 },
	{ "bootstrapper_groups", &strings, AT(policy.bootstrapper_groups),
	    NODE_BOOTSTRAPPER_GROUPS, false, 0, 0 },
	{ "issue_timeout", &conf_duration, AT(issue_timeout), "1m", false, 1000,
	    DAY_MS },
	{ "ready_timeout", &conf_duration, AT(ready_timeout), "15m", false, 1000,
	    DAY_MS },
	{ "max_pending", &conf_uint, AT(max_pending), "20000", false, 100, 1000000 },
	{ "audit_keep", &conf_duration, AT(audit_keep), "400d", false, DAY_MS,
	    36600 * DAY_MS },
	{ "audit_refused", &conf_uint, AT(audit_refused), "100000", false, 100,
	    10000000 },
	CONF_END,
};

static int derive_kubeconfig(struct csrd_conf *c)
{
	const char *env = getenv("KUBECONFIG");
	char **list;

	if (c->kubeconfig.set)
		return 0;
	list = calloc(1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[0] = strdup(env && *env ? env : "/etc/okd-bastion/kubeconfig");
	c->kubeconfig = (struct conf_list){ list, 1, true };
	return list[0] ? 0 : -ENOMEM;
}

/* A pattern without a fixed part would let any stranger in. */
static int check_extras(
    const struct csrd_conf *c, const struct conf_doc *doc, struct err *e)
{
	const struct conf_node *at = conf_get(conf_doc_root(doc), "extra_nodes");
	const struct conf_list *l = &c->policy.extra;

	for (size_t i = 0; i < l->n; i++) {
		const struct policy_extra *x =
		    &conf_list_items(l, struct policy_extra)[i];

		if (strspn(x->name, "*.") == strlen(x->name))
			return conf_err(conf_list_at(at, i), e,
			    "extra_nodes: the name \"%s\" fits everything; write what "
			    "such nodes have in common, as in worker-*.okd.example.com",
			    conf_show(x->name));
		if (!x->addresses.n)
			return conf_err(conf_list_at(at, i), e,
			    "extra_nodes: addresses: name the networks of such nodes");
	}
	return 0;
}

static int check(struct csrd_conf *c, const struct conf_doc *doc, struct str *warnings,
    struct err *e)
{
	const struct conf_node *root = doc ? conf_doc_root(doc) : NULL;
	int r;

	if (derive_kubeconfig(c) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	if (!c->kubeconfig.n)
		return conf_err(conf_get(root, "kubeconfig"), e,
		    "kubeconfig: name the file that leads to the API server");
	r = doc ? check_extras(c, doc, e) : 0;
	if (r < 0)
		return r;
	if (!c->cluster && !c->policy.extra.n)
		str_addz(warnings,
		    "no nodes are expected: there is neither a cluster file nor "
		    "extra_nodes\n");
	return 0;
}

static struct csrd_conf *conf_end(struct csrd_conf *c)
{
	if (!c)
		return NULL;
	conf_deinit(fields, c);
	cluster_free(c->cluster);
	free(c);
	return NULL;
}

static void conf_endp(struct csrd_conf **c)
{
	*c = conf_end(*c);
}

int csrd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e)
{
	_cleanup_(conf_endp) struct csrd_conf *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	r = doc ? conf_decode(doc, fields, c, e) : conf_defaults(fields, c, e);
	if (r < 0)
		return r;
	c->cluster = TAKE(*cluster);
	r = check(c, doc, warnings, e);
	if (r < 0)
		return r;

	*ret = TAKE(c);
	return 0;
}

void csrd_conf_free(void *conf)
{
	conf_end(conf);
}

void csrd_conf_print(const void *conf, struct str *out)
{
	conf_print(fields, conf, out);
}
