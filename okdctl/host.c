/* What the bastion's host needs: see host.h. */
#include "okdctl/host.h"

#include <errno.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cluster.h"
#include "common/fd.h"
#include "okdctl/cli.h"
#include "okdctl/files.h"
#include "okdctl/firewall.h"
#include "okdctl/program.h"

#define ANCHOR "okd-bastion-registry.crt"
#define TEXT_MAX ((size_t)1 << 20)

struct host {
	const char *root; /* "" or the folder of --root */
	const struct cluster *cluster;
	const char *ca;
	struct err err;
};

struct action {
	const char *name;
	/* True when it has to be done; text gets what will be, a line each. */
	bool (*needed)(struct host *h, struct str *text);
	int (*apply)(struct host *h);
};

static void host_path(const struct host *h, const char *path, struct str *out)
{
	str_addf(out, "%s%s", h->root, path);
}

static bool exists(const struct host *h, const char *path)
{
	_cleanup_(str_deinit) struct str full = STR_INIT;
	struct stat st;

	host_path(h, path, &full);
	return stat(str_get(&full), &st) == 0;
}

static bool holds(const struct host *h, const char *path, const char *text)
{
	_cleanup_(str_deinit) struct str full = STR_INIT, have = STR_INIT;

	host_path(h, path, &full);
	return file_read(str_get(&full), TEXT_MAX, &have) == 0 &&
	    str_eq(str_get(&have), text);
}

static int make_folder_of(struct host *h, const char *path)
{
	_cleanup_(str_deinit) struct str folder = STR_INIT;
	int r;

	str_add(&folder, path, (size_t)(strrchr(path, '/') - path));
	r = dir_make(str_get(&folder), 0755);
	return r < 0 ? err_set(&h->err, r, "cannot create %s: %s", str_get(&folder),
			   strerror(-r))
		     : 0;
}

/* Writes a file of the host, folders above it included; a copy of an old one stays. */
static int put(struct host *h, const char *path, const char *text)
{
	_cleanup_(str_deinit) struct str full = STR_INIT, copy = STR_INIT;
	_cleanup_(files_deinit) struct files f = { 0 };
	int r;

	host_path(h, path, &full);
	r = make_folder_of(h, str_get(&full));
	if (r < 0)
		return r;
	str_addz(&copy, text);
	r = files_add(&f, str_get(&full), 0644, NULL, &copy, &h->err);
	return r < 0 ? r : files_write(&f, &h->err);
}

static int run(struct host *h, const char *const *argv)
{
	return *h->root ? 0 : program_run(argv, &h->err);
}
#define RUN(h, ...) run((h), (const char *const[]){ __VA_ARGS__, NULL })

/* --- users -------------------------------------------------------------- */

static bool users_needed(struct host *h, struct str *text)
{
	if (*h->root || getpwnam("okd-dnsd"))
		return false;
	str_addz(
	    text, "run systemd-sysusers: the daemons' users and the group okd-admin");
	return true;
}

static int users_apply(struct host *h)
{
	return RUN(h, "systemd-sysusers");
}

/* --- resolver ----------------------------------------------------------- */

enum resolver { BY_NETWORK_MANAGER, BY_RESOLVED, BY_FILE };

static enum resolver resolver_of(const struct host *h)
{
	if (exists(h, "/run/systemd/resolve/stub-resolv.conf"))
		return BY_RESOLVED;
	return exists(h, "/run/NetworkManager") ? BY_NETWORK_MANAGER : BY_FILE;
}

static const char *const resolver_paths[] = {
	[BY_NETWORK_MANAGER] = "/etc/NetworkManager/conf.d/90-okd-bastion.conf",
	[BY_RESOLVED] = "/etc/systemd/resolved.conf.d/okd-bastion.conf",
	[BY_FILE] = "/etc/resolv.conf",
};

static void resolver_text(const struct host *h, struct str *out)
{
	const struct conf_list *l = &h->cluster->bastion.addresses;
	const char *ip = net_ip_str(conf_list_items(l, struct net_ip));
	const char *domain = h->cluster->domain;

	switch (resolver_of(h)) {
	case BY_NETWORK_MANAGER:
		str_addf(out,
		    "# By okdctl init --apply: names are asked of okd-dnsd.\n"
		    "[global-dns]\nsearches=%s\n\n[global-dns-domain-*]\nservers=%s\n",
		    domain, ip);
		break;
	case BY_RESOLVED:
		str_addf(out,
		    "# By okdctl init --apply: names are asked of okd-dnsd.\n"
		    "[Resolve]\nDNS=%s\nDomains=%s ~.\n",
		    ip, domain);
		break;
	case BY_FILE:
		str_addf(out, "search %s\nnameserver %s\n", domain, ip);
		break;
	}
}

