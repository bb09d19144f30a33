/*
 * What the bastion's host needs beside the daemons: users, resolver, trust in the
 * registry's CA, firewall, SELinux labels.  Each action knows whether it is needed, says
 * what it does, and does it.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"

struct cli;
struct cluster;

/* Lists what is to be done, asks unless --yes, does it (not with --dry-run): an exit
 * status.  --root DIR works on the files below DIR and runs no program.  The list is
 * printed, or with --json added to said as "host", and whether it was done as "applied".
 */
int host_apply(
    struct cli *c, const struct cluster *cluster, const char *ca, json_t *said);
