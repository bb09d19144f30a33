/* The trie inside a zone, for zone.c and zone_edit.c alone. */
#pragma once

#include "dnsd/zone.h"

#define ZONE_BITS 6
#define ZONE_LEAF ((uintptr_t)1)

/* A branch: six bits of the hash choose one of 64 ways, of which only those in use have
 * a slot.  A slot is a branch, or a name with ZONE_LEAF set. */
struct zone_node {
	uint64_t bitmap;
	uint32_t generation; /* of the edit that made it */
	uintptr_t slots[];
};

static inline uint64_t zone_bit(uint64_t hash, unsigned shift)
{
	return 1ULL << (hash >> shift & 63);
}

/* Ones below a bit.  Spelled out, because the baseline CPU has no instruction for it
 * and the compiler would call a function. */
static inline unsigned zone_index(uint64_t bitmap, uint64_t bit)
{
	uint64_t x = bitmap & (bit - 1);

#ifdef __POPCNT__
	return (unsigned)__builtin_popcountll(x);
#else
	x -= x >> 1 & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + (x >> 2 & 0x3333333333333333ULL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (unsigned)(x * 0x0101010101010101ULL >> 56);
#endif
}

static inline struct zone_name *zone_leaf(uintptr_t slot)
{
	return (struct zone_name *)(slot & ~ZONE_LEAF);
}
