/* Keys and values in a file: a transaction in parts happens as a whole or not at all. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"

#include "common/loop.h"
#include "common/str.h"
#include "dnsd/kvfile.h"

static char folder[] = "/tmp/okd-test-kvfile-XXXXXX";
static char path[64];

struct file {
	struct loop *loop;
	struct mailbox *home;
	struct kvfile *kv;
	struct str rows; /* "key=value ", as they were found */
};

static void on_row(
    void *arg, const char *key, size_t n_key, const char *value, size_t n_value)
{
	str_addf(&((struct file *)arg)->rows, "%.*s=%.*s ", (int)n_key, key,
	    (int)n_value, value);
}

static struct file *file_open(void)
{
	struct file *f = calloc(1, sizeof(*f));
	struct err e = ERR_INIT;

	if (!f || loop_new(&f->loop) < 0 || mailbox_new(&f->home, f->loop) < 0 ||
	    kvfile_open(&f->kv, f->home, path, false, on_row, f, &e) < 0)
		abort();
	return f;
}

/* All that was handed over is written then. */
static void file_close(struct file *f)
{
	kvfile_close(f->kv);
	mailbox_free(f->home);
	loop_free(f->loop);
	str_deinit(&f->rows);
	free(f);
}

static void put(struct file *f, enum kv_part part, const char *key, const char *value)
{
	struct kv_batch *b;

	if (kv_batch_new(&b) < 0)
		abort();
	b->part = part;
	if (key &&
	    kv_batch_add(b, key, strlen(key), value, value ? strlen(value) : 0) < 0)
		abort();
	kvfile_write(f->kv, b);
}

/* What a file holds that is opened anew. */
static bool holds(const char *want)
{
	struct file *f = file_open();
	bool same = str_eq(str_get(&f->rows), want);

	if (!same)
		printf("# %s instead of %s\n", str_get(&f->rows), want);
	file_close(f);
	return same;
}

static void start(void)
{
	if (!path[0]) {
		if (!mkdtemp(folder))
			abort();
		snprintf(path, sizeof(path), "%s/kv.db", folder);
	}
	unlink(path);
}

static void finish(void)
{
	unlink(path);
	rmdir(folder);
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	path[0] = '\0';
}

TEST(whole_transactions)
{
	struct file *f;

	start();
	f = file_open();
	put(f, KV_WHOLE, "a", "1");
	put(f, KV_WHOLE, "b", "2");
	put(f, KV_WHOLE, "a", "3");
	put(f, KV_WHOLE, "b", NULL);
	file_close(f);
	CHECK(holds("a=3 "));
	finish();
}

TEST(parts_replace_everything_at_their_end)
{
	struct file *f;

	start();
	f = file_open();
	put(f, KV_WHOLE, "old", "1");
	put(f, KV_FIRST, "a", "1");
	put(f, KV_MORE, "b", "2");
	put(f, KV_MORE, NULL, NULL);
	put(f, KV_LAST, "c", "3");
	put(f, KV_WHOLE, "d", "4");
	file_close(f);
	CHECK(holds("a=1 b=2 c=3 d=4 "));
	finish();
}

TEST(parts_without_their_end_are_nothing)
{
	struct file *f;

	start();
	f = file_open();
	put(f, KV_WHOLE, "old", "1");
	put(f, KV_FIRST, "a", "1");
	put(f, KV_MORE, "b", "2");
	file_close(f);
	CHECK(holds("old=1 "));
	/* Another transaction gives them up, and what is left of them has no effect. */
	f = file_open();
	put(f, KV_FIRST, "a", "1");
	put(f, KV_WHOLE, "new", "2");
	put(f, KV_MORE, "b", "2");
	put(f, KV_LAST, "c", "3");
	file_close(f);
	CHECK(holds("new=2 old=1 "));
	/* ... as does another beginning. */
	f = file_open();
	put(f, KV_FIRST, "a", "1");
	put(f, KV_FIRST, "b", "2");
	put(f, KV_LAST, NULL, NULL);
	file_close(f);
	CHECK(holds("b=2 "));
	finish();
}

static void on_done(struct kv_batch *b)
{
	loop_stop(((struct file *)b->arg)->loop);
	kv_batch_free(b);
}

/* Waits until all is written. */
static void settle(struct file *f)
{
	struct kv_batch *b;

	if (kv_batch_new(&b) < 0)
		abort();
	b->part = KV_MORE; /* of nothing */
	b->done = on_done;
	b->arg = f;
	kvfile_write(f->kv, b);
	loop_run(f->loop);
}

