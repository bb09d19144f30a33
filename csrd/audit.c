/*
 * The audit's thread: see audit.h.
 *
 * Jobs go to the thread by message and come back by message.  What arrives in one turn
 * of its loop is written in one transaction, so that ten thousand decisions cost a few
 * syncs; jobs come back after the commit that holds them.
 */
#include "csrd/audit.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/worker.h"

#define MEMORY_S (30 * 86400)
#define PRUNE_EVERY 4096 /* rows */

static const struct db_migration migrations[] = {
	{ 1,
	    "CREATE TABLE decision ("
	    " id INTEGER PRIMARY KEY, at INTEGER NOT NULL, last_at INTEGER NOT NULL,"
	    " seen INTEGER NOT NULL DEFAULT 1, decision TEXT NOT NULL,"
	    " reason TEXT NOT NULL, text TEXT NOT NULL, csr TEXT NOT NULL,"
	    " uid TEXT NOT NULL, node TEXT NOT NULL, signer TEXT NOT NULL,"
	    " username TEXT NOT NULL, names TEXT NOT NULL, key TEXT,"
	    " holds_name INTEGER NOT NULL DEFAULT 0, by TEXT NOT NULL,"
	    " outcome TEXT, outcome_at INTEGER, outcome_text TEXT);"
	    "CREATE UNIQUE INDEX decision_once ON decision (uid, reason, decision)"
	    " WHERE decision IN ('pending', 'would-approve', 'elsewhere');"
	    "CREATE INDEX decision_node ON decision (node, id);"
	    "CREATE INDEX decision_csr ON decision (csr, id);"
	    "CREATE INDEX decision_kind ON decision (decision, at);"
	    "CREATE TABLE seen (node TEXT PRIMARY KEY, at INTEGER NOT NULL)"
	    " WITHOUT ROWID;" },
	{ 0 },
};

enum kind { JOB_DECISION, JOB_PENDING, JOB_OUTCOME, JOB_SEEN, JOB_QUERY, JOB_LIMIT };

/* One job on its way there and back. */
struct job {
	struct message message;
	struct audit *audit;
	struct job *next; /* in a transaction */
	enum kind kind;
	struct audit_entry e; /* its strings point into text */
	uint8_t key[X509_SHA256];
	char *text;
	int64_t row; /* or -errno */
	struct audit_filter filter;
	struct audit_limits limits;
	struct str json;
	void (*done)(void *arg, int64_t row);
	void (*answer)(void *arg, struct str *json);
	void *arg;
	char why[128];
};

struct audit {
	struct mailbox *home;
	struct worker *worker;
	uint64_t failures;
	char trouble[128];
	bool closing;

	/* The thread's. */
	struct db *db;
	struct db_tx tx;
	struct job *first, **tail; /* in the transaction at hand */
	struct event *commit;
	struct audit_limits limits;
	unsigned since_prune;
};

/* --- jobs --------------------------------------------------------------- */

static void job_free(struct job *j)
{
	free(j->text);
	free(j->filter.node);
	free(j->filter.csr);
	free(j->filter.decision);
	free(j->filter.reason);
	str_deinit(&j->json);
	free(j);
}

/* One block for all strings of an entry. */
static int copy_entry(struct job *j, const struct audit_entry *e)
{
	const char **const to[] = { &j->e.decision, &j->e.reason, &j->e.text, &j->e.csr,
		&j->e.uid, &j->e.node, &j->e.signer, &j->e.username, &j->e.names,
		&j->e.by };
	size_t size = 0;
	char *at;

	j->e = *e;
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		if (!*to[i])
			*to[i] = "";
		size += strlen(*to[i]) + 1;
	}
	at = j->text = malloc(size);
	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		size_t n = strlen(*to[i]) + 1;

		memcpy(at, *to[i], n);
		*to[i] = at;
		at += n;
	}
	if (e->key) {
		memcpy(j->key, e->key, sizeof(j->key));
		j->e.key = j->key;
	}
	return 0;
}

