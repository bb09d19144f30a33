/* Walking over folders of images: see scan.h. */
#include "regd/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "regd/archive.h"

enum {
	ITEMS_MAX = 4 * 1000 * 1000,
	DEPTH_MAX = 32,
	LINK_MAX_LEN = 256, /* of a file that holds a digest */
	INDEX_MAX = 8 * 1024 * 1024,
};

struct scan *scan_free(struct scan *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++) {
		free(s->items[i].repository);
		free(s->items[i].tag);
		free(s->items[i].path);
	}
	free(s->items);
	free(s);
	return NULL;
}

int scan_add(struct scan *s, enum scan_kind kind, const char *repository,
    const char *tag, const char *path, const struct oci_digest *d)
{
	struct scan_item *it;

	if (s->n >= ITEMS_MAX)
		return -E2BIG;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;

		it = realloc(s->items, cap * sizeof(*it));
		if (!it)
			return -ENOMEM;
		s->items = it;
		s->cap = cap;
	}
	it = &s->items[s->n++];
	*it = (struct scan_item){ .kind = kind, .digest = *d };
	it->repository = strdup(repository);
	it->tag = tag ? strdup(tag) : NULL;
	it->path = path ? strdup(path) : NULL;
	return it->repository && (!tag || it->tag) && (!path || it->path) ? 0 : -ENOMEM;
}

/* file_read() of what somebody else put there: nothing that would have to be waited for. */
static int read_file(const char *path, size_t max, struct str *out)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? fd_read_all(fd, max, out) : -EINVAL;
}

int scan_item_read(const struct scan_item *it, size_t max, struct str *out)
{
	_cleanup_(fd_closep) int fd = -1;
	char *buf;
	int r;

	if (!it->inside)
		return read_file(it->path, max, out);
	if (it->size > max)
		return -EFBIG;
	fd = open(it->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buf = malloc(it->size + 1);
	if (!buf)
		return -ENOMEM;
	r = pread(fd, buf, it->size, (off_t)it->offset) == (ssize_t)it->size ? 0 : -EIO;
	if (r == 0)
		str_add(out, buf, it->size);
	free(buf);
	return r < 0 ? r : str_err(out);
}

/* A path; one that is too long becomes none. */
static _printf_(2, 3) void join(char out[PATH_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(out, PATH_MAX, fmt, ap) >= PATH_MAX)
		out[0] = '\0';
	va_end(ap);
}

/* Calls fn for each entry of a folder; one that is not there has none. */
static int each_of(struct scan *s, const char *path, int flags,
    int (*fn)(struct scan *s, const char *path, const char *name, void *arg), void *arg)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags), r = 0;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0
									     : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = fn(s, path, e->d_name, arg);
	closedir(dir);
	return r;
}

/* Below the top no folder is a link: one that leads back would make of a few names as
 * many as their combinations. */
static int each(struct scan *s, const char *path,
    int (*fn)(struct scan *s, const char *path, const char *name, void *arg), void *arg)
{
	return each_of(s, path, O_NOFOLLOW, fn, arg);
}

/* --- registry:2 ------------------------------------------------------------------- */

struct repo_walk {
	const char *root; /* .../docker/registry/v2 */
	char name[NAME_MAX_LEN + 1];
	char alg[16];
	enum scan_kind kind;
	int depth;
};

/* _layers/sha256/<hex> or _manifests/revisions/sha256/<hex>: the bytes lie elsewhere. */
static int add_revision(struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk *w = arg;
	char text[DIGEST_TEXT_MAX], data[PATH_MAX];
	struct oci_digest d;

	if ((size_t)snprintf(text, sizeof(text), "%s:%s", w->alg, name) >=
		sizeof(text) ||
	    oci_digest_parse(&d, text) < 0)
		return 0;
	join(data, "%s/blobs/%s/%.2s/%s/data", w->root, w->alg, name, name);
	if (access(data, R_OK) < 0)
		return 0;
	return scan_add(s, w->kind, w->name, NULL, data, &d);
}

static int each_alg(struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk *w = arg;
	char below[PATH_MAX];

	if (strlen(name) >= sizeof(w->alg))
		return 0;
	strcpy(w->alg, name);
	join(below, "%s/%s", path, name);
	return each(s, below, add_revision, w);
}

static int add_tag(struct scan *s, const char *path, const char *name, void *arg)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct repo_walk *w = arg;
	char link[PATH_MAX];
	struct oci_digest d;

	join(link, "%s/%s/current/link", path, name);
	/* An interrupted write leaves an empty file there: a tag that points nowhere. */
	if (!name_is_tag(name) || read_file(link, LINK_MAX_LEN, &text) < 0 ||
	    oci_digest_parse(&d, str_get(&text)) < 0)
		return 0;
	return scan_add(s, SCAN_TAG, w->name, name, NULL, &d);
}

