/* Keys, certificates and requests by OpenSSL: see x509_make.h. */
#include "common/x509_make.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/digest.h"

static void ossl_freep(void *p)
{
	BIO_free(*(BIO **)p);
}

#define OSSL_FREEP(type, free_fn)         \
	static void free_fn##_p(type **p) \
	{                                 \
		free_fn(*p);              \
	}

OSSL_FREEP(EVP_PKEY, EVP_PKEY_free)
OSSL_FREEP(X509, X509_free)
OSSL_FREEP(X509_REQ, X509_REQ_free)
OSSL_FREEP(GENERAL_NAMES, GENERAL_NAMES_free)
OSSL_FREEP(X509_EXTENSION, X509_EXTENSION_free)

static int failed(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_error();
	const char *why = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return err_set(
	    err, -EIO, "cannot make %s: %s", what, why ? why : "out of memory");
}

/* Appends what a writer writes to a memory BIO, wiped afterwards. */
static int add_pem(
    struct str *out, int (*write)(BIO *b, const void *what), const void *what)
{
	_cleanup_(ossl_freep) BIO *b = BIO_new(BIO_s_secmem());
	char *p;
	long n;

	if (!b || !write(b, what))
		return -EIO;
	n = BIO_get_mem_data(b, &p);
	str_add(out, p, (size_t)n);
	return str_err(out) ? -ENOMEM : 0;
}

static int write_key(BIO *b, const void *what)
{
	return PEM_write_bio_PKCS8PrivateKey(b, what, NULL, NULL, 0, NULL, NULL);
}

static int write_cert(BIO *b, const void *what)
{
	return PEM_write_bio_X509(b, (X509 *)what);
}

static int write_request(BIO *b, const void *what)
{
	return PEM_write_bio_X509_REQ(b, (X509_REQ *)what);
}

/* 127 random bits: positive, and 20 bytes at most (RFC 5280, 4.1.2.2). */
static bool set_serial(X509 *x)
{
	uint8_t bytes[16];
	BIGNUM *bn;
	bool ok;

	random_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40;
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	return ok;
}

