/*
 * How many TCP connections there are, in all and from one address.  Shared by all workers,
 * under a lock that is taken when a connection comes and goes, never for a query.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"

struct tcp_limit;

int tcp_limit_new(struct tcp_limit **ret) _mustcheck_;
struct tcp_limit *tcp_limit_free(struct tcp_limit *t);
DEFINE_FREEP(tcp_limit)

void tcp_limit_set(struct tcp_limit *t, unsigned clients, unsigned per_address);

enum tcp_limit_result {
	TCP_LIMIT_OK,
	TCP_LIMIT_CLIENTS, /* too many in all */
	TCP_LIMIT_ADDRESS, /* too many from there */
};

/* Counts a connection in, unless a limit (or memory) forbids it. */
enum tcp_limit_result tcp_limit_enter(struct tcp_limit *t, const struct net_ip *ip);
void tcp_limit_leave(struct tcp_limit *t, const struct net_ip *ip);
