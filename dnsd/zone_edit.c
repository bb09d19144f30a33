/*
 * Changing a zone.  An edit copies the branches and names on the path of each change,
 * but each only once: what carries the edit's own generation is not yet seen by anybody
 * and is changed in place.  What a copy replaces goes to the base's list of retired
 * memory.
 */
#include "dnsd/zone.h"

#include <errno.h>

#include "dnsd/zone_trie.h"

struct zone_edit {
	struct zone *base;
	struct zone *next;
	size_t cap_retired; /* of the base's list, which is built in these two */
	void **retired;
	size_t n_retired;
};

static int retire(struct zone_edit *e, void *p)
{
	if (e->n_retired == e->cap_retired) {
		size_t cap = e->cap_retired ? e->cap_retired * 2 : 64;
		void **a = reallocarray(e->retired, cap, sizeof(void *));

		if (!a)
			return -ENOMEM;
		e->retired = a;
		e->cap_retired = cap;
	}
	e->retired[e->n_retired++] = p;
	return 0;
}

/* Ends the use of p in this edit: freed when the edit made it, else retired. */
static int drop(struct zone_edit *e, void *p, uint32_t generation)
{
	if (generation != e->next->generation)
		return retire(e, p);
	free(p);
	return 0;
}

static size_t node_size(unsigned n)
{
	return offsetof(struct zone_node, slots) + n * sizeof(uintptr_t);
}

static unsigned node_count(const struct zone_node *t)
{
	return (unsigned)__builtin_popcountll(t->bitmap);
}

/* Replaces *at by a branch of this edit's with room for n slots, of which as many as
 * fit are the old ones. */
static int node_own(struct zone_edit *e, struct zone_node **at, unsigned n)
{
	struct zone_node *t = *at, *own;
	unsigned old = t ? node_count(t) : 0;

	if (t && t->generation == e->next->generation) {
		if (n <= old)
			return 0;
		own = realloc(t, node_size(n));
		if (!own)
			return -ENOMEM;
		*at = own;
		return 0;
	}
	own = malloc(node_size(MAX(n, old)));
	if (!own)
		return -ENOMEM;
	if (t && retire(e, t) < 0) {
		free(own);
		return -ENOMEM;
	}
	if (t)
		memcpy(own, t, node_size(old));
	else
		own->bitmap = 0;
	own->generation = e->next->generation;
	*at = own;
	return 0;
}

/* Puts a name that is not there below a branch that this edit owns.  A name in the way
 * moves one branch down, again and again until the two hashes differ. */
static int trie_insert(struct zone_edit *e, struct zone_node **at, struct zone_name *n)
{
	for (unsigned shift = 0;; shift += ZONE_BITS) {
		uint64_t bit = zone_bit(n->hash, shift);
		struct zone_node *t = *at;
		unsigned count = t ? node_count(t) : 0, i;
		uintptr_t *slot;

		if (!t || !(t->bitmap & bit)) {
			if (node_own(e, at, count + 1) < 0)
				return -ENOMEM;
			t = *at;
			i = zone_index(t->bitmap, bit);
			memmove(&t->slots[i + 1], &t->slots[i],
			    (count - i) * sizeof(uintptr_t));
			t->slots[i] = (uintptr_t)n | ZONE_LEAF;
			t->bitmap |= bit;
			return 0;
		}
		if (node_own(e, at, count) < 0)
			return -ENOMEM;
		slot = &(*at)->slots[zone_index((*at)->bitmap, bit)];
		if (*slot & ZONE_LEAF) {
			struct zone_name *other = zone_leaf(*slot);
			struct zone_node *below = NULL;

			if (other->hash == n->hash)
				return -EXFULL;
			if (node_own(e, &below, 1) < 0)
				return -ENOMEM;
			below->bitmap = zone_bit(other->hash, shift + ZONE_BITS);
			below->slots[0] = *slot;
			*slot = (uintptr_t)below;
		}
		at = (struct zone_node **)slot;
	}
}

/* Points the slot of a name that is there to its successor, or takes it out (NULL). */
static int trie_replace(
    struct zone_edit *e, const struct zone_name *old, struct zone_name *with)
{
	struct zone_node **at = &e->next->root;

	for (unsigned shift = 0;; shift += ZONE_BITS) {
		uint64_t bit = zone_bit(old->hash, shift);
		unsigned i, count = node_count(*at);
		uintptr_t *slots;

		if (node_own(e, at, count) < 0)
			return -ENOMEM;
		i = zone_index((*at)->bitmap, bit);
		slots = (*at)->slots;
		if (!(slots[i] & ZONE_LEAF)) {
			at = (struct zone_node **)&slots[i];
			continue;
		}
		if (with) {
			slots[i] = (uintptr_t)with | ZONE_LEAF;
			return 0;
		}
		/* A branch may stay empty; the next name that needs it finds it. */
		memmove(&slots[i], &slots[i + 1], (count - i - 1) * sizeof(uintptr_t));
		(*at)->bitmap &= ~bit;
		return 0;
	}
}

