/* Dates, entity tags and conditional requests (RFC 9110 sections 5.6.7, 8.8 and 13). */
#pragma once

#include "common/base.h"
#include "common/http.h"

enum { HTTP_DATE_MAX = 32 }; /* text with its NUL */

/* Any of the three formats, to seconds since 1970: 0 or -EINVAL. */
int http_date_parse(const char *s, int64_t *ret) _mustcheck_;
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
const char *http_date_format(int64_t t, char buf[HTTP_DATE_MAX]);

/* Whether a list of entity tags, or "*", names etag (with its quotes, perhaps W/).  A
 * weak comparison ignores W/, a strong one fails on it.  A malformed list names what
 * stands before the fault. */
bool http_etag_matches(const char *list, const char *etag, bool weak);

/* What identifies the current state of what is asked for. */
struct http_validator {
	const char *etag; /* NULL: none */
	int64_t modified; /* seconds since 1970; 0: unknown */
};

/* Judges If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the
 * order of section 13.2.2: 0 to go on, 304 or 412. */
int http_cond_judge(const struct http_head *h, const struct http_validator *v);
/* Whether the Range header counts: there is no If-Range, or it names this very state.
 */
bool http_cond_range(const struct http_head *h, const struct http_validator *v);
