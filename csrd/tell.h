/* What the approver says: journal lines with fields, and rows of the audit. */
#pragma once

#include "csrd/approver.h"

/* A decision of the policy, once per request and reason. */
void tell_decision(struct record *r, const struct verdict *v, enum stats_decision d);
/* The row of a decision that is to be carried out. */
void tell_entry(const struct record *r, const struct verdict *v, bool deny,
    const char *by, char *names, size_t names_size, struct audit_entry *ret);
/* Somebody else approved a node's first certificate: its key holds the name, also after
 * a restart. */
void tell_elsewhere(
    struct approver *a, const struct csr *csr, const char *node, int64_t at);
void tell_approved(const struct record *r);
void tell_denied(const struct record *r);
void tell_issued(const struct record *r);
void tell_signing_failed(const struct record *r, const char *why);
void tell_not_issued(const struct record *r);
void tell_refused(const struct record *r, const char *why);
void tell_node_ready(const char *node);
void tell_node_not_ready(const char *node, uint64_t after_ms);