static bool is_below(const struct name_buf *b, const struct zone_apex *a, size_t *off)
{
	for (size_t i = 0;; i += b->wire[i] + 1u) {
		if (b->len - i == a->len) {
			*off = i;
			return memcmp(b->wire + i, a->name, a->len) == 0;
		}
		if (!b->wire[i])
			return false;
	}
}

/* The longest apex above or at a name. */
static uint16_t apex_of(const struct zone *z, const struct name_buf *b, size_t *off)
{
	uint16_t best = ZONE_NO_APEX;
	size_t at;

	for (uint16_t i = 0; i < z->n_apexes; i++)
		if (is_below(b, &z->apexes[i], &at) &&
		    (best == ZONE_NO_APEX || z->apexes[i].len > z->apexes[best].len)) {
			best = i;
			*off = at;
		}
	return best;
}

static uint8_t *write_record(
    uint8_t *p, const struct zone_rrset *s, const struct zone_rdata *d)
{
	put16(p, 0xc000 | DNS_HEADER);
	put16(p + 2, s->type);
	put16(p + 4, DNS_IN);
	put32(p + 6, s->ttl);
	put16(p + 10, d->n);
	memcpy(p + 12, d->p, d->n);
	return p + 12 + d->n;
}

/* What the RRset takes on the wire, or 0 when that is more than any reply can hold. */
static size_t set_size(const struct zone_rrset *s)
{
	size_t size = 0;

	for (size_t i = 0; i < s->n; i++)
		size += ZONE_RECORD_HEAD + s->rdata[i].n;
	return size <= ZONE_SET_MAX ? size : 0;
}

/* Compiles a name that hangs nowhere yet. */
static int name_new(struct zone_edit *e, const struct name_buf *b, size_t off,
    const struct zone_rrset *sets, size_t n_sets, struct zone_name **ret)
{
	size_t size = sizeof(struct zone_name) + n_sets * sizeof(struct zone_set);
	size_t apex_off = SIZE_MAX, len = b->len - off;
	struct zone_name *n;
	struct name_buf own;
	uint8_t *p;

	size += len;
	for (size_t i = 0; i < n_sets; i++) {
		size_t s = set_size(&sets[i]);

		if (!s)
			return -E2BIG;
		size += s;
	}
	n = malloc(size);
	if (!n)
		return -ENOMEM;
	name_set(&own, b->wire + off, len);
	*n = (struct zone_name){
		.hash = name_hash(&own, 0),
		.generation = e->next->generation,
		.n_sets = (uint16_t)n_sets,
		.len = (uint8_t)len,
	};
	n->apex = apex_of(e->next, &own, &apex_off);
	n->at_apex = n->apex != ZONE_NO_APEX && apex_off == 0;
	p = (uint8_t *)(n->sets + n_sets);
	memcpy(p, own.wire, len);
	p += len;
	for (size_t i = 0; i < n_sets; i++) {
		struct zone_set *s = &n->sets[i];

		s->type = sets[i].type;
		s->count = (uint16_t)sets[i].n;
		s->off = (uint32_t)(p - (uint8_t *)n);
		for (size_t k = 0; k < sets[i].n; k++)
			p = write_record(p, &sets[i], &sets[i].rdata[k]);
		s->len = (uint32_t)(p - (uint8_t *)n) - s->off;
	}
	*ret = n;
	return 0;
}

static size_t name_size(const struct zone_name *n)
{
	size_t end = sizeof(*n) + n->n_sets * sizeof(struct zone_set) + n->len;

	for (unsigned i = 0; i < n->n_sets; i++)
		end += n->sets[i].len;
	return end;
}

/* The name as this edit may change it. */
static int name_own(
    struct zone_edit *e, const struct zone_name *n, struct zone_name **ret)
{
	struct zone_name *own = (struct zone_name *)n;

	if (n->generation == e->next->generation) {
		*ret = own;
		return 0;
	}
	own = malloc(name_size(n));
	if (!own)
		return -ENOMEM;
	memcpy(own, n, name_size(n));
	own->generation = e->next->generation;
	if (trie_replace(e, n, own) < 0) {
		free(own);
		return -ENOMEM;
	}
	*ret = own;
	return retire(e, (void *)n);
}

static size_t count_records(const struct zone_name *n)
{
	size_t c = 0;

	for (unsigned i = 0; i < n->n_sets; i++)
		c += n->sets[i].count;
	return c;
}

