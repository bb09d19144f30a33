/* sqlite behind one door: see db.h. */
#include "common/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/htable.h"
#include "common/str.h"

#define BUSY_MS 5000
#define CACHE_KIB 256
/* Beyond this many texts a statement is prepared anew each time: a bound, not a plan.
 */
#define CACHED_STATEMENTS 256

struct db_stmt {
	struct hnode node;
	struct db *db;
	sqlite3_stmt *st;
	bool cached;
	bool busy; /* between db_query() and db_done() */
	bool over; /* no more rows: stepping again would begin anew */
};

struct db {
	sqlite3 *h;
	char *path;
	struct htable statements; /* by text */
};

static int constraint_errno(int rc)
{
	switch (rc) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return -EEXIST;
	default:
		return -EINVAL;
	}
}

/* An extended result code as -errno. */
static int rc_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CONSTRAINT:
		return constraint_errno(rc);
	case SQLITE_TOOBIG:
		return -EFBIG;
	case SQLITE_INTERRUPT:
		return -EINTR;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
	default:
		return -EINVAL;
	}
}

/* The code of the last failure; an I/O error for want of space counts as a full disk.
 */
static int last_errno(struct db *db)
{
	int r = rc_errno(sqlite3_extended_errcode(db->h));

	if (r == -EIO) {
		int e = sqlite3_system_errno(db->h);

		if (e == ENOSPC || e == EDQUOT)
			return -ENOSPC;
		if (e == EROFS || e == EACCES)
			return -e;
	}
	return r ? r : -EINVAL;
}

/* What an operator can do about a file that cannot be used. */
static int refuse(struct db *db, int r, struct err *err)
{
	if (r == -EBADMSG)
		return err_set(err, r,
		    "%s: no usable database (%s); restore it from a backup, or move it "
		    "away to begin with an empty one",
		    db->path, db_error(db));
	if (r == -EBUSY)
		return err_set(err, r,
		    "%s: another program holds it; is a second one running?", db->path);
	return err_set(err, r, "%s: %s", db->path, db_error(db));
}

const char *db_error(struct db *db)
{
	return db->h ? sqlite3_errmsg(db->h) : "out of memory";
}

const char *db_path(const struct db *db)
{
	return db->path;
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes(db->h);
}

int64_t db_last_id(struct db *db)
{
	return sqlite3_last_insert_rowid(db->h);
}

void db_set_cache(struct db *db, unsigned kib)
{
	char sql[64];

	/* Cannot fail in a way that matters: it is a hint. */
	snprintf(sql, sizeof(sql), "PRAGMA cache_size = -%u", kib);
	sqlite3_exec(db->h, sql, NULL, NULL, NULL);
}

