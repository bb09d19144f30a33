/* Quotas: the bounds of a repository, and patterns. */
#include "regd/quota.h"

#include "regd/conf.h"
#include "tests/unit/test.h"

static char *ci[] = { "ci/**", "test-*" }, *all[] = { "**" };

static uint64_t limit_of(struct conf *c, const char *repository)
{
	struct meta_limits l;

	quota_limits(c, repository, &l);
	return l.repo;
}

TEST(the_least_that_fits_counts)
{
	struct quota quotas[] = {
		{ { ci, 2, true }, 100 },
		{ { all, 1, true }, 1000 },
	};
	struct conf c = { .quotas = { quotas, 2, true } };
	struct meta_limits l;

	CHECK(limit_of(&c, "ci/a/b") == 100);
	CHECK(limit_of(&c, "test-x") == 100);
	CHECK(limit_of(&c, "ci") == 1000);
	CHECK(limit_of(&c, "openshift/okd") == 1000);
	c.quotas.n = 1;
	CHECK(limit_of(&c, "openshift/okd") == UINT64_MAX);
	quota_limits(&c, "ci/a", &l);
	CHECK(l.total == UINT64_MAX);
	c.storage.quota = 5;
	quota_limits(&c, "ci/a", &l);
	CHECK(l.total == 5 && l.repo == 100);
}

TEST(patterns_that_can_fit_something)
{
	CHECK(quota_pattern_is_sane("ci/*-x_1.0/**"));
	CHECK(quota_pattern_is_sane("**"));
	CHECK(!quota_pattern_is_sane(""));
	CHECK(!quota_pattern_is_sane("CI/*"));
	CHECK(!quota_pattern_is_sane("ci *"));
}
