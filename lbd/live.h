/*
 * What outlives a reload: the counters and states of frontends, backends and servers.
 *
 * Shared between threads, each field in one of three ways: counters have one writer per
 * worker; the fields marked "atomic" are read and written by all through the functions
 * here; the rest is the main thread's alone.  An object lives while a snapshot refers
 * to it, and snapshots live while a session does.
 */
#pragma once

#include "common/clock.h"
#include "common/list.h"
#include "common/metrics.h"
#include "common/net.h"
#include "lbd/health.h"

struct live_counters {
	struct counter connections; /* accepted */
	struct counter sessions;    /* that got past the frontend's rules */
	struct counter in, out;     /* bytes from and to clients */
	struct counter denied;      /* reset by a rule */
	struct counter bad;         /* no valid PROXY header */
	struct counter errors;      /* connections that failed */
	struct counter retries, redispatches;
	struct counter client_aborts, server_aborts;
	struct counter queue_ms, connect_ms, total_ms; /* sums over sessions */
	struct counter last;                           /* when, in boot ms */
} __attribute__((aligned(64)));

/* A gauge and its largest value. */
struct live_gauge {
	unsigned now, max; /* atomic */
};

#define LIVE_NO_LIMIT UINT32_MAX

/* Whether a frontend takes connections; else its port refuses them. */
enum live_open {
	LIVE_OPEN,
	LIVE_PAUSED, /* until it is enabled again */
	LIVE_SHUT,   /* until the next reload or upgrade */
};

struct live {
	struct list_link link; /* among its kind */
	unsigned refs;
	char *name;
	uint64_t since; /* boot ms */
	struct live_gauge sessions, queue;
	unsigned limit;         /* atomic: on sessions; of frontends and servers */
	unsigned initial_limit; /* the file's */
	enum live_open open;    /* atomic: of frontends */
	unsigned rate, rate_max;
	uint64_t rate_total;
	unsigned n_workers;
	struct live_counters *workers;
};

/* Why a server gets no connections though its checks may succeed; a set. */
enum server_admin {
	SERVER_DRAIN = 1 << 0,
	SERVER_MAINT = 1 << 1,
	SERVER_UNRESOLVED = 1 << 2,
	SERVER_RETIRED = 1 << 3, /* the bootstrap, after the install */
};

/* Where connections go. */
struct server_address {
	union net_sockaddr sa;
	socklen_t len;
};

struct server_live {
	struct live base;
	const char *backend;            /* name, owned by the backend's live */
	char *address;                  /* as the file has it */
	struct net_endpoint configured; /* family 0 for a name */
	struct net_endpoint at;
	bool moved; /* by hand, away from what the file says */
	struct server_address addresses[2];
	const struct server_address *to;  /* atomic: one of them; NULL: none is known */
	unsigned usable, weight, eweight; /* atomic */
	unsigned down;                    /* atomic: by its checks */
	unsigned initial_weight, admin;
	bool checked; /* has a check */
	struct health health;
	enum check_status status;
	unsigned code; /* of the last reply; 0: none */
	bool running;  /* a check is under way */
	char info[128];
	unsigned duration_ms;
	uint64_t changed, down_since, down_ms; /* boot ms; 0: is not down */
	uint64_t up_since;
	unsigned failures, downs;
	uint64_t checks;    /* that were done */
	uint64_t check_due; /* boot ms, of the next one; 0: none was planned */
	uint64_t cut_at;    /* boot ms; the end of a drain's patience, 0: has none */
	int64_t told_not_after; /* a warning was written about this one */
	int64_t not_after;      /* of the certificate seen by a check; 0: unknown */
	char issuer[128];       /* of that certificate; "": unknown */
	bool misnamed;          /* it is not for the name that the check asks for */
	int64_t told_misnamed;  /* not_after of the one that this was written about */
};

struct live_set {
	struct list_link frontends, backends, servers;
	unsigned n_workers;
};

void live_set_init(struct live_set *s, unsigned n_workers);
/* An object of that name with one more reference, found or made; NULL: no memory. */
struct live *live_get(struct live_set *set, struct list_link *kind, const char *name);
/* Likewise; one at another address, or of another host's name, is another server. */
struct server_live *live_get_server(struct live_set *set, struct live *backend,
    const char *name, const char *address, const struct net_endpoint *at);
struct live *live_unref(struct live *l);
struct server_live *server_live_unref(struct server_live *s);

static inline void live_enter(struct live_gauge *g)
{
	unsigned n = __atomic_add_fetch(&g->now, 1, __ATOMIC_RELAXED);

	if (n > __atomic_load_n(&g->max, __ATOMIC_RELAXED))
		__atomic_store_n(&g->max, n, __ATOMIC_RELAXED);
}

static inline void live_leave(struct live_gauge *g)
{
	__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
}

static inline unsigned live_now(const struct live_gauge *g)
{
	return __atomic_load_n(&g->now, __ATOMIC_RELAXED);
}

static inline unsigned live_max(const struct live_gauge *g)
{
	return __atomic_load_n(&g->max, __ATOMIC_RELAXED);
}

/* The sum of one counter over the workers: offset is offsetof(live_counters, x). */
uint64_t live_sum(const struct live *l, size_t offset);
#define live_total(l, field) live_sum((l), offsetof(struct live_counters, field))
/* Once a second: the rate of new sessions (connections for a frontend). */
void live_tick(struct live *l, size_t offset);
/* What "clear counters" clears: the largest values. */
void live_clear_max(struct live *l);
/* What "clear counters all" clears beside: this worker's counters, on that worker; then,
 * at home, what is derived from them. */
void live_clear_counters(struct live *l, unsigned worker);
void live_clear_rate(struct live *l);

static inline unsigned live_limit(const struct live *l)
{
	return __atomic_load_n(&l->limit, __ATOMIC_RELAXED);
}

void live_set_limit(struct live *l, unsigned limit);
/* The file's; 0 is none.  One that was set by hand stays until the file's changes. */
void live_configure_limit(struct live *l, uint64_t limit);

/* Connections begun from here on go there.  Between two changes every worker must have
 * been called, so that none still reads the address before the last. */
void server_live_set_address(struct server_live *s, const struct net_endpoint *at);

/* Publishes to the workers whether the server may be used, and its weight. */
void server_live_publish(struct server_live *s, uint64_t slowstart_ms);
bool server_live_is_up(const struct server_live *s);
/* "UP", "DOWN 1/2", "DRAIN", "MAINT", "no check", ... as HAProxy shows it. */
const char *server_live_text(const struct server_live *s, char *buf);
