/* okdctl wait, logs, tune and reset: see install.h. */
#include "okdctl/install.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/cli.h"
#include "okdctl/import.h"
#include "okdctl/out.h"
#include "okdctl/program.h"
#include "okdctl/status.h"
#include "okdctl/target.h"
#include "okdctl/words.h"

#define FOR_EVER_MS (7 * 24 * 3600 * 1000)

/* --- wait --------------------------------------------------------------- */

/* --timeout in milliseconds; an exit status after a sentence. */
static int get_timeout(struct cli *c, int *ms)
{
	const char *text = cli_get(c, "timeout");
	_cleanup_(str_deinit) struct str s = STR_INIT;
	uint64_t v;

	*ms = FOR_EVER_MS;
	if (!text)
		return 0;
	if (import_duration(text, 1000, &s) < 0 || !str_ends(str_get(&s), "s"))
		return cli_fail(
		    EXIT_USAGE, "\"%s\" is no time; write 90s, 30m or 2h", text);
	v = strtoull(str_get(&s), NULL, 10);
	if (!str_ends(str_get(&s), "ms"))
		v *= 1000;
	*ms = (int)MIN(v, (uint64_t)FOR_EVER_MS);
	return 0;
}

static int wait_lb(struct cli *c, const char *what, int ms)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(admin_call_deinit) struct admin_call call = { .to = LBD };

	str_addz(&target, "/wait");
	target_add(&target, "for", what);
	call.target = str_get(&target);
	admin_call_all(c, &call, 1, ms);
	if (call.result == -ETIMEDOUT)
		return cli_fail(EXIT_FAILED, "\"%s\" did not come true in time", what);
	return admin_call_explain(c, &call);
}

/* A node is there when the cluster says so: okd-csrd watches that. */
static int wait_node(struct cli *c, const char *name, int ms)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	const struct timespec second = { .tv_sec = 1 };
	uint64_t end = clock_boot_ms() + (uint64_t)ms;
	const struct cluster_node *n;
	int r = cli_cluster(c, &cluster);

	if (r)
		return r;
	n = cluster_node_by_name(cluster, name);
	if (!n)
		return cli_fail(
		    EXIT_FAILED, "%s has no node \"%s\"", cluster->path, name);
	if (n->role == NODE_BOOTSTRAP)
		return cli_fail(EXIT_USAGE,
		    "the bootstrap joins no cluster; write: okdctl wait handover");
	for (;;) {
		_cleanup_(json_freep) json_t *v = NULL;
		struct status s = { 0 };
		const char *stage;

		r = admin_request(c, CSRD, "GET", "/status", NULL, &v);
		if (r)
			return r;
		s.of[CSRD] = v;
		stage = json_str(status_node(&s, CSRD, n->fqdn), "stage");
		if (stage && str_eq(stage, "ready"))
			return 0;
		if (clock_boot_ms() >= end)
			return cli_fail(EXIT_FAILED, "%s is not ready (%s)", name,
			    stage ? stage : "okd-csrd does not know it");
		nanosleep(&second, NULL);
	}
}

static bool is_word(const char *const *words, const char *s)
{
	while (*words && !str_eq(*words, s))
		words++;
	return *words;
}

int wait_run(struct cli *c)
{
	static const char *const words[] = { "api", "mcs", "handover", "complete",
		NULL };
	const char *what = c->args[0], *name = c->n_args > 1 ? c->args[1] : NULL;
	int ms, r = get_timeout(c, &ms);

	if (r)
		return r;
	if (str_eq(what, "node"))
		r = name ? wait_node(c, name, ms)
			 : cli_fail(EXIT_USAGE, "write: okdctl wait node NAME");
	else if (!is_word(words, what))
		r = cli_fail(EXIT_USAGE,
		    "\"%s\" cannot be waited for; api, mcs, handover, complete and "
		    "node "
		    "NAME can",
		    what);
	else if (name)
		r = cli_fail(
		    EXIT_USAGE, "that is too much; write: okdctl wait %s", what);
	else
		r = wait_lb(c, what, ms);
	return r || !c->json
	    ? r
	    : out_json_take(json_pack("{s:s, s:s*}", "reached", what, "node", name));
}

/* --- logs --------------------------------------------------------------- */

static int add_unit(struct words *argv, const char *daemon)
{
	char unit[32];

	snprintf(unit, sizeof(unit), "okd-%s.service", daemon);
	return words_add(argv, "-u") < 0 ? -ENOMEM : words_add(argv, unit);
}

