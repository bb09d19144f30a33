/*
 * The socket for HAProxy's commands (see command.h), for scripts that speak to it through
 * socat: a connection carries one line and its answer.  The socket is haproxy.sock in the daemon's run-time folder, mode
 * 0600.
 */
#pragma once

#include "common/base.h"

struct cli;
struct lbd;

/* Takes the name over from whoever has it. -errno, also in errno. */
int cli_new(struct cli **ret, struct lbd *l) _mustcheck_;
struct cli *cli_free(struct cli *c);
