/*
 * A bearer token whose signature was verified, and what its claims say (RFC 7519, and
 * "access" of the distribution project's token authentication).  Judging is pure: the
 * time and who may have made it are arguments.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/conf.h"
#include "common/err.h"
#include "regd/scope.h"

enum {
	TOKEN_USER_MAX = 256, /* of a subject, with its NUL */
	TOKEN_SEAL_SIZE = 16,
	TOKEN_LEEWAY_S = 60, /* how far another issuer's clock may be off */
};

/* Counted, because a call may outlive its entry in the cache. */
struct token {
	unsigned refs;
	bool own; /* made by this registry: the user's rights bound it */
	char user[TOKEN_USER_MAX]; /* "" is nobody */
	int64_t expires;
	struct scope scope;
	char seal[2 * TOKEN_SEAL_SIZE + 1]; /* own: ties it to the user's password */
};

struct token *token_ref(struct token *t);
struct token *token_unref(struct token *t);
static inline void token_unrefp(struct token **t)
{
	*t = token_unref(*t);
}

/* What a token must say; audience is a list of char *, one of which is to be named. */
struct token_demand {
	const char *issuer;
	const struct conf_list *audience;
	int64_t now, leeway;
	bool own;
};

/* The issuer that the claims name, or NULL. */
const char *token_issuer(const json_t *claims);
/*
 * 0; -EACCES with a sentence for a token of another issuer or audience; -ETIME for one
 * that has expired or does not hold yet; -EINVAL for claims that are missing or of
 * another type; -ENOMEM.
 */
int token_judge(struct token **ret, const json_t *claims, const struct token_demand *d,
    struct err *err) _mustcheck_;
/* The claims of an own token; NULL without memory. */
json_t *token_claims(
    const struct token *t, const char *issuer, const char *audience, int64_t now);
