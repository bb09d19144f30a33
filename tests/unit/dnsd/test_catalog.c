/* What is known by name: the configuration's records joined with a source that changes. */
#include "tests/unit/test.h"

#include "tests/unit/dnsd/dns.h"

#include "common/loop.h"
#include "dnsd/catalog.h"

struct published {
	unsigned n, at_once;
};

static void on_publish(
    struct zone *next, struct zone *base, bool all_at_once, void *arg)
{
	struct published *p = arg;

	p->n++;
	p->at_once += all_at_once;
	zone_release(base);
}

static const struct catalog_ops ops = { .publish = on_publish };

struct fixture {
	struct loop *loop;
	struct catalog *c;
	struct skydns *tree;
	struct records *base;
	struct published published;
};

static void start(struct fixture *f)
{
	struct zone *z;

	*f = (struct fixture){ 0 };
	if (loop_new(&f->loop) < 0 ||
	    catalog_new(&f->c, f->loop, &ops, &f->published) < 0 ||
	    catalog_add_source(f->c, &f->tree, "/skydns", RECORDS_ETCD) < 0 ||
	    records_new(&f->base) < 0 ||
	    records_add_line(
		f->base, RECORDS_STATIC, "api 60 IN A 192.0.2.1", ORIGIN, 60, NULL) < 0)
		abort();
	z = zone_of((const char *const[]){ ORIGIN, NULL },
	    (const char *const[]){ "api 60 IN A 192.0.2.1", NULL });
	z = catalog_join(f->c, z, f->base, UINT32_MAX);
	if (!z)
		abort();
	catalog_settle(f->c, z);
}

static void stop(struct fixture *f)
{
	catalog_free(f->c);
	records_free(f->base);
	loop_free(f->loop);
}

static void put(struct fixture *f, const char *label, const char *value)
{
	char key[100];

	snprintf(key, sizeof(key), "/skydns/com/example/okd/%s", label);
	if (skydns_put(f->tree, key, strlen(key), value, value ? strlen(value) : 0, 1,
		NULL) < 0)
		abort();
}

/* The last byte of the only address of a name; -1 without one. */
static int address(const struct fixture *f, const char *qname)
{
	struct name_buf b = name(qname);
	const struct zone_name *n = zone_find(catalog_zone(f->c), &b, 0);
	const struct zone_set *s = n ? zone_set_find(n, DNS_A) : NULL;

	return s && s->count == 1 ? zone_set_wire(n, s)[s->len - 1] : -1;
}

TEST(changes_are_published_and_gone_again)
{
	struct fixture f;

	start(&f);
	CHECK(address(&f, "api." ORIGIN) == 1 && address(&f, "new." ORIGIN) == -1);
	catalog_flush(f.c);
	CHECK(f.published.n == 0);
	put(&f, "new", "{\"host\":\"192.0.2.7\"}");
	CHECK(address(&f, "new." ORIGIN) == -1);
	catalog_flush(f.c);
	CHECK(f.published.n == 1 && f.published.at_once == 1);
	CHECK(address(&f, "new." ORIGIN) == 7 && address(&f, "api." ORIGIN) == 1);
	put(&f, "new", NULL);
	catalog_flush(f.c);
	CHECK(f.published.n == 2 && address(&f, "new." ORIGIN) == -1);
	stop(&f);
}

TEST(the_configuration_goes_before_a_source)
{
	struct fixture f;

	start(&f);
	put(&f, "api", "{\"host\":\"192.0.2.7\"}");
	catalog_flush(f.c);
	CHECK(address(&f, "api." ORIGIN) == 1);
	put(&f, "api", NULL);
	catalog_flush(f.c);
	CHECK(address(&f, "api." ORIGIN) == 1);
	stop(&f);
}

TEST(while_a_source_is_held_its_changes_wait_and_no_others)
{
	static const char key[] = "/skydns/com/example/okd/else",
			  value[] = "60 IN A 192.0.2.8";
	struct skydns *other;
	struct fixture f;

	start(&f);
	if (catalog_add_source(f.c, &other, "/skydns", RECORDS_STORE) < 0)
		abort();
	catalog_hold(f.c, f.tree, true);
	put(&f, "new", "{\"host\":\"192.0.2.7\"}");
	catalog_flush(f.c);
	CHECK(f.published.n == 0 && address(&f, "new." ORIGIN) == -1);
	if (skydns_put(other, key, strlen(key), value, strlen(value), 1, NULL) < 0)
		abort();
	catalog_flush(f.c);
	CHECK(f.published.n == 1 && address(&f, "new." ORIGIN) == -1);
	CHECK(address(&f, "else." ORIGIN) == 8);
	catalog_hold(f.c, f.tree, false);
	catalog_flush(f.c);
	CHECK(f.published.n == 2 && address(&f, "new." ORIGIN) == 7);
	stop(&f);
}

TEST(of_more_than_a_message_holds_the_first_count)
{
	char text[2000], label[20];
	struct fixture f;
	const struct zone_name *n;
	struct name_buf b = name("big." ORIGIN);

	start(&f);
	snprintf(text, sizeof(text), "{\"text\":\"%0*d\"}", (int)sizeof(text) - 20, 0);
	put(&f, "big/a", "{\"host\":\"192.0.2.7\"}");
	catalog_flush(f.c);
	for (unsigned i = 0; i < 40; i++) {
		/* Different from each other. */
		text[20] = (char)('0' + i / 10);
		text[21] = (char)('0' + i % 10);
		snprintf(label, sizeof(label), "big/x%02u", i);
		put(&f, label, text);
	}
	put(&f, "big/a", "{\"host\":\"192.0.2.8\"}");
	catalog_flush(f.c);
	CHECK(address(&f, "big." ORIGIN) == 8);
	n = zone_find(catalog_zone(f.c), &b, 0);
	CHECK(n && zone_set_find(n, DNS_TXT));
	CHECK(n && zone_set_find(n, DNS_TXT) &&
	    zone_set_find(n, DNS_TXT)->count == ZONE_SET_MAX / 2000);
	stop(&f);
}
