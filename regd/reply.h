/* Replies of the distribution spec: errors as {"errors":[{code,message,detail}]}. */
#pragma once

#include "common/http_req.h"
#include "common/str.h"

/* code is one of the spec's words; the message is for people.  Returns 0, so that a
 * handler can end with it; the request is gone afterwards. */
int reply_oci(struct http_req *r, int status, const char *code, const char *fmt, ...)
    _printf_(4, 5);
/* What -errno of the database or the file system means to a client: 507, 503 or 500; what
 * is for the log. */
int reply_failed(struct http_req *r, int error, const char *what);
/* 503: the disk takes no writes. */
int reply_unwritable(struct http_req *r);
/* Appends s with percent signs for what a query or a path may not hold. */
void reply_encode(struct str *out, const char *s);
/* A date as JSON bodies have it: "2026-01-31T23:59:59Z". */
enum { REPLY_TIME_MAX = 32 };
void reply_time(int64_t t, char buf[REPLY_TIME_MAX]);
/* 405 in the spec's words. */
int reply_unsupported(struct http_req *r);
