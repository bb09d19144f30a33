/*
 * The registry's verbs on the admin socket:
 *
 *   POST /v1/gc[?dry_run=1]           collect; the reply comes when it is over
 *   POST /v1/read-only[?on=0|1]       take no pushes until the next start or reload
 *   GET /v1/verify-release?repository=&reference=[&rehash=1]   see release.h
 *   GET /v1/install-pieces[?repository=&user=&password=]   see pieces.h
 *   GET /v1/pulls[?digest=]            who pulled what, and with a digest which nodes
 *                                      have not: see ledger.h
 *   POST /v1/import?dir=[&repository=]  take over another registry's folder; GET tells
 *                                     how it goes, see import.h
 *   POST /v1/prune?repository=&keep=[&dry_run=1]   see prune.h
 */
#pragma once

#include <jansson.h>

#include "common/http_route.h"

extern const struct http_route verbs_routes[];

/* What they share.  reply_json takes obj. */
int verbs_reply_json(struct http_req *r, int status, json_t *obj) _mustcheck_;
/* A parameter that is 0 or 1. */
bool verbs_is_on(struct http_req *r, const char *name, bool absent);

/* The verbs that have files of their own. */
int verb_prune(struct http_req *r, void *arg);