static bool is_star(const struct name_buf *b, size_t off)
{
	return b->wire[off] == 1 && b->wire[off + 1] == '*';
}

static int insert(struct zone_edit *e, struct zone_name *n)
{
	int r = trie_insert(e, &e->next->root, n);

	if (r < 0) {
		free(n);
		return r;
	}
	e->next->n_names++;
	e->next->n_records += count_records(n);
	return 0;
}

/* Tells the ancestors of a new name, making those that are missing. */
static int link_parents(struct zone_edit *e, const struct name_buf *b)
{
	size_t off = 0;

	while (b->wire[off]) {
		bool star = is_star(b, off);
		const struct zone_name *there;
		struct zone_name *parent;
		int r;

		off += b->wire[off] + 1u;
		there = zone_find(e->next, b, off);
		if (there) {
			r = name_own(e, there, &parent);
			if (r < 0)
				return r;
			parent->n_children++;
			parent->wildcard_below |= star;
			return 0;
		}
		r = name_new(e, b, off, NULL, 0, &parent);
		if (r < 0)
			return r;
		parent->n_children = 1;
		parent->wildcard_below = star;
		r = insert(e, parent);
		if (r < 0)
			return r;
	}
	return 0;
}

static int remove_name(struct zone_edit *e, const struct zone_name *n)
{
	int r = trie_replace(e, n, NULL);

	if (r < 0)
		return r;
	e->next->n_names--;
	e->next->n_records -= count_records(n);
	return drop(e, (void *)n, n->generation);
}

/* Takes a childless name away, and the ancestors that only existed for it. */
static int unlink_name(struct zone_edit *e, const struct name_buf *b)
{
	size_t off = 0;

	for (;;) {
		const struct zone_name *n = zone_find(e->next, b, off);
		bool star = is_star(b, off);
		struct zone_name *parent;
		int r;

		r = remove_name(e, n);
		if (r < 0 || !b->wire[off])
			return r;
		off += b->wire[off] + 1u;
		r = name_own(e, zone_find(e->next, b, off), &parent);
		if (r < 0)
			return r;
		parent->n_children--;
		if (star)
			parent->wildcard_below = false;
		if (parent->n_children || parent->n_sets || parent->at_apex)
			return 0;
	}
}

int zone_edit_put(struct zone_edit *e, const struct name_buf *b,
    const struct zone_rrset *sets, size_t n_sets)
{
	const struct zone_name *old = zone_find(e->next, b, 0);
	struct zone_name *n;
	int r;

	if (!n_sets && !old)
		return 0;
	if (!n_sets && !old->n_children && !old->at_apex)
		return unlink_name(e, b);
	r = name_new(e, b, 0, sets, n_sets, &n);
	if (r < 0)
		return r;
	if (!old) {
		r = insert(e, n);
		return r < 0 ? r : link_parents(e, b);
	}
	n->n_children = old->n_children;
	n->wildcard_below = old->wildcard_below;
	r = trie_replace(e, old, n);
	if (r < 0) {
		free(n);
		return r;
	}
	e->next->n_records += count_records(n);
	e->next->n_records -= count_records(old);
	return drop(e, (void *)old, old->generation);
}

/* Writes a name into an apex's SOA: its labels above the apex and a pointer to that, or
 * the whole name where it is no part of it. */
static uint8_t *soa_name(
    struct zone_apex *a, uint8_t *p, const struct name_buf *b, unsigned *n_pointers)
{
	size_t off;

	if (a->len == 1 || !is_below(b, a, &off)) {
		memcpy(p, b->wire, b->len);
		return p + b->len;
	}
	memcpy(p, b->wire, off);
	a->pointers[(*n_pointers)++] = (uint16_t)(p + off - a->soa);
	return p + off + 2;
}

static void soa_compile(struct zone_apex *a, const struct zone_soa *soa)
{
	unsigned n_pointers = 1; /* the owner, at 0 */
	uint8_t *p = a->soa + 12;

	memset(a->pointers, 0, sizeof(a->pointers));
	put16(a->soa + 2, DNS_SOA);
	put16(a->soa + 4, DNS_IN);
	put32(a->soa + 6, soa->ttl);
	p = soa_name(a, p, &soa->mname, &n_pointers);
	p = soa_name(a, p, &soa->rname, &n_pointers);
	put32(p, soa->serial);
	put32(p + 4, soa->refresh);
	put32(p + 8, soa->retry);
	put32(p + 12, soa->expire);
	put32(p + 16, soa->ttl);
	p += 20;
	a->soa_len = (uint16_t)(p - a->soa);
	put16(a->soa + 10, a->soa_len - 12u);
}

void zone_apex_init(
    struct zone_apex *a, const struct name_buf *name, const struct zone_soa *soa)
{
	*a = (struct zone_apex){ .len = (uint8_t)name->len };
	memcpy(a->name, name->wire, name->len);
	soa_compile(a, soa);
}

