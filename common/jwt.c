/* JSON Web Tokens: see jwt.h. */
#include "common/jwt.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/fd.h"
#include "common/json.h"

enum {
	RSA_MIN_BITS = 2048,
	RSA_MAX_BITS = 8192, /* verifying with a larger one takes too long */
	NUMBER_MAX = 1024,   /* bytes of a modulus, an exponent, a coordinate */
	POINT_MAX = 1 + 2 * 66,
	PARTS_MAX = 3, /* of a token */
};

/* --- tokens ----------------------------------------------------------------- */

static int decode_object(json_t **ret, const char *s, size_t n)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	int r = base64_decode(&text, s, n, BASE64_URL);

	if (r == 0)
		r = json_load_limited(
		    &v, NULL, str_get(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
	if (r < 0)
		return r;
	if (!json_is_object(v))
		return -EINVAL;
	*ret = TAKE(v);
	return 0;
}

/* A word of the header; NULL leaves "". */
static int take_word(char *out, size_t size, const char *word)
{
	out[0] = '\0';
	if (word && snprintf(out, size, "%s", word) >= (int)size)
		return -EINVAL;
	return 0;
}

static int parse_parts(
    struct jwt *t, const char *const at[PARTS_MAX], const size_t len[PARTS_MAX])
{
	_cleanup_(json_freep) json_t *head = NULL;
	int r = decode_object(&head, at[0], len[0]);

	if (r == 0)
		r = decode_object(&t->claims, at[1], len[1]);
	if (r == 0)
		r = base64_decode(&t->signature, at[2], len[2], BASE64_URL);
	if (r < 0)
		return r;
	/* Extensions that must be understood are not (RFC 7515, 4.1.11). */
	if (!json_str(head, "alg") || json_object_get(head, "crit"))
		return -EINVAL;
	r = take_word(t->alg, sizeof(t->alg), json_str(head, "alg"));
	return r < 0 ? r : take_word(t->kid, sizeof(t->kid), json_str(head, "kid"));
}

int jwt_parse(struct jwt *ret, const char *token, size_t n)
{
	const char *at[PARTS_MAX], *s = token, *end = token + n;
	struct jwt t = { .signature = STR_INIT };
	size_t len[PARTS_MAX];
	int r;

	if (n > JWT_MAX)
		return -EINVAL;
	for (int i = 0; i < PARTS_MAX; i++) {
		const char *dot = memchr(s, '.', (size_t)(end - s));

		if ((i < PARTS_MAX - 1) != (dot != NULL))
			return -EINVAL;
		at[i] = s;
		len[i] = (size_t)((dot ? dot : end) - s);
		s = dot ? dot + 1 : end;
	}
	t.n_signed = len[0] + 1 + len[1];
	r = parse_parts(&t, at, len);
	if (r < 0) {
		jwt_deinit(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void jwt_deinit(struct jwt *t)
{
	json_decref(t->claims);
	t->claims = NULL;
	str_deinit(&t->signature);
}

/* --- our own ---------------------------------------------------------------- */

bool jwt_verify_secret(
    const uint8_t secret[JWT_SECRET_SIZE], const struct jwt *t, const char *token)
{
	uint8_t mac[DIGEST_SHA256_SIZE];

	if (!str_eq(t->alg, "HS256") || t->signature.len != sizeof(mac))
		return false;
	hmac_sha256(secret, JWT_SECRET_SIZE, token, t->n_signed, mac);
	return str_eq_secret(mac, t->signature.s, sizeof(mac));
}

int jwt_make(
    struct str *out, const uint8_t secret[JWT_SECRET_SIZE], const json_t *claims)
{
	static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	_cleanup_(str_deinit) struct str text = STR_INIT;
	uint8_t mac[DIGEST_SHA256_SIZE];
	size_t start = out->len;

	if (json_dump_str(claims, &text) < 0)
		return -ENOMEM;
	base64_encode(out, head, sizeof(head) - 1, BASE64_URL);
	str_addc(out, '.');
	base64_encode(out, text.s, text.len, BASE64_URL);
	if (str_err(out) < 0)
		return -ENOMEM;
	hmac_sha256(secret, JWT_SECRET_SIZE, out->s + start, out->len - start, mac);
	str_addc(out, '.');
	base64_encode(out, mac, sizeof(mac), BASE64_URL);
	return str_err(out);
}

/* --- algorithms --------------------------------------------------------------- */

enum kind { KIND_RSA, KIND_EC, KIND_ED25519 };

static const struct algorithm {
	const char *name;
	enum kind kind;
	const char *digest; /* NULL: the signature scheme has its own */
	const char *curve;  /* as JWK writes it */
	size_t coordinate;  /* bytes */
	bool pss;
} algorithms[] = {
	{ "RS256", KIND_RSA, "SHA256", NULL, 0, false },
	{ "RS384", KIND_RSA, "SHA384", NULL, 0, false },
	{ "RS512", KIND_RSA, "SHA512", NULL, 0, false },
	{ "PS256", KIND_RSA, "SHA256", NULL, 0, true },
	{ "PS384", KIND_RSA, "SHA384", NULL, 0, true },
	{ "PS512", KIND_RSA, "SHA512", NULL, 0, true },
	{ "ES256", KIND_EC, "SHA256", "P-256", 32, false },
	{ "ES384", KIND_EC, "SHA384", "P-384", 48, false },
	{ "ES512", KIND_EC, "SHA512", "P-521", 66, false },
	{ "EdDSA", KIND_ED25519, NULL, "Ed25519", 32, false },
};

static const struct algorithm *find_algorithm(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (str_eq(algorithms[i].name, name))
			return &algorithms[i];
	return NULL;
}

/* --- sets of keys --------------------------------------------------------------- */

struct key {
	EVP_PKEY *pkey;
	enum kind kind;
	char curve[16]; /* as JWK writes it; "" for RSA */
	char alg[16];   /* the only one it may be used with; "": any of its kind */
	char kid[128];
};

struct jwt_keys {
	struct key v[JWT_KEYS_MAX];
	size_t n;
};

struct jwt_keys *jwt_keys_free(struct jwt_keys *k)
{
	if (!k)
		return NULL;
	for (size_t i = 0; i < k->n; i++)
		EVP_PKEY_free(k->v[i].pkey);
	free(k);
	return NULL;
}

size_t jwt_keys_count(const struct jwt_keys *k)
{
	return k->n;
}

/* The bytes of a base64url member, at most max. */
static int member_bytes(
    const json_t *jwk, const char *name, struct str *out, size_t max)
{
	const char *text = json_str(jwk, name);
	int r;

	if (!text)
		return -EINVAL;
	r = base64_decode(out, text, strlen(text), BASE64_URL);
	if (r < 0)
		return r;
	return out->len && out->len <= max ? 0 : -EINVAL;
}

static int pkey_from(EVP_PKEY **ret, const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	int r = -ENOMEM;

	if (params && ctx) {
		r = -EINVAL;
		if (EVP_PKEY_fromdata_init(ctx) == 1 &&
		    EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_PUBLIC_KEY, params) == 1)
			r = 0;
	}
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	ERR_clear_error();
	return r;
}

static int make_rsa(EVP_PKEY **ret, const json_t *jwk)
{
	_cleanup_(str_deinit) struct str n = STR_INIT;
	_cleanup_(str_deinit) struct str e = STR_INIT;
	OSSL_PARAM_BLD *bld;
	BIGNUM *bn, *be;
	int r = member_bytes(jwk, "n", &n, NUMBER_MAX);

	if (r == 0)
		r = member_bytes(jwk, "e", &e, sizeof(uint64_t));
	if (r < 0)
		return r;
	bld = OSSL_PARAM_BLD_new();
	bn = BN_bin2bn((const uint8_t *)n.s, (int)n.len, NULL);
	be = BN_bin2bn((const uint8_t *)e.s, (int)e.len, NULL);
	r = -ENOMEM;
	if (bld && bn && be && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be)) {
		r = -EINVAL;
		if (BN_num_bits(bn) >= RSA_MIN_BITS &&
		    BN_num_bits(bn) <= RSA_MAX_BITS && BN_is_odd(bn) && BN_is_odd(be) &&
		    !BN_is_one(be))
			r = pkey_from(ret, "RSA", bld);
	}
	BN_free(bn);
	BN_free(be);
	OSSL_PARAM_BLD_free(bld);
	return r;
}

/* An uncompressed point from x and y, which are of the curve's full length. */
static int make_point(const json_t *jwk, size_t size, uint8_t *point)
{
	_cleanup_(str_deinit) struct str x = STR_INIT;
	_cleanup_(str_deinit) struct str y = STR_INIT;
	int r = member_bytes(jwk, "x", &x, size);

	if (r == 0)
		r = member_bytes(jwk, "y", &y, size);
	if (r < 0)
		return r;
	if (x.len != size || y.len != size)
		return -EINVAL;
	point[0] = POINT_CONVERSION_UNCOMPRESSED;
	memcpy(point + 1, x.s, size);
	memcpy(point + 1 + size, y.s, size);
	return 0;
}

static int make_ec(EVP_PKEY **ret, const json_t *jwk, const struct algorithm *a)
{
	uint8_t point[POINT_MAX];
	OSSL_PARAM_BLD *bld;
	int r = make_point(jwk, a->coordinate, point);

	if (r < 0)
		return r;
	bld = OSSL_PARAM_BLD_new();
	r = -ENOMEM;
	if (bld &&
	    OSSL_PARAM_BLD_push_utf8_string(
		bld, OSSL_PKEY_PARAM_GROUP_NAME, a->curve, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(
		bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * a->coordinate))
		r = pkey_from(ret, "EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return r;
}

static int make_ed25519(EVP_PKEY **ret, const json_t *jwk)
{
	_cleanup_(str_deinit) struct str x = STR_INIT;
	int r = member_bytes(jwk, "x", &x, 32);

	if (r < 0)
		return r;
	if (x.len == 32)
		*ret = EVP_PKEY_new_raw_public_key(
		    EVP_PKEY_ED25519, NULL, (const uint8_t *)x.s, x.len);
	ERR_clear_error();
	return *ret ? 0 : -EINVAL;
}

/* The first algorithm of a curve, which says how long its coordinates are. */
static const struct algorithm *algorithm_of_curve(enum kind kind, const char *curve)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (algorithms[i].kind == kind && str_eq(algorithms[i].curve, curve))
			return &algorithms[i];
	return NULL;
}

/* 1 a key, 0 one to be passed over, -EINVAL one that is broken, -ENOMEM. */
static int make_key(struct key *k, const json_t *jwk)
{
	const char *type = json_str(jwk, "kty"), *curve = json_str(jwk, "crv");
	const char *use = json_str(jwk, "use");
	const struct algorithm *a = NULL;
	int r;

	if (!type)
		return -EINVAL;
	if (use && !str_eq(use, "sig"))
		return 0;
	if (take_word(k->kid, sizeof(k->kid), json_str(jwk, "kid")) < 0 ||
	    take_word(k->alg, sizeof(k->alg), json_str(jwk, "alg")) < 0)
		return -EINVAL;
	if (str_eq(type, "RSA")) {
		k->kind = KIND_RSA;
		r = make_rsa(&k->pkey, jwk);
		return r < 0 ? r : 1;
	}
	k->kind = str_eq(type, "EC") ? KIND_EC : KIND_ED25519;
	if (curve && (str_eq(type, "EC") || str_eq(type, "OKP")))
		a = algorithm_of_curve(k->kind, curve);
	if (!a)
		return 0;
	snprintf(k->curve, sizeof(k->curve), "%s", a->curve);
	r = k->kind == KIND_EC ? make_ec(&k->pkey, jwk, a)
			       : make_ed25519(&k->pkey, jwk);
	return r < 0 ? r : 1;
}

static int add_keys(
    struct jwt_keys *k, const char *name, const json_t *all, struct err *err)
{
	const json_t *jwk;
	size_t i;

	if (!json_is_array(all))
		return err_at(err, -EINVAL, name, 0, 0,
		    "a set of keys is {\"keys\": [...]}, as an issuer's jwks_uri gives "
		    "it");
	if (json_array_size(all) > JWT_KEYS_MAX)
		return err_at(
		    err, -EINVAL, name, 0, 0, "more than %d keys", JWT_KEYS_MAX);
	json_array_foreach(all, i, jwk)
	{
		int r = make_key(&k->v[k->n], jwk);

		if (r == -ENOMEM)
			return err_set(err, r, "out of memory");
		if (r < 0)
			return err_at(err, r, name, 0, 0,
			    "key %zu is broken or too weak: RSA needs n and e with at "
			    "least %d bits, EC a point of its curve",
			    i + 1, RSA_MIN_BITS);
		k->n += r > 0;
	}
	if (!k->n)
		return err_at(err, -EINVAL, name, 0, 0,
		    "it holds no public key that can verify a signature (RSA, EC "
		    "P-256, "
		    "P-384, P-521, Ed25519)");
	return 0;
}

int jwt_keys_parse(struct jwt_keys **ret, const char *name, const char *text, size_t n,
    struct err *err)
{
	_cleanup_(jwt_keys_freep) struct jwt_keys *k = NULL;
	_cleanup_(json_freep) json_t *set = NULL;
	int r;

	if (n > JWT_JWKS_MAX)
		return err_at(err, -EINVAL, name, 0, 0,
		    "a set of keys has at most %d bytes", JWT_JWKS_MAX);
	r = json_load_limited(&set, name, text, n, JSON_REJECT_DUPLICATES, err);
	if (r < 0)
		return r;
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(err, -ENOMEM, "out of memory");
	r = add_keys(k, name, json_object_get(set, "keys"), err);
	if (r < 0)
		return r;

	*ret = TAKE(k);
	return 0;
}

int jwt_keys_load(struct jwt_keys **ret, const char *path, struct err *err)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = file_read(path, JWT_JWKS_MAX, &text);

	if (r < 0)
		return err_set(err, r, "cannot read %s: %s", path, strerror(-r));
	return jwt_keys_parse(ret, path, str_get(&text), text.len, err);
}

/* --- verifying ------------------------------------------------------------------ */

/* JWS has r and s side by side, OpenSSL wants them as DER. */
static uint8_t *ec_signature(const struct jwt *t, size_t half, size_t *n)
{
	const uint8_t *raw = (const uint8_t *)t->signature.s;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, (int)half, NULL);
	BIGNUM *s = BN_bin2bn(raw + half, (int)half, NULL);
	uint8_t *der = NULL;
	int len = -1;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		len = i2d_ECDSA_SIG(sig, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	*n = len > 0 ? (size_t)len : 0;
	return der;
}

static bool verify_with(const struct algorithm *a, EVP_PKEY *pkey, const uint8_t *sig,
    size_t n, const char *text, size_t text_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	bool ok = ctx &&
	    EVP_DigestVerifyInit_ex(ctx, &pctx, a->digest, NULL, NULL, pkey, NULL) == 1;

	if (ok && a->pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(ctx, sig, n, (const uint8_t *)text, text_len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

static bool verify_key(const struct algorithm *a, const struct key *k,
    const struct jwt *t, const char *token)
{
	const uint8_t *sig = (const uint8_t *)t->signature.s;
	size_t n = t->signature.len;
	uint8_t *der = NULL;
	bool ok;

	if (a->kind == KIND_EC) {
		if (n != 2 * a->coordinate)
			return false;
		der = ec_signature(t, a->coordinate, &n);
		if (!der)
			return false;
		sig = der;
	}
	ok = n && verify_with(a, k->pkey, sig, n, token, t->n_signed);
	OPENSSL_free(der);
	return ok;
}

static bool fits(const struct algorithm *a, const struct key *k, const struct jwt *t)
{
	return k->kind == a->kind && (!a->curve || str_eq(k->curve, a->curve)) &&
	    (!k->alg[0] || str_eq(k->alg, a->name)) &&
	    (!t->kid[0] || !k->kid[0] || str_eq(k->kid, t->kid));
}

bool jwt_verify(const struct jwt_keys *k, const struct jwt *t, const char *token)
{
	const struct algorithm *a = find_algorithm(t->alg);

	for (size_t i = 0; a && i < k->n; i++)
		if (fits(a, &k->v[i], t) && verify_key(a, &k->v[i], t, token))
			return true;
	return false;
}
