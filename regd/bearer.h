/*
 * Bearer tokens: those that the registry issues at /token, and those of issuers that the
 * configuration names by a file of their public keys.
 *
 * Own tokens are signed with a secret that lies in the state folder, so that they hold
 * over a restart and an upgrade in place.  What was verified is remembered under a keyed
 * hash until it expires.  Keys are read again when their file changes, and what was
 * remembered is forgotten then.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

struct bearer;
struct call;
struct conf;
struct regd;
struct token;

int bearer_new(struct bearer **ret, struct regd *g, struct err *err) _mustcheck_;
struct bearer *bearer_free(struct bearer *b);
DEFINE_FREEP(bearer)
/* The issuers of a configuration, with their keys; bearer_take() takes them over, and what
 * was verified is verified again. */
struct issuers;
int issuers_new(
    struct issuers **ret, const struct conf *conf, struct err *err) _mustcheck_;
struct issuers *issuers_free(struct issuers *is);
DEFINE_FREEP(issuers)
void bearer_take(struct bearer *b, struct issuers *is);
/* Looks whether files changed; every few seconds. */
void bearer_tick(struct bearer *b);

/* A token that was verified before and still holds, or NULL; a reference goes to the
 * caller. */
struct token *bearer_recall(struct bearer *b, const char *text);
/*
 * Verifies: 0 with a reference; -EBADMSG for what is no token or has no good signature,
 * -EACCES or -ETIME for one that does not count here or not any more; -ENOMEM.
 */
int bearer_verify(struct bearer *b, const char *text, struct token **ret,
    struct err *err) _mustcheck_;
/* What ties a user's tokens to the hash of the password in force. */
void bearer_seal(const struct bearer *b, const char *hash, char *out, size_t size);

/* Adds the WWW-Authenticate that the configuration asks for; error is RFC 6750's word or
 * NULL, rights what the call would have needed. */
void bearer_challenge(struct call *c, unsigned rights, const char *error);
/* GET /token. */
int bearer_issue(struct call *c);
