/* UTF-8, decoded strictly (RFC 3629). */
#pragma once

#include "common/base.h"

/* The code point that s begins with and how many of its n bytes it takes; 0 when they
 * are not UTF-8: truncated, overlong, a surrogate, or beyond U+10FFFF. */
static inline size_t utf8_decode(const char *s, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = n ? (unsigned char)s[0] : 0xff;
	size_t len = c < 0x80 ? 1
	    : c < 0xc0        ? 0
	    : c < 0xe0        ? 2
	    : c < 0xf0        ? 3
	    : c < 0xf8        ? 4
			      : 0;
	uint32_t v;

	if (!len || len > n)
		return 0;
	v = len == 1 ? c : c & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*ret = v;
	return len;
}