/* The names between the last apex and those below it that came before are its own. */
static int adopt(struct zone_edit *e)
{
	const struct zone *z = e->next;
	const struct zone_apex *outer = &z->apexes[z->n_apexes - 1];
	int r = 0;

	for (uint16_t i = 0; r == 0 && i + 1 < z->n_apexes; i++) {
		struct name_buf inner, between;
		size_t end;

		name_set(&inner, z->apexes[i].name, z->apexes[i].len);
		if (!is_below(&inner, outer, &end))
			continue;
		for (size_t off = inner.wire[0] + 1u; r == 0 && off < end;
		     off += inner.wire[off] + 1u) {
			name_set(&between, inner.wire + off, inner.len - off);
			r = zone_edit_put(e, &between, NULL, 0);
		}
	}
	return r;
}

static int apex_name(struct zone_edit *e, const struct name_buf *name)
{
	struct zone_name *n;
	int r;

	/* It exists even without records, and even when it hung there already as an
	 * ancestor of another apex. */
	if (zone_find(e->next, name, 0))
		return zone_edit_put(e, name, NULL, 0);
	r = name_new(e, name, 0, NULL, 0, &n);
	if (r < 0)
		return r;
	r = insert(e, n);
	return r < 0 ? r : link_parents(e, name);
}

int zone_edit_apex(
    struct zone_edit *e, const struct name_buf *name, const struct zone_soa *soa)
{
	struct zone *z = e->next;
	struct zone_apex *a;
	int r;

	for (uint16_t i = 0; i < z->n_apexes; i++)
		if (z->apexes[i].len == name->len &&
		    memcmp(z->apexes[i].name, name->wire, name->len) == 0)
			return -EEXIST;
	a = reallocarray(z->apexes, z->n_apexes + 1u, sizeof(*a));
	if (!a)
		return -ENOMEM;
	z->apexes = a;
	a += z->n_apexes++;
	zone_apex_init(a, name, soa);
	r = apex_name(e, name);
	return r < 0 ? r : adopt(e);
}

int zone_edit_new(struct zone_edit **ret, struct zone *base)
{
	_cleanup_(zone_edit_freep) struct zone_edit *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->next = calloc(1, sizeof(*e->next));
	if (!e->next)
		return -ENOMEM;
	e->base = base;
	name_init();
	if (base) {
		*e->next = *base;
		e->next->retired = NULL;
		e->next->n_retired = 0;
		e->next->apexes = NULL;
	}
	e->next->generation++;
	if (base && base->n_apexes) {
		e->next->apexes = malloc(base->n_apexes * sizeof(*base->apexes));
		if (!e->next->apexes)
			return -ENOMEM;
		memcpy(e->next->apexes, base->apexes,
		    base->n_apexes * sizeof(*base->apexes));
	}
	*ret = TAKE(e);
	return 0;
}

/* Frees what lies below a branch: all of it, or what one generation made.  Whatever an
 * edit made is reached through branches that it made. */
static void free_tree(struct zone_node *t, uint32_t only)
{
	unsigned n;

	if (!t || (only && t->generation != only))
		return;
	n = node_count(t);
	for (unsigned i = 0; i < n; i++) {
		struct zone_name *name;

		if (!(t->slots[i] & ZONE_LEAF)) {
			free_tree((struct zone_node *)t->slots[i], only);
			continue;
		}
		name = zone_leaf(t->slots[i]);
		if (!only || name->generation == only)
			free(name);
	}
	free(t);
}

struct zone_edit *zone_edit_free(struct zone_edit *e)
{
	if (!e)
		return NULL;
	if (e->next) {
		free_tree(e->next->root, e->next->generation);
		free(e->next->apexes);
		free(e->next);
	}
	free(e->retired);
	free(e);
	return NULL;
}

struct zone *zone_edit_commit(struct zone_edit *e, uint32_t serial)
{
	struct zone *next = TAKE(e->next);

	for (uint16_t i = 0; i < next->n_apexes; i++) {
		struct zone_apex *a = &next->apexes[i];

		put32(a->soa + a->soa_len - 20, serial);
	}
	if (e->base) {
		e->base->retired = TAKE(e->retired);
		e->base->n_retired = e->n_retired;
	}
	zone_edit_free(e);
	return next;
}

void zone_release(struct zone *base)
{
	for (size_t i = 0; i < base->n_retired; i++)
		free(base->retired[i]);
	free(base->retired);
	free(base->apexes);
	free(base);
}

struct zone *zone_free(struct zone *z)
{
	if (!z)
		return NULL;
	free_tree(z->root, 0);
	zone_release(z);
	return NULL;
}
