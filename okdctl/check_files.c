/* Checks of what okd-ignd serves: Ignition files with their certificates, images with their
 * signatures, who may have them, and the nodes that have trouble with either. */
#include <fts.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cluster.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/ignd_dirs.h"
#include "okdctl/out.h"
#include "okdctl/term.h"

#define SERVED_MAX 10000 /* files that are looked at */
#define SIGNATURE_MAX ((size_t)1 << 20)

/* --- Ignition files ----------------------------------------------------- */

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

/* A file that is there, and that okd-ignd does not get at: it says so itself, or, where it
 * may not even come to the folder, that there is none. */
static bool check_hidden(struct check *k, const json_t *v)
{
	_cleanup_(str_deinit) struct str dir = STR_INIT, remedy = STR_INIT,
					 path = STR_INIT;
	const char *why = json_str(v, "error");

	ignd_dir(k->cli, "ignition", &dir);
	str_addf(&path, "%s/%s", str_get(&dir), text_of(v, "name"));
	if (!why && access(str_get(&path), F_OK) < 0)
		return false;
	str_addf(&remedy,
	    "chown root:okd-ignd %s %s; chmod 0750 %s; chmod 0640 %s; with SELinux: "
	    "restorecon -RF %s",
	    dir.s, path.s, dir.s, path.s, dir.s);
	check_add(k, CHECK_FAIL, str_get(&remedy),
	    "okd-ignd cannot read %s, which is there: %s", str_get(&path),
	    why ? why : "nodes get 404");
	return true;
}

static void check_config_file(struct check *k, const json_t *v)
{
	const char *state = text_of(v, "state"), *name = text_of(v, "name");

	if (str_eq(state, "missing") || str_eq(state, "unreadable")) {
		if (!check_hidden(k, v))
			check_add(k, CHECK_NOT_YET,
			    "openshift-install create ignition-configs, then okdctl "
			    "publish DIR",
			    "%s is not published", name);
	} else if (str_eq(state, "bad"))
		check_add(k, CHECK_FAIL, "make it again and okdctl publish DIR",
		    "%s would be refused by the node: %s", name, text_of(v, "error"));
	else
		check_add(k, CHECK_OK, NULL, "%s is published (Ignition %s)", name,
		    text_of(v, "version"));
	if (*text_of(v, "warnings"))
		check_add(k, CHECK_WARN, "okdctl ign validate", "%s: %s", name,
		    text_of(v, "warnings"));
	check_clock_of(k, v);
}

/* --- images ------------------------------------------------------------- */

/* Does every node install without looking at signatures? */
static bool are_unsigned(const struct check *k)
{
	size_t n = k->cluster ? cluster_n_nodes(k->cluster) : 0;
	size_t insecure = 0;

	for (size_t i = 0; i < n; i++) {
		const struct conf_list *l = &cluster_node_at(k->cluster, i)->kargs;

		for (size_t a = 0; a < l->n; a++)
			insecure += str_starts(
			    conf_list_items(l, char *)[a], "coreos.inst.insecure");
	}
	return n && insecure >= n;
}

/* An OpenPGP signature (RFC 4880, sections 4.2 and 5.2), or one in ASCII armour.  Whose it
 * is only the installer can tell, which has Fedora's keys. */
static bool is_signature(const struct str *s)
{
	uint8_t tag = s->len ? (uint8_t)s->s[0] : 0;

	return (tag & 0xc0) == 0xc0 ? (tag & 0x3f) == 2
	    : tag & 0x80            ? (tag >> 2 & 15) == 2
			 : str_starts(str_get(s), "-----BEGIN PGP SIGNATURE-----");
}

static void check_signature(struct check *k, const char *name)
{
	_cleanup_(str_deinit) struct str path = STR_INIT, text = STR_INIT;

	ignd_dir(k->cli, "install", &path);
	str_addf(&path, "/%s.sig", name);
	/* Without the right to read it, its presence has to do. */
	if (file_read(str_get(&path), SIGNATURE_MAX, &text) < 0 || is_signature(&text))
		check_add(
		    k, CHECK_OK, NULL, "%s is published with its signature", name);
	else
		check_add(k, CHECK_FAIL,
		    "okdctl image add FILE with FILE.sig beside it, from the same page",
		    "%s.sig is no OpenPGP signature: coreos-installer would refuse the "
		    "image",
		    name);
}

