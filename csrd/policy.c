/*
 * The policy: see policy.h.
 *
 * Order matters for the sentence alone, never for an approval: every check must hold.
 * First comes what the API server vouches for (signer, requestor, groups, usages), then
 * the request's own content, then the place of the node in the cluster, then what time
 * may still bring (tickets, the Node, the rate); and the signature last, since it costs
 * more than all of these, and a flood should not make us pay for it.
 */
#include "csrd/policy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

#define NODE_PREFIX "system:node:"
#define NODE_NAME_MAX 253
/* Clocks of nodes, bastion and API server agree no better than that. */
#define CLOCK_SLACK_S 60
#define HOUR_S 3600

#define REASON_WORD(id, word, kind) word,
#define REASON_KIND(id, word, kind) kind,
static const char *const words[] = { REASONS(REASON_WORD) };
static const enum reason_kind kinds[] = { REASONS(REASON_KIND) };

const char *reason_word(enum reason r)
{
	return words[r];
}

enum reason_kind reason_kind(enum reason r)
{
	return kinds[r];
}

/* Every step of a decision sees and fills this. */
struct ask {
	const struct policy_input *in;
	const struct csr *csr;
	const struct x509_request *request;
	const char *name; /* the node's name in the request */
	const struct policy_extra *extra;
	struct verdict *v;
};

/* Settles the verdict; returns false, so that a check can end with it. */
static bool _printf_(3, 4)
    settle(struct ask *a, enum reason reason, const char *fmt, ...)
{
	va_list ap;

	a->v->reason = reason;
	va_start(ap, fmt);
	vsnprintf(a->v->text, sizeof(a->v->text), fmt, ap);
	va_end(ap);
	return false;
}

/* --- sets --------------------------------------------------------------- */

/* The same texts, each once, in any order; b has none twice. */
static bool is_set(const struct x509_strings *a, const char *const *b, size_t n)
{
	if (a->n != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!x509_strings_has(a, b[i]))
			return false;
	}
	return true;
}

static void join(const struct x509_strings *l, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < l->n && at < size; i++) {
		int n = snprintf(
		    buf + at, size - at, "%s%s", i ? ", " : "", conf_show(l->v[i]));

		at += n > 0 ? (size_t)n : 0;
	}
	if (!l->n)
		snprintf(buf, size, "none");
}

#define SHOWN_MAX 256
#define show_list(l)                          \
	({                                    \
		join((l), shown_, SHOWN_MAX); \
		shown_;                       \
	})

static bool list_has_ip(const struct conf_list *l, const struct net_ip *ip)
{
	for (size_t i = 0; i < l->n; i++) {
		if (net_ip_eq(&conf_list_items(l, struct net_ip)[i], ip))
			return true;
	}
	return false;
}

/* --- names -------------------------------------------------------------- */

bool policy_name_fits(const char *pattern, const char *name)
{
	for (; *pattern && *pattern != '*'; pattern++, name++) {
		if (*pattern != *name)
			return false;
	}
	if (!*pattern)
		return !*name;
	/* The star takes as much as it can of this label, then less. */
	for (size_t n = strcspn(name, ".") + 1; n-- > 0;) {
		if (policy_name_fits(pattern + 1, name + n))
			return true;
	}
	return false;
}

static bool is_dns_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= NODE_NAME_MAX && s[0] != '.' && s[0] != '-' &&
	    s[n - 1] != '.' && s[n - 1] != '-' && !strstr(s, "..") &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n;
}

/* Does name stand for label itself, or for label below the cluster's domain? */
static bool is_label(const struct cluster *c, const char *name, const char *label)
{
	size_t n = strlen(label);

	return strncmp(name, label, n) == 0 &&
	    (!name[n] || (name[n] == '.' && str_eq(name + n + 1, c->domain)));
}

/* Names of the cluster's services, which no node may have whatever a pattern says. */
static bool is_reserved(const struct cluster *c, const char *name)
{
	static const char *const labels[] = { "api", "api-int", "apps", "registry",
		"bastion", "bootstrap", "localhost" };
	char apps[NODE_NAME_MAX + 8];

	if (str_eq(name, "localhost"))
		return true;
	if (!c)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		if (is_label(c, name, labels[i]))
			return true;
	}
	snprintf(apps, sizeof(apps), ".apps.%s", c->domain);
	return (c->bastion.name && is_label(c, name, c->bastion.name)) ||
	    str_eq(name, c->domain) || str_ends(name, apps) ||
	    str_ends(name, ".apps") || str_starts(name, "etcd-");
}

