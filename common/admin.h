/*
 * The admin socket of a daemon: GET /healthz, /readyz, /metrics, /status, /config and
 * POST /v1/reload, beside the daemon's own routes; over TCP, where that is configured,
 * /healthz, /readyz and /metrics alone.
 *
 * Who may connect is decided by the socket's mode 0660 and its group okd-admin. Whoever
 * does may read; changing verbs (any method but GET and HEAD) are for root, the
 * daemon's own user and the people in group okd-admin, by SO_PEERCRED.  The daemons of
 * the suite (users named okd-*) may read alone.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

struct admin;
struct http_route;
struct loop;

/* What the pages show; every callback gets arg. */
struct admin_ops {
	void (*metrics)(void *arg, struct str *out);
	void (*status)(void *arg, json_t *obj);
	void (*config)(void *arg, struct str *out);
	/* True when ready; else reasons, one a line. */
	bool (*ready)(void *arg, struct str *reasons);
	int (*reload)(void *arg, struct err *e);
};

/* routes may be NULL; their handlers get routes_arg. */
int admin_new(struct admin **ret, struct loop *l, const struct admin_ops *ops,
    void *arg, const struct http_route *routes, void *routes_arg) _mustcheck_;
struct admin *admin_free(struct admin *a);
DEFINE_FREEP(admin)
/*
 * Serves what is accepted on these listening sockets, which stay the caller's: fds[0]
 * is the Unix socket, the rest are TCP.  Takes the place of the set of an earlier call.
 */
int admin_listen(struct admin *a, const int *fds, unsigned n) _mustcheck_;
/* Stops accepting, and lets go of those who keep a connection: a successor has taken over. */
void admin_drain(struct admin *a);
