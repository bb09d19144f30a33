/*
 * What certificates (RFC 5280) say, in plain structs; requests are in x509_request.h.
 * Input is PEM text (RFC 7468) of at most X509_INPUT_MAX bytes; what a C string could not
 * hold faithfully (NUL bytes, broken UTF-8) is refused rather than cut.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/net.h"
#include "common/str.h"

#define X509_INPUT_MAX (256u * 1024)
#define X509_SHA256 32

/* A list of strings. */
struct x509_strings {
	char **v;
	size_t n;
};

/* A distinguished name; multi-valued RDNs are flattened, order is kept. */
struct x509_name {
	struct x509_strings cn, o;
	size_t n_other; /* attributes of any other kind */
	bool odd; /* an RDN has several attributes, or one is encoded otherwise than as
			   UTF8String or PrintableString: readers may differ over it */
	char *text; /* as RFC 2253 writes it, for people */
};

/* The subject alternative names. */
struct x509_alt {
	struct x509_strings dns; /* as they stand, in any case */
	struct net_ip *ip;
	size_t n_ip;
	size_t n_ip_mapped; /* those among ip that were written as ::ffff:a.b.c.d */
	struct x509_strings email, uri;
	size_t n_other; /* names of any other kind, and addresses of odd length */
};

enum x509_key_type { X509_KEY_OTHER, X509_KEY_RSA, X509_KEY_EC, X509_KEY_ED25519 };

struct x509_key {
	enum x509_key_type type;
	unsigned bits;
	char curve[32];              /* EC: "prime256v1", ...; else "" */
	uint8_t sha256[X509_SHA256]; /* of the SubjectPublicKeyInfo */
};

/* "RSA 2048", "EC prime256v1", ... */
void x509_key_describe(const struct x509_key *key, struct str *out);

struct x509_cert {
	struct x509_name subject, issuer;
	struct x509_alt alt;
	struct x509_key key;
	char *serial;                  /* hexadecimal, upper case */
	int64_t not_before, not_after; /* seconds since 1970; both ends are within */
	bool is_ca;
	bool is_self_issued;         /* subject and issuer are the same name */
	uint8_t sha256[X509_SHA256]; /* of the DER: the fingerprint */
};

struct x509_certs {
	struct x509_cert *v;
	size_t n;
};

/*
 * All CERTIFICATE blocks of a text, in order; other blocks and text between are passed
 * over.  -ENOENT when there is none, -EBADMSG for one that cannot be read (the sentence
 * says which), -EFBIG, -ENOMEM.
 */
int x509_certs_parse(
    struct x509_certs **ret, const char *pem, size_t n, struct err *err) _mustcheck_;
struct x509_certs *x509_certs_free(struct x509_certs *c);
DEFINE_FREEP(x509_certs)
/* 0 when key_pem is the private key of the first certificate, else -EBADMSG with why.
 */
int x509_key_matches(
    const char *cert_pem, const char *key_pem, struct err *err) _mustcheck_;

/* 0 when the first certificate bears the signature of ca_pem's first one, of the same name
 * as its issuer, else -EBADMSG with why.  Dates and uses are not looked at. */
int x509_issued_by(
    const char *cert_pem, const char *ca_pem, struct err *err) _mustcheck_;

/* Is s in the list, byte by byte? */
bool x509_strings_has(const struct x509_strings *l, const char *s);
