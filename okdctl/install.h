/* What a person does around an install: each runs with its command line and returns the
 * exit status. */
#pragma once

struct cli;

int publish_run(struct cli *c);
int image_add_run(struct cli *c);
int node_add_run(struct cli *c);
int node_remove_run(struct cli *c);
int reset_run(struct cli *c);
int tune_run(struct cli *c);
int wait_run(struct cli *c);
int logs_run(struct cli *c);
int mirror_run(struct cli *c);
