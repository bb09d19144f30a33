/* Checks of the certificate requests and of the nodes that asked: who waits for a person, and
 * what keeps okd-csrd from its work. */
#include <stdio.h>

#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/out.h"

/* --- requests ----------------------------------------------------------- */

/* What a person makes of a reason; %s is the request. */
static const struct {
	const char *reason, *remedy;
} remedies[] = {
	{ "unknown-node",
	    "no node of cluster.yaml is called that: give the machine the name that "
	    "DNS "
	    "and cluster.yaml have (okdctl kargs NODE), or correct cluster.yaml and "
	    "okdctl reload" },
	{ "name-mismatch",
	    "no node of cluster.yaml is called that: give the machine the name that "
	    "DNS "
	    "and cluster.yaml have (okdctl kargs NODE), or correct cluster.yaml and "
	    "okdctl reload" },
	{ "no-ticket",
	    "the node did not fetch its .ign file from okd-ignd lately: okdctl ign "
	    "nodes; "
	    "okdctl csr approve %s if it is yours" },
	{ "addresses",
	    "the node has an address that cluster.yaml does not give it: correct "
	    "either, "
	    "okdctl reload; okdctl csr show %s" },
	{ "foreign-address",
	    "the node has an address that cluster.yaml does not give it: correct "
	    "either, "
	    "okdctl reload; okdctl csr show %s" },
	{ "node-exists",
	    "the cluster has a node of that name: if it was installed again, or was "
	    "off "
	    "for longer than its certificate held, okdctl csr approve %s" },
	{ "second-key",
	    "the name's certificate went to another key lately: if the node was "
	    "installed again, okdctl csr approve %s" },
	{ "node-absent",
	    "the node has not joined yet, and asks again; okdctl csr show %s" },
	{ "nodes-unknown",
	    "okd-csrd does not see the cluster's nodes: journalctl -u okd-csrd -n 50; "
	    "okdctl csr show %s" },
};

/* Names may hold anything, and people paste remedies into a shell. */
static const char *safe_name(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";

	return *name && *name != '-' && !name[strspn(name, plain)] ? name : "NAME";
}

static void add_remedy(const char *reason, const char *name, struct str *out)
{
	const char *at = "okdctl csr show %s; okdctl csr approve %s if it is yours";

	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (str_eq(remedies[i].reason, reason))
			at = remedies[i].remedy;
	for (const char *hole; (hole = strstr(at, "%s")); at = hole + 2) {
		str_add(out, at, (size_t)(hole - at));
		str_addz(out, safe_name(name));
	}
	str_addz(out, at);
}

static void check_requests(struct check *k, const json_t *list)
{
	size_t pending = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		_cleanup_(str_deinit) struct str remedy = STR_INIT;

		if (!str_eq(text_of(v, "state"), "pending"))
			continue;
		add_remedy(text_of(v, "reason"), text_of(v, "name"), &remedy);
		if (++pending <= 5)
			check_add(k, CHECK_WARN, str_get(&remedy),
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

/* --- the nodes ---------------------------------------------------------- */

static void check_nodes(struct check *k)
{
	const json_t *list = status_own(&k->status, CSRD, "nodes");
	const json_t *mode = status_own(&k->status, CSRD, "mode");

	if (json_is_string(mode) && str_eq(json_string_value(mode), "dry-run"))
		check_add(k, CHECK_WARN, "mode: auto in csrd.yaml; okdctl reload csrd",
		    "okd-csrd approves nothing: its mode is dry-run");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i);
		char remedy[300];

		if (!str_eq(text_of(n, "stage"), "joined"))
			continue;
		snprintf(remedy, sizeof(remedy),
		    "a new node takes some minutes; else: oc describe node %.120s; "
		    "okdctl csr ls",
		    text_of(n, "name"));
		check_add(k, CHECK_NOT_YET, remedy,
		    "%s has joined the cluster, but is not Ready", text_of(n, "name"));
	}
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
	check_nodes(k);
	admin_call_all(k->cli, &call, 1, ADMIN_TIMEOUT_MS);
	if (call.result == 200 &&
	    json_load_limited(
		&v, NULL, str_get(&call.reply), call.reply.len, 0, NULL) == 0)
		check_requests(k, json_object_get(v, "requests"));
	admin_call_deinit(&call);
}
