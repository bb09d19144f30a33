/*
 * Requests to the daemons' admin sockets, all at once, each with a deadline.  HTTP/1.0
 * over a Unix socket, by hand: nothing has to be initialised for it.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

struct cli;

enum bastion_daemon { DNSD, LBD, REGD, IGND, CSRD, N_DAEMONS };
extern const char *const daemon_names[N_DAEMONS + 1]; /* "dnsd", ...; ends in NULL */
/* The daemon of that name, with or without okd- before it: -1 for none. */
int daemon_by_name(const char *name);

/* Those that the command line names, or all of them: 0 or an exit status after a
 * sentence. */
int admin_choose(
    const struct cli *c, enum bastion_daemon ret[N_DAEMONS], unsigned *n) _mustcheck_;

#define ADMIN_TIMEOUT_MS 5000
#define ADMIN_BODY_MAX (64u << 20)

struct admin_call {
	enum bastion_daemon to;
	const char *method; /* NULL: GET */
	const char *target; /* "/status" */
	const char *body;   /* NULL: none; else JSON */
	/* What came back. */
	int result; /* the HTTP status, or -errno: -ENOENT no socket, -ECONNREFUSED */
	struct str reply;
};

/* Makes n calls side by side; every one has a result then. */
void admin_call_all(
    const struct cli *c, struct admin_call *calls, unsigned n, int timeout_ms);
void admin_call_deinit(struct admin_call *call);
/* Is it that the daemon does not run? */
bool admin_is_absent(const struct admin_call *call);
/* Says that none of them runs: an exit status. */
int admin_none_runs(void);
/* The path of a daemon's socket. */
void admin_socket_path(const struct cli *c, enum bastion_daemon to, struct str *out);
/* The sentence with which a daemon refused a call, with its place; "" without one. */
void admin_call_message(const struct admin_call *call, struct str *out);
/*
 * Says on stderr why a call did not succeed, and what to do about it: an exit status, 0
 * for a call that did.
 */
int admin_call_explain(const struct cli *c, const struct admin_call *call);
/* One call, explained when it fails; the reply as JSON (NULL when it has none). */
int admin_request(const struct cli *c, enum bastion_daemon to, const char *method,
    const char *target, const json_t *body, json_t **ret) _mustcheck_;

/* The head and body of a whole response: the status, or -EPROTO.  Pure. */
int admin_parse_response(const char *p, size_t n, size_t *body_at);
