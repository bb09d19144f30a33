/* Patterns: the quick way for name ends says the same as the regular expression. */
#include <string.h>

#include "tests/unit/test.h"

#include "dnsd/pattern.h"

static const char *const names[] = { "apps.okd.example.com.", "x.apps.okd.example.com.",
	"xapps.okd.example.com.", "appsxokd.example.com.", "okd.example.com.", "com.",
	"." };

static unsigned matches(const struct pattern *p, const char *text)
{
	size_t groups[8];

	return pattern_match(p, text, strlen(text), groups, ARRAY_SIZE(groups) / 2);
}

/* Which of the names match, as bits. */
static unsigned which(const char *text, bool *is_end)
{
	_cleanup_(pattern_freep) struct pattern *p = NULL;
	unsigned bits = 0;

	if (pattern_new(&p, text, NULL) < 0)
		return ~0u;
	*is_end = pattern_is_end(p);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bool hit = matches(p, names[i]) > 0;
		struct name_buf b;

		if (name_parse(&b, names[i]) < 0)
			abort();
		if (*is_end && pattern_match_end(p, &b) != hit)
			return ~0u;
		bits |= (unsigned)hit << i;
	}
	return bits;
}

TEST(ends_of_names)
{
	bool end;

	/* The guide's: the bare name too, and what ends so without a dot before it. */
	CHECK(which(".*apps\\.okd\\.example\\.com\\.$", &end) == 7 && end);
	CHECK(which("apps\\.okd\\.example\\.com\\.$", &end) == 7);
	CHECK(which("(^|[.])apps\\.okd\\.example\\.com\\.$", &end) == 3 && !end);
	/* A dot that stands for any character. */
	CHECK(which(".*apps.okd\\.example\\.com\\.$", &end) == 15);
	CHECK(which(".*", &end) == 127);
	CHECK(which("^\\.$", &end) == 64);
	CHECK(which("^okd", &end) == 16 && !end);
}

TEST(groups)
{
	_cleanup_(pattern_freep) struct pattern *p = NULL;
	const char *text = "ip-10-7.example.net.";
	size_t groups[8];

	CHECK(pattern_new(&p, "^ip-(?P<a>[0-9]+)-([0-9]+)\\.(x)?", NULL) == 0);
	CHECK(pattern_match(p, text, strlen(text), groups, 4) >= 3);
	CHECK(groups[2] == 3 && groups[3] == 5 && groups[4] == 6 && groups[5] == 7);
	CHECK(pattern_group(p, "a") == 1 && pattern_group(p, "b") == -1);
}

TEST(a_group_that_took_no_part_is_empty)
{
	_cleanup_(pattern_freep) struct pattern *p = NULL;
	size_t groups[8];

	CHECK(pattern_new(&p, "^(x)|(a)", NULL) == 0);
	CHECK(pattern_match(p, "ab.", 3, groups, 4) == 3);
	CHECK(groups[2] == 0 && groups[3] == 0 && groups[4] == 0 && groups[5] == 1);
}

TEST(what_is_no_pattern)
{
	static const char *const bad[] = { "([", "(?P<a>", "*", "a{2,1}", "\\" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = ERR_INIT;
		struct pattern *p;

		CHECK(pattern_new(&p, bad[i], &e) < 0 && e.text[0]);
	}
}

/* Machine code has 32 KiB of stack, and what needs more is interpreted. */
TEST(what_needs_much_stack_matches_all_the_same)
{
	_cleanup_(pattern_freep) struct pattern *p = NULL;
	char text[1000]; /* as long as a name as text may be */

	memset(text, 'a', sizeof(text));
	CHECK(pattern_new(&p, "^(?:(a)|(b)|(c)|(d))+?$", NULL) == 0);
	CHECK(pattern_match(p, text, sizeof(text), (size_t[8]){ 0 }, 4) > 0);
}

TEST(more_groups_than_are_told)
{
	_cleanup_(pattern_freep) struct pattern *p = NULL;
	size_t groups[4] = { 0 };

	CHECK(pattern_new(&p, "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)(l)(m)(n)(o)(p)(q)",
		  NULL) == 0);
	CHECK(pattern_match(p, "abcdefghijklmnopq.", 18, groups, 2) == 2);
	CHECK(groups[0] == 0 && groups[1] == 17 && groups[2] == 0 && groups[3] == 1);
}

TEST(a_pattern_that_would_take_for_ever_ends)
{
	_cleanup_(pattern_freep) struct pattern *p = NULL;
	const char *text =
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";

	CHECK(pattern_new(&p, "^(a+)+$", NULL) == 0);
	CHECK(matches(p, text) == 0);
}
