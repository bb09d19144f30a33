/* Checks of every name, through okd-dnsd and through the host's own resolver. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "common/cluster.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/out.h"
#include "okdctl/stub.h"
#include "okdctl/term.h"

#define ASK_MS 2000
#define MAX_LISTEN 16
#define MAX_TOLD 10

/* One walk over the names: a fault is told up to ten times, then counted. */
struct walk {
	struct check *k;
	struct net_endpoint server;
	unsigned asked, bad;
	bool dead; /* the server does not answer: no use in going on */
};

static void bad(struct walk *w, const char *remedy, const char *text)
{
	if (++w->bad <= MAX_TOLD)
		check_add(w->k, CHECK_FAIL, remedy, "%s", text);
}

static _printf_(3, 4) void badf(
    struct walk *w, const char *remedy, const char *fmt, ...)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	bad(w, remedy, str_get(&text));
}

static const char *const own_record = "remove the record that a person wrote: okdctl "
				      "dns get NAME; or correct cluster.yaml";

/* What the server says, or nothing after a line that says why not. */
static bool ask(
    struct walk *w, const char *name, enum stub_type type, struct stub_answer *a)
{
	int r = w->dead ? -ETIMEDOUT : stub_ask(&w->server, name, type, ASK_MS, a);

	w->asked++;
	if (w->dead)
		return false;
	if (r == -ETIMEDOUT || r == -ECONNREFUSED) {
		w->dead = true;
		badf(w, "systemctl status okd-dnsd; is port 53 open in the firewall?",
		    "nobody answers for names on %s: %s", net_endpoint_str(&w->server),
		    strerror(-r));
		return false;
	}
	if (r < 0) {
		badf(w, "journalctl -u okd-dnsd -n 50", "%s: the answer is broken: %s",
		    name, strerror(-r));
		return false;
	}
	if (a->rcode == 0 || a->rcode == 3)
		return true;
	badf(w,
	    a->rcode == 5 ? "this host's address must be within \"allow\" of dnsd.yaml"
			  : "journalctl -u okd-dnsd -n 50",
	    "%s: the answer is %s; a node would say \"server misbehaving\"", name,
	    stub_rcode(a->rcode));
	stub_answer_deinit(a);
	return false;
}

static void join(const struct words *w, struct str *out)
{
	for (size_t i = 0; i < w->n; i++)
		str_addf(out, "%s%s", out->len ? ", " : "", w->v[i]);
}

/* The name must have exactly these addresses, each family by its own query. */
static void forward(struct walk *w, const char *name, const struct conf_list *want)
{
	_cleanup_(str_deinit) struct str got = STR_INIT, expected = STR_INIT;
	_cleanup_(stub_answer_deinit) struct stub_answer a4 = { 0 }, a6 = { 0 };
	bool well = true;
	size_t n = 0;

	for (size_t i = 0; i < want->n; i++) {
		const struct net_ip *ip = &conf_list_items(want, struct net_ip)[i];
		bool v4 = ip->family == 4;
		struct stub_answer *a = v4 ? &a4 : &a6;

		str_addf(&expected, "%s%s", i ? ", " : "", net_ip_str(ip));
		if (!a->records.n && !ask(w, name, v4 ? STUB_A : STUB_AAAA, a))
			return;
		well = well && words_has(&a->records, net_ip_str(ip));
		n = a4.records.n + a6.records.n;
	}
	if (well && n == want->n)
		return;
	join(&a4.records, &got);
	join(&a6.records, &got);
	badf(w, own_record, "%s %s%s, not to %s", name,
	    got.len ? "points to " : "does not exist: it points nowhere", str_get(&got),
	    str_get(&expected));
}

/* Exactly one PTR of that name: kubelets take their name from it. */
static void reverse(
    struct walk *w, const struct net_ip *ip, const char *name, bool alone)
{
	_cleanup_(stub_answer_deinit) struct stub_answer a = { 0 };
	_cleanup_(str_deinit) struct str got = STR_INIT;
	char arpa[STUB_REVERSE_MAX];

	if (!ask(w, stub_reverse(ip, arpa), STUB_PTR, &a))
		return;
	join(&a.records, &got);
	if (!a.records.n)
		badf(w, own_record,
		    "%s has no PTR record; a node at this address would be called "
		    "localhost",
		    net_ip_str(ip));
	else if (!words_has(&a.records, name))
		badf(w, own_record, "the PTR record of %s says %s, not %s",
		    net_ip_str(ip), str_get(&got), name);
	else if (alone && a.records.n > 1)
		badf(w, own_record,
		    "%s has several PTR records (%s); a node takes any of them as its "
		    "name",
		    net_ip_str(ip), str_get(&got));
}

