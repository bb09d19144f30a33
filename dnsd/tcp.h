/*
 * Queries over TCP (RFC 7766): pipelined, answered in the order of their arrival but for
 * what upstreams are asked for, within limits on clients, queries, bytes and seconds.
 */
#pragma once

#include "common/base.h"
#include "dnsd/server.h"

struct loop;
struct tcp;

/* env is read for each query; its settings must be there before the first. */
int tcp_new(struct tcp **ret, struct loop *l, struct tcp_limit *limit,
    const struct server_env *env) _mustcheck_;
struct tcp *tcp_free(struct tcp *t);

/* Replaces the listeners; connections live on. */
int tcp_listen(struct tcp *t, const int *fds, unsigned n) _mustcheck_;
/* Accepts nothing more; done(arg) once when no connection is left. */
void tcp_drain(struct tcp *t, void (*done)(void *arg), void *arg);
