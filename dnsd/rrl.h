/*
 * Limits how many alike replies go to one network, so that forged source addresses cannot
 * turn this server against others.  Alike are replies of one kind about one name; about
 * names that do not exist, those of one zone; and about names that one wildcard or template
 * answers for, all of them.  One for each worker; memory is fixed, and two that share a place
 * by chance share a budget.
 */
#pragma once

#include "common/base.h"
#include "dnsd/acl.h"
#include "dnsd/query.h"

struct rrl_settings {
	unsigned rate; /* replies a second; 0: no limit */
	unsigned slip; /* one in so many of those over it is sent, cut short; 0: none */
	unsigned prefix_v4, prefix_v6;
	struct acl exempt;
};

enum rrl_verdict {
	RRL_SEND,
	RRL_SLIP, /* query_limit() */
	RRL_DROP,
};

struct rrl;

int rrl_new(struct rrl **ret) _mustcheck_;
struct rrl *rrl_free(struct rrl *r);
DEFINE_FREEP(rrl)
/* Of the reply to q, which is there. */
enum rrl_verdict rrl_check(struct rrl *r, const struct rrl_settings *s,
    const struct sockaddr *peer, const struct query *q, uint64_t now_ms);
