/* The request log: one line per request, with the node's name in it. */
#pragma once

#include "common/base.h"
#include "ignd/conf.h"

struct accesslog;
struct http_log;
struct http_refusal;

int accesslog_new(struct accesslog **ret) _mustcheck_;
/* Writes what is queued first. */
struct accesslog *accesslog_free(struct accesslog *a);
DEFINE_FREEP(accesslog)
/* Which requests are logged, and who the nodes are (NULL: nobody).  No allocation. */
void accesslog_add(struct accesslog *a, const struct http_log *l, enum log_class class,
    const char *node);
uint64_t accesslog_dropped(struct accesslog *a);
/* A client whose TLS failed, at once; node may be NULL, certificate is our file. */
void accesslog_refusal(
    const struct http_refusal *f, const char *node, const char *certificate);
