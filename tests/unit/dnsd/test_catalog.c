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

TEST(while_it_is_held_nothing_changes)
{
	struct fixture f;

	start(&f);
	catalog_hold(f.c, true);
	put(&f, "new", "{\"host\":\"192.0.2.7\"}");
	catalog_flush(f.c);
	CHECK(f.published.n == 0 && address(&f, "new." ORIGIN) == -1);
	catalog_hold(f.c, false);
	catalog_flush(f.c);
	CHECK(f.published.n == 1 && address(&f, "new." ORIGIN) == 7);
	stop(&f);
}
