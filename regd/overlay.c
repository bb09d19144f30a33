/* Overlays: see overlay.h. */
#include "regd/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/db.h"
#include "common/fd.h"
#include "common/log.h"
#include "regd/conf.h"
#include "regd/digest_set.h"
#include "regd/manifest.h"
#include "regd/overlay_impl.h"
#include "regd/regd.h"

struct overlays {
	struct regd *regd;
	struct overlay all[OVERLAYS_MAX];
	size_t n;
};

/* --- what they hold --------------------------------------------------------------- */

static int find_place(const struct overlay *o, struct db *db,
    const struct oci_digest *d, struct overlay_blob *ret)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	struct stat file;
	int r;

	r = db_query(db, &st, "SELECT path, offset, size FROM places WHERE digest = ?",
	    "s", d->text);
	if (r == 0)
		r = db_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	ret->offset = (uint64_t)db_int(st, 1);
	ret->size = (uint64_t)db_int(st, 2);
	ret->fd = overlay_open(o, db_text(st, 0));
	if (ret->fd < 0)
		return ret->fd;
	/* Somebody may have cut it short since. */
	if (fstat(ret->fd, &file) == 0 && S_ISREG(file.st_mode) &&
	    ret->offset + ret->size <= (uint64_t)file.st_size)
		return 0;
	fd_close(ret->fd);
	return -EIO;
}

int overlays_blob(struct overlays *os, enum overlay_side side, const char *repo,
    const struct oci_digest *d, struct overlay_blob *ret)
{
	struct meta_blob blob;
	int r;

	for (size_t i = 0; i < os->n; i++) {
		struct overlay *o = &os->all[i];

		if (!o->db[side] ||
		    meta_blob_find(o->db[side], repo, d->text, &blob) < 0 || blob.bad)
			continue;
		r = find_place(o, o->db[side], d, ret);
		if (r == 0 || fd_is_shortage(r))
			return r;
	}
	return -ENOENT;
}

int overlays_due(
    struct overlays *os, unsigned set, int64_t cutoff, struct overlay_due *ret)
{
	for (size_t i = 0; i < os->n; i++) {
		struct overlay *o = &os->all[i];
		int r;

		if (!(set & 1u << i))
			continue;
		r = meta_blob_unchecked(
		    o->db[OVERLAY_SCRUB], cutoff, &ret->digest, &ret->before);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		ret->overlay = o;
		r = find_place(o, o->db[OVERLAY_SCRUB], &ret->digest, &ret->blob);
		if (r < 0)
			ret->blob.fd = -1;
		return fd_is_shortage(r) ? r : r < 0 ? 1 : 0;
	}
	return -ENOENT;
}

int overlays_checked(const struct overlay_due *d, bool bad, int64_t now)
{
	return meta_blob_checked(
	    d->overlay->db[OVERLAY_SCRUB], d->digest.text, bad, d->before, now);
}

const char *overlay_path(const struct overlay *o)
{
	return o->path;
}

unsigned overlays_served(const struct overlays *os)
{
	unsigned set = 0;

	for (size_t i = 0; i < os->n; i++)
		if (os->all[i].state == OVERLAY_SERVED)
			set |= 1u << i;
	return set;
}

struct db *overlays_index(const struct overlays *os, size_t i)
{
	return i < os->n ? os->all[i].db[OVERLAY_LOOP] : NULL;
}

const char *overlays_path(const struct overlays *os, size_t i)
{
	return os->all[i].path;
}

