/* Checks of the balancer: who answers behind it, what lbd.yaml keeps the nodes from, and the
 * certificates that its health checks were shown. */
#include <stdio.h>

#include "common/cluster.h"
#include "common/conf.h"
#include "common/conf_doc.h"
#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/out.h"
#include "okdctl/term.h"

#define API "openshift-api-server"
#define MCS "machine-config-server"
#define ENDS_SOON_S (2 * 3600) /* what renews itself does so long before */
#define SILENCE_MIN_MS (10 * 60 * 1000)

/* --- servers ------------------------------------------------------------ */

static bool is_up(const json_t *server)
{
	return str_starts(text_of(server, "status"), "UP");
}

static void add_server(struct str *to, const json_t *server)
{
	const char *why = text_of(json_object_get(server, "check"), "info");

	str_addf(to, "%s%s", to->len ? ", " : "", text_of(server, "name"));
	if (!is_up(server) && *why)
		str_addf(to, " (%s)", why);
}

static void check_backend(struct check *k, const json_t *b)
{
	const json_t *servers = json_object_get(b, "servers");
	_cleanup_(str_deinit) struct str up = STR_INIT, down = STR_INIT;

	for (size_t i = 0; i < json_array_size(servers); i++) {
		const json_t *s = json_array_get(servers, i);

		add_server(is_up(s) ? &up : &down, s);
	}
	if (up.len)
		check_add(k, CHECK_OK, NULL, "%s is served by %s%s%s",
		    text_of(b, "name"), up.s, down.len ? "; not by " : "",
		    str_get(&down));
	else
		check_add(k, CHECK_NOT_YET,
		    "boot the nodes (okdctl kargs NODE); if they run: are their "
		    "services up, is a firewall between?",
		    "%s has no server that answers: %s", text_of(b, "name"),
		    down.len ? down.s : "it has none at all");
}

/* A bootstrap that answers beside a master hands out what nobody shall have any more. */
static void check_bootstrap(struct check *k)
{
	const struct cluster_node *bootstrap = NULL, *n;
	const json_t *install = status_own(&k->status, LBD, "install");
	bool master = false;

	for (size_t i = 0; k->cluster && (n = cluster_node_at(k->cluster, i)); i++) {
		if (n->role == NODE_BOOTSTRAP)
			bootstrap = n;
		else if (n->role == NODE_MASTER)
			master =
			    master || is_up(status_server(&k->status, API, n->name));
	}
	if (json_is_true(json_object_get(install, "bootstrap_returned")))
		check_add(k, CHECK_WARN,
		    "switch it off, take it out of cluster.yaml (okdctl node remove), "
		    "okdctl reload",
		    "the bootstrap answers again after it had gone; the balancer "
		    "leaves it out");
	if (!bootstrap || !master ||
	    !is_up(status_server(&k->status, API, bootstrap->name)))
		return;
	check_add(k, CHECK_WARN,
	    "once \"openshift-install wait-for bootstrap-complete\" is content: switch "
	    "it off, take it out of cluster.yaml, okdctl reload",
	    "the bootstrap %s still answers beside a master", bootstrap->name);
}

/* Without 22623, installs stand still at a node's first start, and nothing says why. */
static void check_missing(
    struct check *k, const json_t *list, const char *backend, unsigned port)
{
	if (!status_find(list, backend))
		check_add(k, CHECK_WARN,
		    "give lbd.yaml a frontend and a backend of that name, or remove "
		    "its lists: then they follow from cluster.yaml",
		    "the balancer has no backend %s (port %u): nodes would ask for "
		    "ever",
		    backend, port);
}

static bool any_up(const json_t *backend)
{
	const json_t *servers = json_object_get(backend, "servers");

	for (size_t i = 0; i < json_array_size(servers); i++)
		if (is_up(json_array_get(servers, i)))
			return true;
	return false;
}

/* --- what the health checks were shown ---------------------------------- */