static void named(struct walk *w, const char *label, const struct conf_list *want)
{
	char name[300];

	snprintf(name, sizeof(name), "%s.%s", label, w->k->cluster->domain);
	forward(w, name, want);
}

/* "10 100 2380 etcd-0.okd.example.com": the target must be a name with an address. */
static void etcd_target(struct walk *w, const char *record)
{
	_cleanup_(stub_answer_deinit) struct stub_answer a = { 0 };
	const char *target = strrchr(record, ' ');

	if (target && ask(w, target + 1, STUB_A, &a) && !a.records.n)
		badf(w, own_record,
		    "an SRV record of _etcd-server-ssl._tcp names %s, which has no "
		    "address",
		    target + 1);
}

static void etcd(struct walk *w, size_t masters)
{
	_cleanup_(stub_answer_deinit) struct stub_answer a = { 0 };
	char name[300];

	snprintf(name, sizeof(name), "_etcd-server-ssl._tcp.%s", w->k->cluster->domain);
	if (!ask(w, name, STUB_SRV, &a))
		return;
	if (a.records.n != masters)
		badf(w, own_record, "%s has %zu SRV records for %zu masters", name,
		    a.records.n, masters);
	for (size_t i = 0; i < a.records.n; i++)
		etcd_target(w, a.records.v[i]);
}

static void walk_names(struct walk *w)
{
	const struct cluster *c = w->k->cluster;
	const struct conf_list *here = &c->bastion.addresses;
	const struct cluster_node *n;
	size_t masters = 0;

	named(w, "api", here);
	named(w, "api-int", here);
	named(w, "registry", here);
	named(w, c->bastion.name, here);
	named(w, "apps", &c->ingress);
	named(w, "console-openshift-console.apps", &c->ingress);
	for (size_t i = 0; i < here->n; i++)
		reverse(w, &conf_list_items(here, struct net_ip)[i], c->bastion.fqdn,
		    false);
	for (size_t i = 0; (n = cluster_node_at(c, i)); i++) {
		const struct conf_list *l = &n->addresses;

		forward(w, n->fqdn, l);
		for (size_t a = 0; a < l->n; a++)
			reverse(
			    w, &conf_list_items(l, struct net_ip)[a], n->fqdn, true);
		masters += n->role == NODE_MASTER;
	}
	if (masters)
		etcd(w, masters);
}

/* The cluster's own DNS comes over TCP with what does not fit into a datagram. */
static void over_tcp(struct walk *w)
{
	_cleanup_(stub_answer_deinit) struct stub_answer a = { 0 };
	char name[300];
	int r;

	if (w->dead)
		return;
	snprintf(name, sizeof(name), "api.%s", w->k->cluster->domain);
	r = stub_ask_tcp(&w->server, name, STUB_A, ASK_MS, &a);
	w->asked++;
	if (r < 0)
		badf(w, "okdctl logs dnsd; is TCP port 53 open in the firewall?",
		    "okd-dnsd answers over UDP, but not over TCP on %s: %s",
		    net_endpoint_str(&w->server), strerror(-r));
}

/* Records that a person keeps in etcd: answers are of the last good list. */
static void in_etcd(struct check *k)
{
	const json_t *v = status_own(&k->status, DNSD, "etcd");
	_cleanup_(str_deinit) struct str age = STR_INIT;
	double s = json_number_value(json_object_get(v, "age_seconds"));

	if (number_of(v, "bad_values"))
		check_add(k, CHECK_WARN,
		    "journalctl -u okd-dnsd -p warning names each; etcdctl put KEY "
		    "'{\"host\":\"192.168.120.103\",\"ttl\":60}'",
		    "%lld keys in etcd are no records, and are left out",
		    (long long)number_of(v, "bad_values"));
	if (!*text_of(v, "error"))
		return;
	if (s >= 0)
		term_add_seconds(&age, (int64_t)s);
	check_add(k, CHECK_WARN,
	    "systemctl status etcd; journalctl -u okd-dnsd -p warning",
	    "okd-dnsd does not follow etcd at %s: %s; %s%s", text_of(v, "endpoint"),
	    text_of(v, "error"),
	    s < 0 ? "its records are not served"
		  : "its records are served as they were, before ",
	    str_get(&age));
}

