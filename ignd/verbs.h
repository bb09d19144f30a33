/*
 * The verbs of the admin socket that open and close the nodes' windows, and that forget
 * what is known of nodes which are to be installed again:
 *   POST /v1/open?node=worker&for=30m&once=true    POST /v1/close?node=worker
 *   POST /v1/reset?node=worker
 * Without a node they mean all of them; without a time an opening has no end.
 */
#pragma once

#include "common/base.h"
#include "ignd/progress.h"

struct http_req;

/* They return as a handler does, and answer with the nodes they changed. */
int verb_open(struct http_req *r, struct progress *p, const struct ignd_conf *c);
int verb_close(struct http_req *r, struct progress *p, const struct ignd_conf *c);
int verb_reset(struct http_req *r, struct progress *p, const struct ignd_conf *c);
/* GET /v1/nodes: {"nodes":[...]}, all of them. */
int verb_nodes(struct http_req *r, struct progress *p, const struct ignd_conf *c);

/* "30s", "15m", "2h", "1d", or seconds: 0 or -EINVAL. */
int verb_duration(const char *s, int64_t *seconds) _mustcheck_;
