/* The registry's CA, certificate and users, and pull secrets. */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

struct cluster;

/* The registry's own CA: a certificate of ten years and its key. */
int secrets_make_ca(const struct cluster *c, int64_t now, struct str *cert,
    struct str *key, struct err *err) _mustcheck_;
/* A server certificate of that CA, followed by the CA's, and its key. */
int secrets_make_cert(const struct cluster *c, int64_t now, const char *ca_cert,
    const char *ca_key, struct str *cert, struct str *key, struct err *err) _mustcheck_;
/*
 * 0 when the certificate is good for the registry of this cluster and for 30 days more;
 * else -EINVAL with what is wrong: a missing name, another CA, another key, the clock.
 * key may be NULL: then it is not looked at.
 */
int secrets_check_cert(const struct cluster *c, int64_t now, const char *cert,
    const char *key, const char *ca, struct err *err) _mustcheck_;

/* 24 random characters without any that needs quoting. */
void secrets_password(struct str *out);
/* "user:$2y$..." with a line end: bcrypt, as htpasswd -B writes it. */
int secrets_htpasswd(const char *user, const char *password, struct str *out,
    struct err *err) _mustcheck_;
/* Appends such a file's text without the user's lines; true when there was one. */
bool secrets_without_user(const char *htpasswd, const char *user, struct str *out);
/* Does it let the user in with that password? */
bool secrets_has_user(const char *htpasswd, const char *user, const char *password);
/* {"auths":{"host:port":{"auth":"..."}}} */
void secrets_pull_secret(
    const char *registry, const char *user, const char *password, struct str *out);
/* The user and password of a registry in a pull secret: -ENOENT, -EINVAL. */
int secrets_find_auth(const char *pull_secret, const char *registry, struct str *user,
    struct str *password) _mustcheck_;
/* Overwrites and frees. */
void secrets_wipe(struct str *s);
