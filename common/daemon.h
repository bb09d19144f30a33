/*
 * What all daemons share: the command line, configuration files, the main loop,
 * signals, the admin socket, reload, drain, upgrade in place and stop.
 *
 *   okd-<d> [-c FILE] [-C CLUSTERFILE] [-n] [-v] [-V] [-h]
 *
 * A daemon fills one struct daemon_class and calls daemon_main().  All callbacks run on
 * the main thread.
 *
 * Life: conf_load, start, READY=1 (as soon as start returned; a daemon that must wait
 * for something first calls daemon_hold_ready() in start and daemon_release_ready()
 * later). HUP loads the files again and calls reload with the new configuration: on
 * success the daemon owns it and the old one is freed by the daemon; on failure the old
 * one stays in force, and the error is logged and shown in /status.  TERM calls drain,
 * waits until the daemon says daemon_drained() or drain_timeout is over, then free.
 * USR2 starts the program on disk as successor; once that is ready, drain is called
 * without a deadline.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/cluster.h"
#include "common/conf.h"
#include "common/err.h"
#include "common/net.h"
#include "common/str.h"

struct daemon;
struct loop;
struct http_route;
struct workers;

/* Settings every daemon has.  A daemon's configuration struct begins with one, and its
 * field table with DAEMON_CONF_FIELDS. */
struct daemon_conf {
	struct conf_list admin; /* struct net_endpoint: metrics and health over TCP */
	uint64_t drain_timeout; /* ms that TERM waits for work in progress */
	uint64_t generation;    /* 1 for the first configuration, set by daemon.c */
};

extern const struct conf_type daemon_admin_type;
#define DAEMON_CONF_FIELDS                                                          \
	{ .key = "admin",                                                           \
		.type = &daemon_admin_type,                                         \
		.offset = offsetof(struct daemon_conf, admin) },                    \
	{                                                                           \
		.key = "drain_timeout", .type = &conf_duration,                     \
		.offset = offsetof(struct daemon_conf, drain_timeout), .def = "30s" \
	}

struct daemon_class {
	const char *name;    /* "dnsd" */
	const char *summary; /* one line for -h */

	/*
	 * Decodes, derives and validates.  doc is NULL without a file of the daemon's
	 * own, cluster NULL without a cluster file; at least one is there.  Takes the
	 * cluster over on success (*cluster = NULL) and keeps it in the configuration
	 * if it needs it.  Oddities that stop nothing go to warnings, one a line.
	 */
	int (*conf_load)(void **ret, const struct conf_doc *doc,
	    struct cluster **cluster, struct str *warnings, struct err *e);
	void (*conf_free)(void *conf);
	/* The effective configuration as YAML (-n -v, GET /config). */
	void (*conf_print)(const void *conf, struct str *out);

	/* conf belongs to the daemon once start or reload returned 0. */
	int (*start)(void **self, struct daemon *d, void *conf, struct err *e);
	int (*reload)(void *self, void *conf, struct err *e);
	/* No new work; daemon_drained() when the last is done (it may be called at
	 * once). */
	void (*drain)(void *self);
	void (*free)(void *self);

	/* The daemon's own metrics, status members and admin routes; each may be NULL.
	 */
	void (*metrics)(void *self, struct str *out);
	void (*status)(void *self, json_t *obj);
	/* True when ready; else appends one reason a line. */
	bool (*ready)(void *self, struct str *reasons);
	const struct http_route *routes; /* their arg is self */
};

/* main(): returns the exit status.  78 (EX_CONFIG) for a configuration that cannot be
 * used, 1 with -n. */
int daemon_main(const struct daemon_class *class, int argc, char *argv[]) _mustcheck_;

struct loop *daemon_loop(struct daemon *d);
/* Folders of this instance: STATE_DIRECTORY and RUNTIME_DIRECTORY, or the defaults
 * /var/lib/okd-<d> and /run/okd-<d>. */
const char *daemon_state_dir(const struct daemon *d);
const char *daemon_runtime_dir(const struct daemon *d);

/*
 * Listening sockets that survive reload and upgrade, for use inside start and reload
 * alone; sockets that a successful reload did not ask for are closed after it.  See
 * sockets_get() for the arguments.  The descriptors stay the daemon skeleton's own:
 * event handlers must be gone before reload or free returns.
 */
int daemon_listen(struct daemon *d, const struct net_endpoint *e, int type,
    unsigned want, int *fds, unsigned max, struct err *err) _mustcheck_;

void daemon_hold_ready(struct daemon *d);
void daemon_release_ready(struct daemon *d);
void daemon_drained(struct daemon *d);
/* Stops the daemon with an error that was logged already: exit status 1. */
void daemon_fail(struct daemon *d);
/* Keeps the watchdog fed only while each of these workers answers. */
void daemon_watch_workers(struct daemon *d, struct workers *ws);
/* The STATUS= line of `systemctl status`. */
void daemon_status_line(struct daemon *d, const char *fmt, ...) _printf_(2, 3);