/* A node by both of its names: okd-csrd has it by the whole one, as the cluster does. */
static int add_node(const struct cli *c, const char *name, struct words *argv)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	const struct cluster_node *n = NULL;
	const char *names[] = { name, NULL };
	int r = 0;

	if (cluster_load(&cluster, str_get(&c->cluster_path), NULL, NULL) == 0)
		for (size_t i = 0; (n = cluster_node_at(cluster, i)); i++)
			if (str_eq(n->name, name) || str_eq(n->fqdn, name))
				break;
	if (n) {
		names[0] = n->name;
		names[1] = n->fqdn;
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names) && names[i]; i++) {
		_cleanup_(str_deinit) struct str match = STR_INIT;

		str_addf(&match, "OKD_NODE=%s", names[i]);
		r = str_err(&match) ? -ENOMEM : words_add(argv, str_get(&match));
	}
	return r;
}

static int logs_argv(
    struct cli *c, const enum bastion_daemon *which, unsigned n, struct words *argv)
{
	const char *node = cli_get(c, "node"), *lines = cli_get(c, "lines");
	int r = words_add(argv, "journalctl");

	for (unsigned i = 0; r == 0 && i < n; i++)
		r = add_unit(argv, daemon_names[which[i]]);
	if (r == 0 && cli_has(c, "follow"))
		r = words_add(argv, "-f");
	if (r == 0)
		r = words_add(argv, "-n");
	if (r == 0)
		r = words_add(argv, lines ? lines : "200");
	if (r == 0 && c->json)
		r = words_add(argv, "-ojson");
	if (r == 0 && cli_get(c, "since"))
		r = words_add(argv, "--since") < 0
		    ? -ENOMEM
		    : words_add(argv, cli_get(c, "since"));
	return r == 0 && node ? add_node(c, node, argv) : r;
}

int logs_run(struct cli *c)
{
	_cleanup_(words_deinit) struct words argv = { 0 };
	enum bastion_daemon which[N_DAEMONS];
	struct err e = ERR_INIT;
	char **v;
	unsigned n;
	int r = admin_choose(c, which, &n);

	if (r)
		return r;
	if (logs_argv(c, which, n, &argv) < 0)
		return cli_fail(EXIT_FAILED, "out of memory");
	v = reallocarray(argv.v, argv.n + 1, sizeof(*v));
	if (!v)
		return cli_fail(EXIT_FAILED, "out of memory");
	argv.v = v;
	v[argv.n] = NULL;
	fflush(stdout);
	program_become((const char *const *)v, &e);
	return cli_fail_err(EXIT_FAILED, &e);
}

/* --- tune --------------------------------------------------------------- */

#define QUORUM_GUARD                                                                \
	"{\"spec\":{\"overrides\":[{\"group\":\"apps/v1\",\"kind\":\"Deployment\"," \
	"\"name\":\"etcd-quorum-guard\","                                           \
	"\"namespace\":\"openshift-machine-config-operator\","                      \
	"\"unmanaged\":true}]}}"
#define UNSAFE_ETCD                                   \
	"{\"spec\":{\"unsupportedConfigOverrides\":{" \
	"\"useUnsupportedUnsafeNonHANonProductionUnstableEtcd\":true}}}"
#define SCHEDULABLE "{\"spec\":{\"mastersSchedulable\":true}}"

/* What a cluster smaller than its makers meant needs, one command each. */
static const struct {
	const char *topology;
	const char *argv[8];
} patches[] = {
	{ "single-master",
	    { "oc", "patch", "clusterversion/version", "--type=merge", "-p",
		QUORUM_GUARD } },
	{ "single-master",
	    { "oc", "scale", "--replicas=1", "deployment/etcd-quorum-guard", "-n",
		"openshift-machine-config-operator" } },
	{ "single-master",
	    { "oc", "patch", "etcd/cluster", "--type=merge", "-p", UNSAFE_ETCD } },
#define SCALE(what, namespace)                                               \
	{                                                                    \
		"single-worker",                                             \
		{                                                            \
			"oc", "scale", "--replicas=1", what, "-n", namespace \
		}                                                            \
	}
	SCALE("ingresscontroller/default", "openshift-ingress-operator"),
	SCALE("deployment.apps/console", "openshift-console"),
	SCALE("deployment.apps/downloads", "openshift-console"),
	SCALE("deployment.apps/oauth-openshift", "openshift-authentication"),
	SCALE("deployment.apps/packageserver", "openshift-operator-lifecycle-manager"),
	SCALE("deployment.apps/prometheus-adapter", "openshift-monitoring"),
	SCALE("deployment.apps/thanos-querier", "openshift-monitoring"),
	SCALE("statefulset.apps/prometheus-k8s", "openshift-monitoring"),
	SCALE("statefulset.apps/alertmanager-main", "openshift-monitoring"),
	{ "no-workers",
	    { "oc", "patch", "schedulers.config.openshift.io/cluster", "--type=merge",
		"-p", SCHEDULABLE } },
};

