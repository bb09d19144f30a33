/*
 * The one door to sqlite.  A database is a file with a schema version (PRAGMA
 * user_version) that only grows; it runs in WAL mode with foreign keys on.
 *
 * A struct db belongs to one thread at a time: the writer has one on a thread of its
 * own (commits wait for the disk), each reader has its own by db_open_readonly().
 *
 * Every function returns 0 or -errno: -ENOSPC a full disk, -EBUSY another writer beyond
 * the time-out, -EBADMSG a damaged file, -EROFS a file that may not be written, -EEXIST
 * a violated key, -EINVAL another constraint or wrong SQL, -EIO, -ENOMEM.  db_error()
 * says more.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

struct db;
struct db_stmt;

/* What leads to a schema version.  Lists rise from version to version and end in {0}.
 */
struct db_migration {
	int version;
	const char *sql; /* one or several statements, no BEGIN or COMMIT */
};

enum {
	/* A commit survives a crash of the program, not one of the machine: caches
	   only. */
	DB_SYNC_NORMAL = 1 << 0,
	/* Reads the whole file once at the start (PRAGMA quick_check). */
	DB_CHECK = 1 << 1,
};

/*
 * Opens path, creating it (mode 0640) where it is missing, and brings its schema up in
 * one transaction.  Refuses a schema newer than the list's last version (-ENOTSUP), a
 * file that is no database or is damaged (-EBADMSG), and one that holds somebody else's
 * tables (-EEXIST), each with a sentence that names the file.
 */
int db_open(struct db **ret, const char *path, const struct db_migration *migrations,
    unsigned flags, struct err *err) _mustcheck_;
/* For readers; the file must exist and have exactly the newest schema of the list. */
int db_open_readonly(struct db **ret, const char *path,
    const struct db_migration *migrations, struct err *err) _mustcheck_;
/* For a file on a disk that takes no writes, while no other process has it open: reads what
 * is there without the files that sqlite puts beside it.  -ENOENT when nothing was ever
 * written. */
int db_open_frozen(struct db **ret, const char *path,
    const struct db_migration *migrations, struct err *err) _mustcheck_;
struct db *db_free(struct db *db);
DEFINE_FREEP(db)

/* Page cache of this connection in KiB; 256 at first. */
void db_set_cache(struct db *db, unsigned kib);
/* The last failure on this connection as sqlite puts it; never NULL. */
const char *db_error(struct db *db);
const char *db_path(const struct db *db);
/* Rows that the last INSERT, UPDATE or DELETE touched; the last INSERT's row id. */
int64_t db_changes(struct db *db);
int64_t db_last_id(struct db *db);
/* Reads the whole file: 0, or -EBADMSG with what is wrong. */
int db_check(struct db *db, struct err *err) _mustcheck_;

/* Statements without parameters or rows, several separated by semicolons. */
int db_exec(struct db *db, const char *sql) _mustcheck_;

/*
 * Statements are prepared once and kept by their text.  fmt names the parameters in
 * order, one letter each (NULL: none): i int · l int64_t · s text or NULL ·
 * t text (const char *, size_t) · b blob (const void *, size_t; NULL pointer: SQL NULL) ·
 * n SQL NULL, no argument.  Values are copied.
 */

/* Runs a statement to its end; rows are thrown away. */
int db_run(struct db *db, const char *sql, const char *fmt, ...) _mustcheck_;
/* Runs it for one integer; -ENOENT when there is no row. */
int db_get(
    struct db *db, int64_t *ret, const char *sql, const char *fmt, ...) _mustcheck_;
/* For rows: db_step() until it returns 0, or fewer times; in any case db_done(). */
int db_query(struct db *db, struct db_stmt **ret, const char *sql, const char *fmt,
    ...) _mustcheck_;
/* 1 a row, 0 no more rows, or -errno; the latter two end its read transaction. */
int db_step(struct db_stmt *st) _mustcheck_;
/* Takes NULL, returns NULL: _cleanup_(db_donep) struct db_stmt *st = NULL; */
struct db_stmt *db_done(struct db_stmt *st);
static inline void db_donep(struct db_stmt **st)
{
	*st = db_done(*st);
}

/* The columns of the row at hand, from 0; pointers hold until the next db_step(). */
int64_t db_int(struct db_stmt *st, int column);
bool db_is_null(struct db_stmt *st, int column);
/* NULL for SQL NULL. */
const char *db_text(struct db_stmt *st, int column);
const void *db_blob(struct db_stmt *st, int column, size_t *n);

/*
 * A write transaction, rolled back unless it was committed:
 *	_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;
 */
struct db_tx {
	struct db *db;
};
#define DB_TX_INIT   \
	{            \
		NULL \
	}

int db_tx_begin(struct db_tx *tx, struct db *db) _mustcheck_;
/* Returns when it is durable.  After a failure nothing of it happened. */
int db_tx_commit(struct db_tx *tx) _mustcheck_;
void db_tx_end(struct db_tx *tx);
