/* Choosing a server: see balance.h.  Where an algorithm of HAProxy's is followed to the
 * letter, its source file is named; no code was taken. */
#include "lbd/balance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum {
	KEYS_PER_SERVER = BALANCE_WEIGHT_MAX * BALANCE_SCALE,
	NONE = -1,
};

struct node {
	uint32_t key;
	uint16_t server;
};

/* Where a server waits for its next turn in "roundrobin". */
enum queue {
	QUEUE_NONE,
	QUEUE_INIT,    /* was not chosen in this round */
	QUEUE_CURRENT, /* sorted by the position at which it is due */
	QUEUE_NEXT,    /* due in the next round */
};

struct turn {
	enum queue queue;
	unsigned key, serial; /* order in the queue; ties by arrival */
	unsigned due, rest;   /* the position it is due at, and the remainder */
};

struct balance {
	enum balance_algorithm algorithm;
	enum balance_hash hash;
	bool all_backups;
	size_t n;
	struct balance_server *servers;
	bool *member;     /* belongs to the group that gets connections */
	size_t n_members; /* how many do */

	uint16_t *map; /* one place per unit of weight */
	size_t n_map, cursor;
	struct node *ring; /* sorted by key */
	size_t n_ring;

	struct turn *turns;
	unsigned serial, position, round, total; /* of "roundrobin" */
	uint64_t random;
};

int balance_new(struct balance **ret, enum balance_algorithm algorithm,
    enum balance_hash hash, bool all_backups, size_t n)
{
	_cleanup_(balance_freep) struct balance *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->algorithm = algorithm;
	b->hash = hash;
	b->all_backups = all_backups;
	b->n = n;
	b->servers = calloc(n ? n : 1, sizeof(*b->servers));
	b->member = calloc(n ? n : 1, sizeof(*b->member));
	b->turns = calloc(n ? n : 1, sizeof(*b->turns));
	if (!b->servers || !b->member || !b->turns)
		return -ENOMEM;
	if (getrandom(&b->random, sizeof(b->random), GRND_NONBLOCK) < 0 || !b->random)
		b->random = 88172645463325252ULL;

	*ret = TAKE(b);
	return 0;
}

struct balance *balance_free(struct balance *b)
{
	if (!b)
		return NULL;
	free(b->servers);
	free(b->member);
	free(b->map);
	free(b->ring);
	free(b->turns);
	free(b);
	return NULL;
}

struct balance_server *balance_server(struct balance *b, size_t i)
{
	return &b->servers[i];
}

size_t balance_n_usable(const struct balance *b)
{
	return b->n_members;
}

/* --- who takes part ------------------------------------------------------ */

static bool may_serve(const struct balance_server *s, bool backup)
{
	return s->usable && s->weight && s->backup == backup;
}

/* The active servers; without any, the first backup, or all of them. */
static void choose_members(struct balance *b)
{
	b->n_members = 0;
	for (size_t i = 0; i < b->n; i++) {
		b->member[i] = may_serve(&b->servers[i], false);
		b->n_members += b->member[i];
	}
	if (b->n_members)
		return;
	for (size_t i = 0; i < b->n; i++) {
		if (!may_serve(&b->servers[i], true))
			continue;
		b->member[i] = true;
		b->n_members++;
		if (!b->all_backups)
			return;
	}
}

/* --- the map: src/lb_map.c, recalc_server_map() -------------------------- */

static unsigned gcd(unsigned a, unsigned b)
{
	while (b) {
		unsigned t = a % b;

		a = b;
		b = t;
	}
	return a;
}

static unsigned common_divisor(const struct balance *b)
{
	unsigned d = 0;

	for (size_t i = 0; i < b->n; i++)
		d = gcd(b->servers[i].weight, d);
	return d ? d : 1;
}

/* The next place goes to whoever is furthest behind its share, the first in case of
 * doubt. */
