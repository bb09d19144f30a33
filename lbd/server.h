/*
 * The data path of one worker thread: its listeners, its epoll set, its sessions.
 *
 * The engine waits in epoll_wait() of its own rather than in the loop's: each socket is
 * registered once, edge-triggered, with the session's pointer, and never again, so that
 * a short connection costs two epoll_ctl() and an idle one no struct event.
 */
#pragma once

#include "common/list.h"
#include "common/reqlog.h"
#include "common/worker.h"
#include "lbd/balance.h"
#include "lbd/pipes.h"
#include "lbd/snapshot.h"
#include "lbd/wheel.h"

struct engine;
struct session;

enum { ENGINE_BUFFER = 64 * 1024 };

/* Tells the main thread that a worker's last session has ended. */
struct engine_drained {
	struct message m;
	void *owner;
};

/* What the workers share with each other and the main thread. */
struct engine_shared {
	struct live_gauge sessions;            /* of the process */
	struct mailbox *home;                  /* the main thread's */
	void (*on_drained)(struct message *m); /* on the main thread, once a worker */
	struct reqlog *log;
	bool log_fields;       /* the log is the journal */
	unsigned max_pipes;    /* of one worker */
	unsigned install_open; /* atomic: every node may have its configuration */
	unsigned n_engines;    /* atomic: gives each its number */
	struct engine_drained drained[CONF_WORKERS_MAX];
	struct counter accept_pauses; /* one thread's, approximately */
};

struct engine_backend {
	const struct snap_backend *b;
	struct balance *balance;
	struct list_link queue; /* sessions that wait for a server */
	uint32_t n_served;      /* that have left it for one */
	bool running;           /* the queue is gone through */
};

struct sources;

struct engine_listener {
	struct engine_snap *es;
	const struct snap_frontend *f;
	int fd;
	bool on;
	bool dead;      /* was shut down: to be revived */
	unsigned batch; /* connections to accept at a time */
};

/* A snapshot in one worker. */
struct engine_snap {
	struct list_link link;
	struct engine *e;
	struct snapshot *snap;
	unsigned users; /* sessions, and one while it is the current one */
	struct engine_backend *backends;
	struct sources **sources; /* one a frontend; NULL where it has no bounds */
	struct engine_listener *listeners;
	size_t n_listeners;
};

struct engine {
	struct worker *worker;
	struct engine_shared *shared;
	unsigned index;
	int epfd;
	struct engine_snap *current, *next;
	struct list_link snaps;
	struct wheel wheel;
	struct timer resume; /* accepting again after a pause */
	struct timer requeue;
	uint64_t now_ms;
	int64_t real_ms; /* what the wall clock is ahead of now_ms */
	char *buffer;    /* of ENGINE_BUFFER bytes, for one call at a time */
	struct pipes pipes;
	struct list_link sessions;
	struct list_link ready; /* sessions that have more to do */
	struct list_link dead;  /* sessions that ended in this turn */
	struct list_link pool;  /* sessions to be used again */
	unsigned n_sessions, n_pool, n_off;
	/* While all sessions are gone through: ending one must not end another. */
	bool hold_queues;
	bool paused; /* accepting, until resume is due */
	bool draining, drain_told;
	struct reqlog_ring *log;
};

/* arg of engine_class: the shared part. */
extern const struct worker_class engine_class;

/* Runs on the worker, through workers_call(): prepare may fail (result in *r), commit
 * cannot. */
struct engine_change {
	struct snapshot *snap;
	int r;
};
void engine_prepare(void *self, void *change);
void engine_commit(void *self, void *change);
void engine_abandon(void *self, void *change);
/* States or weights of servers have changed: through workers_call(). */
void engine_servers_changed(void *self, void *unused);
/* Limits on sessions have changed, or whether frontends are open: through workers_call().
 * No listener of a frontend that is closed is looked at after that. */
void engine_limits_changed(void *self, void *unused);
/* Stops accepting; on_drained() runs at home when the last session has ended. */
void engine_drain(void *self, void *unused);

/* For sessions. */
/* A peer that has gone without a word is found, as the file says. */
void engine_keep_alive(int fd, const struct timeouts_conf *t);
void engine_session_ended(struct engine *e, struct engine_snap *es);
void engine_fill_loads(struct engine_backend *b);
/* Sessions wait for a server: looks after them in a while. */
void engine_watch_queues(struct engine *e);
enum engine_tag { TAG_CLIENT, TAG_SERVER, TAG_LISTENER, TAG_MAIL };
