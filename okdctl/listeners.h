/* Who listens on a port of this host: /proc/net, and /proc/PID/fd for names. */
#pragma once

#include <sys/types.h>

#include "common/base.h"
#include "common/net.h"
#include "common/str.h"

struct listener {
	struct net_endpoint at; /* family 0: any address */
	unsigned long inode;
};

/* One line of /proc/net/{tcp,udp}{,6}: 0 for a socket that listens, else -EINVAL.
 * Pure. */
int listener_parse(const char *line, bool udp, struct listener *ret) _mustcheck_;
/* Would binding e meet a socket that listens there?  Fills ret. */
bool listener_find(const struct net_endpoint *e, bool udp, struct listener *ret);
/* Does that process hold the socket?  Others may hold it too, as systemd does for a
 * daemon whose sockets outlive it. */
bool listener_held_by(const struct listener *l, pid_t pid);
/* "systemd-resolve (process 123)"; "another program" when it may not be seen. */
void listener_owner(const struct listener *l, pid_t *pid, struct str *out);
