/*
 * okd-lbd: the TCP balancer that knows an OKD install.  The parts of the main thread
 * (verbs, CLI) share this struct and the few operations on servers below.
 */
#pragma once

#include "common/daemon.h"
#include "lbd/server.h"

struct checks;
struct cli;
struct event;
struct install;
struct resolver;
struct site;
struct verbs;

extern const struct daemon_class lbd_class;

struct lbd {
	struct daemon *d;
	struct loop *loop;
	struct live_set live;
	struct engine_shared shared;
	struct workers *workers;
	struct snapshot *snap; /* in force */
	struct checks *checks;
	struct site *site;
	struct install *install;
	struct verbs *verbs;
	struct cli *cli;
	struct resolver *resolver;
	struct event *tick, *hold;
	uint64_t started; /* boot ms */
	bool serving, draining, said;
	unsigned n_drained, ticks;
};

/* NULL where there is none; backend may be NULL. */
const struct snap_server *lbd_find_server(const struct lbd *l, const char *backend,
    const char *server, const struct snap_backend **ret);
const struct snap_frontend *lbd_find_frontend(const struct lbd *l, const char *name);
/* What the main thread says of the servers is in force when this returns: whoever set a
 * state by a verb, or read of it in the log, finds it so. */
void lbd_publish_states(struct lbd *l);
/* After the address of a server has changed. */
void lbd_restart_checks(struct lbd *l);
/* After the health of a server has changed. */
void lbd_step_install(struct lbd *l);
/* After a verb: looks at the install at once. */
void lbd_look(struct lbd *l);
