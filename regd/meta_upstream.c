/* Rows of tags that came from an upstream: see meta.h. */
#include <errno.h>

#include "regd/meta.h"

int meta_tag_checked(struct db *db, const char *repo, const char *tag, int64_t *ret)
{
	return db_get(db, ret,
	    "SELECT checked FROM upstream_tags WHERE repo = ? AND tag = ?", "ss", repo,
	    tag);
}

int meta_tag_check(struct db *db, const char *repo, const char *tag, int64_t now)
{
	return db_run(db,
	    "INSERT INTO upstream_tags(repo, tag, checked) VALUES(?1, ?2, ?3)"
	    " ON CONFLICT(repo, tag) DO UPDATE SET checked = ?3",
	    "ssl", repo, tag, now);
}

int meta_tag_is_own(struct db *db, const char *repo, const char *tag)
{
	int64_t one;
	int r = db_get(db, &one,
	    "SELECT 1 FROM repos r JOIN tags t ON t.repo = r.id AND t.name = ?2"
	    " WHERE r.name = ?1 AND NOT EXISTS"
	    " (SELECT 1 FROM upstream_tags WHERE repo = ?1 AND tag = ?2)",
	    "ss", repo, tag);

	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int meta_tag_own(struct db *db, const char *repo, const char *tag)
{
	return db_run(db, "DELETE FROM upstream_tags WHERE repo = ? AND tag = ?", "ss",
	    repo, tag);
}
