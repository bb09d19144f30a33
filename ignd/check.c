/* Files as the configuration check sees them: see check.h. */
#include "ignd/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "ignd/conf.h"
#include "ignd/fragment.h"
#include "ignd/ignition.h"

static void add_lines(const char *path, const char *line, struct str *out)
{
	while (*line) {
		size_t n = strcspn(line, "\n");

		str_addf(out, "%s:%.*s\n", path, (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static void check_clock(const struct ignd_conf *c, const char *path,
    const struct ignition *ign, struct str *out)
{
	int64_t now = clock_real_s();
	enum certclock_state s = certclock_judge(
	    &ign->certs, now, (int64_t)(c->certificates.warn_before / 1000));

	if (s == CERTCLOCK_NONE || s == CERTCLOCK_GOOD)
		return;
	str_addf(out, "%s: ", path);
	certclock_describe(&ign->certs, s, now, out);
	str_addc(out, '\n');
}

/* NULL where there is none that can be served. */
static struct ignition *check_file(
    const struct ignd_conf *c, const char *path, struct str *out)
{
	struct ignition *ign = NULL;
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct err e = ERR_INIT;
	int r = file_read(path, IGNITION_MAX, &text);

	if (r == -ENOENT)
		return NULL; /* openshift-install has not run yet */
	if (r < 0)
		err_at(&e, r, path, 0, 0, "it cannot be read: %s", strerror(-r));
	else
		r = ignition_parse(&ign, path, str_get(&text), text.len, &e);
	if (r < 0) {
		str_addf(out, "%s; it is not served as it is\n", err_str(&e));
		return NULL;
	}
	add_lines(path, str_get(&ign->warnings), out);
	check_clock(c, path, ign, out);
	return ign;
}

static void check_fragment(const struct ignd_conf *c, struct root *nodes,
    const struct cluster_node *n, const char *suffix, const struct ignition *role,
    struct str *out)
{
	_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };
	struct err e = ERR_INIT;
	char path[sizeof(e.file)];

	snprintf(path, sizeof(path), "%s/%s%s", c->nodes_dir, n->name, suffix);
	if (fragment_read(&f, nodes, n, suffix, role, &e) == 0) {
		add_lines(path, str_get(&f.warnings), out);
		return;
	}
	memcpy(e.file, path, sizeof(path));
	str_addf(
	    out, "%s; %s gets no config until that is mended\n", err_str(&e), n->name);
}

/* What the nodes of a role add to its config. */
static void check_nodes(const struct ignd_conf *c, enum node_role role,
    const struct ignition *ign, struct str *out)
{
	_cleanup_(root_deinit) struct root nodes = { .fd = -1 };
	const struct cluster_node *n;

	if (!c->cluster || root_init(&nodes, c->nodes_dir) < 0)
		return;
	for (size_t i = 0; (n = cluster_node_at(c->cluster, i)); i++)
		for (size_t j = 0; n->role == (int)role && j < FRAGMENT_SUFFIXES; j++)
			check_fragment(c, &nodes, n, fragment_suffixes[j], ign, out);
}

void check_ignition(const struct ignd_conf *c, struct str *warnings)
{
	static const enum node_role roles[] = { NODE_BOOTSTRAP, NODE_MASTER,
		NODE_WORKER };

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		_cleanup_(ignition_freep) struct ignition *ign = NULL;
		_cleanup_(freep) char *path = NULL;

		if (asprintf(&path, "%s/%s.ign", c->ignition_dir,
			node_role_name(roles[i])) < 0)
			return;
		ign = check_file(c, path, warnings);
		if (ign)
			check_nodes(c, roles[i], ign, warnings);
	}
}