static const struct cluster_node *find_node(const struct cluster *c, const char *name)
{
	const struct cluster_node *n;

	for (size_t i = 0; c && (n = cluster_node_at(c, i)); i++) {
		if (str_eq(name, n->fqdn) || str_eq(name, n->name))
			return n;
	}
	return NULL;
}

static const struct policy_extra *find_extra(
    const struct policy_input *in, const char *name)
{
	const struct conf_list *l = &in->policy->extra;

	if (is_reserved(in->cluster, name))
		return NULL;
	for (size_t i = 0; i < l->n; i++) {
		const struct policy_extra *x =
		    &conf_list_items(l, struct policy_extra)[i];

		if (policy_name_fits(x->name, name))
			return x;
	}
	return NULL;
}

/* What is known about a node of the cluster file under either of its names. */
static bool node_exists(const struct policy_input *in, const struct cluster_node *n,
    const char *name, const char **as)
{
	const char *const names[] = { name, n ? n->name : name, n ? n->fqdn : name };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *known = nodes_find(in->nodes, names[i]);

		if (known && known->exists) {
			*as = known->name;
			return true;
		}
	}
	return false;
}

/* --- what the API server vouches for ------------------------------------ */

static bool check_groups(struct ask *a, const char *const *groups, size_t n)
{
	char shown_[SHOWN_MAX];

	if (is_set(&a->csr->groups, groups, n))
		return true;
	return settle(a, REASON_GROUPS,
	    "the requestor's groups are not exactly those of %s: %s",
	    conf_show(a->csr->username), show_list(&a->csr->groups));
}

/* The usages that kubelets ask for; without key encipherment only where the key cannot
 * encipher anyway. */
static bool check_usages(struct ask *a, const char *auth)
{
	const char *const three[] = { "digital signature", "key encipherment", auth };
	const char *const two[] = { "digital signature", auth };
	const struct x509_strings *usages = &a->csr->usages;
	bool rsa = a->request && a->request->key.type == X509_KEY_RSA;
	char shown_[SHOWN_MAX];

	if (is_set(usages, three, 3) || (!rsa && is_set(usages, two, 2)))
		return true;
	return settle(a, REASON_USAGES,
	    "the usages are not exactly digital signature, key encipherment and %s: %s",
	    auth, show_list(usages));
}

static bool check_lifetime(struct ask *a)
{
	int64_t most = (int64_t)(a->in->policy->max_lifetime / 1000);

	if (a->csr->lifetime >= 0 && a->csr->lifetime <= most)
		return true;
	return settle(a, REASON_LIFETIME,
	    "it asks for %" PRId64 " s of life, and max_lifetime is %" PRId64 " s",
	    a->csr->lifetime, most);
}

static bool is_node_user(const char *username)
{
	return str_starts(username, NODE_PREFIX) &&
	    username[strlen(NODE_PREFIX)] != '\0';
}

static bool check_node_groups(struct ask *a)
{
	static const char *const groups[] = { "system:nodes", "system:authenticated" };

	return check_groups(a, groups, ARRAY_SIZE(groups));
}

static bool check_bootstrapper(struct ask *a)
{
	const struct policy *p = a->in->policy;

	if (str_eq(a->csr->username, p->bootstrapper))
		return check_groups(
		    a, p->bootstrapper_groups.items, p->bootstrapper_groups.n);
	return settle(a, REASON_REQUESTOR,
	    "%s asked for it, where only %s may ask for a node's first certificate",
	    conf_show(a->csr->username), p->bootstrapper);
}

/* --- the request's own content ------------------------------------------ */

static bool check_encoding(struct ask *a)
{
	const struct x509_request *q = a->request;

	if (!q)
		return settle(a, REASON_UNREADABLE,
		    "the request inside cannot be read: %s",
		    a->csr->why ? a->csr->why : "there is none");
	if (q->leading_text || q->trailing_text || q->pem_headers)
		return settle(a, REASON_TEXT_AROUND,
		    "there is more than one PEM block in the request, or text around "
		    "it");
	return true;
}