static uint16_t next_on_map(const struct balance *b, int *score, int total, unsigned d)
{
	size_t best = b->n;
	int max = 0;

	for (size_t i = 0; i < b->n; i++) {
		int v;

		if (!b->member[i])
			continue;
		score[i] += (int)(b->servers[i].weight / d);
		v = (score[i] + total) / total;
		if (best == b->n || v > max) {
			max = v;
			best = i;
		}
	}
	score[best] -= total;
	return (uint16_t)best;
}

static int build_map(struct balance *b)
{
	_cleanup_(freep) int *score = calloc(b->n ? b->n : 1, sizeof(*score));
	unsigned d = common_divisor(b);
	uint16_t *map;
	int total = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->member[i])
			total += (int)(b->servers[i].weight / d);
	map = calloc((size_t)total + 1, sizeof(*map));
	if (!score || !map) {
		free(map);
		return -ENOMEM;
	}
	for (int i = 0; i < total; i++)
		map[i] = next_on_map(b, score, total, d);
	free(b->map);
	b->map = map;
	b->n_map = (size_t)total;
	return 0;
}

/* --- the ring: src/lb_chash.c -------------------------------------------- */

/* Bob Jenkins' integer hash of six steps, spread by a prime. */
static uint32_t full_hash(uint32_t a)
{
	a = (a + 0x7ed55d16) + (a << 12);
	a = (a ^ 0xc761c23c) ^ (a >> 19);
	a = (a + 0x165667b1) + (a << 5);
	a = (a + 0xd3a2646c) ^ (a << 9);
	a = (a + 0xfd7046c5) + (a << 3);
	a = (a ^ 0xb55a4f09) ^ (a >> 16);
	return a * 3221225473U;
}

static int by_key(const void *x, const void *y)
{
	const struct node *a = x, *b = y;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (int)a->server - (int)b->server;
}

static int build_ring(struct balance *b)
{
	struct node *ring;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->member[i])
			n += b->servers[i].eweight;
	ring = calloc(n ? n : 1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		for (unsigned k = 0; b->member[i] && k < b->servers[i].eweight; k++)
			ring[at++] = (struct node){
				full_hash((uint32_t)(i + 1) * KEYS_PER_SERVER + k),
				(uint16_t)i
			};
	qsort(ring, n, sizeof(*ring), by_key);
	free(b->ring);
	b->ring = ring;
	b->n_ring = n;
	return 0;
}

/* --- turns: src/lb_fwrr.c ------------------------------------------------- */

static void enqueue(struct balance *b, size_t i, enum queue queue, unsigned key)
{
	struct turn *t = &b->turns[i];

	t->queue = queue;
	t->key = key;
	t->serial = b->serial++;
}

static void enqueue_by_weight(struct balance *b, size_t i, enum queue queue)
{
	enqueue(b, i, queue, KEYS_PER_SERVER - b->servers[i].eweight);
}

static void build_turns(struct balance *b)
{
	b->position = b->total = b->serial = 0;
	for (size_t i = 0; i < b->n; i++) {
		b->turns[i] = (struct turn){ 0 };
		if (!b->member[i])
			continue;
		b->total += b->servers[i].eweight;
		enqueue_by_weight(b, i, QUEUE_INIT);
	}
	b->round = b->total;
}

static int first_of(const struct balance *b, enum queue queue)
{
	int best = NONE;

	for (size_t i = 0; i < b->n; i++) {
		const struct turn *t = &b->turns[i];
		const struct turn *best_turn = best < 0 ? NULL : &b->turns[best];

		if (t->queue != queue)
			continue;
		if (!best_turn || t->key < best_turn->key ||
		    (t->key == best_turn->key && t->serial < best_turn->serial))
			best = (int)i;
	}
	return best;
}

/* Who is due, else who was not chosen in this round, else who is due next. */
static int next_turn(struct balance *b)
{
	int current = first_of(b, QUEUE_CURRENT), fresh;

	if (current >= 0 && b->turns[current].due <= b->position)
		return current;
	fresh = first_of(b, QUEUE_INIT);
	if (fresh < 0)
		return current;
	b->turns[fresh].due = b->turns[fresh].rest = 0;
	return fresh;
}

static void begin_round(struct balance *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->turns[i].queue == QUEUE_NEXT)
			b->turns[i].queue = QUEUE_INIT;
	b->position = b->round = b->total;
}

