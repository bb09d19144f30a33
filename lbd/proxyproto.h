/*
 * The PROXY protocol, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt): who the
 * client behind another balancer is.  Pure.
 */
#pragma once

#include <sys/types.h>

#include "common/base.h"
#include "common/net.h"

enum {
	PROXYPROTO_V1_MAX = 107,
	PROXYPROTO_HEADER_MAX = 16 + 65535, /* a version 2 header with all its TLVs */
	PROXYPROTO_FORMAT_MAX = 108,
};

struct proxyproto {
	/* Family 0: the header names nobody (UNKNOWN, LOCAL, AF_UNSPEC), so that the
	 * connection's own addresses stand. */
	struct net_endpoint from, to;
};

/* The header at the start of n bytes: its length, -EAGAIN when more is needed, or
 * -EBADMSG. */
ssize_t proxyproto_parse(const void *p, size_t n, struct proxyproto *ret) _mustcheck_;
/* Writes a header of version 1 or 2; returns its length. */
size_t proxyproto_format(
    const struct proxyproto *h, unsigned version, char buf[PROXYPROTO_FORMAT_MAX]);
