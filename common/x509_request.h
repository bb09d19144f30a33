/*
 * What a certificate request (PKCS #10, RFC 2986) in PEM (RFC 7468) asks for.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/x509.h"

/*
 * A certificate request.  Whoever decides over it should insist on what the flags say:
 * exactly one block and nothing around it, so that every reader of the same text, the
 * API server's among them, has seen the same request.
 */
struct x509_request {
	struct x509_name subject;
	struct x509_alt alt;
	struct x509_key key;
	struct x509_proof *proof; /* see x509_request_is_signed() */

	bool leading_text;  /* anything before the block */
	bool trailing_text; /* anything but blanks after it, further blocks included */
	bool pem_headers;   /* RFC 1421 headers inside the block */

	unsigned n_extension_requests; /* extensionRequest attributes: 0 or 1 is sane */
	unsigned n_alt;                /* subjectAltName extensions: 0 or 1 is sane */
	unsigned n_other_extensions;   /* extensions other than subjectAltName */
	unsigned n_other_attributes;   /* attributes other than extensionRequest */
	bool wants_ca; /* basicConstraints with CA:TRUE is among the extensions */
};

/*
 * The first PEM block of a text, which must be a CERTIFICATE REQUEST with base64 in
 * lines and DER without a trailing byte.  -ENOENT without a block, -EBADMSG when it is
 * another kind or cannot be read, -EFBIG, -ENOMEM.  The key is not
 * looked into further than its kind, nor is the signature.
 */
int x509_request_parse(
    struct x509_request **ret, const char *pem, size_t n, struct err *err) _mustcheck_;
struct x509_request *x509_request_free(struct x509_request *r);
DEFINE_FREEP(x509_request)
/* Whether the key that is inside made the signature: worked out when it is first asked for,
 * since it costs ten times what reading does.  No two threads may ask at once. */
bool x509_request_is_signed(const struct x509_request *r);
