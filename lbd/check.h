/*
 * Health checks: connects to servers from the main loop, counts results into the live
 * objects, and tells when a server's state changes.
 *
 * A TCP check is not seen by the server's accept(): the third packet of the handshake
 * is a reset.  TLS and HTTP checks end with a close alert and FIN.
 */
#pragma once

#include "common/err.h"
#include "lbd/snapshot.h"

struct checks;
struct loop;

struct check_ops {
	/* The server went up or down. */
	void (*changed)(void *arg, const struct snap_backend *b,
	    const struct snap_server *s, bool up);
	/* A result came in, whether it changed anything or not. */
	void (*checked)(
	    void *arg, const struct snap_backend *b, const struct snap_server *s);
	/* Every server has had its first check; once. */
	void (*ready)(void *arg);
	/* After checks_stop(): no check is under way any more. */
	void (*stopped)(void *arg);
};

/*
 * Checks the servers of a snapshot, to which this has a reference of its own.  Servers
 * that were never checked are checked at once, the others spread over their intervals.
 * Fails with a sentence when a CA cannot be read.
 */
int checks_new(struct checks **ret, struct loop *l, struct snapshot *snap,
    const struct check_ops *ops, void *arg, struct err *e) _mustcheck_;
/*
 * Nothing runs before this.  Takes old (or NULL) over: no check that is under way is cut,
 * and those that would be asked again count here.
 */
void checks_start(struct checks *c, struct checks *old);
/* Begins no check any more, counts none, and lets what a server has noticed end by
 * itself; then stopped() runs, perhaps before this returns. */
void checks_stop(struct checks *c);
/* Cuts what is under way. */
struct checks *checks_free(struct checks *c);
DEFINE_FREEP(checks)

enum {
	CHECK_SLACK_MS = 16, /* of the loop's timers, either way */
	/* A server that has retired gets nothing whatever it answers: that it does is
	 * news, and no more than that. */
	CHECK_RETIRED_FACTOR = 10,
};

/* Milliseconds until the next check of a server in that state. */
uint64_t check_delay(const struct check_conf *k, const struct server_live *l);

/* Milliseconds to the last whole second of the boot clock that is at most ms away: what is
 * to be done then is done together. */
static inline uint64_t check_ms_to_second(uint64_t now, uint64_t ms)
{
	uint64_t at = now + ms + CHECK_SLACK_MS;

	return at - at % 1000 - now;
}

/* Books a change of state: when, for how long it was down. */
void check_note_transition(struct server_live *l, bool up);