static bool check_signature(struct ask *a)
{
	return x509_request_is_signed(a->request) ||
	    settle(
		a, REASON_SIGNATURE, "the request is not signed by the key inside it");
}

static bool check_key(struct ask *a)
{
	const struct x509_key *k = &a->request->key;

	if (k->type == X509_KEY_RSA && k->bits >= 2048 && k->bits <= 8192)
		return true;
	if (k->type == X509_KEY_EC &&
	    (str_eq(k->curve, "prime256v1") || str_eq(k->curve, "secp384r1") ||
		str_eq(k->curve, "secp521r1")))
		return true;
	if (k->type == X509_KEY_ED25519)
		return true;
	return settle(a, REASON_KEY,
	    "the key is too weak or of a kind that no kubelet makes (%u bits%s%s)",
	    k->bits, k->curve[0] ? ", " : "", k->curve);
}

/* Exactly CN=system:node:NAME and O=system:nodes; a->name is NAME after it. */
static bool check_subject(struct ask *a)
{
	const struct x509_name *s = &a->request->subject;
	char shown_[SHOWN_MAX];

	if (s->cn.n != 1 || !is_node_user(s->cn.v[0]) ||
	    !is_dns_name(s->cn.v[0] + strlen(NODE_PREFIX)))
		return settle(a, REASON_COMMON_NAME,
		    "the common name is not one system:node:NAME: %s",
		    show_list(&s->cn));
	a->name = s->cn.v[0] + strlen(NODE_PREFIX);
	snprintf(a->v->name, sizeof(a->v->name), "%s", a->name);
	if (s->o.n != 1 || !str_eq(s->o.v[0], "system:nodes"))
		return settle(a, REASON_ORGANIZATION,
		    "the organization is not system:nodes alone: %s", show_list(&s->o));
	if (s->n_other || s->odd)
		return settle(a, REASON_SUBJECT,
		    "the subject has more than a common name and an organization, or "
		    "has "
		    "them in an unusual encoding: %s",
		    conf_show(s->text));
	return true;
}

static bool check_extensions(struct ask *a)
{
	const struct x509_request *q = a->request;

	if (q->wants_ca)
		return settle(a, REASON_EXTENSIONS, "it asks to become a CA");
	if (q->n_extension_requests > 1 || q->n_alt > 1 || q->n_other_extensions ||
	    q->n_other_attributes)
		return settle(a, REASON_EXTENSIONS,
		    "the request has extensions or attributes that no kubelet asks "
		    "for");
	return true;
}

static bool check_name_kinds(struct ask *a)
{
	const struct x509_alt *alt = &a->request->alt;

	if (!alt->email.n && !alt->uri.n && !alt->n_other && !alt->n_ip_mapped)
		return true;
	return settle(a, REASON_NAME_KINDS,
	    "it asks for alternative names other than DNS names and plain addresses");
}

static bool check_content(struct ask *a)
{
	return check_encoding(a) && check_key(a) && check_subject(a) &&
	    check_extensions(a) && check_name_kinds(a) &&
	    (!a->in->thorough || check_signature(a));
}

/* A node asks in its own name: username, common name and node are one. */
static bool check_own_name(struct ask *a)
{
	if (str_eq(a->csr->username, a->request->subject.cn.v[0]))
		return true;
	return settle(a, REASON_COMMON_NAME, "%s asks for a certificate of %s",
	    conf_show(a->csr->username), conf_show(a->request->subject.cn.v[0]));
}

static bool check_no_names(struct ask *a)
{
	const struct x509_alt *alt = &a->request->alt;

	if (!alt->dns.n && !alt->n_ip && !a->request->n_alt)
		return true;
	return settle(a, REASON_NAME_KINDS,
	    "a client certificate has no alternative names, and this asks for some");
}

/* --- the node in the cluster -------------------------------------------- */

