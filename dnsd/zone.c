/*
 * The snapshot: see zone.h.  This file looks things up; zone_edit.c changes them.
 */
#include "dnsd/zone.h"

#include "dnsd/zone_trie.h"

static const struct zone_name *find(
    const struct zone *z, const uint8_t *wire, size_t len, uint64_t hash)
{
	const struct zone_node *t = z->root;
	const struct zone_name *n;

	for (unsigned shift = 0; t; shift += ZONE_BITS) {
		uint64_t bit = zone_bit(hash, shift);
		uintptr_t slot;

		if (!(t->bitmap & bit))
			return NULL;
		slot = t->slots[zone_index(t->bitmap, bit)];
		if (slot & ZONE_LEAF) {
			n = zone_leaf(slot);
			if (n->hash == hash && n->len == len &&
			    memcmp(zone_name_wire(n), wire, len) == 0)
				return n;
			return NULL;
		}
		t = (const struct zone_node *)slot;
	}
	return NULL;
}

const struct zone_name *zone_find(
    const struct zone *z, const struct name_buf *b, size_t off)
{
	return find(z, b->wire + off, b->len - off, name_hash(b, off));
}

const struct zone_name *zone_encloser(
    const struct zone *z, const struct name_buf *b, size_t *off)
{
	uint8_t starts[DNS_NAME_MAX / 2 + 1];
	const struct zone_name *n, *best = NULL;
	unsigned labels = 0;

	for (size_t i = 0;; i += b->wire[i] + 1u) {
		starts[labels++] = (uint8_t)i;
		if (!b->wire[i])
			break;
	}
	/* From the root down: every ancestor of a name exists, so the first gap ends
	 * it, however many labels the question has. */
	while (labels-- > 0) {
		n = zone_find(z, b, starts[labels]);
		if (!n)
			break;
		best = n;
		*off = starts[labels];
	}
	return best;
}

const struct zone_name *zone_wildcard(
    const struct zone *z, const struct zone_name *above)
{
	struct name_buf b;

	if (!above->wildcard_below)
		return NULL;
	b.len = (uint16_t)(above->len + 2);
	b.wire[0] = 1;
	b.wire[1] = '*';
	memcpy(b.wire + 2, zone_name_wire(above), above->len);
	memset(b.wire + b.len, 0, NAME_PAD);
	return zone_find(z, &b, 0);
}
