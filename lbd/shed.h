/*
 * Taking connections off servers, and showing them: by a verb, at the end of a drain's
 * deadline, and slowly where a server that has come back has fewer than its share.
 */
#pragma once

#include "common/str.h"
#include "lbd/snapshot.h"

struct workers;

/* Once a second, on the main thread: those on servers whose drain has reached its end. */
void shed_overdue(struct workers *ws, const struct snapshot *snap);
/* As often: some of those that are above their server's share. */
void shed_rebalance(struct workers *ws, const struct snapshot *snap);
/* Ends the sessions on a server; returns how many. */
unsigned shed_all(struct workers *ws, const struct server_live *server);
/* Ends the session that shed_list() calls so; false when there is none. */
bool shed_one(struct workers *ws, uintptr_t id);

/*
 * How many of a server's sessions are above its share by weight, 0 while it is near
 * enough: connections come and go, and none is to be closed for nothing.  Pure.
 */
unsigned shed_excess(
    unsigned mine, unsigned weight, unsigned total, unsigned total_weight);

/* The open sessions, at most max: an array of JSON objects, or a line each in HAProxy's
 * terms. */
enum shed_format { SHED_JSON, SHED_LINES };
void shed_list(
    struct workers *ws, unsigned max, enum shed_format format, struct str *out);
