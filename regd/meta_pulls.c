/* Rows of the pull ledger: see meta.h. */
#include "regd/meta_impl.h"

int meta_pull_put(struct db *db, const struct meta_pull *p)
{
	return db_run(db,
	    "INSERT INTO pulls(client, repository, digest, count, first, last)"
	    " VALUES(?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT(client, repository, digest) DO UPDATE"
	    " SET count = excluded.count, last = excluded.last",
	    "ssslll", p->client, p->repository, p->digest, p->count, p->first, p->last);
}

int meta_pulls_keep(struct db *db, int64_t n)
{
	return db_run(db,
	    "DELETE FROM pulls WHERE last < (SELECT last FROM pulls"
	    " ORDER BY last DESC LIMIT 1 OFFSET ?)",
	    "l", n);
}

int meta_pulls(
    struct db *db, void (*add)(void *arg, const struct meta_pull *p), void *arg)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	int r;

	r = db_query(db, &st,
	    "SELECT client, repository, digest, count, first, last FROM pulls"
	    " ORDER BY last",
	    NULL);
	if (r < 0)
		return r;
	while ((r = db_step(st)) > 0) {
		struct meta_pull p = {
			.client = db_text(st, 0),
			.repository = db_text(st, 1),
			.digest = db_text(st, 2),
			.count = db_int(st, 3),
			.first = db_int(st, 4),
			.last = db_int(st, 5),
		};

		add(arg, &p);
	}
	return r;
}
