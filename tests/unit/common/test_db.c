/* Migrations, refusals, statements and transactions of the sqlite door. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/db.h"
#include "common/fd.h"
#include "common/str.h"

static char dir[] = "/tmp/okd-test-db.XXXXXX";
static char path[sizeof(dir) + 16];

static const struct db_migration v1[] = {
	{ 1, "CREATE TABLE t (k TEXT PRIMARY KEY, v)" },
	{ 0 },
};
static const struct db_migration v3[] = {
	{ 1, "CREATE TABLE t (k TEXT PRIMARY KEY, v)" },
	{ 2,
	    "CREATE TABLE u (k TEXT REFERENCES t (k)); INSERT INTO t VALUES ('two', "
	    "2)" },
	{ 3, "ALTER TABLE t ADD COLUMN w" },
	{ 0 },
};

/* A path where nothing is. */
static void fresh(void)
{
	static bool made;
	char side[sizeof(path) + 8];

	if (!made && !mkdtemp(dir))
		CHECK(!"mkdtemp");
	made = true;
	snprintf(path, sizeof(path), "%s/x.db", dir);
	unlink(path);
	snprintf(side, sizeof(side), "%s-wal", path);
	unlink(side);
	snprintf(side, sizeof(side), "%s-shm", path);
	unlink(side);
}

static int64_t get(struct db *db, const char *sql)
{
	int64_t v = -1;

	CHECK(db_get(db, &v, sql, NULL) == 0);
	return v;
}

TEST(opens_and_migrates)
{
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;
	struct stat st;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777 & ~0640) == 0);
	CHECK(get(db, "PRAGMA user_version") == 1);
	CHECK(get(db, "PRAGMA synchronous") == 2);
	CHECK(get(db, "PRAGMA foreign_keys") == 1);
	CHECK(get(db, "PRAGMA cache_size") == -256);
	CHECK(db_run(db, "INSERT INTO t VALUES ('kept', 7)", NULL) == 0);
	db = db_free(db);
	CHECK(db_open(&db, path, v3, DB_SYNC_NORMAL | DB_CHECK, &err) == 0);
	CHECK(get(db, "PRAGMA user_version") == 3);
	CHECK(get(db, "PRAGMA synchronous") == 1);
	CHECK(get(db, "SELECT v FROM t WHERE k = 'kept'") == 7);
	CHECK(get(db, "SELECT v FROM t WHERE k = 'two'") == 2);
}

TEST(a_newer_schema_is_refused)
{
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&db, path, v3, 0, &err) == 0);
	db = db_free(db);
	CHECK(db_open(&db, path, v1, 0, &err) == -ENOTSUP);
	CHECK(strstr(err.text, path) && strstr(err.text, "schema 3, known is 1"));
	CHECK(db_open_readonly(&db, path, v1, &err) == -ENOTSUP);
	CHECK(db == NULL);
}

TEST(a_failed_migration_changes_nothing)
{
	static const struct db_migration bad[] = {
		{ 1, "CREATE TABLE t (k TEXT PRIMARY KEY, v)" },
		{ 2, "CREATE TABLE fine (x); CREATE TABLE t (again)" },
		{ 0 },
	};
	static const struct db_migration dangling[] = {
		{ 1, "CREATE TABLE t (k TEXT PRIMARY KEY, v)" },
		{ 2,
		    "CREATE TABLE u (k REFERENCES t (k)); INSERT INTO u VALUES ('x')" },
		{ 0 },
	};
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	db = db_free(db);
	CHECK(db_open(&db, path, bad, 0, &err) == -EINVAL);
	CHECK(strstr(err.text, "version 2"));
	CHECK(db_open(&db, path, dangling, 0, &err) == -EINVAL);
	CHECK(strstr(err.text, "reference"));
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(get(db, "SELECT count(*) FROM sqlite_master WHERE type = 'table'") == 1);
}

