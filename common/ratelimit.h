/*
 * Token buckets by client address, in a table of bounded size that forgets whoever was
 * quiet for longest.  Time is the caller's (milliseconds of any clock that does not go
 * back), and the maths is in integers, so that the outcome is a pure function of the
 * calls.
 *
 * Auth failures: ratelimit_available() before the attempt, ratelimit_take() on failure.
 * Bandwidth: tokens are bytes, ratelimit_take_upto() says how many may go.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"

struct ratelimit;

struct ratelimit_options {
	uint64_t rate;  /* tokens that come per second; at most 2^40 */
	uint64_t burst; /* tokens that a full bucket holds; at most 2^40, at least 1 */
	unsigned max_keys; /* addresses remembered; 0: 4096 */
	/* IPv6 clients share a bucket by this prefix, since one host commonly owns a
	 * whole /64; 0: 64 */
	uint8_t v6_prefix;
};

/* 0, -EINVAL for options out of range, or -ENOMEM. */
int ratelimit_new(
    struct ratelimit **ret, const struct ratelimit_options *options) _mustcheck_;
struct ratelimit *ratelimit_free(struct ratelimit *r);
DEFINE_FREEP(ratelimit)

/* Takes n tokens and returns true, or takes none.  Without memory it says true. */
bool ratelimit_take(
    struct ratelimit *r, const struct net_ip *ip, uint64_t n, uint64_t now_ms);
/* Takes as many as there are, at most n; returns how many. */
uint64_t ratelimit_take_upto(
    struct ratelimit *r, const struct net_ip *ip, uint64_t n, uint64_t now_ms);
/* Whole tokens in the bucket; an unknown address has a full one. */
uint64_t ratelimit_available(
    const struct ratelimit *r, const struct net_ip *ip, uint64_t now_ms);
/* Milliseconds until n tokens are there; 0: at once, UINT64_MAX: never. */
uint64_t ratelimit_wait_ms(
    const struct ratelimit *r, const struct net_ip *ip, uint64_t n, uint64_t now_ms);
/* Forgets an address, after a success for example. */
void ratelimit_forget(struct ratelimit *r, const struct net_ip *ip);
unsigned ratelimit_count(const struct ratelimit *r);
