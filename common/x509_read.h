/* What certificates and requests have in common, between x509.c and x509_request.c. */
#pragma once

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/base.h"
#include "common/err.h"
#include "common/x509.h"

/* A cleanup function free_fn_p() for _cleanup_() upon a type of OpenSSL's. */
#define X509_FREEP(type, free_fn)         \
	static void free_fn##_p(type **p) \
	{                                 \
		free_fn(*p);              \
	}

/* Why something cannot be read: what the sentence begins with, "certificate 2" say. */
struct x509_context {
	const char *what;
	struct err *err;
};

/* Fill the error, empty OpenSSL's queue, and return -EBADMSG, -ENOMEM, 0 or -EFBIG. */
int x509_bad(const struct x509_context *c, const char *why);
int x509_no_memory(const struct x509_context *c);
int x509_check_size(const struct x509_context *c, size_t n) _mustcheck_;

/* Each fills a struct that was empty; what was read until a failure is in it, too. */
int x509_name_read(struct x509_name *ret, const X509_NAME *name,
    const struct x509_context *c) _mustcheck_;
void x509_name_deinit(struct x509_name *n);
/* A subjectAltName extension, down to its last byte; adds to what is there. */
int x509_alt_read_extension(
    struct x509_alt *a, X509_EXTENSION *ext, const struct x509_context *c) _mustcheck_;
void x509_alt_deinit(struct x509_alt *a);
/* A key that this OpenSSL does not know is of type OTHER. */
int x509_key_read(
    struct x509_key *ret, X509_PUBKEY *pub, const struct x509_context *c) _mustcheck_;