int db_exec(struct db *db, const char *sql)
{
	return sqlite3_exec(db->h, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
								       : last_errno(db);
}

/* Statements */

static struct db_stmt *stmt_free(struct db_stmt *st)
{
	sqlite3_finalize(st->st);
	free(st);
	return NULL;
}

static struct db_stmt *stmt_cached(struct db *db, const char *sql, uint64_t hash)
{
	struct hnode *n = htable_first(&db->statements, hash);

	for (; n; n = htable_next(n)) {
		struct db_stmt *st = CONTAINER_OF(n, struct db_stmt, node);

		if (str_eq(sqlite3_sql(st->st), sql))
			return st;
	}
	return NULL;
}

/*
 * The statement for a text.  One whose rows are still being read is left alone: the
 * text is prepared a second time then, and forgotten afterwards.
 */
static int stmt_get(struct db *db, struct db_stmt **ret, const char *sql)
{
	uint64_t hash = htable_hash(sql, strlen(sql));
	struct db_stmt *st = stmt_cached(db, sql, hash);
	bool keep = !st && db->statements.n < CACHED_STATEMENTS;
	const char *tail;

	if (st && !st->busy) {
		st->busy = true;
		st->over = false;
		*ret = st;
		return 0;
	}
	st = calloc(1, sizeof(*st));
	if (!st)
		return -ENOMEM;
	st->db = db;
	st->busy = true;
	if (sqlite3_prepare_v3(db->h, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0,
		&st->st, &tail) != SQLITE_OK) {
		free(st);
		return last_errno(db);
	}
	if (!st->st || *tail) {
		/* Nothing, or more than one statement. */
		stmt_free(st);
		return -EINVAL;
	}
	st->cached = keep && htable_insert(&db->statements, &st->node, hash) == 0;
	*ret = st;
	return 0;
}

static int bind_one(sqlite3_stmt *st, int at, char type, va_list *ap)
{
	const char *p;
	size_t n;

	switch (type) {
	case 'i':
		return sqlite3_bind_int(st, at, va_arg(*ap, int));
	case 'l':
		return sqlite3_bind_int64(st, at, va_arg(*ap, int64_t));
	case 's':
		p = va_arg(*ap, const char *);
		return sqlite3_bind_text(st, at, p, -1, SQLITE_TRANSIENT);
	case 't':
		p = va_arg(*ap, const char *);
		n = va_arg(*ap, size_t);
		return sqlite3_bind_text64(st, at, p, n, SQLITE_TRANSIENT, SQLITE_UTF8);
	case 'b':
		p = va_arg(*ap, const char *);
		n = va_arg(*ap, size_t);
		return sqlite3_bind_blob64(st, at, p, n, SQLITE_TRANSIENT);
	case 'n':
		return sqlite3_bind_null(st, at);
	default:
		return SQLITE_MISUSE;
	}
}

static int query(
    struct db *db, struct db_stmt **ret, const char *sql, const char *fmt, va_list *ap)
{
	struct db_stmt *st = NULL;
	int r, n;

	if (!fmt)
		fmt = "";
	r = stmt_get(db, &st, sql);
	if (r < 0)
		return r;
	n = sqlite3_bind_parameter_count(st->st);
	if ((size_t)n != strlen(fmt)) {
		db_done(st);
		return -EINVAL;
	}
	for (int i = 0; i < n; i++) {
		int rc = bind_one(st->st, i + 1, fmt[i], ap);

		if (rc != SQLITE_OK) {
			db_done(st);
			return rc_errno(rc);
		}
	}
	*ret = st;
	return 0;
}

int db_query(struct db *db, struct db_stmt **ret, const char *sql, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = query(db, ret, sql, fmt, &ap);
	va_end(ap);
	return r;
}

int db_step(struct db_stmt *st)
{
	int rc, r;

	if (st->over)
		return 0;
	rc = sqlite3_step(st->st);
	if (rc == SQLITE_ROW)
		return 1;
	r = rc == SQLITE_DONE ? 0 : last_errno(st->db);
	/* An open statement would hold its read transaction, and with it the WAL. */
	st->over = true;
	sqlite3_reset(st->st);
	return r;
}

struct db_stmt *db_done(struct db_stmt *st)
{
	if (!st)
		return NULL;
	if (!st->cached)
		return stmt_free(st);
	sqlite3_reset(st->st);
	sqlite3_clear_bindings(st->st);
	st->busy = false;
	return NULL;
}

int db_run(struct db *db, const char *sql, const char *fmt, ...)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = query(db, &st, sql, fmt, &ap);
	va_end(ap);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0)
		;
	return r;
}

int db_get(struct db *db, int64_t *ret, const char *sql, const char *fmt, ...)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = query(db, &st, sql, fmt, &ap);
	va_end(ap);
	if (r < 0)
		return r;
	r = db_step(st);
	if (r < 0)
		return r;
	if (r == 0)
		return -ENOENT;
	*ret = db_int(st, 0);
	return 0;
}

int64_t db_int(struct db_stmt *st, int column)
{
	return sqlite3_column_int64(st->st, column);
}

bool db_is_null(struct db_stmt *st, int column)
{
	return sqlite3_column_type(st->st, column) == SQLITE_NULL;
}