TEST(what_is_no_database_of_ours_is_refused)
{
	char junk[8192];
	_cleanup_(db_freep) struct db *db = NULL;
	_cleanup_(str_deinit) struct str before = STR_INIT, after = STR_INIT;
	struct err err = ERR_INIT;

	fresh();
	memset(junk, 'x', sizeof(junk));
	CHECK(file_replace(path, 0600, junk, sizeof(junk)) == 0);
	CHECK(db_open(&db, path, v1, 0, &err) == -EBADMSG);
	CHECK(strstr(err.text, path) && strstr(err.text, "not a database"));
	CHECK(db_open_readonly(&db, path, v1, &err) == -EBADMSG);

	/* Tables, but no version: a database that some other program made. */
	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(
	    db_exec(db, "PRAGMA user_version = 0; PRAGMA journal_mode = DELETE") == 0);
	db = db_free(db);
	CHECK(file_read(path, sizeof(junk) * 8, &before) == 0);
	CHECK(db_open(&db, path, v1, 0, &err) == -EEXIST);
	CHECK(file_read(path, sizeof(junk) * 8, &after) == 0);
	CHECK(after.len == before.len && memcmp(after.s, before.s, after.len) == 0);

	CHECK(db_open(&db, "/nonexistent/x.db", v1, 0, &err) == -ENOENT);
	CHECK(strstr(err.text, "/nonexistent/x.db: cannot open"));
	CHECK(db_open_readonly(&db, "/nonexistent/x.db", v1, &err) == -ENOENT);
	CHECK(db == NULL);
}

/* Rubbish in the middle of the file: found by the check, and by who walks into it. */
TEST(damage_is_named)
{
	_cleanup_(db_freep) struct db *db = NULL;
	_cleanup_(str_deinit) struct str file = STR_INIT;
	struct err err = ERR_INIT;
	char value[600];

	fresh();
	memset(value, 'v', sizeof(value));
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	for (int i = 0; i < 200; i++)
		CHECK(db_run(db, "INSERT INTO t VALUES (?, ?)", "it", i, value,
			  sizeof(value)) == 0);
	CHECK(db_check(db, &err) == 0);
	db = db_free(db);
	CHECK(file_read(path, 1 << 22, &file) == 0);
	CHECK(file.len > 20 * 4096);
	memset(file.s + 4096, 0x5a, 8 * 4096);
	CHECK(file_replace(path, 0600, file.s, file.len) == 0);
	CHECK(db_open(&db, path, v1, DB_CHECK, &err) == -EBADMSG);
	CHECK(strstr(err.text, path));
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_run(db, "SELECT sum(length(v)) FROM t", NULL) == -EBADMSG);
	CHECK(db_check(db, &err) == -EBADMSG);
}

TEST(values_come_back)
{
	_cleanup_(db_freep) struct db *db = NULL;
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	struct err err = ERR_INIT;
	const void *blob;
	size_t n;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(
	    db_query(db, &st, "SELECT ?, ?, ?, ?, ?, ?, ?", "ilstbbn", -5, INT64_MIN,
		"text", "texture", (size_t)4, "a\0b", (size_t)3, NULL, (size_t)0) == 0);
	CHECK(db_step(st) == 1);
	CHECK(db_int(st, 0) == -5 && db_int(st, 1) == INT64_MIN);
	CHECK(str_eq(db_text(st, 2), "text") && str_eq(db_text(st, 3), "text"));
	blob = db_blob(st, 4, &n);
	CHECK(n == 3 && memcmp(blob, "a\0b", 3) == 0);
	CHECK(db_is_null(st, 5) && db_is_null(st, 6) && !db_text(st, 6));
	CHECK(db_step(st) == 0);
	CHECK(db_step(st) == 0);
}

TEST(misuse_is_an_error)
{
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;
	int64_t v = 0;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_run(db, "SELECT ?", NULL) == -EINVAL);
	CHECK(db_run(db, "SELECT ?", "ii", 1, 2) == -EINVAL);
	CHECK(db_run(db, "SELECT ?", "?", 1) == -EINVAL);
	CHECK(db_run(db, "SELECT 1; SELECT 2", NULL) == -EINVAL);
	CHECK(db_run(db, "", NULL) == -EINVAL);
	CHECK(db_run(db, "SELEKT", NULL) == -EINVAL);
	CHECK(strstr(db_error(db), "SELEKT"));
	CHECK(db_get(db, &v, "SELECT v FROM t WHERE k = ?", "s", "none") == -ENOENT);
}

