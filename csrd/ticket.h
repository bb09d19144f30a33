/*
 * Install tickets: which nodes okd-ignd has seen fetching their ignition, and when.  A
 * node that never fetched one has no business asking for a certificate.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

enum { TICKETS_MAX = 4096 };

struct ticket {
	char *node; /* the name in cluster.yaml */
	int64_t fetched_at;
};

struct tickets {
	bool required; /* a first client certificate needs one */
	bool known;    /* ignd has answered */
	struct ticket *v;
	size_t n;
};

void tickets_deinit(struct tickets *t);
/* The latest of that node, or NULL. */
const struct ticket *tickets_find(const struct tickets *t, const char *node);
/*
 * ignd's answer, {"tickets":[{"node":"worker","fetched_at":1700000000},..]}: replaces
 * the list and sets known.  -EBADMSG leaves all as it was.
 */
int tickets_parse(
    struct tickets *t, const char *text, size_t n, struct err *e) _mustcheck_;