int overlays_manifest(struct overlays *os, enum overlay_side side, const char *repo,
    const char *reference, struct meta_manifest *ret)
{
	for (size_t i = 0; i < os->n; i++) {
		struct db *db = os->all[i].db[side];
		int r = db ? meta_manifest_find(db, repo, reference, ret) : -ENOENT;

		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

static bool has_blob(struct overlays *os, const char *repo, const struct oci_digest *d)
{
	struct overlay_blob found;

	if (overlays_blob(os, OVERLAY_LOOP, repo, d, &found) < 0)
		return false;
	fd_close(found.fd);
	return true;
}

static bool has_manifest(
    struct overlays *os, const char *repo, const struct oci_digest *d)
{
	struct meta_manifest m = { .body = NULL };
	int r = overlays_manifest(os, OVERLAY_LOOP, repo, d->text, &m);

	free(m.body);
	return r == 0;
}

int overlays_held(struct overlays *os, const char *repo, const struct manifest *m,
    struct digest_set *ret)
{
	int r = 0;

	for (size_t i = 0; os->n && r == 0 && i < m->n_refs; i++) {
		const struct manifest_ref *ref = &m->refs[i];

		if ((ref->kind == REF_BLOB && has_blob(os, repo, &ref->digest)) ||
		    (ref->kind == REF_CHILD && has_manifest(os, repo, &ref->digest)))
			r = digest_set_add(ret, &ref->digest);
	}
	digest_set_sort(ret);
	return r;
}

bool overlays_repo(struct overlays *os, const char *repo)
{
	int64_t id;

	for (size_t i = 0; i < os->n; i++)
		if (os->all[i].db[OVERLAY_LOOP] &&
		    meta_repo_find(os->all[i].db[OVERLAY_LOOP], repo, &id) == 0)
			return true;
	return false;
}

/* A referrer of an overlay that is not ours too. */
struct referrers {
	struct overlays *os;
	const char *repo;
	bool (*add)(void *arg, const struct meta_referrer *r);
	void *arg;
};

static bool add_referrer(void *arg, const struct meta_referrer *r)
{
	struct referrers *x = arg;
	struct meta_manifest m = { .body = NULL };
	int found = meta_manifest_find(x->os->regd->db, x->repo, r->digest, &m);

	free(m.body);
	return found == 0 || x->add(x->arg, r);
}

int overlays_referrers(struct overlays *os, const char *repo, const char *subject,
    const char *artifact_type, const char *last,
    bool (*add)(void *arg, const struct meta_referrer *r), void *arg)
{
	struct referrers x = { os, repo, add, arg };
	int r = 0;

	for (size_t i = 0; r == 0 && i < os->n; i++)
		if (os->all[i].db[OVERLAY_LOOP])
			r = meta_referrers(os->all[i].db[OVERLAY_LOOP], repo, subject,
			    artifact_type, last, add_referrer, &x);
	return r;
}

/* --- lists ------------------------------------------------------------------------ */

/* Lists in byte order that are being merged. */
struct merge {
	struct db_stmt *st[OVERLAYS_MAX + 1];
	const char *head[OVERLAYS_MAX + 1]; /* NULL: at its end */
	size_t n;
};

static int merge_step(struct merge *m, size_t i)
{
	int r = db_step(m->st[i]);

	m->head[i] = r > 0 ? db_text(m->st[i], 0) : NULL;
	return MIN(r, 0);
}

static int merge_add(struct merge *m, struct db *db, const char *repo, const char *last)
{
	size_t i = m->n;
	int r;

	if (!db)
		return 0;
	if (repo)
		r = db_query(db, &m->st[i],
		    "SELECT t.name FROM tags t WHERE t.name > ?2 AND"
		    " t.repo = (SELECT id FROM repos WHERE name = ?1)"
		    " ORDER BY t.name",
		    "ss", repo, last);
	else
		r = db_query(db, &m->st[i],
		    "SELECT name FROM repos WHERE name > ? ORDER BY name", "s", last);
	if (r < 0)
		return r;
	m->n++;
	return merge_step(m, i);
}

/* The smallest head, with all that equal it moved on: false at the end. */
static int merge_next(struct merge *m, char ret[NAME_MAX_LEN + 1])
{
	const char *least = NULL;
	int r = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->head[i] && (!least || strcmp(m->head[i], least) < 0))
			least = m->head[i];
	if (!least)
		return 0;
	snprintf(ret, NAME_MAX_LEN + 1, "%s", least);
	for (size_t i = 0; r == 0 && i < m->n; i++)
		if (m->head[i] && str_eq(m->head[i], ret))
			r = merge_step(m, i);
	return r < 0 ? r : 1;
}

int overlays_names(struct overlays *os, const char *repo, const char *last, uint64_t n,
    bool (*add)(void *arg, const char *name), void *arg, bool *more)
{
	char name[NAME_MAX_LEN + 1];
	struct merge m = { .n = 0 };
	uint64_t got = 0;
	int r;

	*more = false;
	r = merge_add(&m, os->regd->db, repo, last);
	for (size_t i = 0; r == 0 && i < os->n; i++)
		r = merge_add(&m, os->all[i].db[OVERLAY_LOOP], repo, last);
	while (r >= 0 && (r = merge_next(&m, name)) > 0) {
		if (got == n) {
			*more = true;
			break;
		}
		got += add(arg, name);
	}
	for (size_t i = 0; i < m.n; i++)
		db_done(m.st[i]);
	return MIN(r, 0);
}

/* --- life ------------------------------------------------------------------------- */

static void index_work(struct job *j)
{
	struct overlay *o = CONTAINER_OF(j, struct overlay, job);

	o->error = overlay_index(o);
}

static void index_done(struct job *j)
{
	struct overlay *o = CONTAINER_OF(j, struct overlay, job);

	if (o->error == 0)
		o->error = db_open_readonly(
		    &o->db[OVERLAY_LOOP], o->index, meta_migrations, &o->err);
	o->state = o->error < 0 ? OVERLAY_FAILED : OVERLAY_SERVED;
	if (o->error < 0)
		log_err("overlay %s is not served: %s", o->path,
		    o->err.text[0] ? err_str(&o->err) : strerror(-o->error));
	else
		log_info("overlay %s (%s) is served: %lld manifests, %lld blobs, "
			 "%llu entries passed over",
		    o->path, o->kind, (long long)o->totals.manifests,
		    (long long)o->totals.blobs, (unsigned long long)o->skipped);
}

/* Indexes of processes that are no more. */
static void remove_old(const char *dir)
{
	char pattern[PATH_MAX];
	glob_t g = { 0 };

	snprintf(pattern, sizeof(pattern), "%s/overlay-*.db*", dir);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		int pid = atoi(strrchr(g.gl_pathv[i], '/') + strlen("/overlay-"));

		if (pid == getpid() || (kill(pid, 0) < 0 && errno == ESRCH))
			(void)!unlink(g.gl_pathv[i]);
	}
	globfree(&g);
}