/* On the caller's thread again. */
static void job_back(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, message);
	struct audit *a = j->audit;

	if (j->row < 0 && j->kind != JOB_QUERY) {
		a->failures++;
		if (!str_eq(a->trouble, j->why))
			log_err("the audit cannot be written: %s", j->why);
		snprintf(a->trouble, sizeof(a->trouble), "%s", j->why);
	} else if (j->kind != JOB_QUERY) {
		a->trouble[0] = '\0';
	}
	if (j->done)
		j->done(j->arg, j->row);
	if (j->answer && !a->closing)
		j->answer(j->arg, j->row < 0 ? NULL : &j->json);
	job_free(j);
}

static void job_return(struct job *j, int64_t row)
{
	if (row < 0) {
		j->row = row;
		snprintf(j->why, sizeof(j->why), "%s (%s)", strerror((int)-row),
		    db_error(j->audit->db));
	}
	j->message.run = job_back;
	mailbox_post(j->audit->home, &j->message);
}

/* --- on the thread ------------------------------------------------------ */

static void end_transaction(struct audit *a)
{
	struct job *j = a->first, *next;
	int r = a->tx.db ? db_tx_commit(&a->tx) : 0;

	db_tx_end(&a->tx);
	a->first = NULL;
	a->tail = &a->first;
	for (; j; j = next) {
		next = j->next;
		job_return(j, r < 0 ? r : j->row);
	}
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
	end_transaction(arg);
}

static int begin_transaction(struct audit *a)
{
	const struct timeval now = { 0, 0 };

	if (a->tx.db)
		return 0;
	if (event_add(a->commit, &now) < 0)
		return -ENOMEM;
	return db_tx_begin(&a->tx, a->db);
}

static const char *hex_key(const struct audit_entry *e, char buf[2 * X509_SHA256 + 1])
{
	return e->key ? hex_encode(e->key, X509_SHA256, buf) : NULL;
}

#define COLUMNS                                                                    \
	"(at, last_at, decision, reason, text, csr, uid, node, signer, username, " \
	"names,"                                                                   \
	" key, holds_name, by)"                                                    \
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

static int write_entry(struct audit *a, const struct audit_entry *e, const char *sql)
{
	char key[2 * X509_SHA256 + 1];

	return db_run(a->db, sql, "llssssssssssis", e->at, e->at, e->decision,
	    e->reason, e->text, e->csr, e->uid, e->node, e->signer, e->username,
	    e->names, hex_key(e, key), (int)e->holds_name, e->by);
}

/* What is older than may be kept, and refused requests beyond their number: approvals
 * are never pushed out by a flood of others. */
static int prune(struct audit *a, int64_t now)
{
	int r;

	if (++a->since_prune < PRUNE_EVERY || !a->limits.keep_s)
		return 0;
	a->since_prune = 0;
	r = db_run(a->db, "DELETE FROM decision WHERE last_at < ?", "l",
	    now - a->limits.keep_s);
	if (r < 0)
		return r;
	return db_run(a->db,
	    "DELETE FROM decision WHERE decision IN ('pending', 'would-approve') AND"
	    " id <= (SELECT id FROM decision WHERE decision IN ('pending',"
	    " 'would-approve') ORDER BY id DESC LIMIT 1 OFFSET ?)",
	    "l", (int64_t)a->limits.refused);
}

static int do_job(struct audit *a, struct job *j)
{
	int r;

	switch (j->kind) {
	case JOB_DECISION:
		r = write_entry(a, &j->e, "INSERT INTO decision " COLUMNS);
		j->row = db_last_id(a->db);
		return r < 0 ? r : prune(a, j->e.at);
	case JOB_PENDING:
		r = write_entry(a, &j->e,
		    "INSERT INTO decision " COLUMNS
		    " ON CONFLICT (uid, reason, decision)"
		    " WHERE decision IN ('pending', 'would-approve', 'elsewhere')"
		    " DO UPDATE SET last_at = excluded.last_at, seen = seen + 1,"
		    " text = excluded.text");
		return r < 0 ? r : prune(a, j->e.at);
	case JOB_OUTCOME:
		return db_run(a->db,
		    "UPDATE decision SET outcome = ?, outcome_text = ?, outcome_at = ?"
		    " WHERE id = ?",
		    "ssll", j->e.decision, j->e.text, j->e.at, j->row);
	case JOB_SEEN:
		return db_run(a->db,
		    "INSERT INTO seen (node, at) VALUES (?, ?)"
		    " ON CONFLICT (node) DO UPDATE SET at = excluded.at",
		    "sl", j->e.node, j->e.at);
	default:
		return 0;
	}
}

