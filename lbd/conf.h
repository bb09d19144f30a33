/*
 * lbd.yaml and what follows from cluster.yaml: see okd-lbd.yaml(5).  A loaded
 * configuration is immutable.
 */
#pragma once

#include "common/cluster.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/net.h"

enum {
	CONF_SERVERS_MAX = 1000, /* of one backend */
	CONF_WORKERS_MAX = 16,
};

enum conf_profile { PROFILE_OKD, PROFILE_HAPROXY };
enum conf_log { LOG_TCPLOG, LOG_NONE };
enum conf_check_type { CHECK_TCP, CHECK_TLS, CHECK_HTTP, CHECK_HTTPS, CHECK_OFF };
enum conf_proxy { PROXY_NONE, PROXY_V1, PROXY_V2 };

/* Whom a frontend serves, beside its allow list. */
enum conf_admit {
	ADMIT_ALL,
	ADMIT_NODES,   /* the addresses of the cluster's nodes and of the bastion */
	ADMIT_INSTALL, /* the nodes alone, while an install is in progress */
};

/* Clients that a server serves. */
enum conf_serve { SERVE_ALL, SERVE_MASTERS };

/* Status codes that a check takes for success. */
struct conf_status {
	uint16_t low, high;
};

struct check_conf {
	int type; /* enum conf_check_type */
	uint64_t interval, fast_interval, down_interval, timeout; /* ms, none is 0 */
	uint64_t rise, fall;
	uint64_t reuse;        /* HTTP checks over one connection */
	uint64_t port;         /* 0: the server's */
	struct net_ip address; /* family 0: the server's */
	char *path, *host, *sni, *ca;
	struct conf_list expect; /* struct conf_status */
};

struct server_conf {
	char *name;
	char *address;          /* as written: address or name, and port */
	struct net_endpoint at; /* family 0 while the name is not resolved */
	uint64_t weight;
	bool backup, check;
	uint64_t maxconn; /* 0: no bound */
	uint64_t slowstart;
	int send_proxy; /* enum conf_proxy */
	int serve;      /* enum conf_serve */
	struct net_ip source;
};

struct backend_conf {
	char *name;
	int balance;   /* enum balance_algorithm */
	int hash_type; /* enum balance_hash */
	bool all_backups, failover, close_on_down;
	uint64_t rebalance; /* idle sessions to close a second; 0: none */
	uint64_t rebalance_idle;
	struct check_conf check;
	struct conf_list servers; /* struct server_conf */
};

struct frontend_conf {
	char *name;
	struct conf_list listen; /* struct net_endpoint */
	char *backend;
	int log;                /* enum conf_log */
	struct conf_list allow; /* struct net_cidr; empty: everybody */
	int admit;              /* enum conf_admit */
	uint64_t maxconn;       /* 0: the process's bound alone */
	uint64_t source_connections, source_rate; /* per client address; 0: no bound */
	bool accept_proxy;
};

struct timeouts_conf {
	uint64_t connect, queue, client, server, tunnel, client_fin, server_fin;
	uint64_t keepalive, user_timeout, proxy_header;
};

struct stats_conf {
	struct conf_list listen; /* struct net_endpoint */
	char *monitor_uri, *ready_uri;
};

struct lifecycle_conf {
	char *api, *mcs; /* backends */
	char *bootstrap; /* the server's name in both */
	uint64_t retire_after;
};

struct lbd_conf {
	struct daemon_conf common;
	int profile; /* enum conf_profile */
	uint64_t workers, maxconn;
	struct stats_conf stats;
	struct timeouts_conf timeouts;
	struct lifecycle_conf lifecycle;
	struct conf_list frontends, backends;
	struct cluster *cluster; /* NULL without a cluster file */
};

/* The callbacks of struct daemon_class. */
int lbd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e);
void lbd_conf_free(void *conf);
void lbd_conf_print(const void *conf, struct str *out);

const struct frontend_conf *lbd_conf_frontend(const struct lbd_conf *c, size_t i);
const struct backend_conf *lbd_conf_backend(const struct lbd_conf *c, size_t i);
const struct server_conf *backend_conf_server(const struct backend_conf *b, size_t i);
/* The place of a backend of that name, or -1. */
int lbd_conf_find_backend(const struct lbd_conf *c, const char *name);
const char *conf_balance_name(int balance);

/* What follows from the cluster file, as YAML in the terms of lbd.yaml. */
void conf_derive(const struct cluster *c, int profile, struct str *out);
