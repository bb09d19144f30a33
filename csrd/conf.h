/* csrd.yaml, merged with what follows from cluster.yaml: see okd-csrd.yaml(5). */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "csrd/policy.h"

enum csrd_mode { MODE_AUTO, MODE_ASK, MODE_DRY_RUN };
enum csrd_ticket { TICKET_AUTO, TICKET_YES, TICKET_NO };
enum csrd_hostile { HOSTILE_LEAVE, HOSTILE_DENY };

struct csrd_conf {
	struct daemon_conf daemon;   /* first: daemon.c looks for it there */
	struct conf_list kubeconfig; /* char *, paths */
	int mode;                    /* enum csrd_mode */
	int require_ticket;          /* enum csrd_ticket */
	char *ignd_socket;
	int hostile;                           /* enum csrd_hostile */
	uint64_t issue_timeout, ready_timeout; /* ms */
	uint64_t max_pending;                  /* requests kept in memory */
	uint64_t audit_keep;                   /* ms */
	uint64_t audit_refused; /* rows about requests that were left alone */
	struct policy policy;
	struct cluster *cluster; /* NULL without a cluster file */
};

extern const char *const csrd_mode_words[];

/* See struct daemon_class. */
int csrd_conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e) _mustcheck_;
void csrd_conf_free(void *conf);
void csrd_conf_print(const void *conf, struct str *out);
