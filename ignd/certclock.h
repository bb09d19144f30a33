/*
 * The certificate clock of a config: until when, and from when on, the certificates in it
 * hold.  openshift-install makes a bootstrap.ign whose certificates end within hours; a
 * node that boots from it too late, or with a slow clock, never comes up.
 *
 * Certificates are found wherever they stand: PEM blocks (indented ones too), and base64
 * that holds PEM blocks, as in kubeconfigs and Secrets.
 */
#pragma once

#include "common/base.h"
#include "common/str.h"

struct certclock {
	size_t n;                                 /* certificates found */
	size_t unreadable;                        /* blocks that are none */
	int64_t not_before, not_after;            /* the latest, the earliest */
	char *not_before_where, *not_after_where; /* "path (subject)" of these */
};

void certclock_deinit(struct certclock *c);
/* Adds what stands in the n bytes at p; where names the file they are of.  0, -ENOMEM. */
int certclock_scan(
    struct certclock *c, const char *where, const char *p, size_t n) _mustcheck_;

enum certclock_state {
	CERTCLOCK_NONE, /* no certificate */
	CERTCLOCK_GOOD,
	CERTCLOCK_SOON, /* expires within the time given */
	CERTCLOCK_EXPIRED,
	CERTCLOCK_EARLY, /* not yet valid: a clock is wrong, here or where it was made */
};

/* Times in seconds; now since 1970. */
enum certclock_state certclock_judge(
    const struct certclock *c, int64_t now, int64_t warn_before);
/* "good", "expires soon", ... */
const char *certclock_state_text(enum certclock_state s);
/* A sentence for the operator: what ends when, and what to do. */
void certclock_describe(
    const struct certclock *c, enum certclock_state s, int64_t now, struct str *out);
/* "2020-07-15T08:00:00Z" */
#define CERTCLOCK_TIME_MAX 32
const char *certclock_time(int64_t t, char buf[CERTCLOCK_TIME_MAX]);
#define certclock_time_str(t) certclock_time((t), (char[CERTCLOCK_TIME_MAX]){ "" })
