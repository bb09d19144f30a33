/* Many elements, equal hashes, and removal in the middle of a walk. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "common/htable.h"

#define N 10000

struct item {
	int id;
	struct hnode node;
	unsigned seen;
};

static struct item items[N];

static uint64_t hash_of(int id)
{
	return htable_hash(&id, sizeof(id));
}

static struct item *find(const struct htable *t, int id)
{
	struct hnode *n;

	for (n = htable_first(t, hash_of(id)); n; n = htable_next(n)) {
		struct item *i = CONTAINER_OF(n, struct item, node);

		if (i->id == id)
			return i;
	}
	return NULL;
}

static void fill(struct htable *t)
{
	htable_init(t);
	for (int i = 0; i < N; i++) {
		items[i] = (struct item){ .id = i };
		CHECK(htable_insert(t, &items[i].node, hash_of(i)) == 0);
	}
}

TEST(ten_thousand)
{
	struct htable t;
	bool all = true;

	fill(&t);
	CHECK(t.n == N);
	for (int i = 0; i < N; i++)
		all = all && find(&t, i) == &items[i];
	CHECK(all);
	CHECK(!find(&t, N));
	for (int i = 0; i < N; i += 2)
		htable_remove(&t, &items[i].node);
	CHECK(t.n == N / 2);
	for (int i = 0; i < N; i++)
		all = all && (find(&t, i) != NULL) == (i % 2 == 1);
	CHECK(all);
	htable_deinit(&t);
	CHECK(!find(&t, 1));
}

TEST(a_walk_sees_each_once)
{
	struct htable t;
	bool all = true;

	fill(&t);
	htable_for_each (n, &t)
		CONTAINER_OF(n, struct item, node)->seen++;
	for (int i = 0; i < N; i++)
		all = all && items[i].seen == 1;
	CHECK(all);
	htable_deinit(&t);
}

TEST(removal_in_a_walk)
{
	struct htable t;
	unsigned seen = 0;
	bool all = true;

	fill(&t);
	htable_for_each (n, &t) {
		struct item *i = CONTAINER_OF(n, struct item, node);

		seen++;
		if (i->id % 3 == 0) {
			htable_remove(&t, n);
			/* As if it were freed. */
			memset(n, 0xff, sizeof(*n));
		}
	}
	CHECK(seen == N);
	CHECK(t.n == N - (N + 2) / 3);
	for (int i = 0; i < N; i++)
		all = all && (find(&t, i) != NULL) == (i % 3 != 0);
	CHECK(all);
	htable_for_each (n, &t)
		htable_remove(&t, n);
	CHECK(t.n == 0);
	htable_deinit(&t);
}

TEST(equal_hashes)
{
	struct item a = { .id = 1 }, b = { .id = 2 }, c = { .id = 3 };
	struct htable t;
	int n = 0;

	htable_init(&t);
	CHECK(!htable_first(&t, 7));
	CHECK(htable_insert(&t, &a.node, 7) == 0);
	CHECK(htable_insert(&t, &b.node, 7) == 0);
	/* In the same bucket, but not of the same hash. */
	CHECK(htable_insert(&t, &c.node, 7 + 16) == 0);
	for (struct hnode *h = htable_first(&t, 7); h; h = htable_next(h))
		n++;
	CHECK(n == 2);
	htable_remove(&t, &b.node);
	CHECK(htable_first(&t, 7) == &a.node && !htable_next(&a.node));
	CHECK(htable_first(&t, 7 + 16) == &c.node);
	htable_deinit(&t);
}

TEST(a_walk_may_be_left_and_an_empty_one_ends)
{
	struct htable t;
	int n = 0;

	htable_init(&t);
	htable_for_each (h, &t)
		n++;
	CHECK(n == 0);
	fill(&t);
	htable_for_each (h, &t) {
		if (++n == 5)
			break;
	}
	CHECK(n == 5);
	htable_deinit(&t);
}

TEST(the_hash_takes_every_byte)
{
	char a[40] = { 0 }, b[40];
	bool all = true;

	CHECK(htable_hash(a, 8) == htable_hash(a + 1, 8));
	for (size_t n = 1; n <= sizeof(a); n++) {
		memcpy(b, a, sizeof(a));
		b[n - 1] = 1;
		all = all && htable_hash(a, n) != htable_hash(b, n);
		all = all && htable_hash(a, n) != htable_hash(a, n - 1);
	}
	CHECK(all);
}
