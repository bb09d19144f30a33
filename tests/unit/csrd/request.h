/* Makes certificate requests of every form, good and bad, as PEM text. */
#pragma once

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request_form {
	/* p256 (also for NULL), p384, p521, p224, secp256k1, explicit (P-256 by its
	 * parameters), rsa, huge (RSA of 16384 bits that signed nothing), ed25519, ed448 */
	const char *key;
	unsigned bits;        /* of an RSA key; 0: 2048 */
	const char *cn, *cn2; /* two common names */
	const char *o, *o2;
	const char *ou;
	const char *names;  /* as openssl.cnf has it: "DNS:worker,IP:192.0.2.1" */
	const char *names2; /* in a second extension */
	const char *usage;  /* an extendedKeyUsage extension */
	bool ca;            /* basicConstraints CA:TRUE */
	bool challenge;     /* a challengePassword attribute */
	bool tamper;        /* break the signature */
	const char
	    *coding; /* of the first cn: bmp, t61, ia5, universal, octets, nul (a NUL
			       and more behind it) */
	bool joined; /* O and CN in one RDN */
	const char
	    *requests; /* a second extensionRequest: attribute, value, microsoft */
	bool trailing; /* a byte behind the DER */
};

static inline void request_must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "request: %s failed\n", what);
		abort();
	}
}

/* A public key of that many bits, which nobody has the private one of. */
static inline EVP_PKEY *request_huge_key(int bits)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *n = BN_new(), *e = BN_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params;

	request_must(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) &&
		BN_set_word(e, 65537) && OSSL_PARAM_BLD_push_BN(build, "n", n) &&
		OSSL_PARAM_BLD_push_BN(build, "e", e),
	    "huge key");
	params = OSSL_PARAM_BLD_to_param(build);
	request_must(EVP_PKEY_fromdata_init(ctx) == 1 &&
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1,
	    "huge key");
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return key;
}

static inline EVP_PKEY *request_key(const struct request_form *f)
{
	static const char *const curves[][2] = { { "p384", "P-384" },
		{ "p521", "P-521" }, { "p224", "P-224" },
		{ "secp256k1", "secp256k1" } };
	const char *kind = f->key ? f->key : "p256", *curve = "P-256";
	EVP_PKEY *key = NULL;

	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		curve = strcmp(kind, curves[i][0]) == 0 ? curves[i][1] : curve;
	if (strcmp(kind, "rsa") == 0)
		key = EVP_PKEY_Q_keygen(
		    NULL, NULL, "RSA", (size_t)(f->bits ? f->bits : 2048));
	else if (strcmp(kind, "ed25519") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else if (strcmp(kind, "ed448") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve);
	request_must(key != NULL, "key");
	if (strcmp(kind, "explicit") == 0)
		request_must(EVP_PKEY_set_utf8_string_param(
				 key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit") == 1,
		    "explicit");
	return key;
}

static inline void request_add_name(X509_NAME *n, const char *field, const char *text)
{
	if (text)
		request_must(X509_NAME_add_entry_by_txt(n, field, MBSTRING_UTF8,
				 (const unsigned char *)text, -1, -1, 0) == 1,
		    field);
}

/* The common name in an encoding that no kubelet uses. */
static inline void request_add_coded(X509_NAME *n, const struct request_form *f)
{
	static const struct {
		const char *word;
		int type,
		    form; /* form: what the text is converted from, 0: left as it is */
	} codings[] = { { "bmp", V_ASN1_BMPSTRING, MBSTRING_UTF8 },
		{ "universal", V_ASN1_UNIVERSALSTRING, MBSTRING_UTF8 },
		{ "t61", V_ASN1_T61STRING, 0 }, { "ia5", V_ASN1_IA5STRING, 0 },
		{ "octets", V_ASN1_IA5STRING, 0 }, { "nul", V_ASN1_UTF8STRING, 0 } };
	unsigned char text[256] = { 0 };
	int len = snprintf((char *)text, 200, "%s", f->cn);
	ASN1_STRING *coded = NULL;

	for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
		if (strcmp(f->coding, codings[i].word) != 0)
			continue;
		if (strcmp(f->coding, "nul") == 0) /* the text's own end is in it */
			len += 1 + snprintf((char *)text + len + 1, 32, ".evil.org");
		if (codings[i].form)
			request_must(
			    ASN1_mbstring_copy(&coded, text, len, codings[i].form,
				ASN1_tag2bit(codings[i].type)) > 0,
			    "coding");
		else
			coded = ASN1_STRING_type_new(codings[i].type);
		request_must(
		    codings[i].form || ASN1_STRING_set(coded, text, len), "coding");
		request_must(
		    X509_NAME_add_entry_by_NID(n, NID_commonName, coded->type,
			coded->data, coded->length, -1, f->joined ? -1 : 0) == 1,
		    "coded name");
	}
	request_must(coded != NULL, f->coding);
	ASN1_STRING_free(coded);
}

static inline void request_add_cn(X509_NAME *n, const struct request_form *f)
{
	if (f->cn && f->coding)
		request_add_coded(n, f);
	else if (f->cn)
		request_must(
		    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8,
			(const unsigned char *)f->cn, -1, -1, f->joined ? -1 : 0) == 1,
		    "CN");
}

