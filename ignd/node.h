/*
 * Who may have what: decided from the facts alone, without I/O.
 *
 * Images are for everybody (or for nodes alone), a .ign for its node alone: the source
 * address says which node asks, the node's role says which .ign that is.  The status
 * codes are chosen by what Ignition and coreos-installer make of them: 403 and 404 end
 * an installation, 503 means "not yet" and is tried again.
 */
#pragma once

#include "common/base.h"
#include "common/cluster.h"
#include "ignd/conf.h"

#define WINDOW_LONGEST (366ll * 86400) /* seconds that one is opened for */

/* When a node's .ign is given out. */
struct window {
	enum window_mode { WINDOW_INITIAL, WINDOW_OPENED, WINDOW_CLOSED } mode;
	/* Of an opening.  It ends by the boot clock, which nobody sets; the date of that is
	 * what is shown, and kept for another run. */
	uint64_t end_ms;  /* CLOCK_BOOTTIME; 0: no end */
	int64_t until;    /* seconds since 1970, as the clock was at the beginning */
	int64_t duration; /* seconds */
	bool once;
	/* First complete fetch since the last verb, used_at 0: none.  Grace counts by the
	 * boot clock, too; WINDOW_SPENT: it is over. */
	int64_t used_at;
	uint64_t used_ms;
	uint64_t
	    serial; /* verbs so far: of two processes' windows the later one holds */
};
#define WINDOW_SPENT UINT64_MAX

/* Why an answer is what it is. */
enum node_reason {
	REASON_OK,
	REASON_UNKNOWN,  /* the address is no node's */
	REASON_ROLE,     /* the .ign of another role or node */
	REASON_SECRET,   /* not a .ign at all, but below /ignition */
	REASON_TOKEN,    /* the node's token is missing or wrong */
	REASON_MAC,      /* the neighbour table knows another MAC address */
	REASON_CLOSED,   /* the window is not open */
	REASON_USED,     /* it was fetched once, and grace is over */
	REASON_STRANGER, /* images are for nodes alone */
	REASONS,
};

/* A request, as far as it matters. */
struct node_ask {
	bool ignition;                   /* below /ignition, else below /install */
	const char *name;                /* behind that, without the slash */
	const struct cluster_node *node; /* NULL: the address is no node's */
	const char *token;               /* as given in the URL, or NULL */
	const uint8_t *mac;              /* seen on the link, or NULL */
	const struct window *window;     /* the node's */
	uint64_t boot_ms;                /* CLOCK_BOOTTIME */
};

struct node_answer {
	int status; /* 200, 403 or 503 */
	enum node_reason reason;
	/* With 200 below /ignition: the role's file, as "worker.ign", for a node that
	 * gets its own configuration; NULL: serve the file that was asked for. */
	const char *role_file;
};

struct node_answer node_decide(const struct ignd_conf *c, const struct node_ask *ask);
/* A few words for the log and the error body. */
const char *node_reason_text(enum node_reason reason);
/* Whether the window gives the .ign out at this time. */
enum node_reason window_judge(
    const struct window *w, const struct ignd_conf *c, uint64_t boot_ms);
/* Opens it for so many seconds; 0: without an end. */
void window_open(struct window *w, int64_t seconds, int64_t now, uint64_t boot_ms);
/* The node has its whole .ign: others within its grace do not prolong it. */
void window_use(struct window *w, int64_t now, uint64_t boot_ms);
/* Goes on with the window of another run.  An opening, of which until and duration are
 * known, lasts to its date, but no longer than it was to be at all; grace goes on where both
 * clocks agree on how long ago the fetch was, else it is over. */
void window_resume(struct window *w, int64_t now, uint64_t boot_ms);
/* When that ends by the clock as it is; 0: never. */
int64_t window_until(const struct window *w, int64_t now, uint64_t boot_ms);
