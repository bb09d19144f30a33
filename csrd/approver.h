/*
 * The approver: follows requests and nodes, decides over each request as it comes and
 * whenever something changes that it waits for, and carries decisions out.
 *
 * One struct record per request of the API server.  approver.c keeps the table and
 * decides; inventory.c knows nodes and tickets; approve.c carries out (audit, PUT, and
 * reading again when nobody knows what became of it); tell.c writes logs and the audit.
 * All on the main thread.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/htable.h"
#include "common/list.h"
#include "csrd/audit.h"
#include "csrd/conf.h"
#include "csrd/csr.h"
#include "csrd/follow.h"
#include "csrd/kube.h"
#include "csrd/node.h"
#include "csrd/policy.h"
#include "csrd/stats.h"
#include "csrd/ticket.h"

struct event;
struct loop;

enum { RECENT_MAX = 16 };

enum record_state {
	RECORD_PENDING,  /* nothing is under way */
	RECORD_AUDIT,    /* the decision is on its way to disk */
	RECORD_PUT,      /* the decision is on its way to the API server */
	RECORD_WAIT,     /* until due: then it is read again */
	RECORD_READ,     /* being read again */
	RECORD_APPROVED, /* by us; until due its certificate should be there */
	RECORD_DONE,     /* decided, by whomever */
};

/* A person's order by the admin socket, which waits for its outcome. */
struct order {
	bool deny;
	char by[64]; /* "uid 1000" */
	/* Once; 0 when it was carried out. */
	void (*done)(void *arg, int r, const char *text);
	void *arg; /* NULL: nobody waits for it any more */
};

struct record {
	struct approver *approver;
	struct hnode hnode;
	struct list_link link;  /* in approver.records, oldest first */
	struct list_link timed; /* in approver.timed: due counts */
	char *name, *uid;       /* uid: "" until the object was read */
	int64_t created;
	uint64_t arrived; /* loop time of the object's arrival */
	uint64_t mark;    /* the list that it was last seen in */
	struct csr *csr;  /* NULL where it is not needed any more */

	enum record_state state;
	bool gone;    /* deleted while something was under way */
	bool decided; /* the next three hold, and have been told */
	enum stats_decision decision;
	enum reason reason;
	char *node;         /* the node's name; NULL: none */
	bool asked_tickets; /* ignd was asked on its behalf */

	bool deny;                /* what is under way is a denial */
	bool first;               /* what is under way gives the node's name to a key */
	uint8_t key[X509_SHA256]; /* that one */
	bool counted;             /* ... and is among the node's approvals */
	int64_t row;              /* of the audit; 0: none is open */
	struct http_transfer *transfer;
	unsigned failures;
	uint64_t due;  /* loop time */
	char *refused; /* the version that the API server refused to have approved */
	struct order *order;
};

/* A decision as /status shows the last ones; a long name is cut. */
struct recent {
	int64_t at;
	char csr[CONF_SHOW_MAX], node[256];
	enum stats_decision decision;
	enum reason reason;
};

/* An approval in the audit whose outcome a crash kept from us. */
struct loose_end {
	struct list_link link;
	int64_t row;
	char uid[]; /* of the request */
};

struct approver {
	struct loop *loop;
	const struct csrd_conf *conf;
	struct kube *kube;
	struct audit *audit;
	struct follow *csrs, *follow_nodes;
	struct stats stats;
	struct recent recent[RECENT_MAX]; /* a ring */
	unsigned n_recent;                /* all of them */

	struct nodes nodes;
	struct tickets tickets;
	struct http_transfer *asking; /* ignd for tickets */
	struct event *ask_timer, *tick, *ready_timer, *rate_timer;
	bool ticket_trouble;
	bool ignd_seen; /* its socket was there since the start */

	struct htable table; /* records by name */
	struct list_link records, timed;
	size_t n_records;
	uint64_t csr_mark, node_mark;
	bool untracked; /* some were decided and not kept since the last list */
	uint64_t relisted_at;
	bool begun, nodes_listed; /* since the start */
	bool closing;
	unsigned in_flight; /* records in AUDIT or PUT */
	void (*drained)(void *arg);
	void *drained_arg;
	struct list_link loose_ends;

	struct rights *rights; /* what the kubeconfig allows */
};

int approver_new(struct approver **ret, struct loop *l, const struct csrd_conf *conf,
    const char *audit_path, struct err *e) _mustcheck_;
/* Once: nothing is decided before.  Whatever was approved stands in the audit by then. */
int approver_begin(
    struct approver *a, const char *audit_path, struct err *e) _mustcheck_;
struct approver *approver_free(struct approver *a);
DEFINE_FREEP(approver)
/* Takes another configuration, which must live until the next. */
void approver_configure(struct approver *a, const struct csrd_conf *conf);
/* No new work; done is called when nothing is under way. */
void approver_drain(struct approver *a, void (*done)(void *arg), void *arg);

struct record *approver_find(const struct approver *a, const char *name);
void approver_metrics(struct approver *a, struct str *out);
void approver_status(struct approver *a, json_t *obj);

/*
 * A person approves or denies.  order is taken over; its done() is called in any case,
 * perhaps before this returns.
 */
void approver_order(struct approver *a, const char *name, struct order *order);

/* inventory.c: follows nodes, asks ignd. */
extern const struct follow_ops inventory_nodes;
int inventory_start(struct approver *a) _mustcheck_;
void inventory_stop(struct approver *a);
bool inventory_needs_tickets(struct approver *a);
/* The node got its first certificate: it is to turn Ready. */
void inventory_await(struct approver *a, struct node *n);
/* Somebody waits because of approvals_per_hour: all are decided again in a while. */
void inventory_await_rate(struct approver *a);
/* The answer leads to approver_decide_all(). */
void inventory_ask(struct approver *a);

/* Between the files. */
void approver_decide_all(struct approver *a);
void record_decide(struct record *r);
/* 0, or -EBADMSG for what is no request; it frees records that the object replaces. */
int record_take(struct approver *a, json_t *object);
void record_drop(struct record *r);
/* Approved by us: is the certificate there? */
void record_follow_up(struct record *r, const struct csr *csr);
void record_set_due(struct record *r, uint64_t ms);
/* thorough: for a person, who may approve what the policy leaves alone. */
void approver_verdict(const struct approver *a, const struct csr *csr, unsigned counted,
    bool thorough, struct verdict *ret);

/* What a verdict leads to under the configuration in force. */
enum stats_decision approver_decision(
    const struct approver *a, const struct csr *csr, const struct verdict *v);

/* approve.c: carries the decision out, on behalf of "policy" or a person. */
void approve_begin(
    struct record *r, const struct verdict *v, bool deny, const char *by);
/* Reads the request again: after a doubtful outcome, or for an order. */
void approve_read(struct record *r);
/* What was on its way will not be approved: it does not count, and its key lets go of
 * the node's name. */
void approve_undo(struct record *r);
/* The request is decided (the object says so) while the audit had an open row. */
void approve_settle(struct record *r, const struct csr *csr);
void approve_order_done(struct record *r, int code, const char *text);
