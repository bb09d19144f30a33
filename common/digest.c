/* Digests by OpenSSL, encodings by hand: see digest.h. */
#include "common/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

static const struct {
	const char *name;
	const char *fetch;
	size_t size;
} algs[] = {
	[DIGEST_SHA256] = { "sha256", "SHA2-256", DIGEST_SHA256_SIZE },
	[DIGEST_SHA512] = { "sha512", "SHA2-512", DIGEST_SHA512_SIZE },
};

static EVP_MD *fetched[ARRAY_SIZE(algs)];

/*
 * libcrypto fails here only without memory or without its default provider; a digest
 * that was not computed must never be taken for one.
 */
static void must(bool ok)
{
	if (!ok)
		abort();
}

/* A fetch walks the providers and takes locks: once for all. */
static void fetch_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
		fetched[i] = EVP_MD_fetch(NULL, algs[i].fetch, NULL);
		must(fetched[i] != NULL);
	}
}

static const EVP_MD *md(enum digest_alg alg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch_all);
	return fetched[alg];
}

size_t digest_size(enum digest_alg alg)
{
	return algs[alg].size;
}

const char *digest_name(enum digest_alg alg)
{
	return algs[alg].name;
}

int digest_alg_parse(const char *name, size_t n, enum digest_alg *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
		if (strlen(algs[i].name) != n || memcmp(algs[i].name, name, n) != 0)
			continue;
		*ret = (enum digest_alg)i;
		return 0;
	}
	return -EINVAL;
}

struct digest {
	EVP_MD_CTX *ctx;
	EVP_MD_CTX *scratch; /* digest_peek() ends a copy */
	enum digest_alg alg;
};

int digest_new(struct digest **ret, enum digest_alg alg)
{
	_cleanup_(digest_freep) struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->alg = alg;
	d->ctx = EVP_MD_CTX_new();
	d->scratch = EVP_MD_CTX_new();
	if (!d->ctx || !d->scratch || !EVP_DigestInit_ex2(d->ctx, md(alg), NULL))
		return -ENOMEM;

	*ret = TAKE(d);
	return 0;
}

struct digest *digest_free(struct digest *d)
{
	if (!d)
		return NULL;
	EVP_MD_CTX_free(d->ctx);
	EVP_MD_CTX_free(d->scratch);
	free(d);
	return NULL;
}

void digest_update(struct digest *d, const void *p, size_t n)
{
	must(EVP_DigestUpdate(d->ctx, p, n));
}

void digest_peek(const struct digest *d, uint8_t out[DIGEST_MAX])
{
	must(EVP_MD_CTX_copy_ex(d->scratch, d->ctx));
	must(EVP_DigestFinal_ex(d->scratch, out, NULL));
}

void digest_final(struct digest *d, uint8_t out[DIGEST_MAX])
{
	must(EVP_DigestFinal_ex(d->ctx, out, NULL));
	digest_reset(d);
}

void digest_reset(struct digest *d)
{
	must(EVP_DigestInit_ex2(d->ctx, md(d->alg), NULL));
}

void digest_of(enum digest_alg alg, const void *p, size_t n, uint8_t *out)
{
	must(EVP_Digest(p, n, out, NULL, md(alg), NULL));
}

void hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
    uint8_t out[DIGEST_SHA256_SIZE])
{
	/* A NULL key would mean "the one before". */
	must(HMAC(md(DIGEST_SHA256), key_len ? key : "", (int)key_len, p, n, out,
		 NULL) != NULL);
}

