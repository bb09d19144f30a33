/* The rows of manifests and tags: see meta.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "regd/digest_set.h"
#include "regd/meta_impl.h"

/* --- reading ---------------------------------------------------------------- */

static int take_manifest(struct db_stmt *st, struct meta_manifest *ret)
{
	const void *body;

	snprintf(ret->digest, sizeof(ret->digest), "%s", db_text(st, 0));
	snprintf(ret->type, sizeof(ret->type), "%s", db_text(st, 1));
	body = db_blob(st, 2, &ret->size);
	ret->body = malloc(ret->size + 1);
	if (!ret->body)
		return -ENOMEM;
	if (ret->size)
		memcpy(ret->body, body, ret->size);
	return 0;
}

int meta_manifest_find(
    struct db *db, const char *repo, const char *reference, struct meta_manifest *ret)
{
	static const char by_tag[] =
	    "SELECT m.digest, m.type, m.body FROM repos r"
	    " JOIN tags t ON t.repo = r.id AND t.name = ?2"
	    " JOIN manifests m ON m.id = t.manifest WHERE r.name = ?1";
	static const char by_digest[] =
	    "SELECT m.digest, m.type, m.body FROM repos r"
	    " JOIN manifests m ON m.repo = r.id AND m.digest = ?2 WHERE r.name = ?1";
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	bool digest = name_looks_like_digest(reference);
	int r;

	r = db_query(db, &st, digest ? by_digest : by_tag, "ss", repo, reference);
	if (r < 0)
		return r;
	r = db_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return take_manifest(st, ret);
}

int meta_manifest_pushed(
    struct db *db, const char *repo, const char *digest, int64_t *ret)
{
	return db_get(db, ret,
	    "SELECT m.pushed FROM repos r JOIN manifests m ON m.repo = r.id"
	    " AND m.digest = ? WHERE r.name = ?",
	    "ss", digest, repo);
}

int meta_referrers(struct db *db, const char *repo, const char *subject,
    const char *artifact_type, const char *last,
    bool (*add)(void *arg, const struct meta_referrer *r), void *arg)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT m.digest, m.type, m.artifact_type, m.annotations, m.size"
	    " FROM repos r JOIN manifests m ON m.repo = r.id AND m.subject = ?2"
	    " WHERE r.name = ?1 AND m.digest > ?3"
	    " AND (?4 IS NULL OR m.artifact_type = ?4) ORDER BY m.digest",
	    "ssss", repo, subject, last, artifact_type);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		struct meta_referrer ref = {
			.digest = db_text(st, 0),
			.type = db_text(st, 1),
			.artifact_type = db_text(st, 2),
			.annotations = db_text(st, 3),
			.size = db_int(st, 4),
		};

		if (!add(arg, &ref))
			return 0;
	}
	return r;
}

/* --- writing ---------------------------------------------------------------- */

/* Whether the repository holds what ref names: 1, 0 or -errno. */
static int holds(struct db *db, int64_t repo, const struct manifest_ref *ref)
{
	static const char blob[] =
	    "SELECT 1 FROM blobs b JOIN repo_blobs rb ON rb.blob = b.id AND rb.repo = ?"
	    " WHERE b.digest = ? AND NOT b.bad";
	static const char manifest[] =
	    "SELECT 1 FROM manifests WHERE repo = ? AND digest = ?";
	int64_t one;
	int r;

	r = db_get(db, &one, ref->kind == REF_CHILD ? manifest : blob, "ls", repo,
	    ref->digest.text);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

static int check_refs(struct db *db, int64_t repo, struct meta_put *p)
{
	for (size_t i = 0; i < p->manifest->n_refs; i++) {
		const struct manifest_ref *ref = &p->manifest->refs[i];
		int r;

		if (ref->kind != REF_BLOB && ref->kind != REF_CHILD)
			continue;
		if (p->elsewhere && digest_set_has(p->elsewhere, ref->digest.text))
			continue;
		r = holds(db, repo, ref);
		if (r < 0)
			return r;
		if (r == 0) {
			memcpy(p->missing, ref->digest.text, sizeof(p->missing));
			return META_MISSING;
		}
	}
	return 0;
}

static int put_refs(struct db *db, int64_t id, const struct manifest *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_refs; i++)
		r = db_run(db,
		    "INSERT OR IGNORE INTO refs(manifest, digest, kind)"
		    " VALUES(?, ?, ?)",
		    "lsi", id, m->refs[i].digest.text, m->refs[i].kind);
	return r;
}

