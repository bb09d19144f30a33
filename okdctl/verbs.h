/* Front ends of the daemons' admin verbs: each runs with its command line and returns the
 * exit status. */
#pragma once

struct cli;

int dns_get_run(struct cli *c);
int dns_change_run(struct cli *c);
int dns_list_run(struct cli *c);
int dns_import_run(struct cli *c);
int lb_show_run(struct cli *c);
int lb_state_run(struct cli *c);
int lb_weight_run(struct cli *c);
int lb_open_run(struct cli *c);
int registry_verify_run(struct cli *c);
int registry_gc_run(struct cli *c);
int registry_prune_run(struct cli *c);
int registry_import_run(struct cli *c);
int registry_pieces_run(struct cli *c);
int registry_ledger_run(struct cli *c);
int registry_user_run(struct cli *c);
int ign_window_run(struct cli *c);
int ign_validate_run(struct cli *c);
int ign_nodes_run(struct cli *c);
int csr_list_run(struct cli *c);
int csr_show_run(struct cli *c);
int csr_order_run(struct cli *c);