/* Without a release mirrored in full, nodes pull from outside. */
static void outside(struct walk *w)
{
	_cleanup_(stub_answer_deinit) struct stub_answer a = { 0 };
	_cleanup_(str_deinit) struct str list = STR_INIT;
	const struct cluster *c = w->k->cluster;
	int r;

	if (w->dead || !c->upstream_dns.n)
		return;
	for (size_t i = 0; i < c->upstream_dns.n; i++)
		str_addf(&list, "%s%s", i ? ", " : "",
		    conf_list_items(&c->upstream_dns, char *)[i]);
	r = stub_ask(&w->server, "quay.io", STUB_A, ASK_MS, &a);
	if (r == 0 && a.rcode == 0 && a.records.n)
		check_add(w->k, CHECK_OK, NULL, "names outside the cluster resolve");
	else
		check_add(w->k, CHECK_WARN,
		    "correct upstream_dns in cluster.yaml; a cluster that pulls from "
		    "its "
		    "own registry alone can do without",
		    "quay.io does not resolve through %s (%s); a node would say "
		    "\"lookup "
		    "quay.io on %s:53: server misbehaving\"",
		    str_get(&list), r < 0 ? strerror(-r) : stub_rcode(a.rcode),
		    net_ip_str(conf_list_items(&c->bastion.addresses, struct net_ip)));
}

/* --- the host's own resolver -------------------------------------------- */

static void system_name(struct check *k, const char *label)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	_cleanup_(str_deinit) struct str got = STR_INIT;
	char name[300];
	bool here = false;
	int r;

	snprintf(name, sizeof(name), "%s.%s", label, k->cluster->domain);
	r = getaddrinfo(name, NULL, &hints, &all);
	for (struct addrinfo *i = all; r == 0 && i; i = i->ai_next) {
		struct net_ip ip = net_ip_from_sa(i->ai_addr, NULL);

		here = here || cluster_is_bastion(k->cluster, &ip);
		str_addf(&got, "%s%s", got.len ? ", " : "", net_ip_str(&ip));
	}
	if (all)
		freeaddrinfo(all);
	if (here)
		check_add(
		    k, CHECK_OK, NULL, "this host's resolver finds %s here", name);
	else if (r)
		check_add(k, CHECK_FAIL,
		    "okdctl init --apply, or nameserver in "
		    "/etc/resolv.conf",
		    "this host's resolver does not know %s (%s): oc and "
		    "openshift-install will not find the cluster",
		    name, gai_strerror(r));
	else
		check_add(k, CHECK_FAIL, "look for it in /etc/hosts",
		    "this host's resolver says that %s is %s, which is not this host",
		    name, str_get(&got));
}

static void check_server(struct check *k)
{
	struct net_endpoint servers[MAX_LISTEN];
	size_t n = check_listen(k, DNSD, servers, MAX_LISTEN);
	struct walk w = { .k = k };

	for (size_t i = 0; i < n; i++) {
		/* The address that the nodes use, before loopback. */
		if (i == 0 ||
		    (net_ip_is_loopback(&w.server.ip) &&
			cluster_is_bastion(k->cluster, &servers[i].ip)))
			w.server = servers[i];
	}
	if (n == 0)
		return;
	walk_names(&w);
	over_tcp(&w);
	if (w.bad > MAX_TOLD)
		check_add(k, CHECK_FAIL, own_record, "and %u more", w.bad - MAX_TOLD);
	else if (!w.bad)
		check_add(k, CHECK_OK, NULL,
		    "okd-dnsd answers for every name, forward and reverse (%u "
		    "questions "
		    "to %s)",
		    w.asked, net_endpoint_str(&w.server));
	outside(&w);
	in_etcd(k);
}

void check_dns(struct check *k)
{
	if (!k->cluster)
		return;
	if (!check_runs(k, DNSD)) {
		check_add(k, CHECK_NOT_YET, "systemctl enable --now okd-dnsd",
		    "names cannot be asked for: okd-dnsd does not run");
		return;
	}
	check_server(k);
	setenv("RES_OPTIONS", "timeout:2 attempts:1", 1);
	system_name(k, "api");
	system_name(k, "api-int");
}
