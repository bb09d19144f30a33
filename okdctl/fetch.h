/* One request over HTTP or HTTPS, waited for. */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/str.h"

/*
 * The HTTP status, or -errno with a sentence; body (which may be NULL) gets what came.
 * The callbacks of req are not used.
 */
int fetch(const struct http_client_request *req, struct str *body,
    struct err *err) _mustcheck_;
/* The value of a header of the answer, whatever the status is; "" without it. */
int fetch_header(const struct http_client_request *req, const char *name,
    struct str *value, struct err *err) _mustcheck_;
/* The same, streaming to a descriptor; progress (may be NULL) is told bytes and total,
 * which is 0 when the server does not say. */
int fetch_to(const struct http_client_request *req, int fd,
    void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
    struct err *err) _mustcheck_;
