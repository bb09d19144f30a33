/*
 * cluster.yaml: what the cluster is made of, read once by every daemon.  A loaded
 * cluster is immutable and belongs to whoever loaded it.  See okd-cluster.yaml(5).
 */
#pragma once

#include "common/base.h"
#include "common/conf.h"
#include "common/err.h"
#include "common/net.h"

#define CLUSTER_PATH "/etc/okd-bastion/cluster.yaml"

enum node_role {
	NODE_BOOTSTRAP,
	NODE_MASTER,
	NODE_WORKER,
};

struct cluster_node {
	char *name; /* one DNS label, lower case */
	char *fqdn; /* name.<cluster domain>, derived, without a final dot */
	int role;   /* enum node_role */
	/* struct net_ip, at least one (keys: address, addresses) */
	struct conf_list addresses;
	uint8_t mac[6];
	bool has_mac;
	char *interface, *disk; /* NULL when not given */
	struct conf_list kargs; /* char *: further kernel arguments */
};

struct cluster {
	char *path; /* the file it came from */
	char *name; /* one label or several, as install-config.yaml allows */
	char *base_domain;
	char *domain; /* name.base_domain, derived, lower case, without a final dot */
	struct {
		char *name;
		char *fqdn;                 /* derived */
		struct conf_list addresses; /* struct net_ip */
	} bastion;
	struct conf_list machine_network; /* struct net_cidr */
	struct net_ip gateway;            /* family 0 when not given */
	struct conf_list ingress;         /* struct net_ip; by default the bastion's */
	struct conf_list upstream_dns;    /* char *, in forward's notation */
	struct conf_list etcd_dns;        /* char *: etcd endpoints */
	struct conf_list nodes;           /* struct cluster_node, in the file's order */
};

/* Reads, validates and derives: 0, -ENOENT when there is no such file, -errno with e.
 * Oddities that stop nothing (an even number of masters) go to warnings, one a line,
 * unless that is NULL. */
int cluster_load(struct cluster **ret, const char *path, struct str *warnings,
    struct err *e) _mustcheck_;
int cluster_parse(struct cluster **ret, const char *name, const char *text, size_t n,
    struct str *warnings, struct err *e) _mustcheck_;
struct cluster *cluster_free(struct cluster *c);
DEFINE_FREEP(cluster)

/* Prints it as YAML that loads to the same again. */
void cluster_print(const struct cluster *c, struct str *out);

size_t cluster_n_nodes(const struct cluster *c);
const struct cluster_node *cluster_node_at(const struct cluster *c, size_t i);
/* NULL where none has it. */
const struct cluster_node *cluster_node_by_name(
    const struct cluster *c, const char *name);
const struct cluster_node *cluster_node_by_ip(
    const struct cluster *c, const struct net_ip *ip);
const struct cluster_node *cluster_node_by_mac(
    const struct cluster *c, const uint8_t mac[6]);
/* "52:54:00:00:00:03" */
#define CLUSTER_MAC_MAX 18
const char *cluster_mac_format(const uint8_t mac[6], char buf[CLUSTER_MAC_MAX]);
#define cluster_mac_str(mac) cluster_mac_format((mac), (char[CLUSTER_MAC_MAX]){ "" })
const char *node_role_name(enum node_role role); /* "bootstrap", "master", "worker" */
/* True for an address of the bastion itself. */
bool cluster_is_bastion(const struct cluster *c, const struct net_ip *ip);
/* True for an address within machine_network. */
bool cluster_has_ip(const struct cluster *c, const struct net_ip *ip);
/* Where a daemon listens by default: loopback and the bastion's addresses (c may be NULL),
 * as struct net_endpoint.  A list that was set is left alone.  0 or -ENOMEM. */
int cluster_listeners(
    const struct cluster *c, uint16_t port, struct conf_list *listen) _mustcheck_;
