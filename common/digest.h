/*
 * Digests, HMAC, hexadecimal, base64 and random bytes.  Nothing here allocates but
 * digest_new() and what appends to a struct str.
 */
#pragma once

#include "common/base.h"
#include "common/str.h"

enum digest_alg { DIGEST_SHA256, DIGEST_SHA512 };

#define DIGEST_SHA256_SIZE 32
#define DIGEST_SHA512_SIZE 64
#define DIGEST_MAX 64

size_t digest_size(enum digest_alg alg);
/* "sha256" or "sha512", as OCI writes them. */
const char *digest_name(enum digest_alg alg);
/* 0, or -EINVAL for a name that is neither. */
int digest_alg_parse(const char *name, size_t n, enum digest_alg *ret) _mustcheck_;

/* A digest that grows with its input. */
struct digest;

int digest_new(struct digest **ret, enum digest_alg alg) _mustcheck_;
struct digest *digest_free(struct digest *d);
DEFINE_FREEP(digest)
void digest_update(struct digest *d, const void *p, size_t n);
/* The digest of what came so far; more may follow, so it may be asked for again. */
void digest_peek(const struct digest *d, uint8_t out[DIGEST_MAX]);
/* The same and a fresh start. */
void digest_final(struct digest *d, uint8_t out[DIGEST_MAX]);
void digest_reset(struct digest *d);

/* All at once; out takes digest_size(alg) bytes. */
void digest_of(enum digest_alg alg, const void *p, size_t n, uint8_t *out);
void hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
    uint8_t out[DIGEST_SHA256_SIZE]);

/* Lower-case digits and a NUL: buf takes 2 * n + 1 bytes; returns buf. */
char *hex_encode(const void *p, size_t n, char *buf);
/* Exactly 2 * n lower-case digits in, n bytes out: 0 or -EINVAL. */
int hex_decode(const char *s, size_t len, uint8_t *out, size_t n) _mustcheck_;

enum base64 {
	BASE64_STD, /* RFC 4648 section 4, padded */
	BASE64_URL, /* section 5, without padding */
};

void base64_encode(struct str *out, const void *p, size_t n, enum base64 kind);
/*
 * Strict: no blanks, no line ends, padding exactly as the kind has it, unused bits
 * zero. 0, -EINVAL or -ENOMEM; out is then as it was.
 */
int base64_decode(
    struct str *out, const char *s, size_t n, enum base64 kind) _mustcheck_;

/* From the kernel; waits for its first entropy and cannot fail. */
void random_bytes(void *p, size_t n);
