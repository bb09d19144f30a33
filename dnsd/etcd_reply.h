/* What etcd's JSON gateway says: reading it without acting on it. */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

struct etcd_kv {
	struct str key, value; /* decoded */
	int64_t mod_revision;
	int64_t lease; /* 0: none */
	bool deleted;
};

/* One message of a range or watch. */
struct etcd_reply {
	int64_t cluster_id, revision;
	int64_t term; /* of raft, which only rises; 0: not told */
	bool more, created, canceled;
	int64_t compact_revision, count;
	char why[256]; /* of an error or a cancellation */
	struct etcd_kv *kvs;
	size_t n_kvs;
};

/* 0, or -EBADMSG with a sentence for what is no such message. */
int etcd_reply_range(
    struct etcd_reply *r, const char *text, size_t n, struct err *e) _mustcheck_;
int etcd_reply_watch(
    struct etcd_reply *r, const char *line, size_t n, struct err *e) _mustcheck_;
void etcd_reply_deinit(struct etcd_reply *r);
/* The seconds that a lease was granted for, in ttl: 0 for one that has ended. */
int etcd_reply_lease(
    int64_t *ttl, const char *text, size_t n, struct err *e) _mustcheck_;

/* {"key":..,"range_end":..} and what fmt adds to it. */
int etcd_request_range(struct str *out, const char *from, size_t n_from,
    const char *prefix, int64_t revision, unsigned limit, bool count_only) _mustcheck_;
/* For the header's revision. */
int etcd_request_revision(struct str *out, const char *prefix) _mustcheck_;
int etcd_request_watch(
    struct str *out, const char *prefix, int64_t from_revision) _mustcheck_;
