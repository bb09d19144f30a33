/*
 * The audit: every decision in sqlite, on a thread of its own.  An approval's row is
 * durable before the API server hears of it, and gets its outcome afterwards; a row
 * without outcome is one that a crash interrupted.
 *
 * All calls are made, and all callbacks run, on the thread that called audit_new().
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "common/x509.h"

struct audit;
struct loop;

/* Strings are copied; NULL is "". */
struct audit_entry {
	int64_t at;           /* seconds since 1970 */
	const char *decision; /* approve, deny, pending, would-approve, elsewhere */
	const char *reason, *text;
	const char *csr, *uid, *node, *signer, *username, *names;
	const uint8_t *key; /* SHA-256 of the public key; NULL: unreadable */
	bool holds_name; /* a first client certificate: its key holds the node's name */
	const char *by;  /* "policy", or who told us to */
};

struct audit_limits {
	int64_t keep_s;   /* rows older than that go */
	uint64_t refused; /* so many rows about requests that were left alone */
};

/* What an earlier process left behind, one row at a time, oldest first. */
struct audit_memory {
	/* An approval of the last 30 days, by us or by others.  open: its outcome is
	 * unknown. */
	void (*approval)(void *arg, int64_t row, const char *uid, const char *node,
	    const char *csr, const uint8_t *key, bool holds_name, int64_t at,
	    bool open);
	/* When a Node object was last there. */
	void (*seen)(void *arg, const char *node, int64_t at);
	void *arg;
};

/* Opens path, or creates it. */
int audit_new(
    struct audit **ret, struct loop *home, const char *path, struct err *e) _mustcheck_;
/* Tells what stands in the file, before it returns. */
int audit_recall(
    const char *path, const struct audit_memory *memory, struct err *e) _mustcheck_;
/* Waits until what was given is written; the callbacks that are due run inside. */
struct audit *audit_free(struct audit *a);
DEFINE_FREEP(audit)
void audit_limit(struct audit *a, const struct audit_limits *limits);

/*
 * A decision that leads to a request to the API server: done(arg, row) once it is on
 * disk, or done(arg, -errno) when it is not and never will be.  -ENOMEM: no callback.
 */
int audit_decision(struct audit *a, const struct audit_entry *entry,
    void (*done)(void *arg, int64_t row), void *arg) _mustcheck_;
/* How it ended: approved, denied, conflict, elsewhere (somebody else was first), gone,
 * refused, forbidden, failed, withdrawn (before it was sent), interrupted, unknown. */
void audit_outcome(struct audit *a, int64_t row, const char *outcome, const char *text);
/* A request that is left pending, or that somebody else approved (elsewhere); the same
 * of a request is counted, not repeated. */
void audit_pending(struct audit *a, const struct audit_entry *entry);
/* A Node object was there at that time. */
void audit_seen(struct audit *a, const char *node, int64_t at);

struct audit_filter {
	char *node, *csr, *decision, *reason; /* NULL: any */
	int64_t since;                        /* seconds since 1970 */
	unsigned limit;
};
/* Newest first, as {"decisions":[..]}; json is NULL after a failure.  done runs once,
 * unless audit_free() comes first.  filter's strings are taken over. */
int audit_query(struct audit *a, struct audit_filter *filter,
    void (*done)(void *arg, struct str *json), void *arg) _mustcheck_;

/* Failures to write so far, and the last one's sentence ("" for none). */
uint64_t audit_failures(const struct audit *a);
const char *audit_trouble(const struct audit *a);
