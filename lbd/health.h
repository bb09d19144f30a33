/*
 * The health of a server as HAProxy counts it: a number from 0 to rise + fall - 1, up
 * from rise on.  Pure: results go in, transitions and texts come out.
 */
#pragma once

#include "common/base.h"

enum check_status {
	CHECK_STATUS_UNKNOWN,
	CHECK_STATUS_INIT,
	CHECK_STATUS_SOCKERR,
	CHECK_STATUS_L4OK,
	CHECK_STATUS_L4TOUT,
	CHECK_STATUS_L4CON,
	CHECK_STATUS_L6OK,
	CHECK_STATUS_L6TOUT,
	CHECK_STATUS_L6RSP,
	CHECK_STATUS_L7OK,
	CHECK_STATUS_L7TOUT,
	CHECK_STATUS_L7RSP,
	CHECK_STATUS_L7STS,
};

struct health {
	unsigned rise, fall, value;
	bool unchecked; /* the first result decides at once */
};

enum health_change { HEALTH_SAME, HEALTH_WENT_UP, HEALTH_WENT_DOWN };

/* Up, until the first result says otherwise. */
void health_init(struct health *h, unsigned rise, unsigned fall);
/* New bounds; what was up stays up. */
void health_configure(struct health *h, unsigned rise, unsigned fall);
enum health_change health_add(struct health *h, bool ok);
void health_force(struct health *h, bool up);
bool health_up(const struct health *h);
/* Neither wholly up nor wholly down: checked at the fast interval. */
bool health_in_transition(const struct health *h);
/* "UP", "UP 2/3", "DOWN", "DOWN 1/2" in buf of HEALTH_TEXT_MAX bytes. */
const char *health_text(const struct health *h, char *buf);
#define HEALTH_TEXT_MAX 32

/* "L4OK", and "Layer4 check passed". */
const char *check_status_code(enum check_status s);
const char *check_status_text(enum check_status s);
bool check_status_ok(enum check_status s);

/* How the status line of a check's HTTP reply reads so far. */
enum check_reply {
	CHECK_REPLY_MORE, /* incomplete */
	CHECK_REPLY_BAD,  /* no HTTP */
	CHECK_REPLY_STATUS,
};
/* Looks at the first n bytes of a reply; fills code (100-599) with CHECK_REPLY_STATUS.
 */
enum check_reply check_reply_parse(const char *buf, size_t n, unsigned *code);
/* Whether the n bytes are a whole reply and nothing else, after which the server reads
 * another request (RFC 9112, 6.3 and 9.3).  Says no where it is not sure: a length that
 * is not written plainly, for example. */
bool check_reply_keeps(const char *buf, size_t n);
