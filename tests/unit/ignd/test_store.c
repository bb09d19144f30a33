/* What is kept, with another process at the same file. */
#include "ignd/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/str.h"
#include "tests/unit/test.h"

static char folder[] = "/tmp/okd-store-XXXXXX";
static char path[64];
static struct loop *loop;
static struct store *other;
static char seen[64]; /* names, in order */
static bool over;     /* the last row was written over since */

static __attribute__((destructor)) void clean_up(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char file[80];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(file, sizeof(file), "%s%s", path, ends[i]);
		unlink(file);
	}
	rmdir(folder);
}

static void on_row(void *arg, const char *kind, const char *name, const json_t *value,
    bool written_over)
{
	size_t n = strlen(seen);

	snprintf(seen + n, sizeof(seen) - n, "%s", name);
	/* The other one writes while this one opens, and that is on disk. */
	if (other) {
		store_put(other, "node", "b", json_pack("{s:i}", "v", 2));
		other = store_free(other);
	}
	over = written_over;
	if (strchr(seen, 'b'))
		loop_stop(loop);
}

static void no_row(void *arg, const char *kind, const char *name, const json_t *value,
    bool written_over)
{
}

static struct store *open_store(store_row_fn *row)
{
	struct store *s = NULL;
	struct err e = ERR_INIT;

	if (store_new(&s, loop, path, row, NULL, &e) < 0) {
		printf("# %s\n", err_str(&e));
		abort();
	}
	return s;
}

static void begin(void)
{
	if (!path[0]) {
		CHECK(mkdtemp(folder));
		snprintf(path, sizeof(path), "%s/ignd.db", folder);
	}
	seen[0] = '\0';
	CHECK(loop_new(&loop) == 0);
}

static void other_writes(const char *name, int v)
{
	other = open_store(no_row);
	store_put(other, "node", name, json_pack("{s:i}", "v", v));
	other = store_free(other);
}

TEST(what_is_written_while_one_opens_is_found)
{
	struct store *s;

	begin();
	other_writes("a", 1);
	other = open_store(no_row);
	s = open_store(on_row);
	CHECK(str_eq(seen, "a"));
	store_poll(s);
	CHECK(loop_run(loop) == 0);
	CHECK(str_eq(seen, "aab") && !over);
	store_free(s);
	loop = loop_free(loop);
}

TEST(at_the_end_nobody_is_told)
{
	struct store *s;

	begin();
	s = open_store(on_row);
	seen[0] = '\0';
	other_writes("c", 5);
	store_poll(s);
	store_free(s);
	CHECK(!seen[0]);
	loop = loop_free(loop);
}

TEST(nothing_of_others_is_written_over_unseen)
{
	struct store *s;

	begin();
	s = open_store(on_row);
	seen[0] = '\0';
	other_writes("b", 3);
	store_put(s, "node", "b", json_pack("{s:i}", "v", 4));
	CHECK(loop_run(loop) == 0);
	CHECK(str_eq(seen, "abc") && over);
	store_free(s);
	loop = loop_free(loop);
}
