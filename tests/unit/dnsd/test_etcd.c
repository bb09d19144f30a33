/* What following etcd decides apart from I/O: mass deletions, bad values, leases. */
#include "tests/unit/test.h"

#include "dnsd/etcd_bad.h"
#include "dnsd/etcd_deletions.h"
#include "dnsd/etcd_leases.h"

TEST(more_than_half_of_ten_within_five_seconds_is_a_mass_deletion)
{
	struct etcd_deletions few = { 0 }, half = { 0 }, most = { 0 };

	CHECK(!etcd_deletions_count(&few, 1000, 9, 9));
	CHECK(!etcd_deletions_count(&half, 1000, 10, 5));
	CHECK(etcd_deletions_count(&most, 0, 10, 6));
	CHECK(etcd_deletions_count(&half, 1001, 5, 1));
}

TEST(deletions_add_up_over_any_five_seconds)
{
	struct etcd_deletions d = { 0 }, slow = { 0 };

	CHECK(!etcd_deletions_count(&d, 100, 20, 1));
	CHECK(!etcd_deletions_count(&d, 4900, 19, 6));
	CHECK(etcd_deletions_count(&d, 5050, 13, 6));
	/* What came shortly before counts as what there was. */
	d = (struct etcd_deletions){ 0 };
	CHECK(!etcd_deletions_count(&d, 100, 0, 0));
	CHECK(etcd_deletions_count(&d, 200, 20, 11));
	/* Half of a thousand, one every second and a half. */
	for (unsigned i = 0; i < 500; i++)
		CHECK(!etcd_deletions_count(&slow, i * 1500, 1000 - i, 1));
}

TEST(a_mass_deletion_is_told_once_and_the_next_one_again)
{
	struct etcd_deletions d = { 0 };

	CHECK(etcd_deletions_count(&d, 1000, 100, 60));
	CHECK(!etcd_deletions_count(&d, 1500, 40, 10));
	CHECK(!etcd_deletions_count(&d, 3000, 30, 30));
	CHECK(!etcd_deletions_count(&d, 60000, 100, 1));
	CHECK(etcd_deletions_count(&d, 61000, 99, 99));
}

TEST(a_bad_key_is_known_until_it_is_good_or_gone)
{
	struct etcd_bad b;

	etcd_bad_init(&b);
	etcd_bad_forget(&b, "/s/a", 4);
	etcd_bad_note(&b, "/s/a", 4, 1, "no record");
	etcd_bad_note(&b, "/s/a", 4, 2, "no record");
	etcd_bad_note(&b, "/s/b", 4, 1, "no record");
	CHECK(b.keys.n == 2);
	etcd_bad_sweep(&b, 2);
	CHECK(b.keys.n == 1);
	etcd_bad_forget(&b, "/s/b", 4);
	CHECK(b.keys.n == 1);
	etcd_bad_forget(&b, "/s/a", 4);
	CHECK(b.keys.n == 0);
	etcd_bad_deinit(&b);
}

static void limit(const char *key, size_t n, uint32_t ttl, void *arg)
{
	*(uint32_t *)arg += ttl;
}

TEST(a_lease_is_asked_for_once_and_bounds_its_keys)
{
	struct etcd_leases l;
	uint32_t sum = 0;

	etcd_leases_init(&l);
	CHECK(etcd_leases_add(&l, 7, "/s/a", 4) == 0);
	CHECK(etcd_leases_add(&l, 7, "/s/b", 4) == 0);
	CHECK(etcd_leases_next(&l) == 7);
	etcd_leases_known(&l, 7, 100, limit, &sum);
	CHECK(sum == 200 && etcd_leases_next(&l) == 0);
	CHECK(etcd_leases_add(&l, 7, "/s/c", 4) == 100);
	/* Between half a minute and a day. */
	CHECK(etcd_leases_add(&l, 8, "/s/a", 4) == 0);
	etcd_leases_known(&l, 8, 1, limit, &sum);
	CHECK(sum == 230);
	/* A lease goes with the last of its keys. */
	etcd_leases_forget(&l, "/s/a", 4);
	CHECK(etcd_leases_add(&l, 8, "/s/d", 4) == 0 && etcd_leases_next(&l) == 8);
	etcd_leases_deinit(&l);
	CHECK(etcd_leases_next(&l) == 0);
}
