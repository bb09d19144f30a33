/* The schema, and the rows of blobs and repositories: see meta.h. */
#include "regd/meta.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "regd/meta_impl.h"

/*
 * touched is when somebody last counted on a blob: it came in, was mounted, was asked
 * for by a client that would otherwise push it, or lost a manifest that referred to it.
 * Collection leaves alone what was touched within its grace.
 */
const struct db_migration meta_migrations[] = {
	{ 1,
	    "CREATE TABLE repos("
	    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	    "  created INTEGER NOT NULL);"
	    "CREATE TABLE blobs("
	    "  id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE,"
	    "  size INTEGER NOT NULL, created INTEGER NOT NULL,"
	    "  touched INTEGER NOT NULL, bad INTEGER NOT NULL DEFAULT 0,"
	    "  scrubbed INTEGER NOT NULL DEFAULT 0);"
	    "CREATE INDEX blobs_touched ON blobs(touched);"
	    "CREATE TABLE repo_blobs("
	    "  repo INTEGER NOT NULL REFERENCES repos(id),"
	    "  blob INTEGER NOT NULL REFERENCES blobs(id),"
	    "  PRIMARY KEY(repo, blob)) WITHOUT ROWID;"
	    "CREATE INDEX repo_blobs_blob ON repo_blobs(blob);"
	    "CREATE TABLE manifests("
	    "  id INTEGER PRIMARY KEY,"
	    "  repo INTEGER NOT NULL REFERENCES repos(id),"
	    "  digest TEXT NOT NULL, type TEXT NOT NULL,"
	    "  artifact_type TEXT, subject TEXT, annotations TEXT,"
	    "  pushed INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL,"
	    "  UNIQUE(repo, digest));"
	    "CREATE INDEX manifests_subject ON manifests(repo, subject, digest)"
	    "  WHERE subject IS NOT NULL;"
	    "CREATE TABLE refs("
	    "  manifest INTEGER NOT NULL REFERENCES manifests(id) ON DELETE CASCADE,"
	    "  digest TEXT NOT NULL, kind INTEGER NOT NULL,"
	    "  PRIMARY KEY(manifest, digest, kind)) WITHOUT ROWID;"
	    "CREATE INDEX refs_digest ON refs(digest);"
	    "CREATE TABLE tags("
	    "  repo INTEGER NOT NULL REFERENCES repos(id), name TEXT NOT NULL,"
	    "  manifest INTEGER NOT NULL REFERENCES manifests(id) ON DELETE CASCADE,"
	    "  updated INTEGER NOT NULL, PRIMARY KEY(repo, name)) WITHOUT ROWID;"
	    "CREATE INDEX tags_manifest ON tags(manifest);"
	    "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL)"
	    "  WITHOUT ROWID;" },
	{ 2,
	    "CREATE TABLE upstream_tags("
	    "  repo TEXT NOT NULL, tag TEXT NOT NULL, checked INTEGER NOT NULL,"
	    "  PRIMARY KEY(repo, tag)) WITHOUT ROWID;" },
	{ 3,
	    "CREATE TABLE events("
	    "  id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL);"
	    "CREATE TABLE hooks(name TEXT PRIMARY KEY, taken INTEGER NOT NULL)"
	    "  WITHOUT ROWID;" },
	{ 4,
	    "CREATE TABLE pulls("
	    "  client TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL,"
	    "  count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
	    "  PRIMARY KEY(client, repository, digest)) WITHOUT ROWID;"
	    "CREATE INDEX pulls_last ON pulls(last);" },
	/* Sums are kept by triggers: whatever changes a row changes them with it. */
	{ 5,
	    "CREATE INDEX blobs_scrubbed ON blobs(scrubbed);"
	    "CREATE INDEX blobs_bad ON blobs(id) WHERE bad;"
	    "ALTER TABLE repos ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	    "UPDATE repos SET bytes = (SELECT coalesce(sum(b.size), 0)"
	    "  FROM repo_blobs rb JOIN blobs b ON b.id = rb.blob"
	    "  WHERE rb.repo = repos.id);"
	    "CREATE TABLE totals(bytes INTEGER NOT NULL);"
	    "INSERT INTO totals SELECT coalesce(sum(size), 0) FROM blobs;"
	    "CREATE TRIGGER blob_linked AFTER INSERT ON repo_blobs BEGIN"
	    "  UPDATE repos SET bytes = bytes +"
	    "  (SELECT size FROM blobs WHERE id = NEW.blob) WHERE id = NEW.repo; END;"
	    "CREATE TRIGGER blob_unlinked AFTER DELETE ON repo_blobs BEGIN"
	    "  UPDATE repos SET bytes = bytes -"
	    "  (SELECT size FROM blobs WHERE id = OLD.blob) WHERE id = OLD.repo; END;"
	    "CREATE TRIGGER blob_made AFTER INSERT ON blobs BEGIN"
	    "  UPDATE totals SET bytes = bytes + NEW.size; END;"
	    "CREATE TRIGGER blob_gone AFTER DELETE ON blobs BEGIN"
	    "  UPDATE totals SET bytes = bytes - OLD.size; END;"
	    "CREATE TRIGGER blob_resized AFTER UPDATE OF size ON blobs"
	    "  WHEN NEW.size <> OLD.size BEGIN"
	    "  UPDATE totals SET bytes = bytes + NEW.size - OLD.size;"
	    "  UPDATE repos SET bytes = bytes + NEW.size - OLD.size"
	    "  WHERE id IN (SELECT repo FROM repo_blobs WHERE blob = NEW.id); END;" },
	{ 0, NULL },
};

/* --- repositories ----------------------------------------------------------- */

int meta_repo_find(struct db *db, const char *name, int64_t *id)
{
	return db_get(db, id, "SELECT id FROM repos WHERE name = ?", "s", name);
}

int meta_repo_make(struct db *db, const char *name, int64_t now, int64_t *id)
{
	int r = meta_repo_find(db, name, id);

	if (r != -ENOENT)
		return r;
	r = db_run(
	    db, "INSERT INTO repos(name, created) VALUES(?, ?)", "sl", name, now);
	*id = db_last_id(db);
	return r;
}

/* --- blobs ------------------------------------------------------------------ */

int meta_blob_find(
    struct db *db, const char *repo, const char *digest, struct meta_blob *ret)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT b.id, b.size, b.touched, b.scrubbed, b.bad FROM repos r"
	    " JOIN blobs b ON b.digest = ?2"
	    " JOIN repo_blobs rb ON rb.repo = r.id AND rb.blob = b.id"
	    " WHERE r.name = ?1",
	    "ss", repo, digest);
	if (r < 0)
		return r;
	r = db_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	ret->id = db_int(st, 0);
	ret->size = db_int(st, 1);
	ret->touched = db_int(st, 2);
	ret->checked = db_int(st, 3);
	ret->bad = db_int(st, 4) != 0;
	return 0;
}