/* What nobody but its owner should have, and everybody may fetch from here. */
static bool is_secret(const char *name)
{
	return str_starts(name, "kubeconfig") ||
	    str_starts(name, "kubeadmin-password") || str_starts(name, "pull-secret") ||
	    str_starts(name, "install-config") || str_ends(name, ".ign") ||
	    str_ends(name, ".key");
}

/* The installer's folder, copied whole to where the images are. */
static void check_served(struct check *k)
{
	_cleanup_(str_deinit) struct str dir = STR_INIT;
	char *roots[] = { NULL, NULL };
	unsigned seen = 0;
	FTSENT *e;
	FTS *walk;

	ignd_dir(k->cli, "install", &dir);
	roots[0] = dir.s;
	walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	while (walk && seen++ < SERVED_MAX && (e = fts_read(walk))) {
		_cleanup_(str_deinit) struct str remedy = STR_INIT;

		if ((e->fts_info != FTS_F && e->fts_info != FTS_NSOK) ||
		    !is_secret(e->fts_name))
			continue;
		str_addf(&remedy, "rm %s; okdctl publish DIR", e->fts_path);
		check_add(k, CHECK_FAIL, str_get(&remedy),
		    "everybody may fetch %s, which is a secret, from /install/",
		    e->fts_path + MIN(dir.len + 1, (size_t)e->fts_pathlen));
	}
	if (walk)
		fts_close(walk);
}

static void check_image(struct check *k, const json_t *v)
{
	const json_t *signature = json_object_get(v, "signature");
	const char *name = text_of(v, "name");

	if (is_secret(strrchr(name, '/') ? strrchr(name, '/') + 1 : name))
		return; /* told already */
	if (str_eq(text_of(v, "state"), "bad"))
		check_add(k, CHECK_FAIL, "okdctl image add FILE, from a fresh download",
		    "%s is damaged: %s", name, text_of(v, "why"));
	else if (json_is_false(signature) && are_unsigned(k))
		check_add(k, CHECK_WARN,
		    "okdctl image add FILE with FILE.sig beside it, and no "
		    "coreos.inst.insecure",
		    "%s has no %s.sig, and every node installs it unverified "
		    "(coreos.inst.insecure)",
		    name, name);
	else if (json_is_false(signature))
		check_add(k, CHECK_FAIL,
		    "okdctl image add FILE with FILE.sig beside it, from the same page",
		    "%s has no %s.sig: coreos-installer would refuse it", name, name);
	else if (json_is_true(signature))
		check_signature(k, name);
	else
		check_add(k, CHECK_OK, NULL, "%s is published", name);
}

/* Is the file of the same release as another?  "fedora-coreos-34.20210427.3.0-live-rootfs"
 * and so on: what stands before "live-". */
static bool is_same_release(const char *a, const char *b)
{
	size_t n = (size_t)(strstr(a, "live-") - a);

	return strncmp(a, b, n) == 0 && str_starts(b + n, "live-");
}

/* The files of a live system that okd-ignd's iPXE scripts name: the last ones.  A kernel
 * with the root file system of another release, or without any, ends in "hash mismatch" or
 * in an emergency shell. */
static void check_live(struct check *k, const json_t *images)
{
	static const char *const parts[] = { "live-kernel", "live-initramfs",
		"live-rootfs" };
	_cleanup_(str_deinit) struct str named = STR_INIT;
	const char *last[ARRAY_SIZE(parts)] = { NULL };

	for (size_t i = 0; i < json_array_size(images); i++) {
		const char *name = text_of(json_array_get(images, i), "name");

		for (size_t p = 0; p < ARRAY_SIZE(parts); p++)
			if (strstr(name, parts[p]) && !strchr(name, '/') &&
			    (!last[p] || strcmp(name, last[p]) > 0))
				last[p] = name;
	}
	check_setting(k, IGND, "boot", "kernel", &named);
	if ((!last[0] && !last[1] && !last[2]) || named.len)
		return;
	for (size_t p = 0; p < ARRAY_SIZE(parts); p++)
		if (!last[p])
			check_add(k, CHECK_FAIL,
			    "okdctl image add FILE --name NAME --unsigned, with the "
			    "name that it has on its page",
			    "a live system is published without its %s: machines that "
			    "boot by iPXE would stop",
			    parts[p]);
	for (size_t p = 1; last[0] && p < ARRAY_SIZE(parts); p++)
		if (last[p] && !is_same_release(last[0], last[p]))
			check_add(k, CHECK_WARN,
			    "leave one release there, or name its files in ignd.yaml: "
			    "boot: {kernel: ..., initrd: ..., rootfs: ...}",
			    "%s is of another release than %s: machines that boot by "
			    "iPXE would say \"hash mismatch\"",
			    last[p], last[0]);
}

