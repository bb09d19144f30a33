/*
 * One configuration as the workers see it: immutable, with pointers to the live
 * objects.  A session keeps the snapshot that it began with to its end; the last user's
 * worker hands it back to the main thread, which alone makes and frees snapshots.
 */
#pragma once

#include "common/worker.h"
#include "lbd/conf.h"
#include "lbd/live.h"

enum { SNAPSHOT_LISTENERS_MAX = 32 };

struct node_live;

struct snap_server {
	const struct server_conf *conf;
	struct server_live *live;
};

struct snap_backend {
	const struct backend_conf *conf;
	struct live *live;
	size_t n;
	struct snap_server *servers;
};

/* What a frontend's sessions tell about an install. */
enum snap_kind { SNAP_PLAIN, SNAP_API, SNAP_MCS };

struct snap_frontend {
	const struct frontend_conf *conf;
	struct live *live;
	const struct snap_backend *backend;
	size_t backend_index;
	enum snap_kind kind;
	int fds[SNAPSHOT_LISTENERS_MAX]; /* listening sockets, not owned */
	unsigned n_fds;
};

struct snapshot {
	struct lbd_conf *conf; /* owned */
	size_t n_frontends, n_backends;
	struct snap_frontend *frontends;
	struct snap_backend *backends;
	/* One a node of the cluster, in its order; owned by the install.  May be NULL. */
	struct node_live **nodes;
	unsigned max_sessions; /* atomic: of the process, at most the next */
	unsigned hard_max_sessions;
	unsigned refs;          /* atomic: the main thread and workers */
	struct message release; /* what the last worker posts to the main thread */
};

/* conf is owned by the snapshot on success.  Live objects of earlier snapshots are left
 * as they are. */
int snapshot_new(
    struct snapshot **ret, struct lbd_conf *conf, struct live_set *set) _mustcheck_;
/* Takes what the configuration says into the live objects; cannot fail. */
void snapshot_apply(struct snapshot *s);
/* Server i of the backend has a check. */
bool snapshot_is_checked(const struct snap_backend *b, size_t i);
/* On the main thread, after the last reference. */
struct snapshot *snapshot_free(struct snapshot *s);
DEFINE_FREEP(snapshot)
static inline void snapshot_ref(struct snapshot *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
}
/* True when that was the last one: then it is to be freed. */
static inline bool snapshot_unref(struct snapshot *s)
{
	return __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0;
}
