/* TEST(name) { ... CHECK(expr); }: tests register themselves; output is TAP. */
#pragma once

#include <stdio.h>

struct test {
	const char *name;
	void (*fn)(void);
	struct test *next;
};

static struct test *tests, **tests_tail = &tests;
static int failed_here;

#define TEST(n)                                                \
	static void test_##n(void);                            \
	static struct test reg_##n = { #n, test_##n, NULL };   \
	static __attribute__((constructor)) void add_##n(void) \
	{                                                      \
		*tests_tail = &reg_##n;                        \
		tests_tail = &reg_##n.next;                    \
	}                                                      \
	static void test_##n(void)

#define CHECK(e)                                                         \
	do {                                                             \
		if (!(e)) {                                              \
			failed_here++;                                   \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #e); \
		}                                                        \
	} while (0)

int main(void)
{
	int n = 0, bad = 0;

	/* A crash must not take along what was said before it. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct test *t = tests; t; t = t->next) {
		failed_here = 0;
		t->fn();
		printf("%s %d - %s\n", failed_here ? "not ok" : "ok", ++n, t->name);
		bad += failed_here > 0;
	}
	printf("1..%d\n", n);
	return bad > 0;
}