int meta_blob_holder(struct db *db, const char *digest,
    bool (*allowed)(void *arg, const char *repo), void *arg, char ret[NAME_MAX_LEN + 1])
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT r.name FROM blobs b JOIN repo_blobs rb ON rb.blob = b.id"
	    " JOIN repos r ON r.id = rb.repo WHERE b.digest = ? AND NOT b.bad",
	    "s", digest);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		if (!allowed(arg, db_text(st, 0)))
			continue;
		snprintf(ret, NAME_MAX_LEN + 1, "%s", db_text(st, 0));
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

static int link_blob(struct db *db, const char *repo, int64_t blob, int64_t now)
{
	int64_t id = 0;
	int r = meta_repo_make(db, repo, now, &id);

	if (r < 0)
		return r;
	return db_run(db, "INSERT OR IGNORE INTO repo_blobs(repo, blob) VALUES(?, ?)",
	    "ll", id, blob);
}

int meta_bytes(struct db *db, const char *repo, bool good, int64_t *ret)
{
	int64_t bad = 0;
	int r = repo
	    ? db_get(db, ret, "SELECT bytes FROM repos WHERE name = ?", "s", repo)
	    : db_get(db, ret, "SELECT bytes FROM totals", NULL);

	if (r == -ENOENT) {
		*ret = 0;
		return 0;
	}
	if (r == 0 && good)
		r = db_get(db, &bad,
		    "SELECT coalesce(sum(b.size), 0) FROM blobs b WHERE b.bad"
		    " AND (?1 IS NULL OR EXISTS (SELECT 1 FROM repo_blobs rb"
		    " JOIN repos r ON r.id = rb.repo AND r.name = ?1"
		    " WHERE rb.blob = b.id))",
		    "s", repo);
	*ret -= bad;
	return r;
}

int meta_largest(
    struct db *db, bool (*add)(void *arg, const char *repo, int64_t bytes), void *arg)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r = db_query(
	    db, &st, "SELECT name, bytes FROM repos ORDER BY bytes DESC", NULL);

	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0)
		if (!add(arg, db_text(st, 0), db_int(st, 1)))
			return 0;
	return r;
}

/* 0, or -EDQUOT for size bytes more in one of the sums. */
static int check_limit(struct db *db, const char *repo, uint64_t limit, int64_t size)
{
	int64_t used;
	int r;

	if (limit == UINT64_MAX)
		return 0;
	r = meta_bytes(db, repo, false, &used);
	if (r < 0)
		return r;
	return (uint64_t)(used + size) > limit ? -EDQUOT : 0;
}