static void check_shown(struct check *k, const json_t *s, const char *backend)
{
	int64_t left = number_of(s, "certificate_not_after") - k->status.now;
	_cleanup_(str_deinit) struct str time = STR_INIT;

	if (!json_is_integer(json_object_get(s, "certificate_not_after")))
		return;
	term_add_seconds(&time, left < 0 ? -left : left);
	if (json_is_true(json_object_get(s, "certificate_misnamed")))
		check_add(k, CHECK_FAIL,
		    "metadata.name and baseDomain of install-config.yaml must be name "
		    "and base_domain of cluster.yaml: correct it, create "
		    "ignition-configs again, okdctl publish DIR, boot the nodes anew",
		    "%s of %s shows a certificate that is not for api-int.%s: nodes "
		    "would say \"x509: certificate is valid for ..., not api-int.%s\"",
		    text_of(s, "name"), backend, k->cluster->domain,
		    k->cluster->domain);
	if (left < 0)
		check_add(k, CHECK_FAIL,
		    "okdctl csr ls (approve what waits); a bootstrap older than a day "
		    "is made anew: create ignition-configs, okdctl publish DIR",
		    "the certificate of %s of %s expired %s ago: nodes would say "
		    "\"x509: certificate has expired or is not yet valid\"",
		    text_of(s, "name"), backend, str_get(&time));
	else if (left < ENDS_SOON_S)
		check_add(k, CHECK_WARN,
		    "a cluster renews it by itself; does it not: okdctl csr ls",
		    "the certificate of %s of %s ends in %s", text_of(s, "name"),
		    backend, str_get(&time));
}

static void check_certificates(struct check *k, const json_t *list)
{
	for (size_t i = 0; k->cluster && i < json_array_size(list); i++) {
		const json_t *b = json_array_get(list, i);
		const json_t *servers = json_object_get(b, "servers");

		for (size_t s = 0; s < json_array_size(servers); s++)
			if (is_up(json_array_get(servers, s)))
				check_shown(
				    k, json_array_get(servers, s), text_of(b, "name"));
	}
}

/* --- who came for a machine config -------------------------------------- */

static void check_asking(struct check *k)
{
	const json_t *install = status_own(&k->status, LBD, "install");
	const json_t *nodes = json_object_get(install, "nodes");
	bool open = json_is_true(json_object_get(install, "mcs_open"));

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i);
		const char *name = text_of(n, "name");

		if (!open && number_of(n, "refused") > number_of(n, "fetched_last"))
			check_add(k, CHECK_WARN, "okdctl lb open --for 2h",
			    "%s came for its machine config, but port 22623 is closed "
			    "since the install is complete",
			    name);
		else if (number_of(n, "mcs_attempts") && !number_of(n, "fetched_last"))
			check_add(k, CHECK_NOT_YET,
			    "a worker waits until a master serves machine configs, as "
			    "the bootstrap has none for workers; a master: journalctl "
			    "-u okd-lbd OKD_BACKEND=" MCS,
			    "%s asks for its machine config and has got none so far",
			    name);
	}
}

/* --- what lbd.yaml says otherwise --------------------------------------- */

static const struct conf_node *find(const struct conf_node *list, const char *name)
{
	for (size_t i = 0; i < conf_list_len(list); i++) {
		const struct conf_node *v = conf_list_at(list, i);
		const char *is = conf_scalar(conf_get(v, "name"));

		if (is && str_eq(is, name))
			return v;
	}
	return NULL;
}

static bool says(const struct conf_node *v, const char *key, const char *what)
{
	const char *is = conf_scalar(conf_get(v, key));

	return is && str_eq(is, what);
}

