/* The zone of firewalld that the nodes come in by. */
#pragma once

#include "common/str.h"

struct cluster;

/* "--zone=internal" for the interface with the bastion's address; nothing when there is no
 * such interface, or it is in the default zone. */
void firewall_zone(const struct cluster *c, struct str *out);