static void start_one(struct overlays *os, const struct conf_overlay *c)
{
	static const char *const kinds[] = {
		[OVERLAY_AUTO] = NULL,
		[OVERLAY_DISTRIBUTION] = "registry:2",
		[OVERLAY_OC] = "oc",
		[OVERLAY_OCI] = "OCI layout",
		[OVERLAY_ARCHIVE] = "oc-mirror",
	};
	struct overlay *o = &os->all[os->n];

	o->regd = os->regd;
	o->want = kinds[c->type];
	snprintf(o->path, sizeof(o->path), "%s", c->path);
	snprintf(o->repository, sizeof(o->repository), "%s",
	    c->repository ? c->repository : "");
	snprintf(o->index, sizeof(o->index), "%s/overlay-%d-%zu.db",
	    daemon_state_dir(os->regd->daemon), (int)getpid(), os->n);
	o->root = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	o->job.work = index_work;
	o->job.done = index_done;
	os->n++;
	pool_post(os->regd->work, &o->job);
}

int overlays_new(struct overlays **ret, struct regd *g)
{
	const struct conf_overlay *c =
	    conf_list_items(&g->conf->overlays, struct conf_overlay);
	struct overlays *os = calloc(1, sizeof(*os));

	if (!os)
		return -ENOMEM;
	os->regd = g;
	remove_old(daemon_state_dir(g->daemon));
	for (size_t i = 0; i < g->conf->overlays.n; i++)
		start_one(os, &c[i]);
	*ret = os;
	return 0;
}

struct overlays *overlays_free(struct overlays *os)
{
	if (!os)
		return NULL;
	for (size_t i = 0; i < os->n; i++) {
		struct overlay *o = &os->all[i];

		for (size_t side = 0; side < OVERLAY_SIDES; side++)
			db_free(o->db[side]);
		fd_close(o->root);
		(void)!unlink(o->index);
	}
	free(os);
	return NULL;
}

bool overlays_any(const struct overlays *os)
{
	return os->n > 0;
}

json_t *overlays_status(const struct overlays *os)
{
	static const char *const states[] = { "indexing", "served", "failed" };
	json_t *list = json_array();

	for (size_t i = 0; i < os->n; i++) {
		const struct overlay *o = &os->all[i];
		int64_t bad = 0;
		json_t *obj =
		    json_pack("{s:s,s:s}", "path", o->path, "state", states[o->state]);

		if (o->state == OVERLAY_SERVED)
			(void)!db_get(o->db[OVERLAY_LOOP], &bad,
			    "SELECT count(*) FROM blobs WHERE bad", NULL);
		if (o->state == OVERLAY_SERVED)
			json_object_update_new(obj,
			    json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "kind",
				o->kind, "bad_blobs", (json_int_t)bad, "repositories",
				(json_int_t)o->totals.repositories, "manifests",
				(json_int_t)o->totals.manifests, "tags",
				(json_int_t)o->totals.tags, "blobs",
				(json_int_t)o->totals.blobs, "bytes",
				(json_int_t)o->totals.blob_bytes, "skipped",
				(json_int_t)o->skipped));
		else if (o->state == OVERLAY_FAILED)
			json_object_set_new(
			    obj, "error", json_string(err_str(&o->err)));
		json_array_append_new(list, obj);
	}
	return list;
}

bool overlays_ready(const struct overlays *os, struct str *reasons)
{
	bool ready = true;

	for (size_t i = 0; i < os->n; i++) {
		if (os->all[i].state != OVERLAY_INDEXING)
			continue;
		ready = false;
		str_addf(reasons, "overlay %.300s is being indexed\n", os->all[i].path);
	}
	return ready;
}
