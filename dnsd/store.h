/*
 * The embedded store: SkyDNS's keys and values in sqlite, written by the admin socket.
 *
 *   GET    /v1/records/            all records: {"records":[{"key":..., "value":...}]}
 *   GET    /v1/records/skydns/com/ those whose key begins so
 *   GET    /v1/records/skydns/...  one value as it is kept, or 404
 *   PUT    /v1/records/skydns/...  the body is the value
 *   DELETE /v1/records/skydns/...  404 when there is none
 *   POST   /v1/records             {"changes":[{"key":...,"value":...}, {"key":...}]}: all or
 *                                  nothing; a change without a value deletes
 *
 * In a change, "record" may stand in for key and value: a line of a zone file, whose names
 * are below the cluster's domain unless they end with a dot; "delete":true takes it away.  A
 * value is a JSON object or the rest of such a line, with names that are whole.  All of it is
 * UTF-8.  The reply to a change comes when it
 * is on disk and every worker answers by it.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "dnsd/catalog.h"

struct http_req;
struct mailbox;
struct store;

/* Opens file and puts what it holds into the catalog. */
int store_new(struct store **ret, struct catalog *c, struct mailbox *home,
    const char *path, const char *file, struct err *e) _mustcheck_;
/* Changes on their way are written; who asked for them is told nothing more. */
struct store *store_free(struct store *s);
DEFINE_FREEP(store)
/* Where names without a final dot are; NULL: the root. */
void store_set_origin(struct store *s, const char *origin);
/* A handler of the admin socket for all of the above. */
int store_request(struct store *s, struct http_req *r);
/* Takes over what another process wrote to the file: a predecessor that finishes changes
 * during an upgrade in place. */
void store_look(struct store *s);
size_t store_count(const struct store *s);
