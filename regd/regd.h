/*
 * The registry's life, and what its parts share.
 *
 * Everything about requests runs on one loop, the main thread's.  Beside it: a thread
 * that writes the database, two that wait for the disk, two that follow uploads with their
 * digests, one that hashes passwords.  They get copies of what they need and come home
 * through a mailbox.
 */
#pragma once

#include <event2/event_struct.h>

#include "common/daemon.h"
#include "regd/conf.h"
#include "regd/stats.h"

struct auth;
struct db;
struct gc;
struct hooks;
struct import;
struct ledger;
struct mailbox;
struct overlays;
struct pool;
struct proxy;
struct reqlog;
struct reqlog_ring;
struct scrub;
struct server;
struct store;
struct uploads;
struct writer;

struct regd {
	struct daemon *daemon;
	struct conf *conf;
	struct loop *loop;
	struct mailbox *jobs, *changes; /* where they come home to */
	struct store *store;
	struct writer *writer;
	struct db *db;            /* for reading */
	struct pool *disk, *hash; /* fsync; passwords */
	struct pool *digest;      /* what comes in: see hasher.h */
	struct pool *work;        /* one thread for long jobs ... */
	struct db *work_db;       /* ... which has this to itself */
	struct auth *auth;
	struct uploads *uploads;
	struct server *server;
	struct stats stats;
	struct reqlog *log;
	struct reqlog_ring *log_ring;
	struct event *tick; /* every few seconds: what expires */
	struct gc *gc;
	struct scrub *scrub;
	struct import *import;
	struct ledger *ledger;
	struct overlays *overlays;
	struct proxy *proxy;
	struct hooks *hooks;
	bool read_only;         /* by the verb or the setting */
	bool storage_read_only; /* by its file system, when last looked at */
	uint64_t free_bytes, free_checked_ms, write_checked_ms;
};

extern const struct daemon_class regd_class;

/* Whether n more bytes leave the reserve alone; asks the file system once a second. */
bool regd_has_room(struct regd *g, uint64_t n);
/* Whether the file system takes writes; tries once a second, so ask where something is
 * to be written. */
bool regd_can_write(struct regd *g);
/* n bytes were written. */
void regd_used(struct regd *g, uint64_t n);
