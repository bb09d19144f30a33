/* What etcd.c (following a cluster), etcd_check.c (how far it is) and etcd_change.c
 * (following another) share; for these alone. */
#pragma once

#include <event2/event_struct.h>

#include "common/http_client.h"
#include "dnsd/etcd.h"
#include "dnsd/etcd_bad.h"
#include "dnsd/etcd_deletions.h"
#include "dnsd/etcd_leases.h"
#include "dnsd/kvfile.h"

#define RETRY_MIN_MS 100
#define CHECK_TIMEOUT_MS 2000
#define SILENT_MS 2000 /* a host that is gone is found by the kernel */

struct etcd_reply;

enum etcd_state {
	WAITING,
	AUTH,
	LISTING,
	CHECKING,
	WATCHING,
};

/* What to follow, and where its keys go. */
struct etcd_source {
	struct etcd_settings s;
	struct skydns *tree;
	char *prefix;           /* path and a slash */
	struct name_buf *zones; /* NULL once the tree has them */
	size_t n_zones;
};

struct etcd {
	struct loop *loop;
	struct catalog *catalog;
	struct http_client *http;
	struct mailbox *home;
	struct kvfile *file;           /* NULL: none yet */
	struct etcd_source now, other; /* the one in force; another during a change */
	bool prepared, swapped;
	enum etcd_state state;
	unsigned endpoint, api;
	char *token; /* empty: none is needed */
	bool proven; /* it was good for something */
	struct http_transfer *request, *watch;
	struct event retry, check;
	unsigned retry_ms;
	bool stale;   /* a list is needed */
	bool holding; /* our tree in the catalog, during a list */
	bool trouble; /* was logged */
	int64_t cluster_id, term, revision, list_revision;
	/* What was known when the check was sent, and whether it compares; the next one. */
	int64_t check_revision;
	uint64_t check_events, compared_ms, listed_ms;
	uint64_t stirred_ms; /* when a key changed, or a watch began */
	bool comparing, compare;
	bool compared_many; /* by their number alone */
	uint32_t generation;
	struct str from; /* where the next page begins */
	unsigned page;   /* keys of one; fewer when their values are large */
	struct str line; /* of the watch, not whole yet */
	unsigned behind; /* comparisons in a row that knew more than we */
	struct etcd_bad bad;
	struct etcd_leases leases;
	struct http_transfer *lease; /* that asks for one */
	int64_t lease_id;
	struct kv_batch *batch; /* of the list or event at hand */
	bool unsaved;           /* the file is to be left alone until the next list */
	size_t known;           /* values before the list at hand */
	struct etcd_deletions deletions;
	uint64_t good_ms; /* when we last knew that we know all */
	uint64_t n_events, n_lists, n_failures;
	char why[256];
};

const char *etcd_endpoint(const struct etcd *e);
size_t etcd_count_keys(const struct etcd *e);
/* Nothing is under way any more; then what comes next, in so many milliseconds. */
void etcd_stop(struct etcd *e);
void etcd_after(struct etcd *e, unsigned ms);
/* From the beginning: what is to be done first follows from what is known. */
void etcd_begin(struct etcd *e);
/* All keys, and then the watch. */
void etcd_list(struct etcd *e);
void etcd_watch(struct etcd *e);
/* Goes on to the next endpoint after a pause. */
void etcd_fail(struct etcd *e, const char *why);
int etcd_request(struct etcd *e, struct http_transfer **ret, const char *path,
    const struct str *body, struct http_client_request *rq) _mustcheck_;
/* What a reply other than 200 means.  True when the request was replaced by another. */
bool etcd_handle_status(struct etcd *e, struct http_transfer *t, int result);
/* The end of e->request, which asked for keys: take() it, or what else follows from it. */
void etcd_take_range(struct etcd *e, struct http_transfer *t, int result,
    void (*take)(struct etcd *e, const struct etcd_reply *p));

/* Asks how far the cluster is; what is to follow from it is done. */
void etcd_check(struct etcd *e);
void etcd_on_check_timer(evutil_socket_t fd, short what, void *arg);
/* After the usual time; and once a watch has begun. */
void etcd_check_soon(struct etcd *e);
void etcd_check_created(struct etcd *e);

/* With the tree of the source in force, if it has the same path. */
int etcd_source_init(struct etcd *e, struct etcd_source *src,
    const struct etcd_settings *settings) _mustcheck_;
void etcd_source_deinit(struct etcd *e, struct etcd_source *src);