static bool resolver_needed(struct host *h, struct str *text)
{
	_cleanup_(str_deinit) struct str want = STR_INIT;
	enum resolver how = resolver_of(h);

	resolver_text(h, &want);
	if (holds(h, resolver_paths[how], str_get(&want)))
		return false;
	str_addf(
	    text, "write %s: this host asks okd-dnsd for names", resolver_paths[how]);
	if (how == BY_NETWORK_MANAGER)
		str_addz(text, "\nrun nmcli general reload");
	else if (how == BY_RESOLVED)
		str_addz(text, "\nrun systemctl restart systemd-resolved");
	return true;
}

static int resolver_apply(struct host *h)
{
	_cleanup_(str_deinit) struct str want = STR_INIT;
	enum resolver how = resolver_of(h);
	int r;

	resolver_text(h, &want);
	r = put(h, resolver_paths[how], str_get(&want));
	if (r == 0 && how == BY_NETWORK_MANAGER)
		r = RUN(h, "nmcli", "general", "reload");
	if (r == 0 && how == BY_RESOLVED)
		r = RUN(h, "systemctl", "restart", "systemd-resolved");
	return r;
}

/* --- trust -------------------------------------------------------------- */

/* Red Hat's folder, or Debian's. */
static const char *anchor_path(const struct host *h)
{
	return exists(h, "/etc/pki/ca-trust/source/anchors")
	    ? "/etc/pki/ca-trust/source/anchors/" ANCHOR
	    : "/usr/local/share/ca-certificates/" ANCHOR;
}

static bool is_red_hat(const struct host *h)
{
	return str_starts(anchor_path(h), "/etc/pki/");
}

static bool trust_needed(struct host *h, struct str *text)
{
	if (holds(h, anchor_path(h), h->ca))
		return false;
	str_addf(text, "write %s: this host trusts the registry\nrun %s",
	    anchor_path(h),
	    is_red_hat(h) ? "update-ca-trust extract" : "update-ca-certificates");
	return true;
}

/* No copy of another one stays: Red Hat's programs trust every file in that folder, however
 * it is called, and the certificate is in the settings anyway. */
static int trust_apply(struct host *h)
{
	_cleanup_(str_deinit) struct str full = STR_INIT;
	int r;

	host_path(h, anchor_path(h), &full);
	r = make_folder_of(h, str_get(&full));
	if (r < 0)
		return r;
	r = file_replace(str_get(&full), 0644, h->ca, strlen(h->ca));
	if (r < 0)
		return err_set(
		    &h->err, r, "cannot write %s: %s", str_get(&full), strerror(-r));
	return is_red_hat(h) ? RUN(h, "update-ca-trust", "extract")
			     : RUN(h, "update-ca-certificates");
}

/* --- firewall ----------------------------------------------------------- */

static const char *const opens[] = { "--add-service=dns", "--add-service=http",
	"--add-service=https", "--add-port=6443/tcp", "--add-port=22623/tcp",
	"--add-port=5000/tcp", "--add-port=8080/tcp", "--add-port=9000/tcp" };

/* firewall-cmd --permanent [--zone=...] and all that is to be open. */
struct firewall_command {
	struct str zone;
	const char *argv[ARRAY_SIZE(opens) + 4];
};

static void firewall_command(const struct host *h, struct firewall_command *f)
{
	unsigned n = 0;

	firewall_zone(h->cluster, &f->zone);
	f->argv[n++] = "firewall-cmd";
	f->argv[n++] = "--permanent";
	if (f->zone.len)
		f->argv[n++] = f->zone.s;
	for (size_t i = 0; i < ARRAY_SIZE(opens); i++)
		f->argv[n++] = opens[i];
	f->argv[n] = NULL;
}

static bool is_open(const struct firewall_command *f, const char *what)
{
	struct err ignored = ERR_INIT;
	char query[64];
	const char *argv[] = { "firewall-cmd", query, f->zone.len ? f->zone.s : NULL,
		NULL };

	snprintf(query, sizeof(query), "--query-%s", what + strlen("--add-"));
	return program_quiet(argv, &ignored) == 0;
}

