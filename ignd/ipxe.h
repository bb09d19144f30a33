/*
 * Boot scripts for iPXE: /boot.ipxe sends each machine on to the script of its MAC
 * address, which boots the live system with the kernel arguments that install the node.
 */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/err.h"
#include "common/str.h"
#include "ignd/conf.h"
#include "ignd/file.h"

/* The text of /boot.ipxe. */
extern const char ipxe_boot_script[];

/* "52-54-00-00-00-03.ipxe", hyphens or colons: 0 or -EINVAL. */
int ipxe_parse_name(const char *name, uint8_t mac[6]) _mustcheck_;

/* Names below the install folder: as configured, or the newest live files there. */
struct ipxe_files {
	char kernel[256], initrd[256], rootfs[256]; /* "" for none */
};
/* 0, or -ENOENT with a sentence about what is missing. */
int ipxe_find_files(struct ipxe_files *f, const struct ignd_conf *c,
    struct root *install, struct err *e) _mustcheck_;

/* The node's script; base is "http://192.168.120.101:8080", token NULL or the one to put
 * into the .ign's URL. */
int ipxe_script(struct str *out, const struct ignd_conf *c,
    const struct cluster_node *n, const struct ipxe_files *f, const char *base,
    const char *token, struct err *e) _mustcheck_;