const char *db_text(struct db_stmt *st, int column)
{
	return (const char *)sqlite3_column_text(st->st, column);
}

const void *db_blob(struct db_stmt *st, int column, size_t *n)
{
	const void *p = sqlite3_column_blob(st->st, column);

	*n = (size_t)sqlite3_column_bytes(st->st, column);
	return p;
}

/* Transactions */

int db_tx_begin(struct db_tx *tx, struct db *db)
{
	/* IMMEDIATE: a transaction that begins as a reader could not wait for a writer.
	 */
	int r = db_run(db, "BEGIN IMMEDIATE", NULL);

	if (r == 0)
		tx->db = db;
	return r;
}

int db_tx_commit(struct db_tx *tx)
{
	int r = db_run(tx->db, "COMMIT", NULL);

	if (r == 0)
		tx->db = NULL;
	else
		db_tx_end(tx);
	return r;
}

void db_tx_end(struct db_tx *tx)
{
	struct db *db = tx->db;
	int r;

	tx->db = NULL;
	/* After some failures sqlite has rolled back by itself. */
	if (!db || sqlite3_get_autocommit(db->h))
		return;
	r = db_run(db, "ROLLBACK", NULL);
	(void)r;
}

/* Opening */

static int newest(const struct db_migration *m)
{
	int version = 0;

	for (; m->sql; m++)
		version = m->version;
	return version;
}

static int check_version(struct db *db, int found, int known, struct err *err)
{
	if (found <= known)
		return 0;
	return err_set(err, -ENOTSUP,
	    "%s: written by a newer version of this program (schema %d, known is %d); "
	    "install that version again, or restore the file from before the upgrade",
	    db->path, found, known);
}

/* The schema version, and whether there is any table: both fail on a damaged file. */
static int read_version(struct db *db, int *version, bool *empty, struct err *err)
{
	int64_t v = 0, tables = 0;
	int r;

	r = db_get(db, &v, "PRAGMA user_version", NULL);
	if (r == 0)
		r = db_get(db, &tables, "SELECT count(*) FROM sqlite_master", NULL);
	if (r < 0)
		return refuse(db, r, err);
	*version = (int)v;
	*empty = tables == 0;
	return 0;
}

/* What was found is ours to bring up, or empty. */
static int check_found(struct db *db, int version, bool empty,
    const struct db_migration *m, struct err *err)
{
	if (version == 0 && !empty)
		return err_set(
		    err, -EEXIST, "%s: holds tables of another program", db->path);
	return check_version(db, version, newest(m), err);
}

static int run_migrations(
    struct db *db, const struct db_migration *m, int from, struct err *err)
{
	char set[64];
	int64_t bad;
	int r = 0;

	for (; m->sql && r == 0; m++) {
		if (m->version <= from)
			continue;
		r = db_exec(db, m->sql);
		if (r < 0)
			return err_set(err, r,
			    "%s: cannot bring the schema to version %d: %s", db->path,
			    m->version, db_error(db));
		snprintf(set, sizeof(set), "PRAGMA user_version = %d", m->version);
		r = db_exec(db, set);
	}
	if (r < 0)
		return refuse(db, r, err);
	r = db_get(db, &bad, "SELECT 1 FROM pragma_foreign_key_check LIMIT 1", NULL);
	if (r == 0)
		return err_set(err, -EINVAL,
		    "%s: the new schema would leave a reference to a missing row",
		    db->path);
	return r == -ENOENT ? 0 : refuse(db, r, err);
}

static int migrate(struct db *db, const struct db_migration *m, struct err *err)
{
	_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;
	int version, r;
	bool empty;

	r = db_tx_begin(&tx, db);
	if (r < 0)
		return refuse(db, r, err);
	/* Within the transaction: another process may have been faster. */
	r = read_version(db, &version, &empty, err);
	if (r < 0)
		return r;
	r = check_found(db, version, empty, m, err);
	if (r < 0)
		return r;
	r = run_migrations(db, m, version, err);
	if (r < 0)
		return r;
	r = db_tx_commit(&tx);
	return r < 0 ? refuse(db, r, err) : 0;
}