char *hex_encode(const void *p, size_t n, char *buf)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = p;

	for (size_t i = 0; i < n; i++) {
		buf[2 * i] = digits[at[i] >> 4];
		buf[2 * i + 1] = digits[at[i] & 15];
	}
	buf[2 * n] = '\0';
	return buf;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int hex_decode(const char *s, size_t len, uint8_t *out, size_t n)
{
	if (len % 2 != 0 || len / 2 != n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

static const char alphabets[][65] = {
	[BASE64_STD] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	[BASE64_URL] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void base64_encode(struct str *out, const void *p, size_t n, enum base64 kind)
{
	const char *a = alphabets[kind];
	const uint8_t *in = p;

	for (; n > 0; in += MIN(n, 3u), n -= MIN(n, 3u)) {
		uint32_t v = (uint32_t)in[0] << 16 |
		    (n > 1 ? (uint32_t)in[1] << 8 : 0) | (n > 2 ? in[2] : 0u);
		char four[4] = { a[v >> 18], a[v >> 12 & 63], '=', '=' };
		size_t len = 4;

		if (n > 1)
			four[2] = a[v >> 6 & 63];
		if (n > 2)
			four[3] = a[v & 63];
		if (kind == BASE64_URL && n < 3)
			len = n + 1;
		str_add(out, four, len);
	}
}

/* What a digit of both alphabets stands for, and one; 0: it is none. */
static const uint8_t base64_common[128] = {
	['A'] = 1,
	['B'] = 2,
	['C'] = 3,
	['D'] = 4,
	['E'] = 5,
	['F'] = 6,
	['G'] = 7,
	['H'] = 8,
	['I'] = 9,
	['J'] = 10,
	['K'] = 11,
	['L'] = 12,
	['M'] = 13,
	['N'] = 14,
	['O'] = 15,
	['P'] = 16,
	['Q'] = 17,
	['R'] = 18,
	['S'] = 19,
	['T'] = 20,
	['U'] = 21,
	['V'] = 22,
	['W'] = 23,
	['X'] = 24,
	['Y'] = 25,
	['Z'] = 26,
	['a'] = 27,
	['b'] = 28,
	['c'] = 29,
	['d'] = 30,
	['e'] = 31,
	['f'] = 32,
	['g'] = 33,
	['h'] = 34,
	['i'] = 35,
	['j'] = 36,
	['k'] = 37,
	['l'] = 38,
	['m'] = 39,
	['n'] = 40,
	['o'] = 41,
	['p'] = 42,
	['q'] = 43,
	['r'] = 44,
	['s'] = 45,
	['t'] = 46,
	['u'] = 47,
	['v'] = 48,
	['w'] = 49,
	['x'] = 50,
	['y'] = 51,
	['z'] = 52,
	['0'] = 53,
	['1'] = 54,
	['2'] = 55,
	['3'] = 56,
	['4'] = 57,
	['5'] = 58,
	['6'] = 59,
	['7'] = 60,
	['8'] = 61,
	['9'] = 62,
};

static int base64_value(char c, enum base64 kind)
{
	uint8_t known = (uint8_t)c < 128 ? base64_common[(uint8_t)c] : 0;

	if (known)
		return known - 1;
	if (c == alphabets[kind][62])
		return 62;
	if (c == alphabets[kind][63])
		return 63;
	return -1;
}

/* Up to four digits into up to three bytes: how many bytes, or -EINVAL. */
static int decode_group(const char *s, size_t n, enum base64 kind, uint8_t to[3])
{
	uint32_t v = 0;

	if (n < 2)
		return -EINVAL;
	for (size_t i = 0; i < 4; i++) {
		int digit = i < n ? base64_value(s[i], kind) : 0;

		if (digit < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)digit;
	}
	/* Bits that no byte holds must be zero, or two texts would mean the same. */
	if ((n == 2 && (v & 0xffff)) || (n == 3 && (v & 0xff)))
		return -EINVAL;
	to[0] = (uint8_t)(v >> 16);
	to[1] = (uint8_t)(v >> 8);
	to[2] = (uint8_t)v;
	return (int)n - 1;
}

int base64_decode(struct str *out, const char *s, size_t n, enum base64 kind)
{
	uint8_t *to;
	size_t done = 0;

	if (kind == BASE64_STD) {
		if (n % 4 != 0)
			return -EINVAL;
		for (int i = 0; i < 2 && n > 0 && s[n - 1] == '='; i++)
			n--;
	}
	to = (uint8_t *)str_reserve(out, n / 4 * 3 + 3);
	if (!to)
		return -ENOMEM;
	for (size_t at = 0; at < n; at += 4) {
		int r = decode_group(s + at, MIN(n - at, 4u), kind, to + done);

		if (r < 0) {
			/* The bytes written beyond the end were never part of it. */
			str_commit(out, 0);
			return r;
		}
		done += (size_t)r;
	}
	str_commit(out, done);
	return 0;
}

void random_bytes(void *p, size_t n)
{
	uint8_t *to = p;

	while (n > 0) {
		ssize_t r = getrandom(to, n, 0);

		if (r < 0 && errno == EINTR)
			continue;
		must(r > 0);
		to += r;
		n -= (size_t)r;
	}
}
