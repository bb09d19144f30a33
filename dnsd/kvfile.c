/* Keys and values in sqlite: see kvfile.h. */
#include "dnsd/kvfile.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "common/db.h"
#include "common/log.h"
#include "common/str.h"

#define BLOCK (256 << 10)
#define LARGE 10000 /* keys in a batch */

struct kvfile {
	struct worker *worker;
	struct mailbox *home;
	struct db *db;      /* NULL: the disk takes no writes */
	struct db_tx parts; /* of a transaction that comes in parts */
	int64_t version;    /* PRAGMA data_version: moves when others write */
	char *path;
	bool precious;
	bool behind; /* shared: set by the thread, read by any */
	/* For the start, and a look. */
	void (*row)(void *arg, const char *key, size_t n_key, const char *value,
	    size_t n_value);
	void *arg;
	struct err *e;
};

static const struct db_migration migrations[] = {
	{ 1,
	    "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT "
	    "ROWID" },
	{ 0, NULL },
};

int kv_batch_new(struct kv_batch **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

/* Keys and values of a batch, one behind the other: a list is a million of them. */
struct kv_block {
	struct kv_block *next;
	size_t n, cap;
	char bytes[];
};

struct kv_batch *kv_batch_free(struct kv_batch *b)
{
	struct kv_block *next;
	bool large;

	if (!b)
		return NULL;
	for (struct kv_block *k = b->blocks; k; k = next) {
		next = k->next;
		free(k);
	}
	free(b->ops);
	large = b->n > LARGE;
	free(b);
	/* The blocks lie among what was made of them, where free() keeps them. */
	if (large)
		malloc_trim(0);
	return NULL;
}

static char *room(struct kv_batch *b, size_t n)
{
	struct kv_block *k = b->blocks;
	size_t cap = k ? MAX(n, (size_t)BLOCK) : n;

	if (!k || k->cap - k->n < n) {
		k = malloc(sizeof(*k) + cap);
		if (!k)
			return NULL;
		k->next = b->blocks;
		k->n = 0;
		k->cap = cap;
		b->blocks = k;
	}
	k->n += n;
	return k->bytes + k->n - n;
}

static char *copy(struct kv_batch *b, const char *p, size_t n)
{
	char *c = room(b, n + 1);

	if (c) {
		memcpy(c, p, n);
		c[n] = '\0';
	}
	return c;
}

int kv_batch_add(struct kv_batch *b, const char *key, size_t n_key, const char *value,
    size_t n_value)
{
	struct kv_op op = { .n_key = n_key, .n_value = n_value };

	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 16;
		struct kv_op *ops = reallocarray(b->ops, cap, sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		b->ops = ops;
		b->cap = cap;
	}
	op.key = copy(b, key, n_key);
	op.value = value ? copy(b, value, n_value) : NULL;
	if (!op.key || (value && !op.value))
		return -ENOMEM;
	b->ops[b->n++] = op;
	return 0;
}

/* --- on the thread ------------------------------------------------------ */

static int load(struct kvfile *f, struct db *db, struct err *e)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r = db_query(db, &st, "SELECT key, value FROM kv", NULL);

	while (r == 0 && (r = db_step(st)) > 0) {
		size_t n_key, n_value;
		const char *key = db_blob(st, 0, &n_key),
			   *value = db_blob(st, 1, &n_value);

		f->row(f->arg, key ? key : "", n_key, value ? value : "", n_value);
		r = 0;
	}
	if (r < 0)
		return err_set(e, r, "cannot read %s: %s", f->path, db_error(db));
	return 0;
}

/* The file goes, and with it what sqlite puts beside it. */
static void begin_anew(struct kvfile *f, const char *why)
{
	static const char *const beside[] = { "", "-wal", "-shm" };

	log_warning("%s; it is begun anew", why);
	f->db = db_free(f->db);
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		_cleanup_(str_deinit) struct str path = STR_INIT;

		str_addf(&path, "%s%s", f->path, beside[i]);
		if (str_err(&path) == 0)
			unlink(str_get(&path));
	}
}

static int open_file(struct kvfile *f, struct err *e)
{
	unsigned flags = f->precious ? 0 : DB_SYNC_NORMAL;
	int r = db_open(&f->db, f->path, migrations, flags, e);

	if (f->precious || r != -EBADMSG)
		return r;
	begin_anew(f, e->text);
	return db_open(&f->db, f->path, migrations, flags, e);
}

/* Names have to be answered whatever the disk is like. */
static int load_frozen(struct kvfile *f, struct err *e)
{
	_cleanup_(db_freep) struct db *db = NULL;
	int r;

	log_err("%s; what it holds is served, and nothing can be changed until there "
		"is room",
	    e->text);
	r = db_open_frozen(&db, f->path, migrations, e);
	return r < 0 ? r : load(f, db, e);
}

static int on_start(void **self, struct worker *w, void *arg)
{
	struct kvfile *f = arg;
	struct err why = ERR_INIT;
	int r = open_file(f, &why);

	*self = f;
	/* Before: what is written meanwhile is found at the first look. */
	if (r == 0 && db_get(f->db, &f->version, "PRAGMA data_version", NULL) < 0)
		f->version = 0;
	if (r == 0)
		r = load(f, f->db, &why);
	else if (r == -ENOSPC || r == -EDQUOT || r == -EROFS)
		r = load_frozen(f, &why);
	if (r == 0 || r == -ENOENT)
		return 0;
	/* A younger version's is for that to use: a downgrade must not lose it. */
	if (f->precious || r == -ENOMEM || r == -ENOTSUP) {
		f->db = db_free(f->db);
		return err_set(f->e, r, "%s", why.text);
	}
	/* What others know better is no reason not to start. */
	if (r == -EBADMSG)
		begin_anew(f, why.text);
	else
		log_err("%s", why.text);
	f->db = db_free(f->db);
	f->behind = true;
	return 0;
}

