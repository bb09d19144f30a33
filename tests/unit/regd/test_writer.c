/* Group commit: what is told is what is durable, whatever a batch goes through. */
#include "tests/unit/test.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/db.h"
#include "common/loop.h"
#include "regd/writer.h"

static const struct db_migration schema[] = {
	{ 1, "CREATE TABLE t(n INTEGER PRIMARY KEY);" },
	{ 0, NULL },
};

struct row {
	struct change change;
	int n;
	sem_t *gate; /* waits for it, so that what follows becomes one batch */
	int told;
};

static struct loop *loop;
static unsigned waiting;

static int insert(struct change *c, struct db *db)
{
	struct row *r = CONTAINER_OF(c, struct row, change);

	if (r->gate)
		sem_wait(r->gate);
	return db_run(db, "INSERT INTO t VALUES(?)", "i", r->n);
}

/* As sqlite does by itself when a disk fails. */
static int lose_all(struct change *c, struct db *db)
{
	CHECK(insert(c, db) == 0);
	CHECK(db_exec(db, "ROLLBACK") == 0);
	return -EIO;
}

/* The ordinary failure: undone alone. */
static int lose_one(struct change *c, struct db *db)
{
	CHECK(insert(c, db) == 0);
	return 1;
}

static void done(struct change *c)
{
	CONTAINER_OF(c, struct row, change)->told = c->result;
	if (--waiting == 0)
		loop_stop(loop);
}

static void post(struct writer *w, struct row *r, int n,
    int (*apply)(struct change *c, struct db *db))
{
	r->n = n;
	r->told = 1000;
	r->change.apply = apply;
	r->change.done = done;
	waiting++;
	writer_post(w, &r->change);
}

/* Rows 1 to 3 in one batch, the second of them with apply; returns how many are there. */
static int64_t batch(struct row rows[4], int (*apply)(struct change *c, struct db *db))
{
	char path[] = "/tmp/okd-test-writer.XXXXXX", name[64];
	static const char *const ends[] = { "", "-wal", "-shm", "-reserve" };
	struct mailbox *home = NULL;
	struct writer *w = NULL;
	struct db *db = NULL;
	struct err e = ERR_INIT;
	int64_t n = -1;
	sem_t gate;
	int fd = mkstemp(path);

	close(fd);
	sem_init(&gate, 0, 0);
	CHECK(loop_new(&loop) == 0 && mailbox_new(&home, loop) == 0);
	CHECK(writer_new(&w, path, schema, home, &e) == 0);
	rows[0].gate = &gate;
	post(w, &rows[0], 0, insert);
	post(w, &rows[1], 1, insert);
	post(w, &rows[2], 2, apply);
	post(w, &rows[3], 3, insert);
	sem_post(&gate);
	loop_run(loop);
	writer_free(w);
	mailbox_free(home);
	CHECK(db_open_readonly(&db, path, schema, &e) == 0);
	CHECK(db_get(db, &n, "SELECT count(*) FROM t WHERE n > 0", NULL) == 0);
	db_free(db);
	loop_free(loop);
	sem_destroy(&gate);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		(void)unlink(name);
	}
	return n;
}

TEST(one_that_fails_is_undone_alone)
{
	struct row rows[4] = { 0 };

	CHECK(batch(rows, lose_one) == 2);
	CHECK(rows[1].told == 0 && rows[2].told == 1 && rows[3].told == 0);
}

TEST(a_transaction_that_is_lost_is_nobodys_success)
{
	struct row rows[4] = { 0 };

	CHECK(batch(rows, lose_all) == 0);
	CHECK(rows[1].told < 0 && rows[2].told < 0 && rows[3].told < 0);
}
