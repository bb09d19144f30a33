/* okdctl check, its frame: see check.h. */
#include "okdctl/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cluster.h"
#include "common/conf_doc.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/okdctl.h"
#include "okdctl/term.h"

#define FILE_MAX ((size_t)1 << 20)

static const char *const level_words[] = { "OK", "NOT YET", "WARN", "FAIL" };

void check_add(
    struct check *k, enum check_level level, const char *remedy, const char *fmt, ...)
{
	struct check_line *v = reallocarray(k->lines, k->n_lines + 1, sizeof(*v));
	_cleanup_(str_deinit) struct str text = STR_INIT;
	va_list ap;

	if (!v) {
		k->err = -ENOMEM;
		return;
	}
	k->lines = v;
	va_start(ap, fmt);
	term_vaddf(&text, fmt, ap);
	va_end(ap);
	v[k->n_lines] = (struct check_line){ .group = k->group,
		.level = level,
		.text = str_take(&text),
		.remedy = remedy ? strdup(remedy) : NULL };
	if (v[k->n_lines].remedy)
		term_clean(v[k->n_lines].remedy);
	if (!v[k->n_lines].text || (remedy && !v[k->n_lines].remedy))
		k->err = -ENOMEM;
	k->n_lines++;
}

bool check_runs(const struct check *k, enum bastion_daemon d)
{
	return k->status.of[d] != NULL;
}

/* --- where daemons listen ----------------------------------------------- */

static size_t add_endpoints(
    const struct conf_node *list, struct net_endpoint *ret, size_t n, size_t max)
{
	for (size_t i = 0; n < max && i < conf_list_len(list); i++) {
		const char *text = conf_scalar(conf_list_at(list, i));

		if (text && net_endpoint_parse(text, 0, &ret[n]) == 0)
			n++;
	}
	return n;
}

size_t check_listen_of(const char *yaml, size_t n, struct net_endpoint *ret, size_t max)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *root, *frontends;
	size_t found;

	if (conf_doc_parse(&doc, "(configuration)", yaml, n, NULL) < 0)
		return 0;
	root = conf_doc_root(doc);
	found = add_endpoints(conf_get(root, "listen"), ret, 0, max);
	frontends = conf_get(root, "frontends");
	for (size_t i = 0; i < conf_list_len(frontends); i++)
		found = add_endpoints(
		    conf_get(conf_list_at(frontends, i), "listen"), ret, found, max);
	return add_endpoints(
	    conf_get(conf_get(root, "stats"), "listen"), ret, found, max);
}

static size_t default_listen(
    const struct check *k, enum bastion_daemon d, struct net_endpoint *ret, size_t max)
{
	static const uint16_t ports[N_DAEMONS][6] = { [DNSD] = { 53 },
		[LBD] = { 6443, 22623, 80, 443, 9000 },
		[REGD] = { 5000 },
		[IGND] = { 8080 } };
	size_t n = 0;

	for (size_t i = 0; k->cluster && ports[d][i]; i++) {
		const struct conf_list *l = &k->cluster->bastion.addresses;

		for (size_t a = 0; a < l->n && n < max; a++)
			ret[n++] =
			    (struct net_endpoint){ conf_list_items(l, struct net_ip)[a],
				    ports[d][i] };
	}
	return n;
}

static void running_config(
    const struct check *k, enum bastion_daemon d, struct str *out)
{
	_cleanup_(admin_call_deinit) struct admin_call call = { .to = d,
		.target = "/config" };

	if (!check_runs(k, d))
		return;
	admin_call_all(k->cli, &call, 1, ADMIN_TIMEOUT_MS);
	if (call.result == 200)
		str_add(out, str_get(&call.reply), call.reply.len);
}

static void file_config(const struct check *k, enum bastion_daemon d, struct str *out)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	char name[16];

	snprintf(name, sizeof(name), "%s.yaml", daemon_names[d]);
	cli_etc_path(k->cli, name, &path);
	if (file_read(str_get(&path), FILE_MAX, out) < 0)
		str_reset(out);
}

size_t check_listen(
    const struct check *k, enum bastion_daemon d, struct net_endpoint *ret, size_t max)
{
	_cleanup_(str_deinit) struct str text = STR_INIT, file = STR_INIT;
	size_t n;

	running_config(k, d, &text);
	n = check_listen_of(str_get(&text), text.len, ret, max);
	if (n == 0) {
		file_config(k, d, &file);
		n = check_listen_of(str_get(&file), file.len, ret, max);
	}
	return n ? n : default_listen(k, d, ret, max);
}

int check_config(const struct check *k, enum bastion_daemon d, struct conf_doc **ret)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	running_config(k, d, &text);
	if (!text.len)
		file_config(k, d, &text);
	return conf_doc_parse(ret, "(configuration)", str_get(&text), text.len, NULL);
}

