/* Rows that collection and scrubbing look at: see meta.h. */
#include <errno.h>

#include "regd/manifest.h"
#include "regd/meta_impl.h"

int meta_blob_exists(struct db *db, const char *digest)
{
	int64_t one;
	int r = db_get(db, &one, "SELECT 1 FROM blobs WHERE digest = ?", "s", digest);

	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int meta_garbage_find(struct db *db, int64_t cutoff, int64_t *after, size_t max,
    struct meta_garbage *found, size_t *n, bool *more)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	size_t seen = 0;
	int r;

	r = db_query(db, &st,
	    "SELECT id, size, digest, touched < ?1 AND NOT EXISTS"
	    " (SELECT 1 FROM refs r WHERE r.digest = b.digest)"
	    " FROM blobs b WHERE id > ?2 ORDER BY id LIMIT ?3",
	    "lll", cutoff, *after, (int64_t)max);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		struct meta_garbage *g = &found[*n];

		seen++;
		*after = db_int(st, 0);
		if (!db_int(st, 3) || oci_digest_parse(&g->digest, db_text(st, 2)) < 0)
			continue;
		g->id = db_int(st, 0);
		g->size = db_int(st, 1);
		++*n;
	}
	*more = seen == max;
	return r;
}

int meta_blob_forget(struct db *db, int64_t id)
{
	int r = db_run(db, "DELETE FROM repo_blobs WHERE blob = ?", "l", id);

	return r < 0 ? r : db_run(db, "DELETE FROM blobs WHERE id = ?", "l", id);
}

int meta_blob_checked(
    struct db *db, const char *digest, bool bad, int64_t before, int64_t now)
{
	return db_run(db,
	    "UPDATE blobs SET bad = ?, scrubbed = ? WHERE digest = ? AND scrubbed = ?",
	    "ilsl", bad, now, digest, before);
}

int meta_blob_unchecked(
    struct db *db, int64_t cutoff, struct oci_digest *ret, int64_t *before)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT digest, scrubbed FROM blobs WHERE scrubbed < ?"
	    " ORDER BY scrubbed LIMIT 1",
	    "l", cutoff);
	if (r < 0)
		return r;
	r = db_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*before = db_int(st, 1);
	return oci_digest_parse(ret, db_text(st, 0));
}

static int is_used(struct db *db, const char *digest, enum manifest_ref_kind first,
    enum manifest_ref_kind last,
    bool (*counts)(void *arg, const char *repo, const char *manifest), void *arg)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT repos.name, m.digest FROM refs JOIN manifests m"
	    " ON m.id = refs.manifest JOIN repos ON repos.id = m.repo"
	    " WHERE refs.digest = ? AND refs.kind BETWEEN ? AND ?",
	    "sii", digest, first, last);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0)
		if (counts(arg, db_text(st, 0), db_text(st, 1)))
			return 1;
	return r;
}

int meta_blob_used(struct db *db, const char *digest,
    bool (*counts)(void *arg, const char *repo, const char *manifest), void *arg)
{
	return is_used(db, digest, REF_BLOB, REF_SUBJECT, counts, arg);
}

int meta_manifest_used(struct db *db, const char *digest,
    bool (*counts)(void *arg, const char *repo, const char *manifest), void *arg)
{
	return is_used(db, digest, REF_CHILD, REF_CHILD, counts, arg);
}