/* The same text again while its rows are being read, twice over. */
TEST(a_statement_may_nest_in_itself)
{
	static const char *const sql = "SELECT k FROM t ORDER BY k";
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;
	struct str seen = STR_INIT;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_exec(db, "INSERT INTO t (k) VALUES ('a'), ('b'), ('c')") == 0);
	for (int round = 0; round < 2; round++) {
		_cleanup_(db_donep) struct db_stmt *outer = NULL;

		CHECK(db_query(db, &outer, sql, NULL) == 0);
		while (db_step(outer) == 1) {
			_cleanup_(db_donep) struct db_stmt *inner = NULL;

			str_addz(&seen, db_text(outer, 0));
			CHECK(db_query(db, &inner, sql, NULL) == 0);
			CHECK(db_step(inner) == 1 && str_eq(db_text(inner, 0), "a"));
		}
	}
	CHECK(str_eq(str_get(&seen), "abcabc"));
	str_deinit(&seen);
}

TEST(more_texts_than_are_kept)
{
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;
	char sql[32];

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 400; i++) {
			int64_t v = -1;

			snprintf(sql, sizeof(sql), "SELECT %d", i);
			CHECK(db_get(db, &v, sql, NULL) == 0 && v == i);
		}
	}
}

TEST(transactions)
{
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	{
		_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;

		CHECK(db_tx_begin(&tx, db) == 0);
		CHECK(db_run(db, "INSERT INTO t VALUES (?, 1)", "s", "gone") == 0);
	}
	CHECK(get(db, "SELECT count(*) FROM t") == 0);
	{
		_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;

		CHECK(db_tx_begin(&tx, db) == 0);
		CHECK(db_run(db, "INSERT INTO t VALUES (?, 1)", "s", "kept") == 0);
		CHECK(db_changes(db) == 1 && db_last_id(db) == 1);
		CHECK(db_tx_commit(&tx) == 0);
	}
	CHECK(get(db, "SELECT count(*) FROM t") == 1);
	CHECK(db_run(db, "INSERT INTO t VALUES ('kept', 2)", NULL) == -EEXIST);
}

TEST(foreign_keys_hold)
{
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&db, path, v3, 0, &err) == 0);
	CHECK(db_run(db, "INSERT INTO u VALUES ('nobody')", NULL) == -EINVAL);
	CHECK(db_run(db, "INSERT INTO u VALUES ('two')", NULL) == 0);
}

TEST(readers)
{
	_cleanup_(db_freep) struct db *db = NULL;
	_cleanup_(db_freep) struct db *reader = NULL;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_open_readonly(&reader, path, v3, &err) == -ENOTSUP);
	CHECK(strstr(err.text, "older version"));
	CHECK(db_open_readonly(&reader, path, v1, &err) == 0);
	CHECK(get(reader, "SELECT count(*) FROM t") == 0);
	CHECK(db_run(db, "INSERT INTO t VALUES ('x', 1)", NULL) == 0);
	CHECK(get(reader, "SELECT count(*) FROM t") == 1);
	CHECK(db_run(reader, "INSERT INTO t VALUES ('y', 1)", NULL) == -EROFS);
}

TEST(a_second_writer_waits_then_gives_up)
{
	_cleanup_(db_freep) struct db *a = NULL;
	_cleanup_(db_freep) struct db *b = NULL;
	_cleanup_(db_tx_end) struct db_tx ta = DB_TX_INIT;
	_cleanup_(db_tx_end) struct db_tx tb = DB_TX_INIT;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&a, path, v1, 0, &err) == 0);
	CHECK(db_open(&b, path, v1, 0, &err) == 0);
	CHECK(db_exec(b, "PRAGMA busy_timeout = 1") == 0);
	CHECK(db_tx_begin(&ta, a) == 0);
	CHECK(db_tx_begin(&tb, b) == -EBUSY);
	CHECK(db_tx_commit(&ta) == 0);
	CHECK(db_tx_begin(&tb, b) == 0);
}

