/* Boot scripts: see ipxe.h. */
#include "ignd/ipxe.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/http_path.h"
#include "common/kargs.h"

const char ipxe_boot_script[] =
    "#!ipxe\n"
    "chain ipxe/${mac:hexhyp}.ipxe || goto unknown\n"
    ":unknown\n"
    "echo No node in cluster.yaml has the MAC address ${mac}, or its files are "
    "missing\n"
    "echo The log of okd-ignd says more; trying again in a minute\n"
    "sleep 60\n"
    "chain boot.ipxe\n";

int ipxe_parse_name(const char *name, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		int v = name[0] && name[1] ? http_hex_pair(name) : -1;

		if (v < 0)
			return -EINVAL;
		mac[i] = (uint8_t)v;
		name += 2;
		if (i < 5 && *name != '-' && *name != ':')
			return -EINVAL;
		name += i < 5;
	}
	return str_eq(name, ".ipxe") ? 0 : -EINVAL;
}

/* Takes the configured name, else keeps name where it is the later one that fits. */
static void offer(char to[256], const char *name, const char *part)
{
	if (strstr(name, part) && !str_ends(name, ".sig") &&
	    !str_ends(name, ".sha256") && !str_ends(name, ".sha512") &&
	    strcmp(name, to) > 0)
		snprintf(to, 256, "%s", name);
}

static void find_live(struct ipxe_files *f, struct root *install)
{
	int fd = root_dir(install, ".");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		fd_close(fd);
		return;
	}
	while ((d = readdir(dir))) {
		offer(f->kernel, d->d_name, "live-kernel");
		offer(f->initrd, d->d_name, "live-initramfs");
		offer(f->rootfs, d->d_name, "live-rootfs");
	}
	closedir(dir);
}

int ipxe_find_files(struct ipxe_files *f, const struct ignd_conf *c,
    struct root *install, struct err *e)
{
	*f = (struct ipxe_files){ 0 };
	if (!c->boot.kernel || !c->boot.initrd)
		find_live(f, install);
	if (c->boot.kernel)
		snprintf(f->kernel, sizeof(f->kernel), "%s", c->boot.kernel);
	if (c->boot.initrd)
		snprintf(f->initrd, sizeof(f->initrd), "%s", c->boot.initrd);
	if (c->boot.rootfs)
		snprintf(f->rootfs, sizeof(f->rootfs), "%s", c->boot.rootfs);
	if (f->kernel[0] && f->initrd[0])
		return 0;
	return err_set(e, -ENOENT,
	    "there is no live %s in %s; put Fedora CoreOS's live-kernel, "
	    "live-initramfs "
	    "and live-rootfs there, or name them under boot in ignd.yaml",
	    f->kernel[0] ? "initramfs" : "kernel", c->install_dir);
}

/* A value inside a URL. */
static void add_escaped(struct str *out, const char *s)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			str_addc(out, *s);
		else
			str_addf(out, "%%%02X", (unsigned char)*s);
	}
}

/* A line end in an argument would begin a command of the script. */
static int check_args(const struct ignd_conf *c, struct err *e)
{
	for (size_t i = 0; i < c->boot.args.n; i++)
		for (const char *p = conf_list_items(&c->boot.args, char *)[i]; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return err_set(
				    e, -EINVAL, "boot: args hold a control character");
	return 0;
}

int ipxe_script(struct str *out, const struct ignd_conf *c,
    const struct cluster_node *n, const struct ipxe_files *f, const char *base,
    const char *token, struct err *e)
{
	_cleanup_(str_deinit) struct str kargs = STR_INIT, image = STR_INIT;
	_cleanup_(str_deinit) struct str ignition = STR_INIT;
	struct kargs_urls urls;
	int r = check_args(c, e);

	if (r < 0)
		return r;
	str_addf(&image, "%s/install/%s", base, c->boot.image);
	str_addf(&ignition, "%s/ignition/%s.ign%s", base,
	    node_role_name((enum node_role)n->role), token ? "?t=" : "");
	if (token)
		add_escaped(&ignition, token);
	urls = (struct kargs_urls){ str_get(&image), str_get(&ignition) };
	r = kargs_build(&kargs, c->cluster, n, &urls, e);
	if (r < 0)
		return r;
	str_addf(out, "#!ipxe\n# node %s of %s\nkernel %s/install/%s initrd=main",
	    n->name, c->cluster->domain, base, f->kernel);
	if (f->rootfs[0])
		str_addf(out, " coreos.live.rootfs_url=%s/install/%s", base, f->rootfs);
	str_addf(out, " %s", str_get(&kargs));
	for (size_t i = 0; i < c->boot.args.n; i++)
		str_addf(out, " %s", conf_list_items(&c->boot.args, char *)[i]);
	str_addf(out, "\ninitrd --name main %s/install/%s\nboot\n", base, f->initrd);
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}