static void run_write(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, message);
	struct audit *a = j->audit;
	int r = begin_transaction(a);

	if (r == 0)
		r = do_job(a, j);
	if (r < 0) {
		job_return(j, r);
		return;
	}
	j->next = NULL;
	*a->tail = j;
	a->tail = &j->next;
}

static void run_limit(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, message);

	j->audit->limits = j->limits;
	job_return(j, 0);
}

/* --- questions ---------------------------------------------------------- */

static void add_text(json_t *o, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(o, key, json_string(text));
}

static json_t *row_to_json(struct db_stmt *st)
{
	static const char *const texts[] = { "decision", "reason", "text", "csr", "uid",
		"node", "signer", "username", "names", "key_sha256", "by", "outcome",
		"outcome_text" };
	json_t *o = json_object();

	json_object_set_new(o, "id", json_integer(db_int(st, 0)));
	json_object_set_new(o, "at", json_integer(db_int(st, 1)));
	json_object_set_new(o, "last_at", json_integer(db_int(st, 2)));
	json_object_set_new(o, "seen", json_integer(db_int(st, 3)));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		add_text(o, texts[i], db_text(st, (int)i + 5));
	if (!db_is_null(st, 4))
		json_object_set_new(o, "outcome_at", json_integer(db_int(st, 4)));
	return o;
}

static int query(struct audit *a, struct job *j)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	const struct audit_filter *f = &j->filter;
	json_t *doc = json_object(), *list = json_array();
	char *text;
	int r;

	json_object_set_new(doc, "decisions", list);
	r = db_query(a->db, &st,
	    "SELECT id, at, last_at, seen, outcome_at, decision, reason, text, csr, "
	    "uid,"
	    " node, signer, username, names, key, by, outcome, outcome_text"
	    " FROM decision WHERE (?1 IS NULL OR node = ?1) AND (?2 IS NULL OR csr = "
	    "?2)"
	    " AND (?3 IS NULL OR decision = ?3) AND (?4 IS NULL OR reason = ?4)"
	    " AND last_at >= ?5 ORDER BY id DESC LIMIT ?6",
	    "ssssli", f->node, f->csr, f->decision, f->reason, f->since, (int)f->limit);
	while (r == 0 && (r = db_step(st)) > 0) {
		json_array_append_new(list, row_to_json(st));
		r = 0;
	}
	text = r < 0 ? NULL : json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	if (r < 0 || !text) {
		free(text);
		return r < 0 ? r : -ENOMEM;
	}
	str_addz(&j->json, text);
	free(text);
	return str_err(&j->json);
}

static void run_query(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, message);

	/* What was told before is seen: it is in the transaction at hand. */
	job_return(j, query(j->audit, j));
}

/* --- life --------------------------------------------------------------- */

static int thread_start(void **self, struct worker *w, void *arg)
{
	struct audit *a = arg;

	a->commit = evtimer_new(loop_base(worker_loop(w)), on_commit, a);
	*self = a;
	return a->commit ? 0 : -ENOMEM;
}

static void thread_stop(void *self)
{
	struct audit *a = self;

	end_transaction(a);
	event_free(a->commit);
}

static const struct worker_class worker_class = {
	.name = "csrd-audit",
	.start = thread_start,
	.stop = thread_stop,
};

static int remember_approvals(struct db *db, const struct audit_memory *m, int64_t now)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r = db_query(db, &st,
	    "SELECT id, uid, node, csr, key, holds_name, at,"
	    " decision = 'approve' AND outcome IS NULL FROM decision WHERE at >= ?"
	    " AND (decision = 'elsewhere' OR (decision = 'approve' AND"
	    " (outcome IS NULL OR outcome IN ('approved', 'unknown')))) ORDER BY id",
	    "l", now - MEMORY_S);

	while (r == 0 && (r = db_step(st)) > 0) {
		const char *hex = db_text(st, 4);
		uint8_t key[X509_SHA256];
		bool has = hex && hex_decode(hex, strlen(hex), key, sizeof(key)) == 0;

		m->approval(m->arg, db_int(st, 0), db_text(st, 1), db_text(st, 2),
		    db_text(st, 3), has ? key : NULL, db_int(st, 5), db_int(st, 6),
		    db_int(st, 7));
		r = 0;
	}
	return r;
}