/* A repository's own folders, of one kind. */
static int add_repository(struct scan *s, const char *path, struct repo_walk *w)
{
	char below[PATH_MAX];

	switch (w->kind) {
	case SCAN_BLOB:
		join(below, "%s/_layers", path);
		return each(s, below, each_alg, w);
	case SCAN_MANIFEST:
		join(below, "%s/_manifests/revisions", path);
		return each(s, below, each_alg, w);
	default:
		join(below, "%s/_manifests/tags", path);
		return each(s, below, add_tag, w);
	}
}

static int walk_repositories(
    struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk w = *(struct repo_walk *)arg;
	size_t n = strlen(w.name);
	char below[PATH_MAX];
	int r;

	if (name[0] == '_' || w.depth >= DEPTH_MAX)
		return 0;
	if ((size_t)snprintf(w.name + n, sizeof(w.name) - n, "%s%s", n ? "/" : "",
		name) >= sizeof(w.name) - n)
		return 0;
	w.depth++;
	join(below, "%s/%s", path, name);
	if (name_is_repository(w.name, strlen(w.name))) {
		r = add_repository(s, below, &w);
		if (r < 0)
			return r;
	}
	return each(s, below, walk_repositories, &w);
}

static int scan_distribution(struct scan *s, const char *root)
{
	struct repo_walk w = { .root = root };
	char path[PATH_MAX];
	int r = 0;

	s->what = "registry:2";
	join(path, "%s/repositories", root);
	for (w.kind = SCAN_BLOB; r == 0 && w.kind <= SCAN_TAG; w.kind++)
		r = each_of(s, path, 0, walk_repositories, &w);
	return r;
}

/* --- oc ----------------------------------------------------------------------------- */

static int add_oc_file(struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk *w = arg;
	char file[PATH_MAX], target[PATH_MAX];
	struct oci_digest d;
	ssize_t n;

	join(file, "%s/%s", path, name);
	if (w->kind != SCAN_TAG)
		return oci_digest_parse(&d, name) < 0
		    ? 0
		    : scan_add(s, w->kind, w->name, NULL, file, &d);
	n = readlink(file, target, sizeof(target) - 1);
	if (n < 0 || !name_is_tag(name))
		return 0;
	target[n] = '\0';
	if (oci_digest_parse(
		&d, strrchr(target, '/') ? strrchr(target, '/') + 1 : target) < 0)
		return 0;
	return scan_add(s, SCAN_TAG, w->name, name, NULL, &d);
}

static int walk_oc(struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk w = *(struct repo_walk *)arg;
	size_t n = strlen(w.name);
	char below[PATH_MAX];
	int r = 0;

	join(below, "%s/%s", path, name);
	if (n && (str_eq(name, "blobs") || str_eq(name, "manifests"))) {
		if (str_eq(name, "blobs") == (w.kind == SCAN_BLOB))
			r = each(s, below, add_oc_file, &w);
		return r;
	}
	if ((size_t)snprintf(w.name + n, sizeof(w.name) - n, "%s%s", n ? "/" : "",
		name) >= sizeof(w.name) - n ||
	    !name_is_repository(w.name, strlen(w.name)) || ++w.depth >= DEPTH_MAX)
		return 0;
	return each(s, below, walk_oc, &w);
}

static int scan_oc(struct scan *s, const char *root)
{
	struct repo_walk w = { .root = root };
	int r = 0;

	s->what = "oc";
	for (w.kind = SCAN_BLOB; r == 0 && w.kind <= SCAN_TAG; w.kind++)
		r = each_of(s, root, 0, walk_oc, &w);
	return r;
}

/* --- OCI layout ---------------------------------------------------------------------- */

static int add_layout_blob(
    struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk *w = arg;
	char text[DIGEST_TEXT_MAX], file[PATH_MAX];
	struct oci_digest d;

	if ((size_t)snprintf(text, sizeof(text), "%s:%s", w->alg, name) >=
		sizeof(text) ||
	    oci_digest_parse(&d, text) < 0)
		return 0;
	join(file, "%s/%s", path, name);
	return scan_add(s, SCAN_BLOB, w->name, NULL, file, &d);
}

static int each_layout_alg(
    struct scan *s, const char *path, const char *name, void *arg)
{
	struct repo_walk *w = arg;
	char below[PATH_MAX];

	if (strlen(name) >= sizeof(w->alg))
		return 0;
	strcpy(w->alg, name);
	join(below, "%s/%s", path, name);
	return each(s, below, add_layout_blob, w);
}

/* One entry of index.json: its manifest, or the tag that it has. */
static int add_entry(struct scan *s, const json_t *entry, const struct repo_walk *w)
{
	const char *digest = json_string_value(json_object_get(entry, "digest"));
	const char *tag =
	    json_string_value(json_object_get(json_object_get(entry, "annotations"),
		"org.opencontainers.image.ref.name"));
	char path[PATH_MAX];
	struct oci_digest d;

	if (!digest || oci_digest_parse(&d, digest) < 0)
		return 0;
	if (w->kind == SCAN_TAG)
		return tag && name_is_tag(tag)
		    ? scan_add(s, SCAN_TAG, w->name, tag, NULL, &d)
		    : 0;
	join(path, "%s/blobs/%s/%s", w->root, digest_name(d.alg), oci_digest_hex(&d));
	return scan_add(s, SCAN_MANIFEST, w->name, NULL, path, &d);
}

