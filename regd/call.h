/*
 * One request to the registry, from its head to its end.
 *
 * A call may have to wait: for a password to be hashed, for a blob to be durable, for a
 * row.  Whoever works for it sets ended(), and learns there that nobody waits any more;
 * the call is gone after that.  The body is accepted at once, because only the handler
 * may do so, and held back until somebody says where it goes.
 */
#pragma once

#include "common/http_req.h"
#include "common/list.h"
#include "common/str.h"
#include "regd/route.h"

struct regd;
struct token;

struct call {
	struct regd *regd;
	struct http_req *req;
	struct route route;
	enum http_method method;
	char *user;          /* NULL: anonymous */
	struct token *token; /* what it came with, or NULL */

	void (*ended)(struct call *c); /* NULL: nobody needs to know */
	void *owner;                   /* of ended's own */

	bool held; /* the body was accepted and waits for its sink */
	bool over; /* it ended meanwhile: it was empty */
	const struct http_sink *sink;
	void *sink_arg;
	uint64_t max, received;

	struct list_link waiting; /* for auth */

	struct str body; /* call_gather() */
	int (*gathered)(struct call *c, const char *body, size_t n);
};

int call_new(struct call **ret, struct regd *g, struct http_req *r) _mustcheck_;
struct call *call_free(struct call *c);
DEFINE_FREEP(call)

/* Accepts a body, if the method has one, and holds it back: what the handler returns. */
int call_hold_body(struct call *c) _mustcheck_;
/*
 * Where the body goes, as http_req_body() but after call_hold_body() too; its callbacks
 * get arg and reply in the spec's words.  Beyond max bytes it replies 413.
 */
int call_body(
    struct call *c, const struct http_sink *sink, void *arg, uint64_t max) _mustcheck_;
/* Gathers at most max bytes; gathered() replies, at once or later. */
int call_gather(struct call *c, size_t max,
    int (*gathered)(struct call *c, const char *body, size_t n)) _mustcheck_;
