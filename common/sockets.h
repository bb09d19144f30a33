/*
 * The listening sockets of a program: they outlive a reload, and an upgrade in place or
 * the service manager hands them to the next process.
 *
 * What was inherited is told apart by its own bound address, so that it does not matter
 * who passed it.  A reload runs between sockets_begin() and sockets_commit():
 * sockets_get() binds what is missing, commit closes what nobody asked for, rollback
 * closes what was bound since begin.
 *
 * TCP has one listener per address that workers share.  UDP has one socket per worker
 * on the same port: the first is bound without SO_REUSEPORT, which fails when any other
 * program holds the port, and is opened to its siblings only then; so two instances can
 * never answer on one port by halves.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/net.h"

struct sockets;

/* Adopts the n descriptors from first on; those that are no bound sockets are closed.
 */
int sockets_new(struct sockets **ret, int first, int n) _mustcheck_;
/* Closes all. */
struct sockets *sockets_free(struct sockets *s);
DEFINE_FREEP(sockets)

void sockets_begin(struct sockets *s);
void sockets_commit(struct sockets *s);
void sockets_rollback(struct sockets *s);

/*
 * At least want sockets of that type on e, in fds (max entries); returns how many there
 * are, which is more than want when more were inherited and each must be served.  They
 * stay the set's own.  SOCK_STREAM always yields one.
 */
int sockets_get(struct sockets *s, const struct net_endpoint *e, int type,
    unsigned want, int *fds, unsigned max, struct err *err) _mustcheck_;
/* The listening Unix socket at path, with that mode; a dead one in its place is
 * removed, a live one is an error.  Returns the descriptor, which stays the set's own.
 */
int sockets_get_unix(
    struct sockets *s, const char *path, mode_t mode, struct err *err) _mustcheck_;

/* All descriptors, for handing over. */
unsigned sockets_count(const struct sockets *s);
int sockets_at(const struct sockets *s, unsigned i);
/* Files of Unix sockets are left in place when the set is freed: somebody else has
 * them. */
void sockets_handed_over(struct sockets *s);
