/*
 * JSON Web Tokens (RFC 7519) in compact form: taking them apart, verifying their
 * signatures, and making those that this process itself verifies later.  OpenSSL stays
 * inside jwt.c.
 *
 * Two kinds of keys never meet: a secret of our own signs and verifies HS256 alone, and
 * a set of public keys (JWKS, RFC 7517) verifies everything else.  "none" is no
 * algorithm.  What the claims say, and until when, is the caller's to judge.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

enum {
	JWT_MAX = 16 * 1024,       /* bytes of a token */
	JWT_JWKS_MAX = 256 * 1024, /* bytes of a set of keys */
	JWT_KEYS_MAX = 64,         /* keys of a set */
	JWT_SECRET_SIZE = 32,
};

/* A token that was taken apart and not verified yet. */
struct jwt {
	char alg[16];    /* "HS256", "ES256", ... */
	char kid[128];   /* "" when it names no key */
	json_t *claims;  /* an object */
	size_t n_signed; /* of the token's bytes, from its start */
	struct str signature;
};

/* 0, -EINVAL for what is no such token, or -ENOMEM. */
int jwt_parse(struct jwt *ret, const char *token, size_t n) _mustcheck_;
void jwt_deinit(struct jwt *t);

/* Public keys: RSA of at least 2048 bits (RS256/384/512, PS256/384/512), EC P-256,
 * P-384 and P-521 (ES256/384/512), and Ed25519 (EdDSA). */
struct jwt_keys;

/*
 * Reads a JWKS.  Keys that are not for signatures are passed over, as the RFC asks, and
 * so are kinds that are not known here; a set in which no key is left is refused.
 * name stands for the file in errors.
 */
int jwt_keys_parse(struct jwt_keys **ret, const char *name, const char *text, size_t n,
    struct err *err) _mustcheck_;
int jwt_keys_load(struct jwt_keys **ret, const char *path, struct err *err) _mustcheck_;
struct jwt_keys *jwt_keys_free(struct jwt_keys *k);
DEFINE_FREEP(jwt_keys)
size_t jwt_keys_count(const struct jwt_keys *k);

/*
 * Whether the signature over token is one of these keys': of the one the token names,
 * or of any that fits its algorithm where it names none.
 */
bool jwt_verify(
    const struct jwt_keys *k, const struct jwt *t, const char *token) _mustcheck_;
bool jwt_verify_secret(const uint8_t secret[JWT_SECRET_SIZE], const struct jwt *t,
    const char *token) _mustcheck_;

/* Appends an HS256 token with these claims: 0 or -ENOMEM. */
int jwt_make(struct str *out, const uint8_t secret[JWT_SECRET_SIZE],
    const json_t *claims) _mustcheck_;
