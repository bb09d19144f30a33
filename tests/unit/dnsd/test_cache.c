/* The cache: time, room, what is forgotten first, what tells two questions apart. */
#include "tests/unit/test.h"

#include "tests/unit/dnsd/dns.h"

#include "dnsd/cache.h"

static struct answer_question question(const char *qname, uint16_t type)
{
	return (struct answer_question){ .name = name(qname), .type = type };
}

static void put(
    struct cache *c, const struct answer_question *q, uint32_t ttl, uint64_t now_ms)
{
	struct answer *a;

	if (answer_new_error(&a, q->name.len, DNS_SERVFAIL, ttl) < 0)
		abort();
	cache_put(c, q, a, now_ms);
}

static struct cache *cache(size_t bytes, uint64_t stale_ms)
{
	struct cache *c;

	if (cache_new(&c) < 0)
		abort();
	cache_limit(c, bytes, stale_ms);
	return c;
}

TEST(time)
{
	struct cache *c = cache(1 << 20, 5000);
	struct answer_question q = question("www.example.org.", DNS_A);
	struct cache_entry *e;

	CHECK(!cache_find(c, &q, 1000));
	put(c, &q, 10, 1000);
	e = cache_find(c, &q, 10999);
	CHECK(e && e->stored_ms == 1000 && e->expires_ms == 11000);
	/* Beyond its time it is still there, for so long. */
	CHECK(cache_find(c, &q, 15999));
	CHECK(!cache_find(c, &q, 16000));
	CHECK(cache_count(c) == 0 && cache_bytes(c) == 0);
	/* What may not be kept is not. */
	put(c, &q, 0, 1000);
	CHECK(!cache_find(c, &q, 1000));
	cache_free(c);
}

TEST(what_tells_questions_apart)
{
	struct cache *c = cache(1 << 20, 0);
	struct answer_question q = question("www.example.org.", DNS_A), other = q;

	put(c, &q, 10, 0);
	other.name = name("WWW.example.ORG.");
	CHECK(cache_find(c, &other, 0));
	other.type = DNS_AAAA;
	CHECK(!cache_find(c, &other, 0));
	other = q;
	other.dnssec = true;
	CHECK(!cache_find(c, &other, 0));
	other = q;
	other.checking_disabled = true;
	CHECK(!cache_find(c, &other, 0));
	other = question("ww.example.org.", DNS_A);
	CHECK(!cache_find(c, &other, 0));
	cache_free(c);
}

TEST(another_answer_takes_the_place_and_stays_popular)
{
	struct cache *c = cache(1 << 20, 0);
	struct answer_question q = question("www.example.org.", DNS_A);
	struct cache_entry *e;

	put(c, &q, 10, 0);
	e = cache_find(c, &q, 0);
	e->asked = 7;
	e->asked_ms = 5;
	e->retry_ms = 3;
	put(c, &q, 20, 1000);
	e = cache_find(c, &q, 1000);
	CHECK(cache_count(c) == 1 && e->expires_ms == 21000);
	CHECK(e->asked == 7 && e->asked_ms == 5 && e->retry_ms == 0);
	cache_free(c);
}

TEST(room)
{
	struct cache *c = cache(1 << 20, 0);
	struct answer_question q[100];
	size_t one, kept = 0;

	for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
		char text[32];

		snprintf(text, sizeof(text), "n%02zu.example.org.", i);
		q[i] = question(text, DNS_A);
		put(c, &q[i], 100, 0);
	}
	CHECK(cache_count(c) == 100);
	one = cache_bytes(c) / 100;
	CHECK(cache_bytes(c) == 100 * one);
	/* The first was asked for last: it stays. */
	CHECK(cache_find(c, &q[0], 0));
	cache_limit(c, 10 * one, 0);
	CHECK(cache_count(c) == 10 && cache_bytes(c) == 10 * one);
	CHECK(cache_find(c, &q[0], 0));
	for (size_t i = 1; i < ARRAY_SIZE(q); i++)
		kept += cache_find(c, &q[i], 0) != NULL;
	CHECK(kept == 9 && cache_find(c, &q[99], 0) && !cache_find(c, &q[50], 0));
	put(c, &q[50], 100, 0);
	CHECK(cache_count(c) == 10 && cache_find(c, &q[50], 0));
	cache_limit(c, 0, 0);
	CHECK(cache_count(c) == 0);
	put(c, &q[0], 100, 0);
	CHECK(cache_count(c) == 0);
	cache_free(c);
}
