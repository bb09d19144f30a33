/* Checks while an install runs: backends, .ign files and images, certificate requests. */
#include <stdio.h>

#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/out.h"
#include "okdctl/term.h"

static bool is_up(const json_t *server)
{
	return str_starts(text_of(server, "status"), "UP");
}

/* --- lb ----------------------------------------------------------------- */

static void check_backend(struct check *k, const json_t *b)
{
	const json_t *servers = json_object_get(b, "servers");
	_cleanup_(str_deinit) struct str up = STR_INIT, down = STR_INIT;

	for (size_t i = 0; i < json_array_size(servers); i++) {
		const json_t *s = json_array_get(servers, i);
		struct str *to = is_up(s) ? &up : &down;

		str_addf(to, "%s%s", to->len ? ", " : "", text_of(s, "name"));
	}
	if (up.len)
		check_add(k, CHECK_OK, NULL, "%s is served by %s%s%s",
		    text_of(b, "name"), up.s, down.len ? "; not by " : "",
		    str_get(&down));
	else
		check_add(k, CHECK_NOT_YET,
		    "boot the nodes (okdctl kargs NODE); if they run: are their "
		    "services "
		    "up, is a firewall between?",
		    "%s has no server that answers (%s)", text_of(b, "name"),
		    str_get(&down));
}

/* A bootstrap that answers beside a master hands out what nobody shall have any more. */
static void check_bootstrap(struct check *k)
{
	const struct cluster_node *bootstrap = NULL, *n;
	bool master = false;

	for (size_t i = 0; k->cluster && (n = cluster_node_at(k->cluster, i)); i++) {
		if (n->role == NODE_BOOTSTRAP)
			bootstrap = n;
		else if (n->role == NODE_MASTER)
			master = master ||
			    is_up(status_server(
				&k->status, "openshift-api-server", n->name));
	}
	if (!bootstrap || !master ||
	    !is_up(status_server(&k->status, "openshift-api-server", bootstrap->name)))
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
		    "its "
		    "lists: then they follow from cluster.yaml",
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
	check_missing(k, list, "openshift-api-server", 6443);
	check_missing(k, list, "machine-config-server", 22623);
	check_bootstrap(k);
	if (any_up(status_find(list, "openshift-api-server")))
		check_api(k);
}

/* --- files -------------------------------------------------------------- */

static void check_clock_of(struct check *k, const json_t *config)
{
	const json_t *certs = json_object_get(config, "certificates");
	const char *state = text_of(certs, "state");
	const char *again =
	    "openshift-install create ignition-configs in a new folder, "
	    "okdctl publish DIR, and boot the nodes within the day";

	if (str_eq(state, "expired"))
		check_add(k, CHECK_FAIL, again,
		    "the certificates in %s have expired: %s", text_of(config, "name"),
		    text_of(certs, "text"));
	else if (str_eq(state, "not yet valid"))
		check_add(k, CHECK_FAIL,
		    "set the clock of this host and of the nodes: chronyc makestep",
		    "the certificates in %s are not valid yet: %s",
		    text_of(config, "name"), text_of(certs, "text"));
	else if (certs && !json_is_null(certs) && !str_eq(state, "good") &&
	    !str_eq(state, "ok"))
		check_add(k, CHECK_WARN, again, "%s: %s", text_of(config, "name"),
		    text_of(certs, "text"));
}

static void check_config(struct check *k, const json_t *v)
{
	const char *state = text_of(v, "state"), *name = text_of(v, "name");

	if (str_eq(state, "missing"))
		check_add(k, CHECK_NOT_YET,
		    "openshift-install create ignition-configs, then okdctl publish "
		    "DIR",
		    "%s is not published", name);
	else if (str_eq(state, "bad"))
		check_add(k, CHECK_FAIL, "make it again and okdctl publish DIR",
		    "%s would be refused by the node: %s", name, text_of(v, "error"));
	else
		check_add(k, CHECK_OK, NULL, "%s is published (Ignition %s)", name,
		    text_of(v, "version"));
	if (*text_of(v, "warnings"))
		check_add(k, CHECK_WARN, NULL, "%s: %s", name, text_of(v, "warnings"));
	check_clock_of(k, v);
}

static void check_image(struct check *k, const json_t *v)
{
	const char *name = text_of(v, "name");

	if (str_eq(text_of(v, "state"), "bad"))
		check_add(k, CHECK_FAIL, "okdctl image add FILE, from a fresh download",
		    "%s is damaged: %s", name, text_of(v, "why"));
	else if (json_is_false(json_object_get(v, "signature")))
		check_add(k, CHECK_FAIL,
		    "okdctl image add FILE with FILE.sig beside it, from the same page",
		    "%s has no %s.sig: coreos-installer would refuse it", name, name);
	else
		check_add(
		    k, CHECK_OK, NULL, "%s is published with its signature", name);
}

