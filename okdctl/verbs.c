/* okdctl dns, lb, ign and csr: see verbs.h. */
#include "okdctl/verbs.h"

#include <errno.h>
#include <strings.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/admin_call.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/out.h"
#include "okdctl/stub.h"
#include "okdctl/target.h"
#include "okdctl/term.h"

/* --- dns ---------------------------------------------------------------- */

static int type_of(const char *s, enum stub_type *ret)
{
	static const struct {
		const char *name;
		enum stub_type type;
	} types[] = { { "A", STUB_A }, { "AAAA", STUB_AAAA }, { "PTR", STUB_PTR },
		{ "SRV", STUB_SRV } };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcasecmp(s, types[i].name) == 0) {
			*ret = types[i].type;
			return 0;
		}
	}
	return cli_fail(
	    EXIT_USAGE, "\"%s\" is not asked for; A, AAAA, PTR and SRV are", s);
}

/* Where okd-dnsd answers: as it says itself, else where it would. */
static int find_dnsd(struct cli *c, struct net_endpoint *ret)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	struct check k = { .cli = c };
	struct net_endpoint at[16];
	size_t n;

	if (cluster_load(&cluster, str_get(&c->cluster_path), NULL, NULL) == 0)
		k.cluster = cluster;
	status_fetch_one(c, &k.status, DNSD);
	n = check_listen(&k, DNSD, at, ARRAY_SIZE(at));
	status_deinit(&k.status);
	if (n == 0)
		return cli_fail(EXIT_UNREACHABLE,
		    "okd-dnsd does not run; start it with \"systemctl start "
		    "okd-dnsd\"");
	*ret = at[0];
	for (size_t i = 1; i < n && cluster && !cluster_is_bastion(cluster, &ret->ip);
	     i++)
		*ret = at[i];
	return 0;
}

static int print_records(const struct stub_answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->records.n; i++)
		json_array_append_new(list, json_string(a->records.v[i]));
	return out_json_take(list);
}

/* A name of one label is one of the cluster's, as it is for dns put. */
static const char *below_cluster(struct cli *c, const char *label, struct str *out)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;

	if (cluster_load(&cluster, str_get(&c->cluster_path), NULL, NULL) < 0)
		return label;
	str_addf(out, "%s.%s", label, cluster->domain);
	return str_get(out);
}

int dns_get_run(struct cli *c)
{
	_cleanup_(stub_answer_deinit) struct stub_answer a = { 0 };
	_cleanup_(str_deinit) struct str whole = STR_INIT;
	char arpa[STUB_REVERSE_MAX];
	const char *name = c->args[0];
	enum stub_type type = STUB_A;
	struct net_endpoint server;
	struct net_ip ip;
	int r = 0;

	if (net_ip_parse(name, &ip) == 0) {
		name = stub_reverse(&ip, arpa);
		type = STUB_PTR;
	} else if (!strchr(name, '.')) {
		name = below_cluster(c, name, &whole);
	}
	if (c->n_args > 1)
		r = type_of(c->args[1], &type);
	if (r == 0)
		r = find_dnsd(c, &server);
	if (r)
		return r;
	r = stub_ask(&server, name, type, ADMIN_TIMEOUT_MS, &a);
	if (r < 0)
		return cli_fail(r == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE,
		    r == -EINVAL ? "\"%s\" is no name" : "%s: no answer from %s: %s",
		    name, net_endpoint_str(&server), strerror(-r));
	if (c->json && a.records.n)
		return print_records(&a);
	for (size_t i = 0; i < a.records.n; i++)
		out_line("%s", a.records.v[i]);
	if (a.records.n)
		return 0;
	return a.rcode == 0 || a.rcode == 3
	    ? cli_fail(EXIT_FAILED, "%s: %s, no such record", name, stub_rcode(a.rcode))
	    : cli_fail(EXIT_FAILED, "%s: the answer is %s", name, stub_rcode(a.rcode));
}

/* --- lb ----------------------------------------------------------------- */

static void add_servers(struct table *t, const json_t *backend)
{
	const json_t *servers = json_object_get(backend, "servers");

	for (size_t i = 0; i < json_array_size(servers); i++) {
		const json_t *s = json_array_get(servers, i);

		table_add(t, text_of(backend, "name"));
		table_add(t, text_of(s, "name"));
		table_add(t, text_of(s, "address"));
		table_add(t, text_of(s, "status"));
		table_addf(t, "weight %lld", (long long)number_of(s, "weight"));
		table_addf(t, "%lld sessions", (long long)number_of(s, "sessions"));
		table_add(t, text_of(json_object_get(s, "check"), "info"));
	}
}

int lb_show_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *v = NULL;
	struct table t = { .columns = 7 };
	const json_t *list;
	int r = admin_request(c, LBD, "GET", "/status", NULL, &v);

	if (r)
		return r;
	list = json_path(v, "lbd", "backends", NULL);
	if (c->json)
		return out_json(list);
	for (size_t i = 0; i < json_array_size(list); i++)
		add_servers(&t, json_array_get(list, i));
	return out_table(&t);
}

