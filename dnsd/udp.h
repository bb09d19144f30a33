/*
 * Queries over UDP, in batches: one recvmmsg, an answer for each message in the buffer it
 * came in, one sendmmsg; again until a batch comes back short.
 */
#pragma once

#include "common/base.h"
#include "dnsd/server.h"

#define UDP_BATCH 64

struct udp_batch; /* the buffers; one for each worker serves all of its sockets */

int udp_batch_new(struct udp_batch **ret) _mustcheck_;
struct udp_batch *udp_batch_free(struct udp_batch *b);

/* Prepares a socket bound by net_bind(): true when replies need the address that was
 * asked, which is so for wildcard sockets alone. */
bool udp_prepare(int fd);

struct forward_waiter;
/* The socket by which somebody asked who waits for an upstream; -1 for others. */
int udp_waiter_fd(const struct forward_waiter *w);

/* Serves what waits in a socket, at most a few batches.  False when nothing did. */
bool udp_serve(
    struct udp_batch *b, int fd, bool wildcard, const struct server_env *env);
