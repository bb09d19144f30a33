/*
 * What an administrator changes while it runs, by verbs and HAProxy's commands.  It is
 * in force when a function returns, stays over a reload and an upgrade in place until the
 * file says something else about the same thing, and ends with a stop.
 */
#pragma once

#include "lbd/snapshot.h"

struct lbd;

enum override_state { OVERRIDE_READY, OVERRIDE_DRAIN, OVERRIDE_MAINT };

/* What "set server B/s state" does; logged like HAProxy. */
void override_state(struct lbd *l, const struct snap_backend *b,
    const struct snap_server *s, enum override_state state);
void override_weight(struct lbd *l, const struct snap_server *s, unsigned weight);
/* As though its checks had said so; the next ones may say something else. */
void override_health(
    struct lbd *l, const struct snap_backend *b, const struct snap_server *s, bool up);
/* Sessions at a time, of a frontend or a server; LIVE_NO_LIMIT: the process's alone. */
void override_limit(struct lbd *l, struct live *target, unsigned limit);
/* Of the process; at most hard_max_sessions of the snapshot. */
void override_max_sessions(struct lbd *l, unsigned max);
/* New connections go to that address; open ones stay where they are. */
void override_address(
    struct lbd *l, const struct snap_server *s, const struct net_endpoint *at);
/* Opens a frontend or has its port refuse connections; open ones stay. */
void override_open(struct lbd *l, const struct snap_frontend *f, enum live_open open);

/* At a reload: what is not in the live objects. */
void override_inherit(struct snapshot *snap, const struct snapshot *old);
