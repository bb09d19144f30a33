/*
 * The kernel arguments that install a node of the cluster, as a person would otherwise
 * type them at its boot prompt (dracut.cmdline(7), coreos-installer(8)).
 */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/err.h"
#include "common/str.h"

/* Where the node finds its files; NULL leaves the argument out. */
struct kargs_urls {
	const char *image, *ignition;
};

/*
 * Appends, with single blanks between and in this order:
 *   ip=ADDRESS::GATEWAY:NETMASK:FQDN:INTERFACE:none nameserver=BASTION
 *   coreos.inst.install_dev=DISK coreos.inst.image_url=URL coreos.inst.ignition_url=URL
 * and the node's own kargs.  The address is the node's first one, and so is the bastion's;
 * IPv6 addresses stand in brackets with a prefix length as netmask.  -EINVAL with a
 * sentence when the cluster file lacks what is needed: a disk, or a machine_network that
 * holds the address; -ENOMEM.
 */
int kargs_build(struct str *out, const struct cluster *c, const struct cluster_node *n,
    const struct kargs_urls *urls, struct err *e) _mustcheck_;
