/*
 * Files on their way: counts what the client's kernel has acknowledged, keeps to the
 * bandwidth limits, and tells the nodes' progress.
 *
 * A .ign and an image count as fetched when the client had acknowledged all but the last
 * byte before that was sent: bytes that only lie in a socket's buffer were not fetched.
 */
#pragma once

#include "common/base.h"
#include "ignd/progress.h"

struct http_req;
struct loop;
struct transfers;

int transfers_new(
    struct transfers **ret, struct loop *l, struct progress *p) _mustcheck_;
/* No request may be on its way any more. */
struct transfers *transfers_free(struct transfers *t);
DEFINE_FREEP(transfers)
/* Bytes a second for one client address, and for all; 0: no limit.  0 or -ENOMEM. */
int transfers_limit(
    struct transfers *t, uint64_t per_client, uint64_t total) _mustcheck_;
bool transfers_limited(const struct transfers *t);

struct transfer_info {
	const char *node; /* its name; NULL: no node's */
	enum file_kind kind;
	const char *path;
	uint64_t total; /* bytes of the whole file */
};

/* Before the reply to r is made: 0, or -ENOMEM, then nothing is counted. */
int transfer_follow(
    struct transfers *t, struct http_req *r, const struct transfer_info *info);
/* Transfers of nodes that run; called while they move, to bring progress up to date. */
bool transfers_poll(struct transfers *t);
bool transfers_any(const struct transfers *t);
/* Ends the transfers of configs to nodes whose window somebody has closed. */
void transfers_cut(struct transfers *t);