static void check_stages(struct check *k)
{
	const json_t *nodes = json_path(k->status.of[IGND], "ignd", "nodes", NULL);

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i);

		if (str_eq(text_of(n, "stage"), "Failed"))
			check_add(k, CHECK_FAIL,
			    "okdctl logs --node NAME; then boot it again",
			    "the installation of %s failed: %s", text_of(n, "name"),
			    text_of(n, "why"));
	}
}

void check_files(struct check *k)
{
	const json_t *own = json_object_get(k->status.of[IGND], "ignd");
	const json_t *configs = json_object_get(own, "configs");
	const json_t *images = json_object_get(own, "images");

	if (!check_runs(k, IGND)) {
		check_add(k, CHECK_NOT_YET, "systemctl enable --now okd-ignd",
		    "images and .ign files are not served: okd-ignd does not run");
		return;
	}
	for (size_t i = 0; i < json_array_size(configs); i++)
		check_config(k, json_array_get(configs, i));
	for (size_t i = 0; i < json_array_size(images); i++)
		check_image(k, json_array_get(images, i));
	if (!json_array_size(images))
		check_add(k, CHECK_NOT_YET, "okdctl image add FILE|URL",
		    "no CoreOS image is published");
	check_stages(k);
}

/* --- certificate requests ----------------------------------------------- */

/* What a person makes of a reason. */
static const char *request_remedy(const char *reason)
{
	if (str_eq(reason, "unknown-node") || str_eq(reason, "name-mismatch"))
		return "no node of cluster.yaml is called that: give the machine the "
		       "name "
		       "that DNS and cluster.yaml have (okdctl kargs NODE), or correct "
		       "cluster.yaml and okdctl reload";
	if (str_eq(reason, "no-ticket"))
		return "the node did not fetch its .ign file from okd-ignd lately: "
		       "okdctl "
		       "ign nodes; okdctl csr approve NAME if it is yours";
	if (str_eq(reason, "addresses") || str_eq(reason, "foreign-address"))
		return "the node has an address that cluster.yaml does not give it: "
		       "correct either, okdctl reload; okdctl csr show NAME";
	return "okdctl csr show NAME; okdctl csr approve NAME if it is yours";
}

static void check_requests(struct check *k, const json_t *list)
{
	size_t pending = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		if (!str_eq(text_of(v, "state"), "pending"))
			continue;
		if (++pending <= 5)
			check_add(k, CHECK_WARN, request_remedy(text_of(v, "reason")),
			    "certificate request %s of %s waits for a person: %s",
			    text_of(v, "name"),
			    json_str(v, "node") ? json_str(v, "node")
						: "an unknown node",
			    text_of(v, "reason"));
	}
	if (pending > 5)
		check_add(
		    k, CHECK_WARN, "okdctl csr ls", "and %zu more wait", pending - 5);
	if (!pending)
		check_add(
		    k, CHECK_OK, NULL, "no certificate request waits for a person");
}

/* What keeps okd-csrd from its work, and the rights its kubeconfig lacks. */
static void check_kubeconfig(struct check *k)
{
	const json_t *own = json_object_get(k->status.of[CSRD], "csrd");
	const json_t *api = json_object_get(own, "api");
	const json_t *missing = json_path(api, "rights", "missing", NULL);
	const char *trouble = text_of(api, "trouble");

	if (strstr(trouble, "no kubeconfig"))
		check_add(
		    k, CHECK_NOT_YET, "okdctl publish DIR", "okd-csrd: %s", trouble);
	else if (*trouble)
		check_add(k, CHECK_WARN, "journalctl -u okd-csrd -n 50",
		    "okd-csrd does not follow the API server: %s", trouble);
	for (size_t i = 0; i < json_array_size(missing); i++)
		check_add(k, CHECK_FAIL,
		    "give it the kubeconfig that openshift-install made: okdctl "
		    "publish DIR",
		    "the kubeconfig of okd-csrd may not %s",
		    json_string_value(json_array_get(missing, i)));
	if (*text_of(own, "audit_error"))
		check_add(k, CHECK_FAIL,
		    "is the disk full? journalctl -u okd-csrd -n 50",
		    "okd-csrd cannot write its audit: %s", text_of(own, "audit_error"));
}

void check_csr(struct check *k)
{
	struct admin_call call = { .to = CSRD, .target = "/v1/requests" };
	_cleanup_(json_freep) json_t *v = NULL;

	if (!check_runs(k, CSRD)) {
		check_add(k, CHECK_NOT_YET, "systemctl enable --now okd-csrd",
		    "certificate requests are not approved: okd-csrd does not run");
		return;
	}
	check_kubeconfig(k);
	admin_call_all(k->cli, &call, 1, ADMIN_TIMEOUT_MS);
	if (call.result == 200 &&
	    json_load_limited(
		&v, NULL, str_get(&call.reply), call.reply.len, 0, NULL) == 0)
		check_requests(k, json_object_get(v, "requests"));
	admin_call_deinit(&call);
}