/* What the kernel arguments name must be there. */
static void check_named(struct check *k, const json_t *images)
{
	_cleanup_(str_deinit) struct str name = STR_INIT, path = STR_INIT,
					 remedy = STR_INIT;

	check_setting(k, IGND, "boot", "image", &name);
	if (!name.len)
		str_addz(&name, "coreos.raw.xz");
	if (strstr(str_get(&name), "://") || status_find(images, str_get(&name)))
		return;
	ignd_dir(k->cli, "install", &path);
	str_addf(&path, "/%s", str_get(&name));
	if (access(str_get(&path), F_OK) == 0) {
		str_addf(&remedy,
		    "look again in a moment; else: chmod 0644 %s, with SELinux: "
		    "restorecon "
		    "-F %s",
		    path.s, path.s);
		check_add(k, CHECK_NOT_YET, str_get(&remedy),
		    "%s is there, and okd-ignd has not seen it so far", path.s);
		return;
	}
	check_add(k, CHECK_NOT_YET, "okdctl image add FILE|URL",
	    json_array_size(images)
		? "no image is published as %s, which okdctl kargs names"
		: "no CoreOS image is published (%s)",
	    str_get(&name));
}

/* --- nodes -------------------------------------------------------------- */

static void check_stage(struct check *k, const json_t *n)
{
	const char *stage = text_of(n, "stage"), *name = text_of(n, "name");
	bool closed = json_is_false(json_path(n, "window", "open", NULL));
	char remedy[128];

	snprintf(remedy, sizeof(remedy),
	    str_eq(stage, "Failed") ? "okdctl logs --node %.60s"
		: closed            ? "okdctl ign open %.60s"
				    : "okdctl ign validate; okdctl logs --node %.60s",
	    name);
	if (str_eq(stage, "Failed"))
		check_add(k, CHECK_FAIL, remedy,
		    "the installation of %s failed: %s; boot it again", name,
		    text_of(n, "why"));
	else if (str_eq(stage, "Waiting for ignition") && *text_of(n, "why"))
		check_add(k, CHECK_WARN, remedy,
		    "%s waits, and Ignition asks again and again: %s", name,
		    text_of(n, "why"));
}

static void check_strangers(struct check *k)
{
	_cleanup_(str_deinit) struct str what = STR_INIT;

	check_setting(k, IGND, NULL, "unknown_nodes", &what);
	if (str_eq(str_get(&what), "all"))
		check_add(k, CHECK_WARN,
		    "unknown_nodes: images in ignd.yaml; okdctl reload ignd",
		    "every address gets every .ign file, and with it what it takes to "
		    "join the cluster");
}

void check_files(struct check *k)
{
	const json_t *own = json_object_get(k->status.of[IGND], "ignd");
	const json_t *configs = json_object_get(own, "configs");
	const json_t *images = json_object_get(own, "images");
	const json_t *nodes = json_object_get(own, "nodes");

	if (!check_runs(k, IGND)) {
		check_add(k, CHECK_NOT_YET, "systemctl enable --now okd-ignd",
		    "images and .ign files are not served: okd-ignd does not run");
		return;
	}
	check_strangers(k);
	for (size_t i = 0; i < json_array_size(configs); i++)
		check_config_file(k, json_array_get(configs, i));
	for (size_t i = 0; i < json_array_size(images); i++)
		check_image(k, json_array_get(images, i));
	check_served(k);
	check_live(k, images);
	check_named(k, images);
	for (size_t i = 0; i < json_array_size(nodes); i++)
		check_stage(k, json_array_get(nodes, i));
}
