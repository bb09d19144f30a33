/*
 * Upgrade in place: the running process starts its successor from the program file on
 * disk, hands it every listening socket, and learns whether it came up.
 *
 * The successor finds the sockets from descriptor 3 on, and OKD_UPGRADE in its environment
 * ("<sockets> <pipe>").  When it is ready it calls upgrade_confirm(); the predecessor
 * then names it to the service manager as the main process, drains and exits.  A
 * successor that dies first changes nothing.
 */
#pragma once

#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/sockets.h"

struct upgrade;

/*
 * The sockets that this process was started with: by a predecessor, or by the service
 * manager (LISTEN_FDS).  Returns how many; *first is 3.  Clears the environment.
 */
int upgrade_inherited(int *first);
/* True when this process was started by a predecessor that waits for upgrade_confirm().
 */
bool upgrade_is_successor(void);
/*
 * Returns once the service manager was told who the main process is: what comes from
 * others it ignores.  0, or an error when the predecessor is gone: this process was given
 * up, and must end without touching the sockets' files.  upgrade_is_successor() stays true
 * then.
 */
int upgrade_confirm(void) _mustcheck_;

/*
 * Starts the successor.  done() is called once on the loop: ok tells whether it came up
 * (its pid is in pid).  The caller frees the upgrade afterwards, not inside done().
 */
int upgrade_start(struct upgrade **ret, struct loop *l, const char *program,
    char *const argv[], const struct sockets *s,
    void (*done)(void *arg, bool ok, pid_t pid), void *arg, struct err *e) _mustcheck_;
bool upgrade_is_pending(const struct upgrade *u);
/*
 * True while a successor is being started, some milliseconds: another process has copies of
 * this one's descriptors meanwhile, CLOEXEC or not.  What is closed then is not gone, and an
 * epoll set goes on telling of it: what its events point to must stay.  On any thread.
 */
bool upgrade_shares_fds(void);
/* The successor's process. */
pid_t upgrade_pid(const struct upgrade *u);
struct upgrade *upgrade_free(struct upgrade *u);
DEFINE_FREEP(upgrade)
