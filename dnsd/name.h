/*
 * Domain names in wire format: labels with a length byte before each, ended by the
 * root's zero byte (RFC 1035, 3.1).  A struct name_buf holds one in lower case with
 * zero bytes behind it, so that it is lower-cased, hashed and compared by whole words.
 */
#pragma once

#include <string.h>

#include "common/base.h"
#include "common/net.h"
#include "dnsd/wire.h"

#define NAME_PAD 16

struct name_buf {
	uint16_t len; /* with the root's zero byte: 1 to 255 */
	uint8_t wire[DNS_NAME_MAX + 1 + NAME_PAD];
};

/* The length of the uncompressed name at p, of which n bytes are readable; 0 when it is
 * cut off, too long, or holds a pointer or another kind of label. */
static inline size_t name_scan(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		if (p[i] == 0)
			return i + 1;
		if (_unlikely_(p[i] > DNS_LABEL_MAX))
			return 0;
		i += p[i] + 1u;
		if (_unlikely_(i >= DNS_NAME_MAX))
			return 0;
	}
	return 0;
}

static inline uint64_t name_lower8(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101ULL;
	uint64_t low7 = w & 0x7f * ones;
	uint64_t upper = ((low7 + (0x80 - 'A') * ones) ^ (low7 + (0x7f - 'Z') * ones)) &
	    ~w & 0x80 * ones;

	return w | upper >> 2;
}

/* Copies a scanned name of len bytes in lower case.  A length byte is at most 63 and so
 * never looks like a capital letter. */
static inline void name_set(struct name_buf *b, const uint8_t *p, size_t len)
{
	b->len = (uint16_t)len;
	memcpy(b->wire, p, len);
	memset(b->wire + len, 0, NAME_PAD);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t w;

		memcpy(&w, b->wire + i, 8);
		w = name_lower8(w);
		memcpy(b->wire + i, &w, 8);
	}
}

/* Compares n bytes of two scanned names, capitals being equal to small letters. */
static inline bool name_same(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((a[i] ^ b[i]) && name_lower8(a[i]) != name_lower8(b[i]))
			return false;
	return true;
}

extern uint64_t name_key[2]; /* random, drawn once by name_init() */
void name_init(void);

static inline uint64_t name_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Keyed, so that who writes records cannot choose names that collide.  Takes a
 * name_buf's name from offset off on: its ancestor there. */
static inline uint64_t name_hash(const struct name_buf *b, size_t off)
{
	uint64_t h = name_key[0] ^ (b->len - off);
	uint64_t w[2];

	for (size_t i = off; i < b->len; i += 16) {
		memcpy(w, b->wire + i, 16);
		h = name_mix(w[0] ^ name_key[1], w[1] ^ h);
	}
	return name_mix(h ^ name_key[1], 0x9e3779b97f4a7c15ULL);
}

/* A name as people write it, with or without the final dot, "." being the root; escapes
 * as in zone files (RFC 1035, 5.1).  0 or -EINVAL. */
int name_parse(struct name_buf *b, const char *text) _mustcheck_;
/* The reverse name of an address. */
void name_reverse(struct name_buf *b, const struct net_ip *ip);
/* Puts a label before a name: 0, or -EINVAL when one of both gets too long. */
int name_prepend(struct name_buf *b, const char *label) _mustcheck_;
/* Readable, with a final dot. */
#define NAME_TEXT_MAX (4 * DNS_NAME_MAX + 1)
const char *name_format(const uint8_t *wire, char buf[NAME_TEXT_MAX]);
#define name_str(wire) name_format((wire), (char[NAME_TEXT_MAX]){ "" })
unsigned name_labels(const uint8_t *wire);
/* Whether a label of it stands for any (SkyDNS). */
bool name_has_wildcard(const struct name_buf *name);
