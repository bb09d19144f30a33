/* The records that follow from cluster.yaml. */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "dnsd/records.h"
#include "dnsd/zone.h"

/*
 * The domains we are authoritative for: the cluster's, and the reverse zones that make up
 * machine_network exactly, cut at octets (IPv4) or nibbles (IPv6).  A network that ends
 * within an octet is several zones: a /20 is sixteen.
 */
int derive_apexes(
    const struct cluster *c, uint32_t negative_ttl, struct zone_edit *e) _mustcheck_;
/*
 * NS for each apex; api, api-int, registry and the bastion's own name with the bastion's
 * addresses; each node's; apps and *.apps with the ingress addresses; etcd-N and
 * _etcd-server-ssl._tcp for the masters in order.  PTR of a node's address is its own name
 * alone; the bastion's addresses have PTRs for bastion, api and api-int.
 */
int derive_records(
    const struct cluster *c, uint32_t ttl, struct records *r) _mustcheck_;
