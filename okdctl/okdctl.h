/* The commands of okdctl: each runs with its command line and returns the exit status. */
#pragma once

#include "okdctl/cli.h"

extern const struct cli_command okdctl_commands[];

int init_run(struct cli *c);
int kargs_run(struct cli *c);
int status_run(struct cli *c);
int check_run(struct cli *c);
int reload_run(struct cli *c);
int upgrade_run(struct cli *c);
int import_run(struct cli *c);
int complete_run(struct cli *c);
