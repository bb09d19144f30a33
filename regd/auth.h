/*
 * Who asks, and what they may do.
 *
 * Passwords are hashed on a thread of their own.  What was verified is kept under a
 * keyed hash of the credentials until the file of users changes, so that a client that
 * sends its password with every request costs one hash an hour; requests that come with
 * the same credentials in the meantime wait for the same hash.  Failures are counted by
 * address, and an address with too many of them is refused before anything is hashed.
 * Bearer tokens are bearer.h's.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "regd/acl.h"

struct auth;
struct bearer;
struct call;
struct regd;
struct stat;

enum auth_verdict {
	AUTH_USER,      /* call->user is set */
	AUTH_ANONYMOUS, /* no credentials came, or none are needed */
	AUTH_WRONG,     /* 401 */
	AUTH_TOKEN,     /* 401: the token does not hold, or not any more */
	AUTH_TWICE,     /* 400: several, of which a proxy may have judged another */
	AUTH_LIMITED,   /* 429: too many failures from that address */
	AUTH_BUSY,      /* 503: too many hashes are queued */
	AUTH_WAIT,      /* done() will be called */
};

/* Reads the file of users that the configuration names; done is called on the loop for
 * calls that had to wait and have not ended. */
int auth_new(struct auth **ret, struct regd *g,
    void (*done)(struct call *c, enum auth_verdict v), struct err *err) _mustcheck_;
struct auth *auth_free(struct auth *a);
DEFINE_FREEP(auth)
/* Users and issuers as a new configuration names them, read and checked; auth_take() takes
 * them over and cannot fail. */
struct conf;
struct auth_users;
int auth_users_new(struct auth_users **ret, struct auth *a, const struct conf *conf,
    struct err *err) _mustcheck_;
struct auth_users *auth_users_free(struct auth_users *u);
DEFINE_FREEP(auth_users)
void auth_take(struct auth *a, struct auth_users *u);

enum auth_verdict auth_check(struct auth *a, struct call *c);
/* Rights of a user to a repository, by the configuration in force. */
unsigned auth_rights(struct auth *a, const char *user, const char *repository);
/* Those of a call, which the token that it came with may bound. */
unsigned auth_call_rights(const struct call *c, const char *repository);
/* Whether lists may show a repository to the caller. */
bool auth_may_list(const struct call *c, const char *repository);
/* NULL with auth: off. */
struct bearer *auth_bearer(struct auth *a);
/* What ties tokens to a user's password; "" for a user that is not there. */
void auth_seal(struct auth *a, const char *user, char *out, size_t size);
/* Whether a file is the one that was seen. */
bool auth_same_file(const struct stat *a, const struct stat *b);
/* Looks whether the file changed; every few seconds. */
void auth_tick(struct auth *a);