/* What is there already may be pushed again, whatever the bounds. */
static int check_limits(struct db *db, const char *repo, const char *digest,
    int64_t size, const struct meta_limits *limits)
{
	struct meta_blob blob;
	int r;

	if (!limits || (limits->repo == UINT64_MAX && limits->total == UINT64_MAX))
		return 0;
	r = meta_blob_find(db, repo, digest, &blob);
	if (r != -ENOENT)
		return r;
	r = check_limit(db, repo, limits->repo, size);
	if (r < 0)
		return r;
	r = meta_blob_exists(db, digest);
	return r ? MIN(r, 0) : check_limit(db, NULL, limits->total, size);
}

int meta_blob_add(struct db *db, const char *repo, const char *digest, int64_t size,
    int64_t now, const struct meta_limits *limits)
{
	int64_t id = 0;
	int r;

	r = check_limits(db, repo, digest, size, limits);
	if (r < 0)
		return r;
	r = db_run(db,
	    "INSERT INTO blobs(digest, size, created, touched, scrubbed)"
	    " VALUES(?1, ?2, ?3, ?3, ?3)"
	    " ON CONFLICT(digest) DO UPDATE"
	    " SET size = ?2, touched = ?3, bad = 0, scrubbed = ?3",
	    "sll", digest, size, now);
	if (r == 0)
		r = db_get(
		    db, &id, "SELECT id FROM blobs WHERE digest = ?", "s", digest);
	return r < 0 ? r : link_blob(db, repo, id, now);
}

int meta_blob_mount(struct db *db, const char *repo, const char *from,
    const char *digest, int64_t now, const struct meta_limits *limits)
{
	struct meta_blob blob;
	int r = meta_blob_find(db, from, digest, &blob);

	if (r < 0 || blob.bad)
		return r == 0 || r == -ENOENT ? META_UNKNOWN : r;
	r = check_limits(db, repo, digest, blob.size, limits);
	if (r < 0)
		return r;
	r = meta_blob_touch(db, digest, now);
	return r < 0 ? r : link_blob(db, repo, blob.id, now);
}

int meta_blob_touch(struct db *db, const char *digest, int64_t now)
{
	return db_run(
	    db, "UPDATE blobs SET touched = ? WHERE digest = ?", "ls", now, digest);
}

int meta_blob_unlink(struct db *db, const char *repo, const char *digest, int64_t now)
{
	struct meta_blob blob;
	int r = meta_blob_find(db, repo, digest, &blob);

	if (r < 0)
		return r == -ENOENT ? META_UNKNOWN : r;
	r = db_run(db,
	    "DELETE FROM repo_blobs WHERE blob = ?"
	    " AND repo = (SELECT id FROM repos WHERE name = ?)",
	    "ls", blob.id, repo);
	return r < 0 ? r : meta_blob_touch(db, digest, now);
}

/* --- listings --------------------------------------------------------------- */

int meta_catalog(struct db *db, const char *last, uint64_t n,
    bool (*add)(void *arg, const char *name), void *arg, bool *more)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	uint64_t got = 0;
	int r;

	*more = false;
	r = db_query(
	    db, &st, "SELECT name FROM repos WHERE name > ? ORDER BY name", "s", last);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		if (got == n) {
			*more = true;
			return 0;
		}
		got += add(arg, db_text(st, 0));
	}
	return r;
}

int meta_tags(struct db *db, int64_t repo, const char *last, uint64_t n,
    void (*add)(void *arg, const char *name), void *arg, bool *more)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	uint64_t got = 0;
	int r;

	*more = false;
	r = db_query(db, &st,
	    "SELECT name FROM tags WHERE repo = ? AND name > ? ORDER BY name", "ls",
	    repo, last);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		if (got++ == n) {
			*more = true;
			return 0;
		}
		add(arg, db_text(st, 0));
	}
	return r;
}

int meta_totals(struct db *db, struct meta_totals *ret)
{
	int r;

	r = db_get(db, &ret->repositories, "SELECT count(*) FROM repos", NULL);
	if (r == 0)
		r = db_get(db, &ret->manifests, "SELECT count(*) FROM manifests", NULL);
	if (r == 0)
		r = db_get(db, &ret->tags, "SELECT count(*) FROM tags", NULL);
	if (r == 0)
		r = db_get(db, &ret->blobs, "SELECT count(*) FROM blobs", NULL);
	if (r == 0)
		r = meta_bytes(db, NULL, false, &ret->blob_bytes);
	if (r == 0)
		r = db_get(
		    db, &ret->bad_blobs, "SELECT count(*) FROM blobs WHERE bad", NULL);
	return r;
}