static void print_command(const char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		printf(strpbrk(argv[i], "{\" ") ? "%s'%s'" : "%s%s", i ? " " : "",
		    argv[i]);
	putchar('\n');
}

static json_t *argv_to_json(const char *const *argv)
{
	json_t *list = json_array();

	for (size_t i = 0; argv[i]; i++)
		json_array_append_new(list, json_string(argv[i]));
	return list;
}

static int run_patch(const char *const *argv)
{
	struct err e = ERR_INIT;

	fflush(stdout);
	return program_run(argv, &e) < 0 ? cli_fail_err(EXIT_FAILED, &e) : 0;
}

int tune_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str kubeconfig = STR_INIT;
	bool apply = cli_has(c, "apply");
	_cleanup_(json_freep) json_t *list = json_array();
	unsigned n = 0;
	int r = 0;

	cli_etc_path(c, "kubeconfig", &kubeconfig);
	if (apply && !getenv("KUBECONFIG"))
		setenv("KUBECONFIG", str_get(&kubeconfig), 1);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(patches); i++) {
		if (!str_eq(patches[i].topology, c->args[0]))
			continue;
		n++;
		if (c->json)
			json_array_append_new(list, argv_to_json(patches[i].argv));
		else
			print_command(patches[i].argv);
		if (apply)
			r = run_patch(patches[i].argv);
	}
	if (!n)
		return cli_fail(EXIT_USAGE,
		    "\"%s\" is not tuned; single-master, single-worker and no-workers "
		    "are",
		    c->args[0]);
	if (!c->json)
		return r;
	/* What was run before one of them failed was run all the same. */
	return out_json_take(json_pack("{s:s, s:b, s:O}", "topology", c->args[0],
		   "applied", apply && r == 0, "commands", list))
	    ? EXIT_FAILED
	    : r;
}

/* --- reset -------------------------------------------------------------- */

/* What was done is printed as it goes, or kept for --json. */
struct reset {
	struct cli *cli;
	json_t *done;
};

static int aside(struct reset *x)
{
	_cleanup_(str_deinit) struct str from = STR_INIT, to = STR_INIT;

	cli_etc_path(x->cli, "kubeconfig", &from);
	str_addf(&to, "%s.old", str_get(&from));
	if (rename(str_get(&from), str_get(&to)) == 0)
		json_object_set_new(x->done, "kubeconfig", json_string(str_get(&to)));
	else if (errno != ENOENT)
		return cli_fail(cli_status_of(-errno), "cannot move %s: %s",
		    str_get(&from), strerror(errno));
	return 0;
}

static int restart(struct reset *x, enum bastion_daemon d, const char *target)
{
	struct admin_call call = { .to = d, .method = "POST", .target = target };
	const char *what = "starts over";
	int r = 0;

	admin_call_all(x->cli, &call, 1, ADMIN_TIMEOUT_MS);
	if (admin_is_absent(&call))
		what = "does not run";
	else
		r = admin_call_explain(x->cli, &call);
	if (r == 0)
		json_object_set_new(x->done, daemon_names[d], json_string(what));
	if (r == 0 && !x->cli->json && admin_is_absent(&call))
		printf("okd-%s does not run\n", daemon_names[d]);
	admin_call_deinit(&call);
	return r;
}

static int reset_all(struct reset *x)
{
	int r = restart(x, LBD, "/v1/install/restart");

	if (r == 0)
		r = restart(x, IGND, "/v1/reset");
	if (r == 0)
		r = aside(x);
	return r ? r : restart(x, CSRD, "/v1/reload");
}

int reset_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *done = json_object();
	struct reset x = { .cli = c, .done = done };
	bool dry = cli_has(c, "dry-run");
	int r;

	/* A question needs the list, and a script has no use for it. */
	fputs("For a reinstall:\n"
	      "  okd-lbd   its view of the install starts over, machine configs are "
	      "served\n"
	      "  okd-ignd  progress, windows and tickets of the nodes start over\n"
	      "  okd-csrd  its kubeconfig is moved to kubeconfig.old\n"
	      "Records, images, the registry and cluster.yaml stay as they are.\n",
	    c->json ? stderr : stdout);
	fflush(stdout);
	if (!dry && !cli_confirm(c, "Go ahead?"))
		return cli_fail(EXIT_FAILED, "nothing was done");
	r = dry ? 0 : reset_all(&x);
	if (c->json)
		return out_json_take(json_pack(
			   "{s:b, s:O}", "done", !dry && r == 0, "reset", done))
		    ? EXIT_FAILED
		    : r;
	if (r == 0 && !dry)
		puts("Next: openshift-install create ignition-configs in a new folder, "
		     "okdctl publish DIR");
	return r;
}
