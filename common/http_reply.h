/*
 * Replies.  Exactly one http_reply*() per request; it may end the request before it
 * returns, so the request must not be touched after it.  Failures (no memory, a file
 * that cannot be read) end the connection and are told by http_req_on_end() alone.
 *
 * Date, Content-Length or Transfer-Encoding, Connection and the Server line of the
 * options are the server's; the rest is the caller's.  HEAD gets the same head and no
 * body, whatever is passed.  type is at most 1024 bytes.
 */
#pragma once

#include "common/base.h"
#include "common/http_req.h"

struct err;

/* Adds a header line to the reply to come.  Control characters in the value are turned
 * into blanks, so that no value can become a second line. */
void http_reply_header(struct http_req *r, const char *name, const char *fmt, ...)
    _printf_(3, 4);

/* The reply to come has the status line and the lines of http_reply_header() alone: for
 * one that must be a peer's byte for byte.  Content-Length is the caller's then. */
void http_reply_bare(struct http_req *r);

/* From memory.  type may be NULL (no Content-Type). */
void http_reply(
    struct http_req *r, int status, const char *type, const void *body, size_t n);
/* The same without a copy: dispose(owner) is called when the body is no longer needed.
 */
void http_reply_owned(struct http_req *r, int status, const char *type,
    const void *body, size_t n, void (*dispose)(void *owner), void *owner);
/* Takes the text over; a str in error gives 500. */
void http_reply_str(struct http_req *r, int status, const char *type, struct str *s);
/* No body: 204, 304, redirects (with a Location header added before). */
void http_reply_empty(struct http_req *r, int status);

/* {"error":{"code":code,"message":...}}; code NULL takes the status's text. */
void http_reply_error(struct http_req *r, int status, const char *code, const char *fmt,
    ...) _printf_(4, 5);
/* The same with the file, line and column of err. */
void http_reply_err(
    struct http_req *r, int status, const char *code, const struct err *err);
/* Answers as the server does for a handler that returns result: a status, or -errno.
 * 0 does nothing. */
void http_reply_result(struct http_req *r, int result);
/* 405 with Allow: (OPTIONS gets 204 with Allow). */
void http_reply_not_allowed(struct http_req *r, unsigned methods);

enum {
	HTTP_FILE_KEEP_FD =
	    1 << 0, /* the descriptor stays the caller's, open until on_end */
	HTTP_FILE_STABLE =
	    1 << 1, /* a change of the file in mid-transfer ends the connection */
	HTTP_FILE_NO_RANGES = 1 << 2,
	HTTP_FILE_PART =
	    1 << 3, /* of struct http_static: a part of the descriptor's file */
};

/* A piece of a file: sendfile where possible.  A file that gets shorter ends the
 * connection. */
void http_reply_file(struct http_req *r, int status, const char *type, int fd,
    uint64_t offset, uint64_t length, unsigned flags);

/* A whole static file, with all that RFC 9110 sections 13 and 14 ask for. */
struct http_static {
	int fd;           /* owned by the call unless HTTP_FILE_KEEP_FD */
	const char *type; /* NULL: by name */
	const char *name; /* for the type; NULL: the request's path */
	const char
	    *etag; /* with its quotes; NULL: "mtime-size" in hex, as nginx has it */
	unsigned max_ranges; /* more give the whole file; at most 1024; 0: 32 */
	unsigned flags;
	uint64_t offset, size; /* what counts as the file, with HTTP_FILE_PART */
};

/* Answers GET and HEAD: 200, 206 (also multipart/byteranges), 304, 412, 416; others get
 * 405.  A descriptor that is no regular file gives 404. */
void http_reply_static(struct http_req *r, const struct http_static *s);

/*
 * Generated: pull writes up to n bytes to buf and returns how many; 0 is the end;
 * -EAGAIN waits for http_reply_resume(); another -errno ends the connection.  length is
 * the announced one, or -1 for chunks (HTTP/1.0: until the connection closes).
 */
void http_reply_stream(struct http_req *r, int status, const char *type, int64_t length,
    ssize_t (*pull)(struct http_req *r, void *arg, char *buf, size_t n), void *arg);
/* There is more to pull, or room in the pace; harmless at any time before the end. */
void http_reply_resume(struct http_req *r);

/*
 * Progress and pace of the body, set before the reply.  progress is called after bytes
 * went to the kernel.  pace is asked before up to want bytes are sent and returns how
 * many may go: 0 waits for http_reply_resume().  Either may be NULL.
 */
struct http_flow {
	void (*progress)(struct http_req *r, void *arg, uint64_t sent);
	size_t (*pace)(struct http_req *r, void *arg, size_t want);
};
void http_reply_flow(struct http_req *r, const struct http_flow *flow, void *arg);
/* Bytes of the body handed to the kernel, and of these what the client's kernel has
 * acknowledged (one ioctl). */
uint64_t http_reply_sent(const struct http_req *r);
uint64_t http_reply_acked(const struct http_req *r);
/* The status that was or will be sent; 0 before the reply. */
int http_reply_status(const struct http_req *r);