static int set_server(struct cli *c, json_t *body)
{
	_cleanup_(json_freep) json_t *owned = body, *v = NULL;
	_cleanup_(str_deinit) struct str target = STR_INIT;
	int r;

	str_addz(&target, "/v1/servers");
	target_segment(&target, c->args[0]);
	target_segment(&target, c->args[1]);
	r = admin_request(c, LBD, "POST", str_get(&target), owned, &v);
	if (r || !c->json)
		return r;
	json_object_set_new(owned, "backend", json_string(c->args[0]));
	json_object_set_new(owned, "server", json_string(c->args[1]));
	return out_json(owned);
}

/* lb drain, lb ready, lb maint: the command's own last word is the state. */
int lb_state_run(struct cli *c)
{
	return set_server(
	    c, json_pack("{ss}", "state", c->command->name + strlen("lb ")));
}

int lb_weight_run(struct cli *c)
{
	uint64_t weight;

	if (str_to_u64(c->args[2], 256, &weight) < 0)
		return cli_fail(EXIT_USAGE,
		    "\"%s\" is no weight; write a number from 0 "
		    "to 256",
		    c->args[2]);
	return set_server(c, json_pack("{sI}", "weight", (json_int_t)weight));
}

/* What is answered is nothing: the end is told by this host's clock. */
int lb_open_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	const char *time = cli_has(c, "for") ? cli_get(c, "for") : "2h";
	int r;

	str_addz(&target, "/v1/mcs/open");
	target_add(&target, "for", time);
	r = admin_request(c, LBD, "POST", str_get(&target), NULL, &v);
	if (r || !c->json) {
		if (r == 0)
			out_line("port 22623 answers the nodes of cluster.yaml for %s",
			    time);
		return r;
	}
	return out_json_take(json_pack("{s:s}", "open_for", time));
}

/* --- ign ---------------------------------------------------------------- */

static int print_nodes(struct cli *c, const json_t *list)
{
	struct table t = { .columns = 5 };

	if (c->json)
		return out_json(list);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i);
		const json_t *w = json_object_get(n, "window");

		table_add(&t, text_of(n, "name"));
		table_add(&t, text_of(n, "address"));
		table_add(&t, *text_of(n, "stage") ? text_of(n, "stage") : "-");
		table_add(&t,
		    json_is_true(json_object_get(w, "open")) ? "may fetch" : "closed");
		table_add(&t, text_of(n, "why"));
	}
	return out_table(&t);
}

int ign_nodes_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *v = NULL;
	int r = admin_request(c, IGND, "GET", "/v1/nodes", NULL, &v);

	return r ? r : print_nodes(c, json_object_get(v, "nodes"));
}

/* ign open, ign close; without a node, all of them. */
int ign_window_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	int r;

	str_addf(&target, "/v1/%s", c->command->name + strlen("ign "));
	target_add(&target, "node", c->n_args ? c->args[0] : NULL);
	target_add(&target, "for", cli_get(c, "for"));
	if (cli_has(c, "once"))
		target_add(&target, "once", "true");
	r = admin_request(c, IGND, "POST", str_get(&target), NULL, &v);
	return r ? r : print_nodes(c, json_object_get(v, "nodes"));
}

/* --- csr ---------------------------------------------------------------- */

int csr_list_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *v = NULL;
	struct table t = { .columns = 5 };
	int64_t now = clock_real_s();
	const json_t *list;
	int r = admin_request(c, CSRD, "GET",
	    cli_has(c, "all") ? "/v1/requests?all=1" : "/v1/requests", NULL, &v);

	if (r)
		return r;
	list = json_object_get(v, "requests");
	if (c->json)
		return out_json(list);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *q = json_array_get(list, i);
		_cleanup_(str_deinit) struct str age = STR_INIT;

		term_add_seconds(&age, now - number_of(q, "created"));
		table_add(&t, text_of(q, "name"));
		table_add(&t, str_get(&age));
		table_add(&t, text_of(q, "state"));
		table_add(&t, text_of(q, "node"));
		table_add(&t, text_of(q, "reason"));
	}
	return out_table(&t);
}

static int on_request(
    struct cli *c, const char *method, const char *path, const char *name, json_t **ret)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;

	str_addz(&target, path);
	target_add(&target, "name", name);
	return admin_request(c, CSRD, method, str_get(&target), NULL, ret);
}

int csr_show_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *v = NULL;
	int r = on_request(c, "GET", "/v1/request", c->args[0], &v);

	return r ? r : out_json(v);
}

/* csr approve, csr deny: several names, and the first trouble is the exit status. */
int csr_order_run(struct cli *c)
{
	const char *path = str_ends(c->command->name, "deny") ? "/v1/request/deny"
							      : "/v1/request/approve";
	_cleanup_(json_freep) json_t *results = json_object();
	int status = 0;

	for (unsigned i = 0; i < c->n_args; i++) {
		_cleanup_(json_freep) json_t *v = NULL;
		int r = on_request(c, "POST", path, c->args[i], &v);

		if (r == 0 && c->json)
			json_object_set_new(
			    results, c->args[i], json_string(text_of(v, "result")));
		else if (r == 0)
			out_line("%s: %s", c->args[i], text_of(v, "result"));
		status = status ? status : r;
	}
	if (c->json && out_json(results))
		return EXIT_FAILED;
	return status;
}