size_t check_frontend(
    const struct check *k, const char *backend, struct net_endpoint *ret, size_t max)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *list;
	size_t n = 0;

	if (!check_runs(k, LBD) || check_config(k, LBD, &doc) < 0)
		return 0;
	list = conf_get(conf_doc_root(doc), "frontends");
	for (size_t i = 0; i < conf_list_len(list); i++) {
		const struct conf_node *f = conf_list_at(list, i);
		const char *to = conf_scalar(conf_get(f, "backend"));

		if (to && str_eq(to, backend))
			n = add_endpoints(conf_get(f, "listen"), ret, n, max);
	}
	return n;
}

void check_setting(const struct check *k, enum bastion_daemon d, const char *table,
    const char *key, struct str *out)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *root;
	const char *value;

	if (check_config(k, d, &doc) < 0)
		return;
	root = conf_doc_root(doc);
	value = conf_scalar(conf_get(table ? conf_get(root, table) : root, key));
	str_addz(out, value ? value : "");
}

/* --- cluster and daemons ------------------------------------------------ */

static void check_cluster(struct check *k)
{
	if (!k->cluster)
		return;
	check_add(k, CHECK_OK, NULL, "%s describes %s with %zu nodes", k->cluster->path,
	    k->cluster->domain, cluster_n_nodes(k->cluster));
	for (char *line = k->warnings.s, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		check_add(k, CHECK_WARN, "edit it, then okdctl reload", "%s", line);
	}
}

static void load_cluster(struct check *k, struct cluster **cluster)
{
	const char *path = str_get(&k->cli->cluster_path);
	struct err e = ERR_INIT;
	int r = cluster_load(cluster, path, &k->warnings, &e);

	k->cluster = *cluster;
	k->group = "cluster";
	if (r == -ENOENT)
		check_add(k, CHECK_FAIL, "okdctl init", "%s does not exist", path);
	else if (r < 0)
		check_add(k, CHECK_FAIL, "correct that line, then okdctl reload", "%s",
		    err_str(&e));
}

static void check_answer(struct check *k, enum bastion_daemon d)
{
	const json_t *v = k->status.of[d], *reasons = json_object_get(v, "reasons");
	const char *name = daemon_names[d], *version = json_str(v, "version");
	const char *error = json_str(json_object_get(v, "config"), "error");
	char remedy[96];

	snprintf(remedy, sizeof(remedy), "journalctl -u okd-%s -n 50", name);
	if (error)
		check_add(k, CHECK_FAIL, "correct that, then okdctl reload",
		    "okd-%s keeps an older configuration: %s", name, error);
	if (version && !str_eq(version, OKD_VERSION))
		check_add(k, CHECK_WARN, "okdctl upgrade",
		    "okd-%s %s runs, but this okdctl is " OKD_VERSION, name, version);
	if (json_is_true(json_object_get(v, "ready"))) {
		check_add(k, CHECK_OK, NULL, "okd-%s runs", name);
		return;
	}
	for (size_t i = 0; i < json_array_size(reasons); i++)
		check_add(k, CHECK_WARN, remedy, "okd-%s is not ready: %s", name,
		    json_string_value(json_array_get(reasons, i)));
	if (!json_array_size(reasons))
		check_add(k, CHECK_WARN, remedy, "okd-%s is not ready", name);
}

static void check_absent(struct check *k, enum bastion_daemon d, bool none)
{
	const char *name = daemon_names[d];
	int r = k->status.result[d];
	char remedy[128];

	snprintf(remedy, sizeof(remedy),
	    "systemctl enable --now okd-%s; journalctl -u okd-%s -n 50", name, name);
	if (r == -EACCES || r == -EPERM)
		check_add(k, CHECK_FAIL, "be root, or a member of the group okd-admin",
		    "okd-%s may not be asked by this user", name);
	else if (r != -ENOENT && r != -ECONNREFUSED)
		check_add(k, CHECK_FAIL, remedy, "okd-%s does not answer: %s", name,
		    strerror(r < 0 ? -r : EPROTO));
	else
		check_add(k, none ? CHECK_NOT_YET : CHECK_FAIL,
		    none ? "systemctl enable --now okd-bastion.target" : remedy,
		    "okd-%s does not run", name);
}

static void check_daemons(struct check *k)
{
	bool none = true;

	for (unsigned d = 0; d < N_DAEMONS; d++)
		none = none && !check_runs(k, (enum bastion_daemon)d);
	for (unsigned d = 0; d < N_DAEMONS; d++) {
		if (check_runs(k, (enum bastion_daemon)d))
			check_answer(k, (enum bastion_daemon)d);
		else
			check_absent(k, (enum bastion_daemon)d, none);
	}
}

/* --- the output --------------------------------------------------------- */

static const enum term_color level_colors[] = { TERM_GREEN, TERM_PLAIN, TERM_YELLOW,
	TERM_RED };

