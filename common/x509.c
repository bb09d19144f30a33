/* Certificates, read by OpenSSL: see x509.h. */
#include "common/x509.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "common/digest.h"
#include "common/x509_read.h"

X509_FREEP(BIO, BIO_free)
X509_FREEP(X509, X509_free)
X509_FREEP(EVP_PKEY, EVP_PKEY_free)

void x509_key_describe(const struct x509_key *key, struct str *out)
{
	switch (key->type) {
	case X509_KEY_RSA:
		str_addf(out, "RSA %u", key->bits);
		break;
	case X509_KEY_EC:
		str_addf(out, "EC %s", key->curve);
		break;
	case X509_KEY_ED25519:
		str_addz(out, "Ed25519");
		break;
	default:
		str_addz(out, "unknown");
		break;
	}
}

bool x509_strings_has(const struct x509_strings *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++) {
		if (str_eq(l->v[i], s))
			return true;
	}
	return false;
}

/* Certificates */

static void cert_deinit(struct x509_cert *x)
{
	x509_name_deinit(&x->subject);
	x509_name_deinit(&x->issuer);
	x509_alt_deinit(&x->alt);
	free(x->serial);
}

struct x509_certs *x509_certs_free(struct x509_certs *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		cert_deinit(&c->v[i]);
	free(c->v);
	free(c);
	return NULL;
}

static int time_read(int64_t *ret, const ASN1_TIME *t, const struct x509_context *c)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(t, &tm))
		return x509_bad(c, "its dates cannot be read");
	*ret = (int64_t)timegm(&tm);
	return 0;
}

static int serial_read(char **ret, const X509 *x, const struct x509_context *c)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = bn ? BN_bn2hex(bn) : NULL;

	*ret = hex ? strdup(hex) : NULL;
	OPENSSL_free(hex);
	BN_free(bn);
	return *ret ? 0 : x509_no_memory(c);
}

static int cert_alt(struct x509_cert *ret, const X509 *x, const struct x509_context *c)
{
	int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);

	if (at < 0)
		return 0;
	if (X509_get_ext_by_NID(x, NID_subject_alt_name, at) >= 0)
		return x509_bad(c, "it has two lists of alternative names");
	return x509_alt_read_extension(&ret->alt, X509_get_ext(x, at), c);
}

static int cert_read(struct x509_cert *ret, const unsigned char *der, long n,
    const struct x509_context *c)
{
	const unsigned char *p = der;
	_cleanup_(X509_free_p) X509 *x = d2i_X509(NULL, &p, n);
	uint32_t flags;
	int r;

	if (!x || p != der + n)
		return x509_bad(c, "cannot be read as a certificate");
	digest_of(DIGEST_SHA256, der, (size_t)n, ret->sha256);
	r = x509_name_read(&ret->subject, X509_get_subject_name(x), c);
	if (r == 0)
		r = x509_name_read(&ret->issuer, X509_get_issuer_name(x), c);
	if (r == 0)
		r = time_read(&ret->not_before, X509_get0_notBefore(x), c);
	if (r == 0)
		r = time_read(&ret->not_after, X509_get0_notAfter(x), c);
	if (r == 0)
		r = cert_alt(ret, x, c);
	if (r == 0)
		r = x509_key_read(&ret->key, X509_get_X509_PUBKEY(x), c);
	if (r == 0)
		r = serial_read(&ret->serial, x, c);
	if (r < 0)
		return r;
	flags = X509_get_extension_flags(x);
	ret->is_ca = flags & EXFLAG_CA && !(flags & EXFLAG_INVALID);
	ret->is_self_issued = flags & EXFLAG_SI;
	ERR_clear_error();
	return 0;
}

static int certs_add(
    struct x509_certs *certs, const unsigned char *der, long n, struct err *err)
{
	struct x509_cert *v;
	char what[48];
	struct x509_context c = { what, err };

	snprintf(what, sizeof(what), "certificate %zu", certs->n + 1);
	v = reallocarray(certs->v, certs->n + 1, sizeof(*v));
	if (!v)
		return x509_no_memory(&c);
	certs->v = v;
	memset(&v[certs->n], 0, sizeof(*v));
	/* Counted first, so that a half-read one is freed with the rest. */
	return cert_read(&v[certs->n++], der, n, &c);
}