/* True when firewalld runs and lacks one of them. */
static bool firewall_needed(struct host *h, struct str *text)
{
	static const char *const ask[] = { "firewall-cmd", "--state", NULL };
	struct firewall_command f = { 0 };
	struct err ignored = ERR_INIT;
	bool all = true;

	if (*h->root || !program_find("firewall-cmd") ||
	    program_quiet(ask, &ignored) < 0)
		return false;
	firewall_command(h, &f);
	for (size_t i = 0; i < ARRAY_SIZE(opens); i++)
		all = all && is_open(&f, opens[i]);
	if (!all) {
		str_addz(text, "run");
		for (size_t i = 0; f.argv[i]; i++)
			str_addf(text, " %s", f.argv[i]);
		str_addz(text, "\nrun firewall-cmd --reload: firewalld stays on");
	}
	str_deinit(&f.zone);
	return !all;
}

static int firewall_apply(struct host *h)
{
	struct firewall_command f = { 0 };
	int r;

	firewall_command(h, &f);
	r = run(h, f.argv);
	str_deinit(&f.zone);
	return r < 0 ? r : RUN(h, "firewall-cmd", "--reload");
}

/* --- SELinux ------------------------------------------------------------ */

static bool labels_needed(struct host *h, struct str *text)
{
	if (*h->root || access("/sys/fs/selinux/enforce", F_OK) < 0 ||
	    !program_find("restorecon"))
		return false;
	str_addz(text, "run restorecon -RF /etc/okd-bastion: SELinux stays enforcing");
	return true;
}

static int labels_apply(struct host *h)
{
	return RUN(h, "restorecon", "-RF", "/etc/okd-bastion");
}

/* --- all of it ---------------------------------------------------------- */

static const struct action actions[] = {
	{ "users", users_needed, users_apply },
	{ "resolver", resolver_needed, resolver_apply },
	{ "trust", trust_needed, trust_apply },
	{ "firewall", firewall_needed, firewall_apply },
	{ "labels", labels_needed, labels_apply },
};

static void show(const char *name, const char *text)
{
	for (const char *at = text; *at;) {
		int n = (int)strcspn(at, "\n");

		printf("  %-9s %.*s\n", at == text ? name : "", n, at);
		at += n;
		at += *at == '\n';
	}
}

/* Prints what is to be done, or adds it to said: how much it is. */
static unsigned list(struct host *h, json_t *said)
{
	json_t *all = said ? json_array() : NULL;
	unsigned n = 0;

	if (!said)
		puts("On this host:");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		_cleanup_(str_deinit) struct str text = STR_INIT;

		if (!actions[i].needed(h, &text))
			continue;
		n++;
		if (said)
			json_array_append_new(all,
			    json_pack("{s:s, s:s}", "action", actions[i].name, "does",
				str_get(&text)));
		else
			show(actions[i].name, str_get(&text));
	}
	if (said)
		json_object_set_new(said, "host", all);
	else if (!n)
		puts("  nothing is to be done");
	fflush(stdout);
	return n;
}

static int apply_all(struct host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		_cleanup_(str_deinit) struct str text = STR_INIT;

		if (actions[i].needed(h, &text) && actions[i].apply(h) < 0)
			return cli_fail(
			    EXIT_FAILED, "%s: %s", actions[i].name, err_str(&h->err));
	}
	return 0;
}

int host_apply(
    struct cli *c, const struct cluster *cluster, const char *ca, json_t *said)
{
	struct host h = { .root = cli_has(c, "root") ? cli_get(c, "root") : "",
		.cluster = cluster,
		.ca = ca,
		.err = ERR_INIT };
	unsigned n = list(&h, said);
	int r;

	if (said)
		json_object_set_new(said, "applied", json_false());
	if (!n || cli_has(c, "dry-run"))
		return 0;
	if (!*h.root && geteuid() != 0)
		return cli_fail(EXIT_PERMISSION,
		    "be root to do this, or do by hand what is listed");
	/* Nobody sees the list before the answer where the output is for a program. */
	if (said && !cli_has(c, "yes"))
		return cli_fail(EXIT_USAGE, "--json asks nothing: give --yes as well");
	if (!cli_confirm(c, "Do all of this?"))
		return cli_fail(EXIT_FAILED, "nothing was done to the host");
	r = apply_all(&h);
	if (said && r == 0)
		json_object_set_new(said, "applied", json_true());
	return r;
}
