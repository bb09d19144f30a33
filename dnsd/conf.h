/* dnsd.yaml, merged with what follows from cluster.yaml: see okd-dnsd.yaml(5). */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "dnsd/etcd_settings.h"
#include "dnsd/server.h"
#include "dnsd/zone.h"

struct dnsd_conf {
	struct daemon_conf daemon;     /* first: daemon.c looks for it there */
	struct conf_list listen;       /* struct net_endpoint, UDP and TCP */
	uint64_t workers;              /* 0: auto */
	struct conf_list allow;        /* struct net_cidr */
	uint64_t ttl, negative_ttl;    /* ms; whole seconds count */
	struct conf_list records;      /* char *, lines as in zone files */
	struct conf_list record_files; /* char *, paths */
	struct {
		struct conf_list to; /* char * */
		int policy;
		struct conf_list except; /* char * */
		uint64_t max_concurrent, max_fails, timeout, attempt;
		bool random_case, find_loops;
		char *tls_ca;
	} forward;
	struct {
		uint64_t positive, negative, min_ttl, failure, size, serve_stale;
		struct dnsd_prefetch {
			uint64_t often, gap, percent;
		} prefetch;
	} cache;
	struct {
		uint64_t rate, slip, ipv4_prefix, ipv6_prefix;
	} rrl;
	bool cookies;
	struct conf_list hosts; /* char *, paths */
	uint64_t hosts_ttl;     /* ms */
	bool old_metrics;       /* CoreDNS 1.6's names beside the others */
	struct {
		char *path, *file; /* file NULL: records.db in the state folder */
		bool enabled;
	} store;
	struct conf_list etcd;      /* struct etcd_settings */
	struct conf_list templates; /* struct template_conf */
	bool loadbalance;
	struct conf_list log; /* int: enum log_word in conf.c */
	uint64_t receive_buffer;
	struct {
		uint64_t clients, clients_per_address, queries, idle;
	} tcp;
	struct cluster *cluster;         /* NULL without a cluster file */
	struct server_settings settings; /* for the workers, derived */
	struct records *base;            /* all of the configuration's records */
	struct zone *zone; /* all records, compiled; who serves it takes it */
};

/* See struct daemon_class. */
int dnsd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e) _mustcheck_;
void dnsd_conf_free(void *conf);
void dnsd_conf_print(const void *conf, struct str *out);

/* How many etcd clusters are to be followed; their settings, which are the configuration's. */
size_t dnsd_conf_etcd(
    const struct dnsd_conf *c, struct etcd_settings ret[ETCD_CLUSTERS]);
/* How many workers that means on this host. */
unsigned dnsd_conf_workers(const struct dnsd_conf *c);
