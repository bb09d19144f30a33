/*
 * DNS cookies (RFC 7873) in the form that servers share (RFC 9018): eight bytes of the
 * client's, then a version, the time, and a hash of these and the client's address under
 * our key.  Who sends one back that we gave does not forge its address.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"

#define COOKIE_CLIENT_LEN 8
#define COOKIE_LEN 24

struct cookie_key {
	uint8_t bytes[16];
};

void cookie_key_random(struct cookie_key *k);
/* cookie holds the client's part, of a query's cookie of n bytes, and as much of the rest as
 * there is.  True when it is one that we gave to this address; in any case the server's part
 * is then what is to be sent: the same, or a fresh one.  now: seconds since 1970. */
bool cookie_refresh(uint8_t cookie[COOKIE_LEN], size_t n, const struct cookie_key *k,
    const struct net_ip *ip, uint32_t now);