static int remember_seen(struct db *db, const struct audit_memory *m)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r = db_query(db, &st, "SELECT node, at FROM seen", NULL);

	while (r == 0 && (r = db_step(st)) > 0) {
		m->seen(m->arg, db_text(st, 0), db_int(st, 1));
		r = 0;
	}
	return r;
}

int audit_recall(const char *path, const struct audit_memory *memory, struct err *e)
{
	_cleanup_(db_freep) struct db *db = NULL;
	int r = db_open(&db, path, migrations, 0, e);

	if (r < 0)
		return r;
	r = remember_approvals(db, memory, clock_real_s());
	if (r == 0)
		r = remember_seen(db, memory);
	return r < 0 ? err_set(e, r, "%s: cannot read it: %s", path, db_error(db)) : 0;
}

int audit_new(struct audit **ret, struct loop *home, const char *path, struct err *e)
{
	_cleanup_(audit_freep) struct audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, -ENOMEM, "out of memory");
	a->tail = &a->first;
	r = db_open(&a->db, path, migrations, DB_CHECK, e);
	if (r < 0)
		return r;
	r = mailbox_new(&a->home, home);
	if (r == 0)
		r = worker_new(&a->worker, &worker_class, a);
	if (r < 0)
		return err_set(
		    e, r, "cannot start the audit's thread: %s", strerror(-r));

	*ret = TAKE(a);
	return 0;
}

struct audit *audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	a->closing = true;
	a->worker = worker_free(a->worker);
	if (a->home)
		a->home = mailbox_free(a->home);
	a->db = db_free(a->db);
	free(a);
	return NULL;
}

/* --- for the caller ----------------------------------------------------- */

static struct job *job_new(struct audit *a, enum kind kind)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->audit = a;
	j->kind = kind;
	j->message.run = run_write;
	return j;
}

static void job_send(struct job *j)
{
	worker_post(j->audit->worker, &j->message);
}

void audit_limit(struct audit *a, const struct audit_limits *limits)
{
	struct job *j = job_new(a, JOB_LIMIT);

	if (!j)
		return; /* the old ones hold */
	j->limits = *limits;
	j->message.run = run_limit;
	job_send(j);
}

/* A note whose loss without memory stops nothing. */
static struct job *note_new(
    struct audit *a, enum kind kind, const struct audit_entry *entry)
{
	struct job *j = job_new(a, kind);

	if (j && copy_entry(j, entry) == 0)
		return j;
	if (j)
		job_free(j);
	a->failures++;
	return NULL;
}

int audit_decision(struct audit *a, const struct audit_entry *entry,
    void (*done)(void *arg, int64_t row), void *arg)
{
	struct job *j = note_new(a, JOB_DECISION, entry);

	if (!j)
		return -ENOMEM;
	j->done = done;
	j->arg = arg;
	job_send(j);
	return 0;
}

void audit_outcome(struct audit *a, int64_t row, const char *outcome, const char *text)
{
	struct job *j = note_new(a, JOB_OUTCOME,
	    &(struct audit_entry){
		.at = clock_real_s(), .decision = outcome, .text = text });

	if (!j)
		return;
	j->row = row;
	job_send(j);
}

void audit_pending(struct audit *a, const struct audit_entry *entry)
{
	struct job *j = note_new(a, JOB_PENDING, entry);

	if (j)
		job_send(j);
}

void audit_seen(struct audit *a, const char *node, int64_t at)
{
	struct job *j =
	    note_new(a, JOB_SEEN, &(struct audit_entry){ .at = at, .node = node });

	if (j)
		job_send(j);
}

int audit_query(struct audit *a, struct audit_filter *filter,
    void (*done)(void *arg, struct str *json), void *arg)
{
	struct job *j = job_new(a, JOB_QUERY);

	if (!j)
		return -ENOMEM;
	j->filter = *filter;
	*filter = (struct audit_filter){ .node = NULL };
	j->answer = done;
	j->arg = arg;
	j->message.run = run_query;
	job_send(j);
	return 0;
}

uint64_t audit_failures(const struct audit *a)
{
	return a->failures;
}

const char *audit_trouble(const struct audit *a)
{
	return a->trouble;
}
