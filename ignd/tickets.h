/*
 * Install tickets: which node has fetched its own .ign completely, when, and from where.
 * okd-csrd reads them at GET /v1/tickets of the admin socket and lets a node's first
 * certificate request pass only with one.
 */
#pragma once

#include "common/base.h"

struct http_req;
struct progress;

/* {"tickets":[{"node":"worker","fetched_at":1594800000,"address":"192.168.120.104"}]};
 * returns as a handler does. */
int tickets_reply(struct http_req *r, const struct progress *p);
