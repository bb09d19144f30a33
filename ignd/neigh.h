/* The kernel's neighbour table: which network card answers for an address. */
#pragma once

#include "common/base.h"
#include "common/net.h"

/* Fills mac for an address on the same link (ARP, IPv6 neighbour discovery): true when
 * the kernel knows it.  One netlink dump, microseconds for the tables of a bastion. */
bool neigh_lookup(const struct net_ip *ip, uint8_t mac[6]);
