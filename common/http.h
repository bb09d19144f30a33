/*
 * HTTP/1.1 messages: methods, status codes and the head of a request (RFC 9112, 9110).
 * Pure functions over memory, no I/O; what a fuzzer and a table of cases can reach.
 *
 * The parser is strict, because two programs that read one request differently are how
 * requests are smuggled: whatever RFC 9112 lets a server refuse is refused.
 */
#pragma once

#include <sys/types.h>

#include "common/base.h"

enum http_method {
	HTTP_GET = 1 << 0,
	HTTP_HEAD = 1 << 1,
	HTTP_POST = 1 << 2,
	HTTP_PUT = 1 << 3,
	HTTP_PATCH = 1 << 4,
	HTTP_DELETE = 1 << 5,
	HTTP_OPTIONS = 1 << 6,
	HTTP_OTHER = 1 << 7, /* any other token */
};

enum {
	HTTP_HEADERS_MAX = 100,    /* header lines of one request, at most */
	HTTP_HEAD_DEFAULT = 16384, /* bytes of a request head */
	HTTP_TARGET_DEFAULT = 8192,
};

/* A header line, both parts NUL-terminated and inside the head's buffer. */
struct http_header {
	const char *name, *value;
};

/*
 * A request head.  Every string is NUL-terminated and points into the buffer that was
 * parsed, which must therefore outlive it; no string contains a NUL.
 */
struct http_head {
	enum http_method method;
	const char *method_name;
	/* The request target as it came, without scheme and authority when these were
	 * there: "/path?query", or "*" (with OPTIONS only). */
	const char *target;
	/* From the absolute form, else the Host line; NULL in HTTP/1.0 without one. */
	const char *host;
	uint8_t minor;        /* HTTP/1.minor: 0 or 1 */
	bool keep_alive;      /* the client wants the connection kept */
	bool chunked;         /* the body comes in chunks */
	bool has_length;      /* Content-Length was there */
	bool expect_continue; /* the client waits for 100 before it sends the body */
	uint64_t content_length;
	unsigned n_headers;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/*
 * Looks for the end of a head in the n bytes at buf, and resumes at *scanned (0 at
 * first; it is moved on).  Returns its length, -EAGAIN when more is needed, or -EBADMSG
 * when a line does not end in CRLF (answer 400).  Nothing is modified.
 */
ssize_t http_head_find(const char *buf, size_t n, size_t *scanned) _mustcheck_;

/*
 * Parses the complete head of n bytes (as http_head_find() measured it) in place: line
 * ends, colons and blanks become NULs.  Returns 0, or the status to refuse the request
 * with: 400, 414 (target longer than target_max), 417, 431 (too many lines), 501 (a
 * transfer coding other than chunked) or 505.  After a refusal the connection must be
 * closed, and method_name and target may be NULL.
 */
int http_head_parse(struct http_head *h, char *buf, size_t n, size_t target_max);

/* The value of the first line of that name (in any case), or NULL. */
const char *http_head_get(const struct http_head *h, const char *name);
/* The next one after the line that value came from; for headers that may repeat. */
const char *http_head_next(
    const struct http_head *h, const char *name, const char *value);
/* After the buffer was moved: points every string into its new place. */
void http_head_moved(struct http_head *h, const char *from, const char *to);

/* "Not Found"; "Unknown" for codes that have no entry. */
const char *http_status_text(int status);
/* HTTP_OTHER for what is none of ours. */
enum http_method http_method_from(const char *name, size_t n);
/* "GET, HEAD" of a set of methods. */
const char *http_methods_format(unsigned methods, char buf[64]);
#define http_methods_str(m) http_methods_format((m), (char[64]){ "" })

/* Whether a comma-separated list (Connection, Expect, TE) names token, in any case. */
bool http_list_has(const char *list, const char *token);
/* The content type by file name, "application/octet-stream" when unknown. */
const char *http_mime(const char *path);
/*
 * The first parameter of that name in a raw query ("a=b&c"), percent-decoded and with
 * "+" as a blank.  Returns its length; -ENOENT when it is not there, -EINVAL when badly
 * encoded or with a NUL, -ENOSPC when it is longer than size - 1.  query may be NULL.
 */
ssize_t http_query_get(
    const char *query, const char *name, char *out, size_t size) _mustcheck_;