static inline void request_add_ext(
    STACK_OF(X509_EXTENSION) * list, int nid, const char *text)
{
	X509_EXTENSION *e;

	if (!text)
		return;
	e = X509V3_EXT_conf_nid(NULL, NULL, nid, text);
	request_must(e && sk_X509_EXTENSION_push(list, e) > 0, text);
}

/* A second list of extensions, with one of the API's names in it. */
static inline void request_second_list(X509_REQ *q, const char *where)
{
	STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
	int at = X509_REQ_get_attr_by_NID(q, NID_ext_req, -1), n;
	bool microsoft = strcmp(where, "microsoft") == 0;
	unsigned char *der = NULL;

	request_add_ext(list, NID_subject_alt_name, "DNS:api.okd.example.com");
	n = i2d_X509_EXTENSIONS(list, &der);
	request_must(n > 0, "second list");
	if (strcmp(where, "value") == 0 && at >= 0)
		request_must(X509_ATTRIBUTE_set1_data(X509_REQ_get_attr(q, at),
				 V_ASN1_SEQUENCE, der, n) == 1,
		    "second value");
	else
		request_must(X509_REQ_add1_attr_by_NID(
				 q, NID_ms_ext_req, V_ASN1_SEQUENCE, der, n) == 1,
		    "second attribute");
	/* OpenSSL adds none that is there. */
	at = X509_REQ_get_attr_by_NID(q, NID_ms_ext_req, -1);
	if (at >= 0 && !microsoft)
		request_must(X509_ATTRIBUTE_set1_object(X509_REQ_get_attr(q, at),
				 OBJ_nid2obj(NID_ext_req)) == 1,
		    "its name");
	OPENSSL_free(der);
	sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}

static inline void request_extensions(X509_REQ *q, const struct request_form *f)
{
	STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();

	request_add_ext(list, NID_subject_alt_name, f->names);
	request_add_ext(list, NID_subject_alt_name, f->names2);
	request_add_ext(list, NID_ext_key_usage, f->usage);
	request_add_ext(list, NID_basic_constraints, f->ca ? "CA:TRUE" : NULL);
	if (sk_X509_EXTENSION_num(list) > 0)
		request_must(X509_REQ_add_extensions(q, list) == 1, "extensions");
	sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
	if (f->requests)
		request_second_list(q, f->requests);
	if (f->challenge)
		request_must(X509_REQ_add1_attr_by_NID(q, NID_pkcs9_challengePassword,
				 MBSTRING_UTF8, (const unsigned char *)"x", -1) == 1,
		    "attribute");
}

/* OpenSSL itself writes no name as an OCTET STRING. */
static inline void request_retag(unsigned char *der, int n)
{
	static const unsigned char cn[] = { 0x55, 4, 3, V_ASN1_IA5STRING };
	unsigned char *at = memmem(der, (size_t)n, cn, sizeof(cn));

	request_must(at != NULL, "common name");
	at[3] = V_ASN1_OCTET_STRING;
}

static inline char *request_pem(X509_REQ *q, const struct request_form *f)
{
	BIO *out = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	int n = i2d_X509_REQ(q, &der);
	char *data, *text;
	long size;

	request_must(n > 0, "DER");
	if (f->coding && strcmp(f->coding, "octets") == 0)
		request_retag(der, n);
	if (f->trailing) {
		der = OPENSSL_realloc(der, (size_t)n + 1);
		der[n++] = 0;
	}
	request_must(PEM_write_bio(out, PEM_STRING_X509_REQ, "", der, n) > 0, "PEM");
	size = BIO_get_mem_data(out, &data);
	text = strndup(data, (size_t)size);
	OPENSSL_free(der);
	BIO_free(out);
	return text;
}

/* PEM text of the caller's. */
static inline char *request_make_with(const struct request_form *f, EVP_PKEY *key)
{
	bool huge = f->key && strcmp(f->key, "huge") == 0;
	EVP_PKEY *inside = huge ? request_huge_key(16384) : key;
	X509_REQ *q = X509_REQ_new();
	X509_NAME *subject = X509_REQ_get_subject_name(q);
	int type = EVP_PKEY_get_base_id(key);
	bool own_digest = type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448;
	const ASN1_BIT_STRING *sig;
	char *text;

	/* A kubelet's order: O before CN. */
	request_add_name(subject, "O", f->o);
	request_add_name(subject, "O", f->o2);
	request_add_name(subject, "OU", f->ou);
	request_add_cn(subject, f);
	request_add_name(subject, "CN", f->cn2);
	request_must(
	    X509_REQ_set_version(q, 0) && X509_REQ_set_pubkey(q, inside), "head");
	request_extensions(q, f);
	request_must(
	    X509_REQ_sign(q, key, own_digest ? NULL : EVP_sha256()) > 0, "sign");
	if (f->tamper) {
		X509_REQ_get0_signature(q, &sig, NULL);
		((ASN1_BIT_STRING *)(uintptr_t)sig)->data[sig->length - 1] ^= 1;
	}
	text = request_pem(q, f);
	X509_REQ_free(q);
	if (huge)
		EVP_PKEY_free(inside);
	return text;
}

static inline char *request_make(const struct request_form *f)
{
	EVP_PKEY *key = request_key(f);
	char *text = request_make_with(f, key);

	EVP_PKEY_free(key);
	return text;
}
