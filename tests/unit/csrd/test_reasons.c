/* The policy's words: reasons, and patterns of names. */
#include "tests/unit/test.h"

#include "common/str.h"
#include "csrd/policy.h"

TEST(patterns)
{
	CHECK(policy_name_fits("a", "a") && !policy_name_fits("a", "ab"));
	CHECK(policy_name_fits("w-*", "w-") && policy_name_fits("w-*", "w-12"));
	CHECK(!policy_name_fits("w-*", "w-1.x") && !policy_name_fits("w-*", "x"));
	CHECK(policy_name_fits("w*-*.x", "w1-2.x") &&
	    !policy_name_fits("w*-*.x", "w1.x"));
	CHECK(policy_name_fits("*", "abc") && !policy_name_fits("*", "a.b"));
	CHECK(policy_name_fits("", "") && !policy_name_fits("", "a"));
}

TEST(reasons_have_words)
{
	for (int i = 0; i < N_REASONS; i++) {
		CHECK(reason_word((enum reason)i)[0]);
		for (int j = 0; j < i; j++)
			CHECK(!str_eq(
			    reason_word((enum reason)i), reason_word((enum reason)j)));
	}
}