static void advance(struct balance *b, size_t i)
{
	struct turn *t = &b->turns[i];
	unsigned w = b->servers[i].eweight;

	if (!t->due)
		t->due = b->position;
	t->due += b->total / w;
	t->rest += b->total % w;
	if (t->rest >= w) {
		t->rest -= w;
		t->due++;
	}
	t->queue = QUEUE_NONE;
	b->position++;
}

static void requeue(struct balance *b, size_t i)
{
	struct turn *t = &b->turns[i];

	if (t->due >= 2 * b->round || t->due >= b->round + b->total) {
		t->due -= b->round;
		enqueue_by_weight(b, i, QUEUE_NEXT);
		return;
	}
	enqueue(b, i, QUEUE_CURRENT,
	    BALANCE_WEIGHT_MAX * t->due +
		(KEYS_PER_SERVER + t->rest - b->servers[i].eweight) / BALANCE_SCALE);
}

int balance_update(struct balance *b)
{
	int r = 0;

	choose_members(b);
	if (b->algorithm == BALANCE_SOURCE && b->hash == BALANCE_CONSISTENT)
		r = build_ring(b);
	else if (b->algorithm == BALANCE_SOURCE || b->algorithm == BALANCE_STATIC_RR)
		r = build_map(b);
	else if (b->algorithm == BALANCE_ROUNDROBIN)
		build_turns(b);
	return r;
}

/* --- picks ---------------------------------------------------------------- */

static bool is_avoided(size_t i, const uint16_t *avoid, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (avoid[k] == i)
			return true;
	return false;
}

/* The place the hash falls on; from there on where its server has failed. */
static int pick_map(
    const struct balance *b, size_t from, const uint16_t *avoid, size_t n, bool skip)
{
	for (size_t i = 0; i < b->n_map; i++) {
		uint16_t s = b->map[(from + i) % b->n_map];

		if (!is_avoided(s, avoid, n) && !(skip && b->servers[s].full))
			return s;
	}
	return NONE;
}

static int pick_static_rr(struct balance *b, const uint16_t *avoid, size_t n)
{
	int s;

	if (!b->n_map)
		return NONE;
	b->cursor %= b->n_map;
	s = pick_map(b, b->cursor, avoid, n, true);
	if (s < 0)
		s = pick_map(b, b->cursor, avoid, n, false);
	while (s >= 0 && b->map[b->cursor] != s)
		b->cursor = (b->cursor + 1) % b->n_map;
	b->cursor = (b->cursor + 1) % b->n_map;
	return s;
}

/* The node that is nearest to the hash on either side; from there on as above. */
static int pick_ring(
    const struct balance *b, uint32_t hash, const uint16_t *avoid, size_t n)
{
	size_t lo = 0, hi = b->n_ring, prev;

	if (!b->n_ring)
		return NONE;
	hash = full_hash(hash);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->ring[mid].key < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	lo %= b->n_ring;
	prev = (lo + b->n_ring - 1) % b->n_ring;
	if (hash - b->ring[prev].key <= b->ring[lo].key - hash)
		lo = prev;
	for (size_t i = 0; i < b->n_ring; i++) {
		uint16_t s = b->ring[(lo + i) % b->n_ring].server;

		if (!is_avoided(s, avoid, n))
			return s;
	}
	return NONE;
}

static int pick_roundrobin(struct balance *b, const uint16_t *avoid, size_t n)
{
	int s, fallback = NONE;
	size_t passed = 0;
	bool switched = false;

	for (;;) {
		s = next_turn(b);
		if (s < 0 && switched)
			break;
		if (s < 0) {
			switched = true;
			begin_round(b);
			continue;
		}
		advance(b, (size_t)s);
		if (!is_avoided((size_t)s, avoid, n)) {
			if (!b->servers[s].full)
				break;
			if (fallback < 0)
				fallback = s;
		}
		if (++passed == b->n) {
			s = NONE;
			break;
		}
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->member[i] && b->turns[i].queue == QUEUE_NONE)
			requeue(b, i);
	return s < 0 ? fallback : s;
}