/* What a pragma says, until st is done; NULL when it says nothing. */
static int ask_pragma(struct db *db, struct db_stmt **st, const char *sql,
    const char **ret, struct err *err)
{
	int r = db_query(db, st, sql, NULL);

	if (r == 0)
		r = db_step(*st);
	if (r < 0)
		return refuse(db, r, err);
	*ret = r > 0 ? db_text(*st, 0) : NULL;
	return 0;
}

static int set_wal(struct db *db, unsigned flags, struct err *err)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	const char *mode;
	int r = ask_pragma(db, &st, "PRAGMA journal_mode = WAL", &mode, err);

	if (r < 0)
		return r;
	if (!mode || !str_eq(mode, "wal"))
		return err_set(err, -ENOTSUP,
		    "%s: its file system cannot share memory between processes, as a "
		    "write-ahead log needs; put it on a local one",
		    db->path);
	r = db_exec(db,
	    flags & DB_SYNC_NORMAL ? "PRAGMA synchronous = NORMAL"
				   : "PRAGMA synchronous = FULL");
	/* A WAL that one large job blew up shrinks again at its next restart. */
	if (r == 0)
		r = db_exec(db, "PRAGMA journal_size_limit = 8388608");
	return r < 0 ? refuse(db, r, err) : 0;
}

/* name: the path, or a URI for it. */
static int connect_file(
    struct db *db, const char *path, const char *name, int flags, struct err *err)
{
	int r;

	db->path = strdup(path);
	if (!db->path)
		return err_set(err, -ENOMEM, "out of memory");
	r = sqlite3_open_v2(name, &db->h, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (r != SQLITE_OK) {
		r = db->h ? last_errno(db) : -ENOMEM;
		return refuse(db, r, err);
	}
	sqlite3_extended_result_codes(db->h, 1);
	sqlite3_busy_timeout(db->h, BUSY_MS);
	/* Small slots, few of them: the default takes 48 KiB or more at once. */
	sqlite3_db_config(db->h, SQLITE_DBCONFIG_LOOKASIDE, NULL, 128, 100);
	sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	db_set_cache(db, CACHE_KIB);
	return 0;
}

static int db_alloc(struct db **ret, struct err *err)
{
	struct db *db = calloc(1, sizeof(*db));

	if (!db)
		return err_set(err, -ENOMEM, "out of memory");
	htable_init(&db->statements);
	*ret = db;
	return 0;
}

/* Created here rather than by sqlite, for the mode and for a plain error. */
static int create_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd < 0)
		return err_set(
		    err, -errno, "%s: cannot open: %s", path, strerror(errno));
	fd_close(fd);
	return 0;
}

/* sqlite does not tell why it could not make the files beside its own; the disk does. */
static int create_beside(const char *path, int r, struct err *err)
{
	static const char *const ends[] = { "-wal", "-shm" };
	int made = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ends) && made == 0; i++) {
		_cleanup_(str_deinit) struct str name = STR_INIT;

		str_addf(&name, "%s%s", path, ends[i]);
		made = str_err(&name) ? -ENOMEM : create_file(str_get(&name), err);
	}
	return made < 0 ? made : r;
}

