/* The folders that okd-ignd serves from. */
#pragma once

#include "common/base.h"
#include "common/str.h"

struct cli;

/* key is "install" or "ignition": as the running daemon says, else ignd.yaml, else below
 * /var/lib/okd-ignd. */
void ignd_dir(const struct cli *c, const char *key, struct str *out);