static int put_row(struct db *db, int64_t repo, const struct meta_put *p, int64_t *id)
{
	const struct manifest *m = p->manifest;
	const struct oci_digest *subject = manifest_subject(m);
	int r;

	r = db_run(db,
	    "INSERT INTO manifests(repo, digest, type, artifact_type, subject,"
	    " annotations, pushed, size, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT(repo, digest) DO UPDATE"
	    " SET type = excluded.type, pushed = max(excluded.pushed, pushed + 1),"
	    " body = excluded.body",
	    "lsssssllb", repo, p->digest->text, m->type,
	    m->artifact_type[0] ? m->artifact_type : NULL,
	    subject ? subject->text : NULL, m->annotations, p->now, (int64_t)p->size,
	    (const void *)p->body, p->size);
	if (r < 0)
		return r;
	r = db_get(db, id, "SELECT id FROM manifests WHERE repo = ? AND digest = ?",
	    "ls", repo, p->digest->text);
	return r < 0 ? r : put_refs(db, *id, m);
}

static int put_tag(
    struct db *db, int64_t repo, const char *tag, int64_t manifest, int64_t now)
{
	return db_run(db,
	    "INSERT INTO tags(repo, name, manifest, updated) VALUES(?, ?, ?, ?)"
	    " ON CONFLICT(repo, name) DO UPDATE"
	    " SET manifest = excluded.manifest, updated = excluded.updated",
	    "lsll", repo, tag, manifest, now);
}

int meta_manifest_put(struct db *db, struct meta_put *p)
{
	int64_t repo, id;
	int r;

	r = meta_repo_make(db, p->repo, p->now, &repo);
	if (r == 0 && !p->sparse)
		r = check_refs(db, repo, p);
	if (r != 0)
		return r;
	r = put_row(db, repo, p, &id);
	for (const char *const *tag = p->tags; r == 0 && *tag; tag++)
		r = put_tag(db, repo, *tag, id, p->now);
	return r;
}

int meta_tag_put(
    struct db *db, const char *repo, const char *tag, const char *digest, int64_t now)
{
	int64_t repo_id = 0, id = 0;
	int r;

	r = meta_repo_find(db, repo, &repo_id);
	if (r == 0)
		r = db_get(db, &id,
		    "SELECT id FROM manifests WHERE repo = ? AND digest = ?", "ls",
		    repo_id, digest);
	if (r < 0)
		return r == -ENOENT ? META_UNKNOWN : r;
	return put_tag(db, repo_id, tag, id, now);
}

int meta_tag_delete(struct db *db, const char *repo, const char *tag)
{
	int r;

	r = db_run(db,
	    "DELETE FROM tags WHERE name = ?2"
	    " AND repo = (SELECT id FROM repos WHERE name = ?1)",
	    "ss", repo, tag);
	return r < 0 ? r : db_changes(db) > 0 ? 0 : META_UNKNOWN;
}

int meta_manifest_delete(
    struct db *db, const char *repo, const char *digest, int64_t now)
{
	int64_t id;
	int r;

	r = db_get(db, &id,
	    "SELECT m.id FROM manifests m JOIN repos r ON r.id = m.repo"
	    " WHERE r.name = ? AND m.digest = ?",
	    "ss", repo, digest);
	if (r < 0)
		return r == -ENOENT ? META_UNKNOWN : r;
	r = db_run(db,
	    "UPDATE blobs SET touched = ? WHERE digest IN"
	    " (SELECT digest FROM refs WHERE manifest = ?)",
	    "ll", now, id);
	if (r == 0)
		r = db_run(db, "DELETE FROM manifests WHERE id = ?", "l", id);
	return r;
}
