/* Rows for people: see meta.h. */
#include <errno.h>

#include "regd/meta_impl.h"

int meta_repo_rows(struct db *db, const char *last,
    bool (*add)(void *arg, const struct meta_repo_row *r), void *arg)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT name, (SELECT count(*) FROM tags t WHERE t.repo = r.id),"
	    " bytes,"
	    " (SELECT max(m.pushed) FROM manifests m WHERE m.repo = r.id)"
	    " FROM repos r WHERE name > ? ORDER BY name",
	    "s", last);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		struct meta_repo_row row = {
			.name = db_text(st, 0),
			.tags = db_int(st, 1),
			.bytes = db_int(st, 2),
			.updated = db_int(st, 3),
		};

		if (!add(arg, &row))
			return 0;
	}
	return r;
}

int meta_tag_rows(struct db *db, const char *repo, const char *last,
    bool (*add)(void *arg, const struct meta_tag_row *t), void *arg)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT t.name, m.digest, t.updated,"
	    " (SELECT coalesce(sum(b.size), 0) FROM refs f"
	    "  JOIN blobs b ON b.digest = f.digest WHERE f.manifest = m.id)"
	    " FROM repos r JOIN tags t ON t.repo = r.id"
	    " JOIN manifests m ON m.id = t.manifest WHERE r.name = ? AND t.name > ? "
	    "ORDER BY t.name",
	    "ss", repo, last);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		struct meta_tag_row row = {
			.name = db_text(st, 0),
			.digest = db_text(st, 1),
			.updated = db_int(st, 2),
			.bytes = db_int(st, 3),
		};

		if (!add(arg, &row))
			return 0;
	}
	return r;
}