static bool has_manifest(const struct scan *s, size_t from, const struct oci_digest *d)
{
	for (size_t i = from; i < s->n; i++)
		if (str_eq(s->items[i].digest.text, d->text))
			return true;
	return false;
}

/* The children of an index lie among the blobs, and index.json does not name them; nor
 * those of an index below. */
static int add_children(struct scan *s, size_t from, const struct repo_walk *w)
{
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = from; r == 0 && i < s->n; i++) {
		_cleanup_(manifest_freep) struct manifest *m = NULL;
		_cleanup_(str_deinit) struct str body = STR_INIT;

		/* One that cannot be read is told about when it is imported. */
		if (scan_item_manifest(&s->items[i], &body, &m) < 0)
			continue;
		for (size_t k = 0; r == 0 && k < m->n_refs; k++) {
			const struct oci_digest *d = &m->refs[k].digest;

			if (m->refs[k].kind != REF_CHILD || has_manifest(s, from, d))
				continue;
			join(path, "%s/blobs/%s/%s", w->root, digest_name(d->alg),
			    oci_digest_hex(d));
			if (access(path, R_OK) == 0)
				r = scan_add(s, SCAN_MANIFEST, w->name, NULL, path, d);
		}
	}
	return r;
}

static int add_index(struct scan *s, struct repo_walk *w)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char path[PATH_MAX];
	json_t *root, *entry;
	size_t i, first = s->n;
	int r;

	join(path, "%s/index.json", w->root);
	r = read_file(path, INDEX_MAX, &text);
	if (r < 0)
		return r;
	root = json_loadb(str_get(&text), text.len, 0, NULL);
	for (w->kind = SCAN_MANIFEST; w->kind <= SCAN_TAG; w->kind++) {
		json_array_foreach(json_object_get(root, "manifests"), i, entry)
		{
			if (r == 0)
				r = add_entry(s, entry, w);
		}
		if (r == 0 && w->kind == SCAN_MANIFEST)
			r = add_children(s, first, w);
	}
	json_decref(root);
	return r;
}

static int scan_layout(struct scan *s, const char *folder, const char *repository)
{
	struct repo_walk w = { .root = folder };
	char path[PATH_MAX];
	int r;

	s->what = "OCI layout";
	snprintf(w.name, sizeof(w.name), "%s", repository);
	join(path, "%s/blobs", folder);
	r = each(s, path, each_layout_alg, &w);
	return r < 0 ? r : add_index(s, &w);
}

/* --- which ---------------------------------------------------------------------------- */

static bool is_there(const char *folder, const char *below)
{
	char path[PATH_MAX];

	join(path, "%s/%s", folder, below);
	return access(path, F_OK) == 0;
}

static int scan_kind(
    struct scan *s, const char *folder, const char *repository, struct err *err)
{
	char path[PATH_MAX];

	if (strlen(folder) > PATH_MAX / 2)
		return err_set(err, -ENAMETOOLONG, "the folder's name is too long");
	if (is_there(folder, "docker/registry/v2/repositories")) {
		join(path, "%s/docker/registry/v2", folder);
		return scan_distribution(s, path);
	}
	if (is_there(folder, "repositories") && is_there(folder, "blobs"))
		return scan_distribution(s, folder);
	if (is_there(folder, "index.json") && is_there(folder, "blobs")) {
		if (!repository[0])
			return err_set(err, -EINVAL,
			    "an OCI layout has no name: say which repository it is to "
			    "be");
		return scan_layout(s, folder, repository);
	}
	if (is_there(folder, "v2")) {
		join(path, "%s/v2", folder);
		return scan_oc(s, path);
	}
	if (archive_is(folder))
		return archive_scan(s, folder, err);
	return err_set(err, -ENOENT,
	    "%.300s holds no images that are known: neither docker/registry/v2, nor v2 "
	    "of oc, nor an OCI layout, nor an archive of oc-mirror",
	    folder);
}

int scan_folder(
    struct scan **ret, const char *folder, const char *repository, struct err *err)
{
	_cleanup_(scan_freep) struct scan *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	err->text[0] = '\0';
	r = scan_kind(s, folder, repository, err);
	if (r < 0)
		return err->text[0]
		    ? r
		    : err_set(err, r, "cannot read %.300s: %s", folder, strerror(-r));
	*ret = TAKE(s);
	return 0;
}

int scan_item_manifest(
    const struct scan_item *it, struct str *body, struct manifest **ret)
{
	struct err e = ERR_INIT;
	int r = scan_item_read(it, MANIFEST_MAX, body);

	if (r < 0)
		return r;
	if (!oci_digest_matches(&it->digest, str_get(body), body->len))
		return -EILSEQ;
	return manifest_parse(ret, NULL, str_get(body), body->len, &e);
}
