/* Tables, widths, and texts that would command a terminal. */
#include "tests/unit/test.h"

#include "okdctl/term.h"

TEST(clean)
{
	char s[] = "a\033[31mb\x7f\xc2\x9b"
		   "c\xc3\xa4\n";

	term_clean(s);
	CHECK(str_eq(s, "a?[31mb???c\xc3\xa4?"));
}

/* What is no UTF-8 would be C1 to an eight-bit terminal; the others turn a line around. */
TEST(clean_unicode)
{
	char s[] = "a\x9b"
		   "31m\xe2\x80\xae"
		   "b\xe2\x80\xa8"
		   "c\xe2\x81\xa6\xe4\xb8\xad\xc3";

	term_clean(s);
	CHECK(str_eq(s, "a?31m???b???c???\xe4\xb8\xad?"));
}

TEST(columns_line_up)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;
	struct table t = { .columns = 2 };

	table_add(&t, "\xe4\xb8\xad");
	table_add(&t, "x");
	table_add_color(&t, true, TERM_RED, "abc");
	table_add(&t, "y\033");
	table_print(&t, 1, &out);
	table_deinit(&t);
	CHECK(str_eq(str_get(&out), " \xe4\xb8\xad   x\n \033[31;1mabc\033[0m  y?\n"));
}

TEST(times_and_sizes)
{
	static const struct {
		int64_t s;
		const char *text;
	} rows[] = { { 17, "17 s" }, { 300, "5 min" }, { 11520, "3 h 12 min" },
		{ 187200, "2 d 4 h" }, { -60, "60 s" } };
	_cleanup_(str_deinit) struct str size = STR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(str_deinit) struct str s = STR_INIT;

		term_add_seconds(&s, rows[i].s);
		CHECK(str_eq(str_get(&s), rows[i].text));
	}
	term_add_bytes(&size, 3565158);
	CHECK(str_eq(str_get(&size), "3.4 MiB"));
}

TEST(wrapped)
{
	static const struct {
		const char *text;
		unsigned indent, columns;
		const char *want;
	} rows[] = {
		{ "a text of words", 2, 0, "a text of words" },
		{ "a text of several words", 2, 25, "a text of several words" },
		{ "a text of several words", 2, 24, "a text of several\n  words" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b", 0, 25,
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb" },
		{ "", 2, 40, "" },
		/* Narrower than that, words are not broken any further. */
		{ "1234 6789 1234 6789 x", 30, 31,
		    "1234 6789 1234 6789\n                              x" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(str_deinit) struct str out = STR_INIT;

		term_add_wrapped(&out, rows[i].text, rows[i].indent, rows[i].columns);
		CHECK(str_eq(str_get(&out), rows[i].want));
	}
}

TEST(screen)
{
	static const struct {
		const char *lines;
		struct term_size size;
		const char *want;
	} rows[] = {
		{ "abc\ndef\n", { 10, 3 }, "abc\033[K\ndef\033[K\n\033[J" },
		{ "abc\ndef\n", { 10, 2 }, "abc\033[K\ndef\033[K\033[J" },
		{ "abc\ndef\nghi\n", { 7, 2 }, "abc\033[K\n2 more \033[K\033[J" },
		{ "a\033[1mb\xc3\xa4\033[0mc\n", { 2, 5 },
		    "a\033[1mb\033[0m\033[K\n\033[J" },
		{ "\xe4\xb8\xad\xe4\xb8\xad\n", { 3, 5 },
		    "\xe4\xb8\xad\033[K\n\033[J" },
		{ "", { 3, 5 }, "\033[J" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(str_deinit) struct str out = STR_INIT;

		term_add_screen(&out, rows[i].lines, rows[i].size);
		CHECK(str_eq(str_get(&out), rows[i].want));
	}
}