static bool add_name(X509_NAME *name, const char *type, const char *value)
{
	if (!value)
		return true;
	return X509_NAME_add_entry_by_txt(
	    name, type, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

/* O before CN, as Go writes them. */
static bool set_subject(X509_NAME *name, const struct x509_subject *s)
{
	return add_name(name, "O", s->o) && add_name(name, "CN", s->cn);
}

static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
	GENERAL_NAME *n = GENERAL_NAME_new();

	if (!n || !value || !sk_GENERAL_NAME_push(names, n)) {
		GENERAL_NAME_free(n);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(n, type, value);
	return true;
}

static ASN1_STRING *string_of(int type, const void *p, size_t n)
{
	ASN1_STRING *s = ASN1_STRING_type_new(type);

	if (s && !ASN1_STRING_set(s, p, (int)n)) {
		ASN1_STRING_free(s);
		return NULL;
	}
	return s;
}

static GENERAL_NAMES *alt_names(const struct x509_subject *s)
{
	_cleanup_(GENERAL_NAMES_free_p) GENERAL_NAMES *names = GENERAL_NAMES_new();

	if (!names)
		return NULL;
	for (const char *const *d = s->dns; d && *d; d++) {
		if (!push_name(
			names, GEN_DNS, string_of(V_ASN1_IA5STRING, *d, strlen(*d))))
			return NULL;
	}
	for (size_t i = 0; i < s->n_ip; i++) {
		size_t n = s->ip[i].family == 4 ? 4 : 16;

		if (!push_name(names, GEN_IPADD,
			string_of(V_ASN1_OCTET_STRING, s->ip[i].bytes, n)))
			return NULL;
	}
	return TAKE(names);
}

static bool has_alt(const struct x509_subject *s)
{
	return s->n_ip > 0 || (s->dns && s->dns[0]);
}

static bool add_alt(X509 *x, const struct x509_subject *s)
{
	_cleanup_(GENERAL_NAMES_free_p) GENERAL_NAMES *names = NULL;

	if (!has_alt(s))
		return true;
	names = alt_names(s);
	return names && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
}

static bool add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	_cleanup_(X509_EXTENSION_free_p) X509_EXTENSION *ext = NULL;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	return ext && X509_add_ext(x, ext, -1);
}

static const char *extended_use(unsigned use)
{
	switch (use) {
	case X509_USE_SERVER:
		return "serverAuth";
	case X509_USE_CLIENT:
		return "clientAuth";
	default:
		return "serverAuth,clientAuth";
	}
}

/* What both kinds have: version 3, serial, names, dates, key and its identifier. */
static X509 *new_cert(
    EVP_PKEY *key, const struct x509_subject *s, int64_t not_before, int64_t not_after)
{
	_cleanup_(X509_free_p) X509 *x = X509_new();

	if (!x || !X509_set_version(x, X509_VERSION_3) || !set_serial(x) ||
	    !set_subject(X509_get_subject_name(x), s) ||
	    !ASN1_TIME_set(X509_getm_notBefore(x), (time_t)not_before) ||
	    !ASN1_TIME_set(X509_getm_notAfter(x), (time_t)not_after) ||
	    !X509_set_pubkey(x, key) ||
	    !add_ext(x, NULL, NID_subject_key_identifier, "hash"))
		return NULL;
	return TAKE(x);
}

static int check_dates(int64_t not_before, int64_t not_after, struct err *err)
{
	if (not_before < not_after)
		return 0;
	return err_set(err, -EINVAL,
	    "a certificate must begin to be valid before it ends to be (is the clock "
	    "right, "
	    "or the CA expired?)");
}

/* Key and certificate appear together or not at all. */
static int give(struct str *cert, struct str *key, const X509 *x, const EVP_PKEY *k)
{
	_cleanup_(str_deinit) struct str a = STR_INIT;
	int r = add_pem(&a, write_cert, x);

	if (r == 0)
		r = add_pem(key, write_key, k);
	if (r == 0)
		str_add(cert, a.s, a.len);
	return r < 0 ? r : str_err(cert);
}

int x509_make_ca(struct str *cert, struct str *key, const struct x509_subject *subject,
    int64_t not_before, int64_t not_after, struct err *err)
{
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *k = EVP_EC_gen("P-256");
	_cleanup_(X509_free_p) X509 *x = NULL;
	int r = check_dates(not_before, not_after, err);

	if (r < 0)
		return r;
	x = k ? new_cert(k, subject, not_before, not_after) : NULL;
	if (!x || !X509_set_issuer_name(x, X509_get_subject_name(x)) ||
	    !add_ext(x, x, NID_authority_key_identifier, "keyid:always") ||
	    !add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !X509_sign(x, k, EVP_sha256()))
		return failed(err, "the CA certificate");
	return give(cert, key, x, k) < 0 ? failed(err, "the CA certificate") : 0;
}

static void *read_pem(const char *pem, void *(*read)(BIO *b))
{
	_cleanup_(ossl_freep) BIO *b = BIO_new_mem_buf(pem, -1);

	return b ? read(b) : NULL;
}

/* Never asks anybody for a password. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static void *read_cert(BIO *b)
{
	return PEM_read_bio_X509(b, NULL, no_password, NULL);
}

static void *read_key(BIO *b)
{
	return PEM_read_bio_PrivateKey(b, NULL, no_password, NULL);
}

static int64_t not_after_of(const X509 *x)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) ? (int64_t)timegm(&tm) : 0;
}

int x509_make_cert(struct str *cert, struct str *key,
    const struct x509_subject *subject, unsigned use, int64_t not_before,
    int64_t not_after, const char *ca_cert, const char *ca_key, struct err *err)
{
	_cleanup_(X509_free_p) X509 *ca = read_pem(ca_cert, read_cert);
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *signer = read_pem(ca_key, read_key);
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *k = NULL;
	_cleanup_(X509_free_p) X509 *x = NULL;
	int r;

	if (!ca || !signer || X509_check_private_key(ca, signer) != 1) {
		ERR_clear_error();
		return err_set(err, -EBADMSG,
		    "the CA certificate and its key cannot be read or do not belong "
		    "together");
	}
	not_after = MIN(not_after, not_after_of(ca));
	r = check_dates(not_before, not_after, err);
	if (r < 0)
		return r;
	k = EVP_EC_gen("P-256");
	x = k ? new_cert(k, subject, not_before, not_after) : NULL;
	if (!x || !X509_set_issuer_name(x, X509_get_subject_name(ca)) ||
	    !add_ext(x, ca, NID_authority_key_identifier, "keyid:always") ||
	    !add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_ext(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !add_ext(x, ca, NID_ext_key_usage, extended_use(use)) ||
	    !add_alt(x, subject) || !X509_sign(x, signer, EVP_sha256()))
		return failed(err, "the certificate");
	return give(cert, key, x, k) < 0 ? failed(err, "the certificate") : 0;
}

static bool request_alt(X509_REQ *req, const struct x509_subject *s)
{
	_cleanup_(GENERAL_NAMES_free_p) GENERAL_NAMES *names = NULL;
	STACK_OF(X509_EXTENSION) *exts = NULL;
	bool ok;

	if (!has_alt(s))
		return true;
	names = alt_names(s);
	ok = names &&
	    X509V3_add1_i2d(
		&exts, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
	    X509_REQ_add_extensions(req, exts);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return ok;
}

int x509_make_request(struct str *request, struct str *key,
    const struct x509_subject *subject, struct err *err)
{
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *k = EVP_EC_gen("P-256");
	_cleanup_(X509_REQ_free_p) X509_REQ *req = X509_REQ_new();

	if (!k || !req || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
	    !set_subject(X509_REQ_get_subject_name(req), subject) ||
	    !X509_REQ_set_pubkey(req, k) || !request_alt(req, subject) ||
	    !X509_REQ_sign(req, k, EVP_sha256()) || add_pem(key, write_key, k) < 0 ||
	    add_pem(request, write_request, req) < 0)
		return failed(err, "the certificate request");
	return 0;
}
