/* ignd.yaml, merged with what follows from cluster.yaml: see okd-ignd.yaml(5). */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/conf.h"
#include "common/daemon.h"

/* What a source address may have that cluster.yaml does not name. */
enum unknown_nodes { UNKNOWN_IMAGES, UNKNOWN_ALL, UNKNOWN_NONE };
enum window_default { WINDOW_IS_OPEN, WINDOW_IS_CLOSED };
/* How a closed window refuses: "not yet" (503) or for good (403). */
enum window_refuse { REFUSE_WAIT, REFUSE_FORBID };
enum log_class { LOG_CLASS_NONE, LOG_CLASS_ERROR, LOG_CLASS_ALL };

/* Further settings of one node of the cluster. */
struct ignd_node_conf {
	char *name;
	char *token; /* NULL: none wanted */
};

struct ignd_conf {
	struct daemon_conf daemon; /* first: daemon.c looks for it there */
	struct conf_list listen;   /* struct net_endpoint, plain */
	struct {
		struct conf_list listen; /* struct net_endpoint */
		char *certificate, *key;
	} tls;
	char *install, *ignition, *node_files;        /* folders as they were written */
	char *install_dir, *ignition_dir, *nodes_dir; /* the same, absolute */
	int unknown_nodes;                            /* enum unknown_nodes */
	bool check_mac;         /* compare with the neighbour table on the same link */
	bool hostname;          /* add /etc/hostname to each node's configuration */
	bool page;              /* the page at / and what it reads */
	bool checksums;         /* hash images in the background */
	int log;                /* enum log_class */
	char *lbd_socket;       /* where okd-lbd says who was at the config server */
	char *csrd_socket;      /* where okd-csrd says which nodes have joined */
	struct conf_list nodes; /* struct ignd_node_conf */
	struct {
		int initial; /* enum window_default: without a verb */
		int refuse;  /* enum window_refuse */
		uint64_t retry_after, grace;
		bool once; /* closed once the .ign was fetched completely */
	} window;
	struct {
		uint64_t warn_before;
		bool refuse; /* 503 for a .ign whose certificates do not hold */
	} certificates;
	struct {
		uint64_t connections, per_address;
		uint64_t client_rate, total_rate; /* bytes a second; 0: no bound */
	} limits;
	struct {
		char *kernel, *initrd, *rootfs, *image; /* names below install */
		struct conf_list args;                  /* char *: kernel arguments */
	} boot;
	struct cluster *cluster; /* NULL without a cluster file */
};

/* See struct daemon_class. */
int ignd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e) _mustcheck_;
void ignd_conf_free(void *conf);
void ignd_conf_print(const void *conf, struct str *out);

/* The token that a node must show, or NULL. */
const char *ignd_conf_token(const struct ignd_conf *c, const char *node);
