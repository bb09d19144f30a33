/* Rows that outlive a restart: see store.h. */
#include "ignd/store.h"

#include <errno.h>
#include <string.h>

#include "common/db.h"
#include "common/json.h"
#include "common/log.h"
#include "common/worker.h"

static const struct db_migration migrations[] = {
	{ 1,
	    "CREATE TABLE row (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT "
	    "NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;" },
	{ 0 },
};

struct store {
	struct db *db; /* the writer's, once it runs */
	struct worker *writer;
	struct mailbox *home;
	store_row_fn *row;
	void *arg;
	uint64_t puts;   /* the home's: rows that were given to the writer */
	int64_t version; /* PRAGMA data_version: moves when others write */
};

/* One row to write; or, without a kind, a look for rows of others. */
struct job {
	struct message m;
	struct store *s;
	char *kind, *name, *text; /* text NULL: delete */
	uint64_t before;          /* rows that are written before this job */
};

/* Rows of others on their way home. */
struct found {
	struct message m;
	struct store *s;
	json_t *rows;  /* [[kind, name, value], ...] */
	uint64_t puts; /* rows of ours that were written before they were read */
};

static void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->kind);
	free(j->name);
	free(j->text);
	free(j);
}

/* --- reading ------------------------------------------------------------ */

static int read_rows(struct db *db, json_t *rows)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r = db_query(db, &st, "SELECT kind, name, value FROM row", NULL);

	if (r < 0)
		return r;
	while ((r = db_step(st)) == 1) {
		json_t *value = json_loads(db_text(st, 2), 0, NULL);

		if (!value)
			continue; /* not of our making */
		json_array_append_new(
		    rows, json_pack("[s,s,o]", db_text(st, 0), db_text(st, 1), value));
	}
	return r;
}

static void hand_out(struct store *s, const json_t *rows, bool written_over)
{
	const json_t *it;
	size_t i;

	json_array_foreach(rows, i, it)
	{
		s->row(s->arg, json_string_value(json_array_get(it, 0)),
		    json_string_value(json_array_get(it, 1)), json_array_get(it, 2),
		    written_over);
	}
}

/* --- on the writer's thread --------------------------------------------- */

static struct found *found_free(struct found *f)
{
	if (f)
		json_decref(f->rows);
	free(f);
	return NULL;
}

static void on_found(struct message *m)
{
	struct found *f = CONTAINER_OF(m, struct found, m);

	/* At the end nobody is there any more to hear of it. */
	if (f->s->writer)
		hand_out(f->s, f->rows, f->puts != f->s->puts);
	found_free(f);
}

/* The rows, if others have written since the last look; else NULL. */
static struct found *look(const struct job *j)
{
	struct store *s = j->s;
	struct found *f;
	int64_t version;

	if (db_get(s->db, &version, "PRAGMA data_version", NULL) < 0 ||
	    version == s->version)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->m.run = on_found;
	f->s = s;
	f->puts = j->before;
	f->rows = json_array();
	if (!f->rows || read_rows(s->db, f->rows) < 0)
		return found_free(f);
	s->version = version;
	return f;
}

static int write_row(const struct job *j)
{
	if (j->text)
		return db_run(j->s->db,
		    "INSERT INTO row (kind, name, value) VALUES (?, ?, ?) ON CONFLICT "
		    "(kind, name) DO UPDATE SET value = excluded.value",
		    "sss", j->kind, j->name, j->text);
	return db_run(j->s->db, "DELETE FROM row WHERE kind = ? AND name = ?", "ss",
	    j->kind, j->name);
}

/* What another process wrote is found before it is written over: nobody writes between. */
static int look_and_write(const struct job *j, struct found **found)
{
	_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;
	int r = db_tx_begin(&tx, j->s->db);

	if (r < 0)
		return r;
	*found = look(j);
	r = write_row(j);
	return r < 0 ? r : db_tx_commit(&tx);
}

static void run_job(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, m);
	struct store *s = j->s;
	struct found *found = NULL;
	int r = 0;

	if (j->kind)
		r = look_and_write(j, &found);
	else
		found = look(j);
	if (found)
		mailbox_post(s->home, &found->m);
	if (r < 0)
		log_err("%s: %s of %s is not kept: %s", db_path(s->db), j->kind,
		    j->name, db_error(s->db));
	job_free(j);
}

static int writer_start(void **self, struct worker *w, void *arg)
{
	*self = arg;
	return 0;
}

static void writer_stop(void *self)
{
}

/* --- life --------------------------------------------------------------- */

int store_new(struct store **ret, struct loop *home, const char *path,
    store_row_fn *row, void *arg, struct err *e)
{
	static const struct worker_class class = {
		.name = "ignd-store",
		.start = writer_start,
		.stop = writer_stop,
	};
	_cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
	_cleanup_(json_freep) json_t *rows = json_array();
	int r;

	if (!s || !rows)
		return err_set(e, -ENOMEM, "out of memory");
	s->row = row;
	s->arg = arg;
	r = db_open(&s->db, path, migrations, 0, e);
	if (r < 0)
		return r;
	/* Before: what is written meanwhile is found at the first look. */
	r = db_get(s->db, &s->version, "PRAGMA data_version", NULL);
	if (r == 0)
		r = read_rows(s->db, rows);
	if (r < 0)
		return err_set(e, r, "%s: %s", path, db_error(s->db));
	hand_out(s, rows, false);
	r = mailbox_new(&s->home, home);
	if (r == 0)
		r = worker_new(&s->writer, &class, s);
	if (r < 0)
		return err_set(e, r, "cannot start a thread: %s", strerror(-r));
	*ret = TAKE(s);
	return 0;
}

struct store *store_free(struct store *s)
{
	if (!s)
		return NULL;
	s->writer = worker_free(s->writer);
	s->home = mailbox_free(s->home);
	s->db = db_free(s->db);
	free(s);
	return NULL;
}

static void post(struct store *s, struct job *j)
{
	j->s = s;
	j->before = s->puts;
	j->m.run = run_job;
	worker_post(s->writer, &j->m);
}

void store_put(struct store *s, const char *kind, const char *name, json_t *value)
{
	struct job *j = calloc(1, sizeof(*j));
	bool forget = !value;

	if (j) {
		j->kind = strdup(kind);
		j->name = strdup(name);
		j->text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	}
	json_decref(value);
	if (!j || !j->kind || !j->name || (!forget && !j->text)) {
		job_free(j);
		log_err("out of memory: %s of %s is not kept", kind, name);
		return;
	}
	post(s, j);
	s->puts++;
}

void store_poll(struct store *s)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j)
		post(s, j);
}