/* Reads one PEM block of any kind: 1, 0 at the end, or -EBADMSG. */
static int next_block(
    BIO *b, char **name, unsigned char **der, long *n, const struct x509_context *c)
{
	char *header = NULL;
	unsigned long e;

	if (PEM_read_bio(b, name, &header, der, n)) {
		OPENSSL_free(header);
		return 1;
	}
	e = ERR_peek_last_error();
	ERR_clear_error();
	if (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE)
		return 0;
	return x509_bad(c, "a PEM block is damaged");
}

static int certs_read(struct x509_certs *certs, BIO *b, struct err *err)
{
	const struct x509_context c = { "certificates", err };
	unsigned char *der;
	char *name;
	long n;
	int r;

	while ((r = next_block(b, &name, &der, &n, &c)) > 0) {
		if (str_eq(name, PEM_STRING_X509) || str_eq(name, PEM_STRING_X509_OLD))
			r = certs_add(certs, der, n, err);
		OPENSSL_free(name);
		/* Other blocks may be private keys. */
		OPENSSL_cleanse(der, (size_t)n);
		OPENSSL_free(der);
		if (r < 0)
			return r;
	}
	return r;
}

int x509_certs_parse(
    struct x509_certs **ret, const char *pem, size_t n, struct err *err)
{
	const struct x509_context c = { "certificates", err };
	_cleanup_(x509_certs_freep) struct x509_certs *certs = NULL;
	_cleanup_(BIO_free_p) BIO *b = NULL;
	int r = x509_check_size(&c, n);

	if (r < 0)
		return r;
	certs = calloc(1, sizeof(*certs));
	b = BIO_new_mem_buf(n ? pem : "", (int)n);
	if (!certs || !b)
		return x509_no_memory(&c);
	r = certs_read(certs, b, err);
	if (r < 0)
		return r;
	if (!certs->n)
		return err_set(err, -ENOENT,
		    "certificates: there is none (a PEM file with a line \"-----BEGIN "
		    "CERTIFICATE-----\" is expected)");
	*ret = TAKE(certs);
	return 0;
}

/* Never asks anybody for a password. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

int x509_key_matches(const char *cert_pem, const char *key_pem, struct err *err)
{
	_cleanup_(BIO_free_p) BIO *cert = BIO_new_mem_buf(cert_pem, -1);
	_cleanup_(BIO_free_p) BIO *key = BIO_new_mem_buf(key_pem, -1);
	_cleanup_(X509_free_p) X509 *x = NULL;
	_cleanup_(EVP_PKEY_free_p) EVP_PKEY *k = NULL;
	const struct x509_context c = { "certificate", err },
				  ck = { "private key", err };

	if (!cert || !key)
		return x509_no_memory(&c);
	x = PEM_read_bio_X509(cert, NULL, no_password, NULL);
	if (!x)
		return x509_bad(&c, "cannot be read as PEM");
	k = PEM_read_bio_PrivateKey(key, NULL, no_password, NULL);
	if (!k)
		return x509_bad(&ck, "cannot be read as PEM, or is encrypted");
	if (X509_check_private_key(x, k) != 1)
		return x509_bad(&ck, "belongs to another certificate");
	return 0;
}

static X509 *first_of(const char *pem)
{
	_cleanup_(BIO_free_p) BIO *b = BIO_new_mem_buf(pem, -1);

	return b ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;
}

int x509_issued_by(const char *cert_pem, const char *ca_pem, struct err *err)
{
	_cleanup_(X509_free_p) X509 *x = first_of(cert_pem), *ca = first_of(ca_pem);
	const struct x509_context c = { "certificate", err },
				  issuer = { "issuer's certificate", err };

	if (!x)
		return x509_bad(&c, "cannot be read as PEM");
	if (!ca)
		return x509_bad(&issuer, "cannot be read as PEM");
	if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)) != 0)
		return x509_bad(&c, "names another issuer");
	if (X509_verify(x, X509_get0_pubkey(ca)) != 1)
		return x509_bad(&c, "was signed with another key");
	return 0;
}
