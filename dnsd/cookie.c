/* DNS cookies: see cookie.h. */
#include "dnsd/cookie.h"

#include <string.h>

#include "common/digest.h"
#include "dnsd/wire.h"

#define VERSION 1
#define OLD_S 3600   /* a cookie's life (RFC 9018, 4.3) */
#define RENEW_S 1800 /* after which a fresh one is given */
#define FUTURE_S 300 /* clocks that differ */
#define HASHED 16    /* bytes of the cookie before the hash */

void cookie_key_random(struct cookie_key *k)
{
	random_bytes(k->bytes, sizeof(k->bytes));
}

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static void rounds(uint64_t v[4], unsigned n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

static uint64_t little64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012), which RFC 9018 asks for. */
static uint64_t siphash(const struct cookie_key *k, const uint8_t *p, size_t n)
{
	uint64_t k0 = little64(k->bytes), k1 = little64(k->bytes + 8), m;
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL,
		k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL };
	uint8_t last[8] = { 0 };
	size_t i;

	for (i = 0; n - i >= 8; i += 8) {
		m = little64(p + i);
		v[3] ^= m;
		rounds(v, 2);
		v[0] ^= m;
	}
	memcpy(last, p + i, n - i);
	last[7] = (uint8_t)n;
	m = little64(last);
	v[3] ^= m;
	rounds(v, 2);
	v[0] ^= m;
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void make_hash(uint8_t hash[8], const uint8_t cookie[HASHED],
    const struct cookie_key *k, const struct net_ip *ip)
{
	size_t ip_len = ip->family == 4 ? 4 : 16;
	uint8_t text[HASHED + 16];
	uint64_t h;

	memcpy(text, cookie, HASHED);
	memcpy(text + HASHED, ip->bytes, ip_len);
	h = siphash(k, text, HASHED + ip_len);
	for (int i = 0; i < 8; i++)
		hash[i] = (uint8_t)(h >> 8 * i);
}

/* Takes as long for any hash. */
static bool same_hash(const uint8_t *a, const uint8_t *b)
{
	unsigned differ = 0;

	for (int i = 0; i < 8; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

bool cookie_refresh(uint8_t cookie[COOKIE_LEN], size_t n, const struct cookie_key *k,
    const struct net_ip *ip, uint32_t now)
{
	uint8_t hash[8];
	bool valid = false;
	int32_t age = 0;

	if (n == COOKIE_LEN && cookie[8] == VERSION) {
		make_hash(hash, cookie, k, ip);
		/* In serial numbers (RFC 1982), as the clock has 32 bits. */
		age = (int32_t)(now - get32(cookie + 12));
		valid = same_hash(hash, cookie + HASHED) && age <= OLD_S &&
		    age >= -FUTURE_S;
	}
	if (valid && age < RENEW_S)
		return true;
	put32(cookie + 8, (uint32_t)VERSION << 24);
	put32(cookie + 12, now);
	make_hash(cookie + HASHED, cookie, k, ip);
	return valid;
}
