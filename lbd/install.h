/*
 * The install that is in progress: its life as the checks show it, each node's progress
 * as its connections show it, and what follows for the servers and for the machine
 * config server's frontend.  Belongs to the main thread; the fields of struct node_live
 * are shared.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"
#include "lbd/lifecycle.h"
#include "lbd/snapshot.h"

struct install;

/* What a node's connections tell; atomic, written by the workers. */
struct node_live {
	struct list_link link;
	struct net_ip ip;
	uint64_t mcs_attempts, mcs_bytes; /* bytes of the largest reply */
	/* Seconds since 1970; 0: not yet. */
	int64_t mcs_first, fetched, fetched_last;
	int64_t api_first, api_last;
	int64_t refused; /* came for its configuration when the port was closed */
	/* The main thread's: logged and kept; of told_fetched, when that was fetched. */
	int64_t told_fetched;
	bool told_api, told_refused;
};

/* A reply of the machine config server of so many bytes is a configuration; errors and
 * bare handshakes are shorter. */
enum { INSTALL_FETCH_MIN = 16 * 1024 };

/* Reads what an earlier process kept in dir.  The path of the state file and the folder
 * for marks are taken from there. */
int install_new(struct install **ret, const char *state_dir, const char *runtime_dir,
    struct err *e) _mustcheck_;
struct install *install_free(struct install *in);
DEFINE_FREEP(install)

/* Looks at the servers of the snapshot; once a second and after each change.  Returns
 * true when a server's state was changed, so that the workers must be told. */
bool install_step(struct install *in, const struct snapshot *snap);
/* A reinstall: the life begins anew, and nobody has fetched anything. */
void install_restart(struct install *in);
/* The machine config server serves every node for so long, although the install is
 * complete; 0 closes it.  Kept over restarts. */
void install_open(struct install *in, uint64_t seconds);
bool install_is_open(const struct install *in);
const struct lifecycle *install_lifecycle(const struct install *in);
/* The progress of one address, made when it is not there; NULL without memory. */
struct node_live *install_node(struct install *in, const struct net_ip *ip);
void install_status(const struct install *in, const struct snapshot *snap, json_t *obj);
void install_metrics(const struct install *in, struct str *out);
/* One line for people. */
void install_headline(const struct install *in, struct str *out);

/* A node came for its configuration and was turned away; on any thread. */
void node_live_refuse(struct node_live *n);
/* Of a session that has ended, or begun to the API; on any thread. */
void node_live_add(struct node_live *n, enum snap_kind kind, uint64_t bytes);