/* "; expected and not there yet: worker (192.168.120.104)" for a sentence. */
static void name_missing(const struct ask *a, char *buf, size_t size)
{
	const struct cluster_node *n;
	const char *as;
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; a->in->cluster && (n = cluster_node_at(a->in->cluster, i));
	     i++) {
		const struct ticket *t = tickets_find(a->in->tickets, n->name);
		int len;

		if (n->role == NODE_BOOTSTRAP || node_exists(a->in, n, n->fqdn, &as))
			continue;
		len = snprintf(buf + at, size - at, "%s%s (%s%s)",
		    at ? ", " : "; expected and not there yet: ", n->fqdn,
		    net_ip_str(&conf_list_items(&n->addresses, struct net_ip)[0]),
		    t ? ", has fetched its ignition" : "");
		if (len < 0 || (size_t)len >= size - at) {
			buf[at] = '\0';
			return;
		}
		at += (size_t)len;
	}
}

/* The node whose address it asks for, which then goes by another name. */
static const struct cluster_node *find_by_address(const struct ask *a)
{
	const struct x509_alt *alt = &a->request->alt;
	const struct cluster_node *n = NULL;

	for (size_t i = 0; a->in->cluster && i < alt->n_ip && !n; i++)
		n = cluster_node_by_ip(a->in->cluster, &alt->ip[i]);
	return n;
}

static bool unknown_node(struct ask *a)
{
	const struct cluster_node *n = find_by_address(a);
	char missing[256];

	if (n)
		return settle(a, REASON_NAME_MISMATCH,
		    "a node called %s has the address of %s: name it so in "
		    "cluster.yaml, "
		    "or correct the name in its ip= kernel argument",
		    a->name, n->fqdn);
	name_missing(a, missing, sizeof(missing));
	return settle(a, REASON_UNKNOWN_NODE, "cluster.yaml has no node called %s%s",
	    a->name, missing);
}

static bool check_expected(struct ask *a)
{
	a->v->node = find_node(a->in->cluster, a->name);
	if (!a->v->node)
		a->extra = find_extra(a->in, a->name);
	if (!a->v->node && !a->extra)
		return unknown_node(a);
	if (a->v->node && a->v->node->role == NODE_BOOTSTRAP)
		return settle(a, REASON_BOOTSTRAP,
		    "%s is the bootstrap, which never joins the cluster", a->name);
	return true;
}

static bool check_nodes_known(struct ask *a)
{
	return a->in->nodes->known ||
	    settle(a, REASON_NODES_UNKNOWN,
		"the cluster's nodes are not known at the moment");
}

static bool check_is_new(struct ask *a)
{
	const char *as;

	if (!node_exists(a->in, a->v->node, a->name, &as))
		return true;
	return settle(a, REASON_NODE_EXISTS,
	    "the node %s is in the cluster already and has its certificate; delete the "
	    "Node first if it was installed anew",
	    as);
}

static bool check_is_there(struct ask *a)
{
	const struct node *n = nodes_find(a->in->nodes, a->name);

	return (n && n->exists) ||
	    settle(a, REASON_NODE_ABSENT, "there is no Node called %s yet", a->name);
}

/* Until the Node is there, its name is held by the first key that was approved. */
static bool check_first_key(struct ask *a)
{
	const struct cluster_node *cn = a->v->node;
	const char *const names[] = { a->name, cn ? cn->name : a->name,
		cn ? cn->fqdn : a->name };
	int64_t seen_at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *n = nodes_find(a->in->nodes, names[i]);

		seen_at = n ? MAX(seen_at, n->seen_at) : seen_at;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *n = nodes_find(a->in->nodes, names[i]);

		if (!n || !n->has_key || n->approved_at < seen_at ||
		    memcmp(n->key, a->request->key.sha256, X509_SHA256) == 0)
			continue;
		return settle(a, REASON_SECOND_KEY,
		    "another key was approved for %s by %s, and the node has not "
		    "joined "
		    "yet: if it was installed again, approve this one by hand",
		    n->name, conf_show(n->key_csr));
	}
	return true;
}

/* A ticket is of one installation: the key that it let in, when its Node has come and gone,
 * leaves nothing for another.  NULL, or the node that used it. */
static const struct node *ticket_user(const struct ask *a, const struct ticket *t)
{
	const char *const names[] = { a->name, a->v->node->name, a->v->node->fqdn };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *n = nodes_find(a->in->nodes, names[i]);

		if (n && n->has_key && n->approved_at >= t->fetched_at &&
		    memcmp(n->key, a->request->key.sha256, X509_SHA256) != 0)
			return n;
	}
	return NULL;
}

