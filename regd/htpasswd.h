/*
 * A file of users, as htpasswd(1) writes it: "name:hash" a line.  Hashes are whatever
 * crypt(3) verifies and is slow on purpose: bcrypt, yescrypt, scrypt, sha512-crypt,
 * sha256-crypt.  DES, MD5 and plain text are refused.
 *
 * A table is immutable; verifying works on copies and may run on any thread.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

enum {
	HTPASSWD_USER_MAX = 256,     /* with its NUL */
	HTPASSWD_PASSWORD_MAX = 512, /* with its NUL; crypt(3) takes no more */
	HTPASSWD_HASH_MAX = 256,
};

struct htpasswd;

/* Reads text; name stands for the file in errors. */
int htpasswd_parse(struct htpasswd **ret, const char *name, const char *text, size_t n,
    struct err *err) _mustcheck_;
int htpasswd_load(struct htpasswd **ret, const char *path, struct err *err) _mustcheck_;
struct htpasswd *htpasswd_free(struct htpasswd *h);
DEFINE_FREEP(htpasswd)
size_t htpasswd_count(const struct htpasswd *h);
/*
 * The hash of a user, or NULL.  For a user that is not there, *dummy is one of another's:
 * verifying it takes as long as for a user that is, so that the time tells nobody who exists.
 */
const char *htpasswd_find(
    const struct htpasswd *h, const char *user, const char **dummy);

/* Milliseconds to seconds of CPU: never on a serving loop. */
bool htpasswd_verify(const char *hash, const char *password);
/* A bcrypt hash, for a file of ours, of a password that is random: 0 or -errno. */
int htpasswd_make(const char *password, char hash[HTPASSWD_HASH_MAX]) _mustcheck_;