/* The bootstrap answers 500 to every worker. */
static void check_equals(struct check *k, const struct conf_node *backend)
{
	const struct conf_node *servers = conf_get(backend, "servers");
	const struct conf_node *b = NULL;

	for (size_t i = 0; k->cluster && i < cluster_n_nodes(k->cluster); i++) {
		const struct cluster_node *n = cluster_node_at(k->cluster, i);

		b = b || n->role != NODE_BOOTSTRAP ? b : find(servers, n->name);
	}
	if (!b || conf_list_len(servers) < 2 || says(b, "backup", "true") ||
	    says(b, "serve", "masters"))
		return;
	check_add(k, CHECK_WARN,
	    "backup: true at that server in lbd.yaml, or remove its lists: then it "
	    "follows from cluster.yaml; okdctl reload lbd",
	    "the bootstrap is a master's equal in " MCS
	    ": workers that are sent to it get status 500 for ever");
}

static void check_port(struct check *k, const struct conf_node *root)
{
	const struct conf_node *list = conf_get(root, "frontends");

	for (size_t i = 0; i < conf_list_len(list); i++) {
		const struct conf_node *f = conf_list_at(list, i);

		if (!says(f, "backend", MCS) || says(f, "admit", "nodes") ||
		    says(f, "admit", "install") || conf_list_len(conf_get(f, "allow")))
			continue;
		check_add(k, CHECK_WARN,
		    "admit: install at that frontend in lbd.yaml; okdctl reload lbd",
		    "port 22623 is open to everybody, and machine configs hold what it "
		    "takes to join the cluster");
	}
}

/* Milliseconds; 0: for ever. */
static uint64_t silence(const struct conf_node *n)
{
	uint64_t ms = 0;

	return n && conf_duration.parse(&conf_duration, NULL, n, &ms, NULL) == 0 ? ms
										 : 0;
}

static void check_timeouts(struct check *k, const struct conf_node *root)
{
	static const char *const keys[] = { "client", "server" };
	const struct conf_node *t = conf_get(root, "timeouts");
	bool has_tunnel = silence(conf_get(t, "tunnel"));

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct conf_node *n =
		    conf_get(t, has_tunnel ? "tunnel" : keys[i]);

		if (!silence(n) || silence(n) >= SILENCE_MIN_MS)
			continue;
		check_add(k, CHECK_WARN,
		    "remove timeouts.client, server and tunnel from lbd.yaml: peers "
		    "that are gone are found by keepalive; okdctl reload lbd",
		    "connections that are silent for %s are cut: \"oc logs -f\" and "
		    "\"oc exec\" would end without a word",
		    conf_scalar(n));
		return;
	}
}

static void check_settings(struct check *k)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *root, *backends;

	if (check_config(k, LBD, &doc) < 0)
		return;
	root = conf_doc_root(doc);
	backends = conf_get(root, "backends");
	check_equals(k, find(backends, MCS));
	if (says(conf_get(find(backends, API), "check"), "type", "tcp"))
		check_add(k, CHECK_WARN,
		    "check: {type: https, path: /readyz} at that backend in lbd.yaml, "
		    "or remove its lists: then it follows from cluster.yaml",
		    API " is checked by connecting alone: a server that is going down "
			"gets connections until it has gone, and oc says \"connection "
			"refused\"");
	check_port(k, root);
	check_timeouts(k, root);
}

void check_lb(struct check *k)
{
	const json_t *list = json_path(k->status.of[LBD], "lbd", "backends", NULL);

	if (!check_runs(k, LBD)) {
		check_add(k, CHECK_NOT_YET, "systemctl enable --now okd-lbd",
		    "the balancer does not run");
		return;
	}
	for (size_t i = 0; i < json_array_size(list); i++)
		check_backend(k, json_array_get(list, i));
	check_missing(k, list, API, 6443);
	check_missing(k, list, MCS, 22623);
	check_bootstrap(k);
	check_settings(k);
	check_certificates(k, list);
	check_asking(k);
	if (any_up(status_find(list, API)))
		check_api(k);
	check_mcs(k, status_find(list, MCS));
}