static void on_stop(void *self)
{
	struct kvfile *f = self;

	db_tx_end(&f->parts);
	f->db = db_free(f->db);
}

static const struct worker_class kv_class = {
	.name = "dnsd-records",
	.start = on_start,
	.stop = on_stop,
};

static int write_ops(struct db *db, const struct kv_batch *b)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n; i++) {
		const struct kv_op *op = &b->ops[i];

		r = op->value ? db_run(db, "INSERT OR REPLACE INTO kv VALUES (?, ?)",
				    "bb", op->key, op->n_key, op->value, op->n_value)
			      : db_run(db, "DELETE FROM kv WHERE key = ?", "b", op->key,
				    op->n_key);
	}
	return r;
}

static int write_whole(struct db *db, const struct kv_batch *b)
{
	_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;
	int r = db_tx_begin(&tx, db);

	if (r == 0)
		r = write_ops(db, b);
	return r < 0 ? r : db_tx_commit(&tx);
}

/* A part whose transaction failed before is without effect, like the whole. */
static int write_part(struct kvfile *f, const struct kv_batch *b)
{
	int r = 0;

	if (b->part == KV_FIRST)
		r = db_tx_begin(&f->parts, f->db);
	if (r == 0 && b->part == KV_FIRST)
		r = db_run(f->db, "DELETE FROM kv", NULL);
	if (r == 0 && !f->parts.db)
		return -ECANCELED;
	if (r == 0)
		r = write_ops(f->db, b);
	if (r == 0 && b->part == KV_LAST)
		r = db_tx_commit(&f->parts);
	if (r < 0 || b->part == KV_LAST)
		db_tx_end(&f->parts);
	return r;
}

static int write_batch(struct kvfile *f, const struct kv_batch *b, struct err *e)
{
	int r = 0;

	if (f->behind && b->part == KV_WHOLE)
		return -ECANCELED;
	if (!f->db)
		r = open_file(f, e);
	if (r < 0)
		return r;
	if (b->part == KV_WHOLE || b->part == KV_FIRST)
		db_tx_end(&f->parts);
	return b->part == KV_WHOLE ? write_whole(f->db, b) : write_part(f, b);
}

static void add_row(
    void *arg, const char *key, size_t n_key, const char *value, size_t n_value)
{
	struct kv_batch *b = arg;

	if (b->result == 0)
		b->result = kv_batch_add(b, key, n_key, value, n_value);
}

static int look(struct kvfile *f, struct kv_batch *b, struct err *e)
{
	int64_t version;
	int r;

	if (!f->db)
		return 0;
	r = db_get(f->db, &version, "PRAGMA data_version", NULL);
	if (r < 0 || version == f->version)
		return r;
	f->row = add_row;
	f->arg = b;
	b->result = 0;
	r = load(f, f->db, e);
	if (r < 0 || b->result < 0)
		return MIN(r, b->result);
	f->version = version;
	return 1;
}

static void on_done(struct message *m)
{
	struct kv_batch *b = CONTAINER_OF(m, struct kv_batch, message);

	if (b->done)
		b->done(b);
	else
		kv_batch_free(b);
}

static void on_write(struct message *m)
{
	struct kv_batch *b = CONTAINER_OF(m, struct kv_batch, message);
	struct kvfile *f = b->file;
	struct err e = ERR_INIT;

	b->result = b->part == KV_LOOK ? look(f, b, &e) : write_batch(f, b, &e);
	/* What was given up says nothing new. */
	if (b->result != -ECANCELED) {
		if (!f->precious && (b->result < 0 || b->part == KV_LAST))
			__atomic_store_n(&f->behind, b->result < 0, __ATOMIC_RELAXED);
		if (b->result < 0)
			log_err("%s: %s", f->path, f->db ? db_error(f->db) : e.text);
	}
	if (!f->precious && b->result == -EBADMSG)
		begin_anew(f, f->path);
	b->message.run = on_done;
	mailbox_post(f->home, &b->message);
}

/* --- on the main thread ------------------------------------------------- */

void kvfile_write(struct kvfile *f, struct kv_batch *b)
{
	b->file = f;
	b->message.run = on_write;
	worker_post(f->worker, &b->message);
}

bool kvfile_is_behind(const struct kvfile *f)
{
	return __atomic_load_n(&f->behind, __ATOMIC_RELAXED);
}

int kvfile_open(struct kvfile **ret, struct mailbox *home, const char *path,
    bool precious,
    void (*row)(
	void *arg, const char *key, size_t n_key, const char *value, size_t n_value),
    void *arg, struct err *e)
{
	struct kvfile *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory");
	*f = (struct kvfile){ .home = home,
		.path = strdup(path),
		.precious = precious,
		.row = row,
		.arg = arg,
		.e = e };
	r = f->path ? worker_new(&f->worker, &kv_class, f)
		    : err_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		free(f->path);
		free(f);
		return r;
	}
	f->e = NULL;
	*ret = f;
	return 0;
}

struct kvfile *kvfile_close(struct kvfile *f)
{
	if (!f)
		return NULL;
	worker_free(f->worker);
	free(f->path);
	free(f);
	return NULL;
}
