/*
 * The words of the OCI distribution spec: names of repositories, tags, digests and
 * references.  Pure checks; whatever reached a file's path or a query passed here.
 */
#pragma once

#include "common/base.h"
#include "common/digest.h"

enum {
	NAME_MAX_LEN = 255, /* of a repository's name */
	TAG_MAX_LEN = 128,
	DIGEST_TEXT_MAX = 7 + 128 + 1, /* "sha512:", hex digits, NUL */
};

/* "sha256:<64 hex>" or "sha512:<128 hex>", lower case. */
struct oci_digest {
	char text[DIGEST_TEXT_MAX];
	enum digest_alg alg;
};

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, in components between slashes. */
bool name_is_repository(const char *s, size_t n);
/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool name_is_tag(const char *s);
/* Anything of the form algorithm:encoded, known to us or not. */
bool name_looks_like_digest(const char *s);

/* 0; -EINVAL for what is no digest; -ENOTSUP for one of another algorithm. */
int oci_digest_parse(struct oci_digest *ret, const char *s) _mustcheck_;
/* From the bytes that digest_final() gave. */
void oci_digest_set(struct oci_digest *d, enum digest_alg alg, const uint8_t *bytes);
/* The hexadecimal part. */
const char *oci_digest_hex(const struct oci_digest *d);
/* The digest of n bytes under the same algorithm as d is d. */
bool oci_digest_matches(const struct oci_digest *d, const void *p, size_t n);