/* Compares load per weight without a division. */
static bool is_lighter(const struct balance_server *x, const struct balance_server *y)
{
	return (uint64_t)x->load * y->eweight < (uint64_t)y->load * x->eweight;
}

static int pick_leastconn(struct balance *b, const uint16_t *avoid, size_t n)
{
	int best = NONE;

	for (size_t k = 0; k < b->n; k++) {
		size_t i = (b->cursor + k) % b->n;

		if (!b->member[i] || is_avoided(i, avoid, n))
			continue;
		if (best < 0 || (b->servers[best].full && !b->servers[i].full) ||
		    (b->servers[best].full == b->servers[i].full &&
			is_lighter(&b->servers[i], &b->servers[best])))
			best = (int)i;
	}
	if (best >= 0)
		b->cursor = ((size_t)best + 1) % b->n;
	return best;
}

static int pick_first(struct balance *b, const uint16_t *avoid, size_t n)
{
	int full = NONE;

	for (size_t i = 0; i < b->n; i++) {
		if (!b->member[i] || is_avoided(i, avoid, n))
			continue;
		if (!b->servers[i].full)
			return (int)i;
		if (full < 0)
			full = (int)i;
	}
	return full;
}

static uint64_t next_random(struct balance *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random >> 16;
}

/* One server by its weight. */
static int draw(struct balance *b, const uint16_t *avoid, size_t n)
{
	uint64_t total = 0, at;

	for (size_t i = 0; i < b->n; i++)
		if (b->member[i] && !is_avoided(i, avoid, n))
			total += b->servers[i].eweight;
	if (!total)
		return NONE;
	at = next_random(b) % total;
	for (size_t i = 0; i < b->n; i++) {
		if (!b->member[i] || is_avoided(i, avoid, n))
			continue;
		if (at < b->servers[i].eweight)
			return (int)i;
		at -= b->servers[i].eweight;
	}
	return NONE;
}

/* The lighter of two drawn ones, as HAProxy's "random(2)". */
static int pick_random(struct balance *b, const uint16_t *avoid, size_t n)
{
	int one = draw(b, avoid, n), two = draw(b, avoid, n);

	if (one < 0 || one == two)
		return one;
	if (b->servers[one].full != b->servers[two].full)
		return b->servers[one].full ? two : one;
	return is_lighter(&b->servers[two], &b->servers[one]) ? two : one;
}

uint32_t balance_hash_ip(const struct net_ip *ip)
{
	uint32_t h = 0, word;

	for (size_t i = 0; i < (ip->family == 4 ? 4u : 16u); i += 4) {
		memcpy(&word, ip->bytes + i, 4);
		h ^= ntohl(word);
	}
	return h;
}

int balance_pick_backup(const struct balance *b, const uint16_t *avoid, size_t n_avoid)
{
	for (size_t i = 0; i < b->n; i++)
		if (may_serve(&b->servers[i], true) && !b->servers[i].full &&
		    !is_avoided(i, avoid, n_avoid))
			return (int)i;
	return NONE;
}

int balance_pick(
    struct balance *b, uint32_t hash, const uint16_t *avoid, size_t n_avoid)
{
	if (!b->n_members)
		return NONE;
	switch (b->algorithm) {
	case BALANCE_SOURCE:
		if (b->hash == BALANCE_CONSISTENT)
			return pick_ring(b, hash, avoid, n_avoid);
		return b->n_map ? pick_map(b, hash % b->n_map, avoid, n_avoid, false)
				: NONE;
	case BALANCE_ROUNDROBIN:
		return pick_roundrobin(b, avoid, n_avoid);
	case BALANCE_STATIC_RR:
		return pick_static_rr(b, avoid, n_avoid);
	case BALANCE_LEASTCONN:
		return pick_leastconn(b, avoid, n_avoid);
	case BALANCE_FIRST:
		return pick_first(b, avoid, n_avoid);
	case BALANCE_RANDOM:
		return pick_random(b, avoid, n_avoid);
	}
	return NONE;
}