static bool check_ticket(struct ask *a)
{
	const struct tickets *ts = a->in->tickets;
	int64_t window = (int64_t)(a->in->policy->ticket_window / 1000);
	const struct ticket *t;
	const struct node *user;

	if (!ts->required || !a->v->node)
		return true;
	if (!ts->known)
		return settle(a, REASON_NO_TICKET,
		    "okd-ignd does not say which nodes fetched their ignition");
	t = tickets_find(ts, a->v->node->name);
	if (!t)
		return settle(a, REASON_NO_TICKET,
		    "%s has not fetched its ignition from this bastion", a->name);
	if (a->csr->created < t->fetched_at - CLOCK_SLACK_S)
		return settle(a, REASON_NO_TICKET,
		    "it was made %" PRId64 " s before %s fetched its ignition",
		    t->fetched_at - a->csr->created, a->name);
	if (a->csr->created > t->fetched_at + window)
		return settle(a, REASON_NO_TICKET,
		    "it was made %" PRId64 " s after %s fetched its ignition, and "
		    "ticket_window is %" PRId64 " s",
		    a->csr->created - t->fetched_at, a->name, window);
	user = ticket_user(a, t);
	if (!user)
		return true;
	return settle(a, REASON_NO_TICKET,
	    "%s has not fetched its ignition again since %s was approved and it joined",
	    a->name, conf_show(user->key_csr));
}

/* --- serving names ------------------------------------------------------ */

static bool check_dns(struct ask *a)
{
	const struct x509_strings *dns = &a->request->alt.dns;
	char shown_[SHOWN_MAX];

	if (dns->n == 1 && str_eq(dns->v[0], a->name))
		return true;
	if (!dns->n && !a->request->alt.n_ip)
		return settle(a, REASON_NO_NAMES, "it asks for no names at all");
	return settle(a, REASON_DNS_NAMES, "the DNS names are not exactly %s: %s",
	    a->name, show_list(dns));
}

static bool is_twice(const struct x509_alt *alt, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (net_ip_eq(&alt->ip[j], &alt->ip[i]))
			return true;
	}
	return false;
}

/* A node of the cluster file: its own addresses, by default all of them. */
static bool check_own_addresses(struct ask *a)
{
	const struct conf_list *own = &a->v->node->addresses;
	const struct x509_alt *alt = &a->request->alt;

	for (size_t i = 0; i < alt->n_ip; i++) {
		if (!list_has_ip(own, &alt->ip[i]) || is_twice(alt, i))
			return settle(a, REASON_FOREIGN_ADDRESS,
			    "%s is not an address that cluster.yaml gives to %s, or is "
			    "there twice",
			    net_ip_str(&alt->ip[i]), a->name);
	}
	if (alt->n_ip == own->n ||
	    (alt->n_ip && a->in->policy->addresses == ADDRESSES_SUBSET))
		return true;
	return settle(a, REASON_ADDRESSES,
	    "it asks for %zu of the %zu addresses that cluster.yaml gives to %s; "
	    "`addresses: subset` lets nodes leave some out",
	    alt->n_ip, own->n, a->name);
}

/* Does the address belong to somebody else, whatever a network allows? */
static bool is_taken(const struct ask *a, const struct net_ip *ip)
{
	const struct cluster *c = a->in->cluster;

	if (c &&
	    (cluster_node_by_ip(c, ip) || cluster_is_bastion(c, ip) ||
		list_has_ip(&c->ingress, ip) || net_ip_eq(&c->gateway, ip)))
		return true;
	htable_for_each (it, &a->in->nodes->table) {
		const struct node *n = CONTAINER_OF(it, struct node, hnode);

		for (unsigned i = 0; i < n->n_addresses; i++) {
			if (net_ip_eq(&n->addresses[i], ip) &&
			    !str_eq(n->name, a->name))
				return true;
		}
	}
	return false;
}

