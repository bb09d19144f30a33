/*
 * Which server gets the next connection: HAProxy's algorithms with HAProxy's exact
 * picks, apart from any I/O.  One struct balance belongs to one backend and one thread.
 *
 * The caller keeps the array of servers up to date and calls balance_update() after a
 * change of usable, weight or eweight; load and full are looked at with every pick.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"

enum balance_algorithm {
	BALANCE_SOURCE,
	BALANCE_ROUNDROBIN,
	BALANCE_STATIC_RR,
	BALANCE_LEASTCONN,
	BALANCE_FIRST,
	BALANCE_RANDOM,
};

enum balance_hash {
	BALANCE_MAP,        /* "hash-type map-based" */
	BALANCE_CONSISTENT, /* "hash-type consistent" */
};

enum {
	BALANCE_SCALE = 16,       /* parts of a unit of weight, for slow starts */
	BALANCE_WEIGHT_MAX = 256, /* the largest weight */
};

struct balance_server {
	bool usable; /* up, and neither drained nor in maintenance */
	bool backup;
	bool full;        /* has as many connections as it may have */
	unsigned weight;  /* as configured or set, 0 to BALANCE_WEIGHT_MAX */
	unsigned eweight; /* weight * BALANCE_SCALE, less while it starts slowly */
	unsigned load;    /* connections now, waiting ones included */
};

struct balance;

/* n servers, all of them unusable at first; their number in HAProxy's sense (puid) is
 * their place + 1. */
int balance_new(struct balance **ret, enum balance_algorithm algorithm,
    enum balance_hash hash, bool all_backups, size_t n) _mustcheck_;
struct balance *balance_free(struct balance *b);
DEFINE_FREEP(balance)
struct balance_server *balance_server(struct balance *b, size_t i);
/* 0, or -ENOMEM: the old picture stays in force. */
int balance_update(struct balance *b) _mustcheck_;

/* What a source address hashes to: the exclusive or of its 32-bit words. */
uint32_t balance_hash_ip(const struct net_ip *ip);
/*
 * The server for a connection from an address of that hash, or -1 when there is none.
 * Servers in avoid have failed this connection: they are not chosen.  Servers that are
 * full are passed over where the algorithm has a choice; one that is chosen although it
 * is full is where the connection queues.
 */
int balance_pick(
    struct balance *b, uint32_t hash, const uint16_t *avoid, size_t n_avoid);
/* The backup for a connection that every server it was tried on has failed, before any
 * check says that they are down: the first that is usable, has a place and is not in
 * avoid; -1 when there is none. */
int balance_pick_backup(const struct balance *b, const uint16_t *avoid, size_t n_avoid);
/* How many servers connections are spread over: the active ones, else the backups. */
size_t balance_n_usable(const struct balance *b);
