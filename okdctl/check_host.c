/* Checks of the host itself: clock, disk, SELinux, firewalld, who may read secrets. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "common/cluster.h"
#include "common/fd.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/firewall.h"
#include "okdctl/program.h"
#include "okdctl/term.h"

#define GIB ((uint64_t)1 << 30)
#define DISK_FAIL (2 * GIB)
#define DISK_WARN (20 * GIB) /* a release of OKD and its images */

/* Certificates in the .ign files begin when they are made: a node whose clock is behind
 * finds them not valid yet. */
static void check_clock(struct check *k)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);

	if (state < 0)
		check_add(k, CHECK_WARN, "timedatectl",
		    "the clock's state cannot be read: %s", strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
		check_add(k, CHECK_WARN,
		    "install chrony; systemctl enable --now chronyd (on Debian: "
		    "chrony); chronyc makestep",
		    "the clock is not synchronised; nodes whose clocks differ refuse "
		    "certificates as expired or not yet valid");
	else
		check_add(k, CHECK_OK, NULL,
		    "the clock is synchronised (error at most %ld ms)",
		    t.maxerror / 1000);
}

/* Where the registry keeps its images, or the folder above that is there already. */
static void registry_root(struct check *k, struct str *out)
{
	check_setting(k, REGD, "storage", "root", out);
	if (str_get(out)[0] != '/') {
		str_reset(out);
		str_addz(out, "/var/lib/okd-regd");
	}
	while (out->len > 1 && access(out->s, F_OK) < 0) {
		out->len = (size_t)(strrchr(out->s, '/') - out->s);
		out->len += out->len == 0;
		out->s[out->len] = '\0';
	}
}

static void check_disk(struct check *k)
{
	_cleanup_(str_deinit) struct str size = STR_INIT, root = STR_INIT;
	const char *path;
	struct statvfs fs;
	uint64_t left;

	registry_root(k, &root);
	path = str_get(&root);
	if (statvfs(path, &fs) < 0)
		return;
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	term_add_bytes(&size, left);
	check_add(k,
	    left < DISK_FAIL       ? CHECK_FAIL
		: left < DISK_WARN ? CHECK_WARN
				   : CHECK_OK,
	    left < DISK_WARN
		? "a mirrored release takes about 15 GiB: free some, or set "
		  "storage.root in regd.yaml"
		: NULL,
	    "%s is free below %s", str_get(&size), path);
}

static bool file_has(const char *path, const char *word)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	return file_read(path, 65536, &text) == 0 && strstr(str_get(&text), word);
}

/* Files that were moved here keep the label of where they were made. */
static void check_labels(struct check *k)
{
	static const char *const folders[] = { "/etc/okd-bastion", "/var/lib/okd-ignd",
		"/var/lib/okd-regd" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *argv[] = { "restorecon", "-RFnv", folders[i], NULL };
		_cleanup_(str_deinit) struct str out = STR_INIT;
		struct err ignored = ERR_INIT;
		char remedy[96];

		if (!program_find("restorecon") || access(folders[i], F_OK) < 0 ||
		    program_output(argv, 1 << 20, &out, &ignored) < 0 || !out.len)
			continue;
		snprintf(remedy, sizeof(remedy), "restorecon -RF %s", folders[i]);
		check_add(k, CHECK_FAIL, remedy,
		    "files below %s have labels of another place; SELinux would keep "
		    "the daemons from them: %.*s",
		    folders[i], (int)strcspn(out.s, "\n"), out.s);
	}
}

static void check_selinux(struct check *k)
{
	const char *enforce = "/sys/fs/selinux/enforce";

	if (access(enforce, F_OK) < 0) {
		if (file_has("/etc/selinux/config", "\nSELINUX=disabled"))
			check_add(k, CHECK_WARN,
			    "set SELINUX=enforcing in /etc/selinux/config and reboot; "
			    "the suite needs no exception",
			    "SELinux is switched off in /etc/selinux/config");
		return;
	}
	if (file_has(enforce, "1"))
		check_add(k, CHECK_OK, NULL, "SELinux is enforcing");
	else
		check_add(k, CHECK_WARN,
		    "setenforce 1, and SELINUX=enforcing in /etc/selinux/config; "
		    "restorecon -RF /etc/okd-bastion first",
		    "SELinux is permissive");
	check_labels(k);
}

static const char *const services[] = { "service=dns", "service=http", "service=https",
	"port=6443/tcp", "port=22623/tcp", "port=5000/tcp", "port=8080/tcp" };