int db_open(struct db **ret, const char *path, const struct db_migration *migrations,
    unsigned flags, struct err *err)
{
	_cleanup_(db_freep) struct db *db = NULL;
	int r, version;
	bool empty;

	r = create_file(path, err);
	if (r < 0)
		return r;
	r = db_alloc(&db, err);
	if (r < 0)
		return r;
	r = connect_file(db, path, path, SQLITE_OPEN_READWRITE, err);
	if (r < 0)
		return r;
	r = read_version(db, &version, &empty, err);
	/* Before anything is written: somebody else's file stays as it is. */
	if (r == 0)
		r = check_found(db, version, empty, migrations, err);
	if (r == 0 && flags & DB_CHECK)
		r = db_check(db, err);
	if (r == 0)
		r = set_wal(db, flags, err);
	/* Foreign keys are off meanwhile, so that a migration may rebuild a table. */
	if (r == 0)
		r = migrate(db, migrations, err);
	if (r == -EIO)
		r = create_beside(path, r, err);
	if (r < 0)
		return r;
	r = db_exec(db, "PRAGMA foreign_keys = ON");
	if (r < 0)
		return refuse(db, r, err);

	*ret = TAKE(db);
	return 0;
}

static int open_to_read(struct db **ret, const char *path, const char *name, int flags,
    const struct db_migration *migrations, struct err *err)
{
	_cleanup_(db_freep) struct db *db = NULL;
	int r, version, known = newest(migrations);
	bool empty;

	if (access(path, R_OK) < 0)
		return err_set(
		    err, -errno, "%s: cannot open: %s", path, strerror(errno));
	r = db_alloc(&db, err);
	if (r < 0)
		return r;
	r = connect_file(db, path, name, flags | SQLITE_OPEN_READONLY, err);
	if (r < 0)
		return r;
	r = read_version(db, &version, &empty, err);
	if (r == 0)
		r = check_version(db, version, known, err);
	if (r < 0)
		return r;
	if (version < known)
		return err_set(err, -ENOTSUP,
		    "%s: written by an older version of this program (schema %d, "
		    "needed is "
		    "%d); start its daemon once, which brings it up",
		    path, version, known);

	*ret = TAKE(db);
	return 0;
}

int db_open_readonly(struct db **ret, const char *path,
    const struct db_migration *migrations, struct err *err)
{
	return open_to_read(ret, path, path, 0, migrations, err);
}

/* Bytes in a file; 0 when there is none. */
static uint64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int db_open_frozen(struct db **ret, const char *path,
    const struct db_migration *migrations, struct err *err)
{
	_cleanup_(str_deinit) struct str log = STR_INIT, uri = STR_INIT;
	int r;

	if (!file_size(path))
		return err_set(err, -ENOENT, "%s: nothing was written yet", path);
	r = db_open_readonly(ret, path, migrations, err);
	str_addf(&log, "%s-wal", path);
	str_addz(&uri, "file:");
	for (const char *p = path; *p; p++)
		if (strchr("%?#", *p))
			str_addf(&uri, "%%%02x", *p);
		else
			str_addc(&uri, *p);
	str_addz(&uri, "?immutable=1");
	if (r == 0 || r == -ENOTSUP)
		return r;
	if (str_err(&log) || str_err(&uri))
		return err_set(err, -ENOMEM, "out of memory");
	/* The last commits are in there, and only a whole opening can read them. */
	if (file_size(str_get(&log)))
		return r;
	return open_to_read(ret, path, str_get(&uri), SQLITE_OPEN_URI, migrations, err);
}

struct db *db_free(struct db *db)
{
	if (!db)
		return NULL;
	htable_for_each (n, &db->statements) {
		struct db_stmt *st = CONTAINER_OF(n, struct db_stmt, node);

		htable_remove(&db->statements, n);
		stmt_free(st);
	}
	htable_deinit(&db->statements);
	/* _v2: an uncached statement that is still open keeps the handle until it ends.
	 */
	sqlite3_close_v2(db->h);
	free(db->path);
	free(db);
	return NULL;
}

int db_check(struct db *db, struct err *err)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	const char *text;
	int r = ask_pragma(db, &st, "PRAGMA quick_check(1)", &text, err);

	if (r < 0)
		return r;
	if (text && str_eq(text, "ok"))
		return 0;
	return err_set(err, -EBADMSG,
	    "%s: damaged (%s); restore it from a backup, or move it away to begin with "
	    "an "
	    "empty one",
	    db->path, text ? text : "no answer");
}
