/*
 * A pull secret: {"auths": {"quay.io": {"auth": base64("user:password")}}}, as docker,
 * podman and OKD's install-config.yaml have it (containers-auth.json(5)).  Pure, but for
 * authfile_find().
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

enum { AUTHFILE_WORD_MAX = 4096 }; /* of a user or a password: tokens are long */

struct authfile_entry {
	char user[AUTHFILE_WORD_MAX], password[AUTHFILE_WORD_MAX];
};

/*
 * The entry for a repository of a host: the key that names most of "host/a/b" counts,
 * then those of other spellings ("https://host/v1/").  1 found, 0 none, -EINVAL with a
 * sentence for a text that is no such file, -ENOMEM.
 */
int authfile_lookup(struct authfile_entry *ret, const char *name, const char *text,
    size_t n, const char *host, const char *repository, struct err *err) _mustcheck_;
/* The same from a file. */
int authfile_find(struct authfile_entry *ret, const char *path, const char *host,
    const char *repository, struct err *err) _mustcheck_;
