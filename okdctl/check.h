/*
 * okdctl check: a line for each thing that an install depends on.  A check appends
 * lines; it never stops the ones behind it.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"
#include "common/str.h"
#include "okdctl/status.h"

struct cli;
struct cluster;
struct conf_doc;

enum check_level { CHECK_OK, CHECK_NOT_YET, CHECK_WARN, CHECK_FAIL };

struct check_line {
	const char *group; /* "dns" */
	enum check_level level;
	char *text, *remedy; /* remedy may be NULL */
};

struct check {
	struct cli *cli;
	const struct cluster *cluster; /* NULL: the file is missing or bad */
	struct str warnings;           /* about the cluster file, a line each */
	struct status status;
	const char *group; /* of the lines to come */
	struct check_line *lines;
	size_t n_lines;
	int err;
};

/* Appends a line; remedy is what a person would do, NULL for a thing that is well. */
void check_add(struct check *k, enum check_level level, const char *remedy,
    const char *fmt, ...) _printf_(4, 5);
/* Is the daemon there and answering? */
bool check_runs(const struct check *k, enum bastion_daemon d);
/*
 * Where a daemon listens: from its running configuration, its file, or the default, in
 * that order.  Returns how many of at most max endpoints were filled in.
 */
size_t check_listen(
    const struct check *k, enum bastion_daemon d, struct net_endpoint *ret, size_t max);
/* The same from YAML text: listen at the top and in frontends and stats.  Pure. */
size_t check_listen_of(
    const char *yaml, size_t n, struct net_endpoint *ret, size_t max);
/* The configuration that a daemon runs with, else its file: 0 or -errno. */
int check_config(
    const struct check *k, enum bastion_daemon d, struct conf_doc **ret) _mustcheck_;
/* Where okd-lbd serves a backend, by its configuration: as many as were filled in. */
size_t check_frontend(
    const struct check *k, const char *backend, struct net_endpoint *ret, size_t max);
/* A setting of it, in a table or, for NULL, at the top; nothing where it is not set. */
void check_setting(const struct check *k, enum bastion_daemon d, const char *table,
    const char *key, struct str *out);

/* How far the clocks of the nodes are off that answer; in check_clock.c. */
void check_skew(struct check *k);
/* Is the API server's certificate one for its names?  In check_api.c. */
void check_api(struct check *k);
/* Do the .ign files trust the machine config servers?  In check_mcs.c. */
void check_mcs(struct check *k, const json_t *backend);
/*
 * What a role's Ignition file says of its machine config server: appends the PEM of the
 * authorities that it is to be of, and the URL.  -EINVAL for what is no such file.  Pure.
 */
int check_mcs_pointer(
    const char *ign, size_t n, struct str *authorities, struct str *url) _mustcheck_;
/* Appends the PEM of the authorities that a kubeconfig's first cluster has: -ENOENT for
 * none, -EINVAL for what is no kubeconfig.  Pure. */
int check_api_authorities(
    const char *kubeconfig, size_t n, struct str *out) _mustcheck_;
/* Does install-config.yaml say what cluster.yaml and the registry do?  In
 * check_config.c. */
void check_install_config(
    struct check *k, const char *ca, const char *registry, const char *password);
/* Is every release that was mirrored whole?  In check_release.c. */
void check_release(struct check *k, const char *repository, const json_t *tags);

/* The names of the groups; ends in NULL. */
extern const char *const check_groups[];

/* The groups, in the order of the output. */
void check_host(struct check *k);
void check_secrets(struct check *k);
void check_ports(struct check *k);
void check_dns(struct check *k);
void check_lb(struct check *k);
void check_registry(struct check *k);
void check_files(struct check *k);
void check_csr(struct check *k);
