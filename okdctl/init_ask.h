/* What okdctl init asks a person, with this host's own address and network as defaults. */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "okdctl/topology.h"

/* Asks on the terminal for what the topology lacks; a node that makes no sense is told and
 * asked for again.  0 or -errno. */
int ask_topology(struct topology *t, struct err *err) _mustcheck_;