/* A file that may not grow stands in for a disk that is full. */
TEST(a_full_disk)
{
	struct rlimit old, small = { 256 * 1024, 256 * 1024 };
	char value[4096] = { 0 };
	_cleanup_(db_freep) struct db *db = NULL;
	struct err err = ERR_INIT;
	int64_t before;
	int r = 0;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_exec(db, "PRAGMA max_page_count = 50") == 0);
	for (int i = 0; i < 1000 && r == 0; i++)
		r = db_run(
		    db, "INSERT INTO t VALUES (?, ?)", "ib", i, value, sizeof(value));
	CHECK(r == -ENOSPC);
	before = get(db, "SELECT count(*) FROM t");
	CHECK(before > 10);
	CHECK(db_exec(db, "PRAGMA max_page_count = 100000") == 0);

	signal(SIGXFSZ, SIG_IGN);
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small.rlim_max = old.rlim_max;
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	r = 0;
	for (int i = 0; i < 1000 && r == 0; i++)
		r = db_run(db, "INSERT INTO t VALUES (?, ?)", "ib", 5000 + i, value,
		    sizeof(value));
	CHECK(r == -ENOSPC || r == -EFBIG || r == -EIO);
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
	/* It works again as soon as there is room, and lost nothing. */
	CHECK(db_run(db, "INSERT INTO t VALUES ('after', 1)", NULL) == 0);
	CHECK(get(db, "SELECT count(*) FROM t") >= before + 1);
	CHECK(db_check(db, &err) == 0);
}

/* Read without a byte written beside the file, whatever its path is made of. */
TEST(a_frozen_file)
{
	_cleanup_(db_freep) struct db *db = NULL;
	char odd[sizeof(path) + 16], side[sizeof(odd) + 8];
	struct err err = ERR_INIT;
	int fd;

	fresh();
	CHECK(db_open_frozen(&db, path, v1, &err) == -ENOENT);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	fd_close(fd);
	CHECK(db_open_frozen(&db, path, v1, &err) == -ENOENT && !db);
	unlink(path);
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_run(db, "INSERT INTO t VALUES ('k', 7)", NULL) == 0);
	db = db_free(db);
	snprintf(odd, sizeof(odd), "%s 50%%?#", path);
	CHECK(rename(path, odd) == 0);
	CHECK(chmod(dir, 0500) == 0);
	CHECK(db_open_frozen(&db, odd, v1, &err) == 0);
	CHECK(get(db, "SELECT v FROM t WHERE k = 'k'") == 7);
	CHECK(db_run(db, "INSERT INTO t VALUES ('l', 8)", NULL) == -EROFS);
	db = db_free(db);
	CHECK(db_open_frozen(&db, odd, v3, &err) == -ENOTSUP);
	CHECK(chmod(dir, 0700) == 0);
	snprintf(side, sizeof(side), "%s-wal", odd);
	CHECK(access(side, F_OK) < 0 || geteuid() == 0);
	unlink(side);
	snprintf(side, sizeof(side), "%s-shm", odd);
	unlink(side);
	CHECK(rename(odd, path) == 0);
}

/* What a process that was killed left in the log is part of the file. */
TEST(a_frozen_file_with_a_log)
{
	_cleanup_(db_freep) struct db *db = NULL, *reader = NULL;
	struct err err = ERR_INIT;

	fresh();
	CHECK(db_open(&db, path, v1, 0, &err) == 0);
	CHECK(db_run(db, "INSERT INTO t VALUES ('k', 7)", NULL) == 0);
	CHECK(db_open_frozen(&reader, path, v1, &err) == 0);
	CHECK(get(reader, "SELECT v FROM t WHERE k = 'k'") == 7);
}

TEST(cleans_up)
{
	fresh();
	CHECK(rmdir(dir) == 0);
}
