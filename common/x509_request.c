/*
 * Certificate requests, read by OpenSSL: see x509_request.h.
 *
 * OpenSSL's own type decodes the key as soon as it is read, which takes longer than all the
 * rest; here the key stays as it is, and what a request says can be known without it.
 */
#include "common/x509_request.h"

#include <errno.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/digest.h"
#include "common/x509_read.h"

X509_FREEP(X509_REQ, X509_REQ_free)
X509_FREEP(X509_PUBKEY, X509_PUBKEY_free)

/* --- the ASN.1 ---------------------------------------------------------- */

struct spki {
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *key;
};

struct info {
	ASN1_INTEGER *version;
	X509_NAME *subject;
	struct spki *spki;
	STACK_OF(X509_ATTRIBUTE) * attributes;
};

struct pkcs10 {
	struct info *info;
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *signature;
};

/* clang-format off: these are tables */
ASN1_SEQUENCE(SPKI) = {
	ASN1_SIMPLE(struct spki, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct spki, key, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct spki, SPKI)

ASN1_SEQUENCE(INFO) = {
	ASN1_SIMPLE(struct info, version, ASN1_INTEGER),
	ASN1_SIMPLE(struct info, subject, X509_NAME),
	ASN1_SIMPLE(struct info, spki, SPKI),
	ASN1_IMP_SET_OF_OPT(struct info, attributes, X509_ATTRIBUTE, 0),
} static_ASN1_SEQUENCE_END_name(struct info, INFO)

ASN1_SEQUENCE(PKCS10) = {
	ASN1_SIMPLE(struct pkcs10, info, INFO),
	ASN1_SIMPLE(struct pkcs10, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct pkcs10, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct pkcs10, PKCS10)
/* clang-format on */

static struct pkcs10 *pkcs10_free(struct pkcs10 *p)
{
	ASN1_item_free((ASN1_VALUE *)p, ASN1_ITEM_rptr(PKCS10));
	return NULL;
}
DEFINE_FREEP(pkcs10)

/* --- the signature ------------------------------------------------------ */

/* The whole request until somebody wants to know, then the answer. */
struct x509_proof {
	struct str der; /* empty once it is known */
	bool good;
};

static struct x509_proof *proof_free(struct x509_proof *p)
{
	if (!p)
		return NULL;
	str_deinit(&p->der);
	free(p);
	return NULL;
}

static bool verify(const struct str *der)
{
	const unsigned char *p = (const unsigned char *)der->s;
	_cleanup_(X509_REQ_free_p) X509_REQ *req =
	    d2i_X509_REQ(NULL, &p, (long)der->len);
	EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
	bool good = key && X509_REQ_verify(req, key) == 1;

	ERR_clear_error();
	return good;
}

bool x509_request_is_signed(const struct x509_request *r)
{
	struct x509_proof *p = r->proof;

	if (p->der.len) {
		p->good = verify(&p->der);
		str_deinit(&p->der);
		p->der = (struct str)STR_INIT;
	}
	return p->good;
}

/* --- the block ---------------------------------------------------------- */

struct x509_request *x509_request_free(struct x509_request *r)
{
	if (!r)
		return NULL;
	x509_name_deinit(&r->subject);
	x509_alt_deinit(&r->alt);
	proof_free(r->proof);
	free(r);
	return NULL;
}

#define BEGIN "-----BEGIN "
#define BEGIN_REQUEST "-----BEGIN CERTIFICATE REQUEST-----"
#define END_REQUEST "-----END CERTIFICATE REQUEST-----"

/* A piece of the text, which may hold any byte. */
struct piece {
	const char *p;
	size_t n;
};

static bool piece_starts(struct piece t, const char *s)
{
	return t.n >= strlen(s) && memcmp(t.p, s, strlen(s)) == 0;
}

/* Where a line begins with s, or NULL. */
static const char *find_line(struct piece t, const char *s)
{
	const char *at = t.p, *end = t.p + t.n;

	while (at && at < end) {
		if (piece_starts((struct piece){ at, (size_t)(end - at) }, s))
			return at;
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	return NULL;
}

static void skip(struct piece *t, size_t n)
{
	t->p += n;
	t->n -= n;
}

static bool skip_line_end(struct piece *t)
{
	size_t cr = t->n > 0 && t->p[0] == '\r';

	if (t->n <= cr || t->p[cr] != '\n')
		return false;
	skip(t, cr + 1);
	return true;
}

static bool only_blanks(struct piece t)
{
	for (size_t i = 0; i < t.n; i++) {
		if (!strchr(" \t\r\n", t.p[i]) || !t.p[i])
			return false;
	}
	return true;
}

/* RFC 1421 headers end in an empty line. */
static int skip_headers(struct piece *body, bool *headers, const struct x509_context *c)
{
	if (!memchr(body->p, ':', body->n))
		return 0;
	*headers = true;
	for (;;) {
		const char *end = memchr(body->p, '\n', body->n);

		if (skip_line_end(body))
			return 0;
		if (!end)
			return x509_bad(c, "its PEM headers do not end");
		skip(body, (size_t)(end + 1 - body->p));
	}
}

/* The lines between the marks, and what stands around them. */
static int find_block(struct piece text, struct piece *body, struct x509_request *ret,
    const struct x509_context *c)
{
	const char *at = find_line(text, BEGIN), *end;

	if (!at)
		return err_set(c->err, -ENOENT, "%s: there is no PEM block", c->what);
	ret->leading_text = at != text.p;
	skip(&text, (size_t)(at - text.p));
	if (!piece_starts(text, BEGIN_REQUEST))
		return x509_bad(c, "the first PEM block is of another kind");
	skip(&text, strlen(BEGIN_REQUEST));
	if (!skip_line_end(&text))
		return x509_bad(c, "its first line does not end where it should");
	end = find_line(text, END_REQUEST);
	if (!end)
		return x509_bad(c, "its last line is missing");
	*body = (struct piece){ text.p, (size_t)(end - text.p) };
	skip(&text, body->n + strlen(END_REQUEST));
	ret->trailing_text = !only_blanks(text);
	return skip_headers(body, &ret->pem_headers, c);
}

static int decode_block(
    struct piece body, struct str *der, const struct x509_context *c)
{
	_cleanup_(str_deinit) struct str digits = STR_INIT;
	int r;

	for (size_t i = 0; i < body.n; i++) {
		if (body.p[i] != '\r' && body.p[i] != '\n')
			str_addc(&digits, body.p[i]);
	}
	if (str_err(&digits))
		return x509_no_memory(c);
	r = base64_decode(der, str_get(&digits), digits.len, BASE64_STD);
	if (r == -ENOMEM)
		return x509_no_memory(c);
	return r < 0 || !der->len ? x509_bad(c, "it is no base64 between its lines")
				  : 0;
}

static int request_extension(
    struct x509_request *ret, X509_EXTENSION *ext, const struct x509_context *c)
{
	int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
	BASIC_CONSTRAINTS *constraints;

	if (nid == NID_subject_alt_name) {
		ret->n_alt++;
		return x509_alt_read_extension(&ret->alt, ext, c);
	}
	ret->n_other_extensions++;
	if (nid != NID_basic_constraints)
		return 0;
	constraints = X509V3_EXT_d2i(ext);
	if (!constraints)
		return x509_bad(c, "its basic constraints cannot be read");
	ret->wants_ca = ret->wants_ca || constraints->ca;
	BASIC_CONSTRAINTS_free(constraints);
	return 0;
}

static int request_extensions(
    struct x509_request *ret, const ASN1_TYPE *value, const struct x509_context *c)
{
	const ASN1_STRING *s;
	const unsigned char *p;
	X509_EXTENSIONS *exts;
	bool whole;
	int r = 0, n;

	if (!value || value->type != V_ASN1_SEQUENCE)
		return x509_bad(c, "its extensions cannot be read");
	s = value->value.sequence;
	p = ASN1_STRING_get0_data(s);
	n = ASN1_STRING_length(s);
	exts = d2i_X509_EXTENSIONS(NULL, &p, n);
	whole = exts && p == ASN1_STRING_get0_data(s) + n;
	if (!whole)
		r = x509_bad(c, "its extensions cannot be read");
	for (int i = 0; whole && r == 0 && i < sk_X509_EXTENSION_num(exts); i++)
		r = request_extension(ret, sk_X509_EXTENSION_value(exts, i), c);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return r;
}

/*
 * Every value of every extensionRequest counts, where X509_REQ_get_extensions() would
 * take the first, or Microsoft's instead.
 */
static int request_attributes(struct x509_request *ret,
    const STACK_OF(X509_ATTRIBUTE) * attributes, const struct x509_context *c)
{
	int r = 0;

	for (int i = 0; i < sk_X509_ATTRIBUTE_num(attributes) && r == 0; i++) {
		X509_ATTRIBUTE *a = sk_X509_ATTRIBUTE_value(attributes, i);

		if (OBJ_obj2nid(X509_ATTRIBUTE_get0_object(a)) != NID_ext_req) {
			ret->n_other_attributes++;
			continue;
		}
		for (int j = 0; j < X509_ATTRIBUTE_count(a) && r == 0; j++) {
			ret->n_extension_requests++;
			r = request_extensions(ret, X509_ATTRIBUTE_get0_type(a, j), c);
		}
	}
	return r;
}

/* --- the key ------------------------------------------------------------ */

/* A key on one of the usual curves, by the curve's name alone: whether its point is on it
 * shows when it is to verify the signature. */
static bool is_usual_curve(struct x509_key *ret, const X509_ALGOR *algorithm)
{
	static const struct {
		int nid;
		unsigned bits;
	} curves[] = { { NID_X9_62_prime256v1, 256 }, { NID_secp384r1, 384 },
		{ NID_secp521r1, 521 } };
	const ASN1_OBJECT *oid;
	const void *curve;
	int type;

	X509_ALGOR_get0(&oid, &type, &curve, algorithm);
	if (OBJ_obj2nid(oid) != NID_X9_62_id_ecPublicKey || type != V_ASN1_OBJECT)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
		if (OBJ_obj2nid(curve) != curves[i].nid)
			continue;
		ret->type = X509_KEY_EC;
		ret->bits = curves[i].bits;
		snprintf(
		    ret->curve, sizeof(ret->curve), "%s", OBJ_nid2sn(curves[i].nid));
		return true;
	}
	return false;
}

static int request_key(
    struct x509_key *ret, const struct spki *spki, const struct x509_context *c)
{
	_cleanup_(X509_PUBKEY_free_p) X509_PUBKEY *pub = NULL;
	unsigned char *der = NULL;
	const unsigned char *p;
	int n, r = 0;

	n = ASN1_item_i2d((const ASN1_VALUE *)spki, &der, ASN1_ITEM_rptr(SPKI));
	if (n < 0)
		return x509_no_memory(c);
	p = der;
	if (is_usual_curve(ret, spki->algorithm))
		digest_of(DIGEST_SHA256, der, (size_t)n, ret->sha256);
	else if (!(pub = d2i_X509_PUBKEY(NULL, &p, n)))
		r = x509_bad(c, "its key cannot be read");
	else
		r = x509_key_read(ret, pub, c);
	OPENSSL_free(der);
	return r;
}

/* --- all of it ---------------------------------------------------------- */

/* Takes the bytes over where it succeeds. */
static int request_read(
    struct x509_request *ret, struct str *der, const struct x509_context *c)
{
	const unsigned char *p = (const unsigned char *)der->s, *end = p + der->len;
	_cleanup_(pkcs10_freep) struct pkcs10 *req = (struct pkcs10 *)ASN1_item_d2i(
	    NULL, &p, (long)der->len, ASN1_ITEM_rptr(PKCS10));
	int r;

	if (!req || p != end)
		return x509_bad(c,
		    "it cannot be read as a request, or does not end where it should");
	r = x509_name_read(&ret->subject, req->info->subject, c);
	if (r == 0)
		r = request_attributes(ret, req->info->attributes, c);
	if (r == 0)
		r = request_key(&ret->key, req->info->spki, c);
	if (r < 0)
		return r;
	ret->proof = calloc(1, sizeof(*ret->proof));
	if (!ret->proof)
		return x509_no_memory(c);
	ret->proof->der = *der;
	*der = (struct str)STR_INIT;
	ERR_clear_error();
	return 0;
}

int x509_request_parse(
    struct x509_request **ret, const char *pem, size_t n, struct err *err)
{
	const struct x509_context c = { "certificate request", err };
	_cleanup_(x509_request_freep) struct x509_request *req = NULL;
	_cleanup_(str_deinit) struct str der = STR_INIT;
	struct piece body = { NULL, 0 };
	int r = x509_check_size(&c, n);

	if (r < 0)
		return r;
	req = calloc(1, sizeof(*req));
	if (!req)
		return x509_no_memory(&c);
	r = find_block((struct piece){ pem, n }, &body, req, &c);
	if (r == 0)
		r = decode_block(body, &der, &c);
	if (r == 0)
		r = request_read(req, &der, &c);
	if (r < 0)
		return r;
	*ret = TAKE(req);
	return 0;
}
