/* Indexing an overlay: see overlay.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/clock.h"
#include "common/db.h"
#include "common/fd.h"
#include "regd/manifest.h"
#include "regd/overlay_impl.h"
#include "regd/scan.h"

#define PLACES                                                             \
	"CREATE TABLE places(digest TEXT PRIMARY KEY, path TEXT NOT NULL," \
	" offset INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;"

/*
 * Paths below the folder are opened beneath it, so that a link that somebody put there
 * leads nowhere else.  What the setting itself names may be a link.
 */
int overlay_open(const struct overlay *o, const char *path)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	size_t n = strlen(o->path);
	int fd;

	if (o->root >= 0 && strncmp(path, o->path, n) == 0 && path[n] == '/')
		return open_beneath(o->root, path + n + 1, flags);
	fd = open(path, str_eq(path, o->path) ? flags & ~O_NOFOLLOW : flags);
	return fd < 0 ? -errno : fd;
}

/* Size of the item's bytes, or -errno. */
static int64_t item_size(const struct overlay *o, const struct scan_item *it)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;

	if (it->inside)
		return (int64_t)it->size;
	fd = overlay_open(o, it->path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? st.st_size : -EINVAL;
}

/* At time 0: nobody has verified it yet, which the scrubber looks at. */
static int put_blob(const struct overlay *o, struct db *db, const struct scan_item *it)
{
	int64_t size = item_size(o, it);
	int r;

	if (size < 0)
		return (int)size;
	r = db_run(db,
	    "INSERT OR IGNORE INTO places(digest, path, offset, size)"
	    " VALUES(?, ?, ?, ?)",
	    "ssll", it->digest.text, it->path, (int64_t)it->offset, size);
	return r < 0
	    ? r
	    : meta_blob_add(db, it->repository, it->digest.text, size, 0, NULL);
}

static int put_manifest(struct db *db, const struct scan_item *it, int64_t now)
{
	static const char *const no_tags[] = { NULL };
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct meta_put p = {
		.repo = it->repository,
		.digest = &it->digest,
		.tags = no_tags,
		.now = now,
		.sparse = true,
	};
	int r;

	r = scan_item_manifest(it, &text, &m);
	if (r < 0)
		return r;
	p.manifest = m;
	p.body = str_get(&text);
	p.size = text.len;
	return meta_manifest_put(db, &p);
}

static int put_item(
    const struct overlay *o, struct db *db, const struct scan_item *it, int64_t now)
{
	switch (it->kind) {
	case SCAN_BLOB:
		return put_blob(o, db, it);
	case SCAN_MANIFEST:
		return put_manifest(db, it, now);
	default:
		return meta_tag_put(db, it->repository, it->tag, it->digest.text, now);
	}
}

/* What ends the indexing; everything else costs one item. */
static bool is_fatal(int r)
{
	return r == -ENOSPC || r == -EROFS || r == -ENOMEM || r == -EBUSY;
}

static int put_items(struct overlay *o, struct db *db, const struct scan *s)
{
	_cleanup_(db_tx_end) struct db_tx tx = DB_TX_INIT;
	int64_t now = clock_real_s();
	int r = db_tx_begin(&tx, db);

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		r = put_item(o, db, &s->items[i], now);
		if (r == 0 || is_fatal(r))
			continue;
		o->skipped++;
		r = 0;
	}
	return r < 0 ? r : db_tx_commit(&tx);
}

static void remove_index(const struct overlay *o)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	char path[PATH_MAX + 8];

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		snprintf(path, sizeof(path), "%s%s", o->index, tails[i]);
		(void)!unlink(path);
	}
}

int overlay_index(struct overlay *o)
{
	_cleanup_(scan_freep) struct scan *s = NULL;
	_cleanup_(db_freep) struct db *db = NULL;
	int r;

	r = scan_folder(&s, o->path, o->repository, &o->err);
	if (r < 0)
		return r;
	o->kind = s->what;
	if (o->want && !str_eq(o->want, s->what))
		return err_set(&o->err, -EINVAL,
		    "overlays: %.300s is %s, and the setting says another type",
		    o->path, s->what);
	remove_index(o);
	r = db_open(&db, o->index, meta_migrations, DB_SYNC_NORMAL, &o->err);
	if (r < 0)
		return r;
	r = db_exec(db, PLACES);
	if (r == 0)
		r = put_items(o, db, s);
	if (r == 0)
		r = meta_totals(db, &o->totals);
	if (r < 0)
		return err_set(
		    &o->err, r, "cannot index %.300s: %s", o->path, strerror(-r));
	r = db_open_readonly(&o->db[OVERLAY_WORK], o->index, meta_migrations, &o->err);
	/* Which blobs are damaged is the one thing that is written later. */
	o->db[OVERLAY_SCRUB] = TAKE(db);
	return r;
}