/* A node that only a pattern knows: free addresses of its networks. */
static bool check_extra_addresses(struct ask *a)
{
	const struct conf_list *nets = &a->extra->addresses;
	const struct x509_alt *alt = &a->request->alt;

	for (size_t i = 0; i < alt->n_ip; i++) {
		bool within = false;

		for (size_t j = 0; j < nets->n; j++)
			within |= net_cidr_has(
			    &conf_list_items(nets, struct net_cidr)[j], &alt->ip[i]);
		if (!within || is_taken(a, &alt->ip[i]) || is_twice(alt, i) ||
		    net_ip_is_loopback(&alt->ip[i]))
			return settle(a, REASON_FOREIGN_ADDRESS,
			    "%s is not a free address of the networks that extra_nodes "
			    "gives to %s",
			    net_ip_str(&alt->ip[i]), a->name);
	}
	return alt->n_ip > 0 ||
	    settle(a, REASON_ADDRESSES, "%s asks for no address", a->name);
}

static bool check_addresses(struct ask *a)
{
	return a->v->node ? check_own_addresses(a) : check_extra_addresses(a);
}

/* --- the decision ------------------------------------------------------- */

/* What the bootstrapper asks in a node's name, and what the node asks, are counted apart. */
static bool check_rate(struct ask *a)
{
	const struct node *n = nodes_find(a->in->nodes, a->name);
	unsigned most = (unsigned)a->in->policy->approvals_per_hour;
	bool own = is_node_user(a->csr->username);

	if (!n ||
	    node_approvals_within(own ? &n->own : &n->first, a->in->now, HOUR_S) <
		most + a->in->counted)
		return true;
	return settle(a, REASON_TOO_MANY,
	    "%s got %u certificates within the hour%s; it alone waits", a->name, most,
	    own ? "" : " by the bootstrapper's requests");
}

static bool approve(struct ask *a, enum reason reason, const char *what)
{
	settle(a, reason, "%s certificate of %s", what, a->name);
	return true;
}

static void decide_first_client(struct ask *a)
{
	if (check_bootstrapper(a) && check_usages(a, "client auth") &&
	    check_lifetime(a) && check_content(a) && check_no_names(a) &&
	    check_expected(a) && check_nodes_known(a) && check_is_new(a) &&
	    check_first_key(a) && check_ticket(a) && check_rate(a) &&
	    check_signature(a))
		approve(a, REASON_CLIENT, "first client");
}

static void decide_client_renewal(struct ask *a)
{
	if (check_node_groups(a) && check_usages(a, "client auth") &&
	    check_lifetime(a) && check_content(a) && check_own_name(a) &&
	    check_no_names(a) && check_expected(a) && check_nodes_known(a) &&
	    check_is_there(a) && check_rate(a) && check_signature(a))
		approve(a, REASON_CLIENT_RENEWAL, "renewed client");
}

static bool check_node_user(struct ask *a)
{
	return is_node_user(a->csr->username) ||
	    settle(a, REASON_REQUESTOR,
		"%s asked for it, where only the node itself may",
		conf_show(a->csr->username));
}

static void decide_serving(struct ask *a)
{
	if (check_node_user(a) && check_node_groups(a) &&
	    check_usages(a, "server auth") && check_lifetime(a) && check_content(a) &&
	    check_own_name(a) && check_expected(a) && check_dns(a) &&
	    check_addresses(a) && check_nodes_known(a) && check_is_there(a) &&
	    check_rate(a) && check_signature(a))
		approve(a, REASON_SERVING, "serving");
}

void policy_decide(
    const struct policy_input *in, const struct csr *csr, struct verdict *ret)
{
	struct ask a = { .in = in, .csr = csr, .request = csr->request, .v = ret };

	*ret = (struct verdict){ .reason = REASON_SIGNER };
	if (str_eq(csr->signer, SIGNER_SERVING))
		decide_serving(&a);
	else if (!str_eq(csr->signer, SIGNER_CLIENT))
		settle(&a,
		    str_eq(csr->signer, SIGNER_LEGACY) ? REASON_LEGACY_SIGNER
						       : REASON_SIGNER,
		    "the signer %s is not a kubelet's", conf_show(csr->signer));
	else if (is_node_user(csr->username))
		decide_client_renewal(&a);
	else
		decide_first_client(&a);
}

const char *policy_first_client(const struct policy *p, const struct csr *csr)
{
	const struct x509_request *q = csr->request;

	if (!q || !str_eq(csr->signer, SIGNER_CLIENT) ||
	    !str_eq(csr->username, p->bootstrapper) || q->subject.cn.n != 1 ||
	    !is_node_user(q->subject.cn.v[0]))
		return NULL;
	return q->subject.cn.v[0] + strlen(NODE_PREFIX);
}