static void check_firewall(struct check *k)
{
	static const char *const state[] = { "firewall-cmd", "--state", NULL };
	_cleanup_(str_deinit) struct str remedy = STR_INIT, closed = STR_INIT,
					 zone = STR_INIT;
	struct err ignored = ERR_INIT;

	if (!program_find("firewall-cmd"))
		return;
	if (program_quiet(state, &ignored) < 0) {
		check_add(k, CHECK_WARN,
		    "systemctl enable --now firewalld; okdctl init --apply",
		    "firewalld is installed, but does not run");
		return;
	}
	if (k->cluster)
		firewall_zone(k->cluster, &zone);
	str_addf(&remedy, "firewall-cmd --permanent%s%s", zone.len ? " " : "",
	    str_get(&zone));
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		char query[48];
		const char *argv[] = { "firewall-cmd", query, zone.len ? zone.s : NULL,
			NULL };

		snprintf(query, sizeof(query), "--query-%s", services[i]);
		if (program_quiet(argv, &ignored) == 0)
			continue;
		str_addf(&remedy, " --add-%s", services[i]);
		str_addf(&closed, "%s%s", closed.len ? ", " : "", services[i]);
	}
	str_addz(&remedy, "; firewall-cmd --reload");
	if (closed.len)
		check_add(k, CHECK_FAIL, str_get(&remedy),
		    "firewalld keeps the nodes out: %s%s%s", str_get(&closed),
		    zone.len ? ", in the zone of the bastion's address: " : "",
		    zone.len ? zone.s + strlen("--zone=") : "");
	else
		check_add(k, CHECK_OK, NULL, "firewalld runs and lets the nodes in");
}

/* An address that the host does not have can be listened on, but nobody comes. */
static void check_addresses(struct check *k)
{
	const struct conf_list *l = &k->cluster->bastion.addresses;

	for (size_t i = 0; i < l->n; i++) {
		const struct net_ip *ip = &conf_list_items(l, struct net_ip)[i];
		struct net_endpoint e = { .ip = *ip };
		union net_sockaddr sa;
		socklen_t len = net_endpoint_to_sa(&e, &sa);
		_cleanup_(fd_closep) int fd =
		    socket(sa.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd >= 0 && bind(fd, &sa.sa, len) == 0)
			check_add(k, CHECK_OK, NULL, "this host has the address %s",
			    net_ip_str(ip));
		else
			check_add(k, CHECK_FAIL,
			    "give this host the address (nmcli), or correct "
			    "bastion.addresses in cluster.yaml",
			    "this host has no address %s, where the nodes expect the "
			    "bastion",
			    net_ip_str(ip));
	}
}

void check_host(struct check *k)
{
	if (k->cluster)
		check_addresses(k);
	check_clock(k);
	check_skew(k);
	check_disk(k);
	check_selinux(k);
	check_firewall(k);
}

/* --- secrets ------------------------------------------------------------ */

static bool is_readable_by(const struct stat *st, const char *user)
{
	const struct passwd *pw = getpwnam(user);

	if (!pw || st->st_uid == pw->pw_uid)
		return true; /* without the user, nothing can be said */
	return (st->st_gid == pw->pw_gid && (st->st_mode & 040)) || (st->st_mode & 04);
}

/* A file that must not be open to all, and that user must be able to read. */
static void check_secret(
    struct check *k, const char *name, const char *user, const char *next)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	struct stat st;
	char remedy[4500];

	cli_etc_path(k->cli, name, &path);
	if (stat(str_get(&path), &st) < 0) {
		if (errno == ENOENT && next)
			check_add(
			    k, CHECK_NOT_YET, next, "there is no %s", str_get(&path));
		else if (errno != ENOENT)
			check_add(k, CHECK_WARN, "be root",
			    "%s cannot be looked at: %s", str_get(&path),
			    strerror(errno));
		return;
	}
	snprintf(remedy, sizeof(remedy), "chown root:%s %s; chmod %s %s",
	    user ? user : "root", str_get(&path), user ? "0640" : "0600",
	    str_get(&path));
	if (st.st_mode & 07)
		check_add(k, CHECK_FAIL, remedy,
		    "%s can be read by everybody (mode %04o)", str_get(&path),
		    st.st_mode & 07777);
	else if (user && !is_readable_by(&st, user))
		check_add(k, CHECK_FAIL, remedy, "%s cannot be read by the user %s",
		    str_get(&path), user);
	else
		check_add(k, CHECK_OK, NULL, "%s is kept from others", str_get(&path));
}

void check_secrets(struct check *k)
{
	check_secret(k, "private/registry-ca.key", NULL, NULL);
	check_secret(k, "registry.key", "okd-regd", "okdctl init");
	check_secret(k, "registry.htpasswd", "okd-regd", "okdctl init");
	check_secret(k, "pull-secret.json", "okd-regd", "okdctl init");
	check_secret(k, "install-config.yaml", NULL, NULL);
	check_secret(k, "kubeconfig", "okd-csrd",
	    "okdctl publish DIR, once openshift-install has made the .ign files");
}
