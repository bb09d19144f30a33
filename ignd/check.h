/* What `okd-ignd -n` says about the files that a configuration names. */
#pragma once

struct ignd_conf;
struct str;

/* Reads the roles' configs below the ignition folder and those of single nodes, and
 * appends, one a line, what a node would stumble over.  Nothing of it stops the daemon. */
void check_ignition(const struct ignd_conf *c, struct str *warnings);