static void print_lines(const struct check *k, struct str *out, unsigned columns)
{
	const char *group = "";

	for (size_t i = 0; i < k->n_lines; i++) {
		const struct check_line *l = &k->lines[i];

		if (!str_eq(group, l->group)) {
			str_addz(out, i ? "\n" : "");
			term_add(out, k->cli->color, TERM_BOLD, l->group);
			str_addc(out, '\n');
		}
		group = l->group;
		str_addz(out, "  ");
		term_add(
		    out, k->cli->color, level_colors[l->level], level_words[l->level]);
		str_addf(out, "%*s  ", 7 - (int)strlen(level_words[l->level]), "");
		term_add_wrapped(out, l->text, 11, columns);
		str_addc(out, '\n');
		if (!l->remedy)
			continue;
		str_addz(out, "           -> ");
		term_add_wrapped(out, l->remedy, 14, columns);
		str_addc(out, '\n');
	}
}

static void print_json(const struct check *k, struct str *out)
{
	_cleanup_(json_freep) json_t *list = json_array();

	for (size_t i = 0; i < k->n_lines; i++) {
		const struct check_line *l = &k->lines[i];
		json_t *v = json_pack("{ssssss}", "group", l->group, "level",
		    level_words[l->level], "text", l->text);

		if (v && l->remedy)
			json_object_set_new(v, "remedy", json_string(l->remedy));
		json_array_append_new(list, v);
	}
	if (json_dump_str(list, out) < 0)
		out->err = -ENOMEM;
	str_addc(out, '\n');
}

static unsigned columns_of(const struct check *k)
{
	return k->cli->terminal ? term_size(STDOUT_FILENO).columns : 0;
}

static void print_sum(const struct check *k, const unsigned n[4], struct str *out)
{
	_cleanup_(str_deinit) struct str sum = STR_INIT;

	str_addf(&sum, "%u well, %u not yet, %u to look at, %u failed", n[CHECK_OK],
	    n[CHECK_NOT_YET], n[CHECK_WARN], n[CHECK_FAIL]);
	str_addc(out, '\n');
	term_add_wrapped(out, str_get(&sum), 0, columns_of(k));
	str_addc(out, '\n');
}

static int report(const struct check *k)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;
	unsigned n[4] = { 0 };

	for (size_t i = 0; i < k->n_lines; i++)
		n[k->lines[i].level]++;
	if (k->cli->json)
		print_json(k, &out);
	else {
		print_lines(k, &out, columns_of(k));
		print_sum(k, n, &out);
	}
	if (k->err || str_err(&out))
		return cli_fail(EXIT_FAILED, "out of memory");
	fputs(str_get(&out), stdout);
	return n[CHECK_FAIL] ? EXIT_FAILED : 0;
}

/* --- the command -------------------------------------------------------- */

const char *const check_groups[] = { "cluster", "host", "secrets", "daemons", "ports",
	"dns", "lb", "registry", "files", "csr", NULL };

static void (*const runs[])(struct check *k) = { check_cluster, check_host,
	check_secrets, check_daemons, check_ports, check_dns, check_lb, check_registry,
	check_files, check_csr };
_Static_assert(
    ARRAY_SIZE(runs) + 1 == ARRAY_SIZE(check_groups), "a check for each group");

static bool is_wanted(const struct cli *c, const char *group)
{
	for (unsigned i = 0; i < c->n_args; i++) {
		if (str_eq(c->args[i], group))
			return true;
	}
	return c->n_args == 0;
}

static bool is_group(const char *name)
{
	for (size_t i = 0; check_groups[i]; i++) {
		if (str_eq(check_groups[i], name))
			return true;
	}
	return false;
}

static int check_names(const struct cli *c)
{
	for (unsigned i = 0; i < c->n_args; i++) {
		if (!is_group(c->args[i]))
			return cli_fail(EXIT_USAGE,
			    "there is no group \"%s\"; they are cluster, host, "
			    "secrets, daemons, ports, dns, lb, registry, files and "
			    "csr",
			    c->args[i]);
	}
	return 0;
}

static void check_deinit(struct check *k)
{
	for (size_t i = 0; i < k->n_lines; i++) {
		free(k->lines[i].text);
		free(k->lines[i].remedy);
	}
	free(k->lines);
	str_deinit(&k->warnings);
	status_deinit(&k->status);
}

int check_run(struct cli *c)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	_cleanup_(check_deinit) struct check k = { .cli = c };
	int r = check_names(c);

	if (r)
		return r;
	load_cluster(&k, &cluster);
	status_fetch(c, &k.status);
	for (size_t i = 0; check_groups[i]; i++) {
		k.group = check_groups[i];
		if (is_wanted(c, k.group))
			runs[i](&k);
	}
	return report(&k);
}
