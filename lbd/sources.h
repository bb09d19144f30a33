/*
 * How many connections each client address has open and makes, for one frontend in one
 * worker; an address is listed until its last connection ends.  IPv6 addresses of one /64
 * count as one client, since a host commonly owns it whole.
 */
#pragma once

#include "common/net.h"

struct sources;

/* At most so many at a time, and so many new ones a second; 0: no bound. */
int sources_new(struct sources **ret, unsigned connections, unsigned rate) _mustcheck_;
struct sources *sources_free(struct sources *s);
DEFINE_FREEP(sources)
/* Counts a connection in, or says false. Without memory it says true and counts
 * nothing. */
bool sources_enter(struct sources *s, const struct net_ip *ip, uint64_t now_ms);
/* For every address that entered. */
void sources_leave(struct sources *s, const struct net_ip *ip);

struct source_count {
	struct net_ip ip;
	unsigned open; /* connections */
	unsigned
	    recent; /* about as many as were made within a second; 0 without rate */
};
/* Calls each() for every address, until it says false. */
void sources_each(const struct sources *s, uint64_t now_ms,
    bool (*each)(void *arg, const struct source_count *c), void *arg);