/* From outside. */
static void run_sql(const char *sql)
{
	sqlite3 *h;

	if (sqlite3_open(path, &h) != SQLITE_OK ||
	    sqlite3_exec(h, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
	sqlite3_close(h);
}

TEST(a_state_that_could_not_be_written_is_not_mixed_with_the_next)
{
	struct file *f;

	start();
	f = file_open();
	put(f, KV_WHOLE, "a", "1");
	settle(f);
	run_sql("ALTER TABLE kv RENAME TO away");
	put(f, KV_WHOLE, "b", "2");
	settle(f);
	CHECK(kvfile_is_behind(f->kv));
	run_sql("ALTER TABLE away RENAME TO kv");
	put(f, KV_WHOLE, "c", "3");
	file_close(f);
	CHECK(holds("a=1 "));
	f = file_open();
	run_sql("ALTER TABLE kv RENAME TO away");
	put(f, KV_WHOLE, "b", "2");
	settle(f);
	run_sql("ALTER TABLE away RENAME TO kv");
	put(f, KV_FIRST, "d", "4");
	put(f, KV_LAST, "e", "5");
	settle(f);
	CHECK(!kvfile_is_behind(f->kv));
	put(f, KV_WHOLE, "f", "6");
	file_close(f);
	CHECK(holds("d=4 e=5 f=6 "));
	finish();
}

static void write_garbage(void)
{
	FILE *f = fopen(path, "w");

	for (unsigned i = 0; f && i < 1000; i++)
		fputs("no database ", f);
	if (!f || fclose(f) != 0)
		abort();
}

TEST(a_file_that_is_no_use_is_begun_anew_unless_it_is_precious)
{
	struct err e = ERR_INIT;
	struct file *f;
	struct kvfile *kv;

	start();
	write_garbage();
	f = file_open();
	CHECK(kvfile_open(&kv, f->home, path, true, on_row, f, &e) == 0);
	kvfile_close(kv);
	put(f, KV_FIRST, "a", "1");
	put(f, KV_LAST, NULL, NULL);
	file_close(f);
	CHECK(holds("a=1 "));
	write_garbage();
	f = calloc(1, sizeof(*f));
	if (!f || loop_new(&f->loop) < 0 || mailbox_new(&f->home, f->loop) < 0)
		abort();
	CHECK(kvfile_open(&kv, f->home, path, true, on_row, f, &e) < 0 && e.text[0]);
	file_close(f);
	finish();
}

/* Where nothing can be kept, all the rest goes on. */
TEST(a_file_that_cannot_be_opened_is_behind)
{
	char whole[sizeof(path)];
	struct file *f;

	start();
	strcpy(whole, path);
	strcpy(path + strlen(folder), "/no/kv.db");
	f = file_open();
	put(f, KV_WHOLE, "a", "1");
	settle(f);
	CHECK(kvfile_is_behind(f->kv));
	file_close(f);
	strcpy(path, whole);
	finish();
}

struct looked {
	struct loop *loop;
	int result;
	struct str rows;
};

static void on_looked(struct kv_batch *b)
{
	struct looked *l = b->arg;

	l->result = b->result;
	str_reset(&l->rows);
	for (size_t i = 0; i < b->n; i++)
		str_addf(&l->rows, "%s=%s ", b->ops[i].key, b->ops[i].value);
	loop_stop(l->loop);
	kv_batch_free(b);
}

static int look(struct file *f, struct looked *l)
{
	struct kv_batch *b;

	if (kv_batch_new(&b) < 0)
		abort();
	b->part = KV_LOOK;
	b->done = on_looked;
	b->arg = l;
	l->loop = f->loop;
	kvfile_write(f->kv, b);
	loop_run(f->loop);
	return l->result;
}

TEST(what_others_write_is_found_once)
{
	struct looked l = { .rows = STR_INIT };
	struct file *f;

	start();
	f = file_open();
	CHECK(look(f, &l) == 0 && l.rows.len == 0);
	put(f, KV_WHOLE, "a", "1");
	CHECK(look(f, &l) == 0);
	run_sql("INSERT INTO kv VALUES (CAST('b' AS BLOB), CAST('2' AS BLOB))");
	CHECK(look(f, &l) == 1 && str_eq(str_get(&l.rows), "a=1 b=2 "));
	CHECK(look(f, &l) == 0);
	run_sql("DELETE FROM kv");
	CHECK(look(f, &l) == 1 && l.rows.len == 0);
	str_deinit(&l.rows);
	file_close(f);
	finish();
}
