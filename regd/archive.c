/*
 * Archives: see archive.h.  A first pass over the headers notes where each blob's bytes
 * lie and which links there are; a repository's items are those of its links whose bytes
 * were found.
 */
#include "regd/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "regd/dist_path.h"
#include "regd/tar.h"

enum { BLOCK = 512, LINK_MAX_LEN = 256, BLOBS_MAX = 4 * 1000 * 1000 };

struct place {
	struct oci_digest digest;
	const char *path; /* of the archive */
	uint64_t offset, size;
};

struct archive {
	struct scan *scan;
	struct place *places;
	size_t n, cap;
	const char *path;    /* that is being read */
	uint64_t at;         /* behind the header at hand */
	struct dist_path is; /* of the tag whose link is being read */
	char link[LINK_MAX_LEN];
	size_t link_len;
	int error;
};

static int add_place(struct archive *a, const struct oci_digest *d, uint64_t size)
{
	struct place *p;

	if (a->n >= BLOBS_MAX)
		return -E2BIG;
	if (a->n == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 256;

		p = realloc(a->places, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		a->places = p;
		a->cap = cap;
	}
	a->places[a->n++] = (struct place){
		.digest = *d,
		.path = a->path,
		.offset = a->at,
		.size = size,
	};
	return 0;
}

static bool on_entry(void *arg, const char *name, uint64_t size)
{
	struct archive *a = arg;
	int r = 0;

	dist_path_parse(name, &a->is);
	a->link_len = 0;
	if (a->is.kind == DIST_DATA)
		r = add_place(a, &a->is.digest, size);
	else if (a->is.kind == DIST_LAYER)
		r = scan_add(
		    a->scan, SCAN_BLOB, a->is.repository, NULL, NULL, &a->is.digest);
	else if (a->is.kind == DIST_REVISION)
		r = scan_add(a->scan, SCAN_MANIFEST, a->is.repository, NULL, NULL,
		    &a->is.digest);
	if (r < 0)
		a->error = r;
	return a->is.kind == DIST_TAG && size < LINK_MAX_LEN;
}

static int on_data(void *arg, const void *p, size_t n)
{
	struct archive *a = arg;

	n = MIN(n, sizeof(a->link) - 1 - a->link_len);
	memcpy(a->link + a->link_len, p, n);
	a->link_len += n;
	return 0;
}

static int on_end(void *arg)
{
	struct archive *a = arg;
	struct oci_digest d;

	a->link[a->link_len] = '\0';
	if (oci_digest_parse(&d, a->link) < 0)
		return 0; /* an interrupted write: a tag that points nowhere */
	return scan_add(a->scan, SCAN_TAG, a->is.repository, a->is.tag, NULL, &d);
}

/* Block by block, so that the offset behind each header is known. */
static int read_blocks(struct archive *a, int fd, struct tar *t)
{
	char block[BLOCK];
	off_t at = 0;
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = pread(fd, block, BLOCK, at)) != 0) {
		if (n < 0)
			return -errno;
		at += n;
		a->at = (uint64_t)at;
		r = tar_feed(t, block, (size_t)n);
		at += (off_t)tar_skip(t);
		if (r == 0)
			r = a->error;
	}
	return r;
}

static int read_archive(struct archive *a, const char *path, struct err *err)
{
	static const struct tar_ops ops = {
		.entry = on_entry,
		.data = on_data,
		.end = on_end,
	};
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(tar_freep) struct tar *t = NULL;
	int r;

	if (fd < 0)
		return err_set(
		    err, -errno, "cannot read %.300s: %s", path, strerror(errno));
	r = tar_new(&t, &ops, a);
	if (r < 0)
		return r;
	a->path = path;
	r = read_blocks(a, fd, t);
	if (r == -EBADMSG)
		return err_set(
		    err, r, "%.300s is no tar archive, or a damaged one", path);
	return r < 0 ? err_set(err, r, "cannot read %.300s: %s", path, strerror(-r))
		     : 0;
}

static int by_digest(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->digest.text,
	    ((const struct place *)b)->digest.text);
}

/* Blobs before manifests before tags, without what has no bytes. */
static int put_in_order(struct archive *a)
{
	struct scan *s = a->scan;
	struct scan_item *items = calloc(MAX(s->n, (size_t)1), sizeof(*items));
	size_t n = 0;

	if (!items)
		return -ENOMEM;
	for (int kind = SCAN_BLOB; kind <= SCAN_TAG; kind++) {
		for (size_t i = 0; i < s->n; i++)
			if ((int)s->items[i].kind == kind &&
			    (kind == SCAN_TAG || s->items[i].path))
				items[n++] = s->items[i];
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->items[i].kind != SCAN_TAG && !s->items[i].path)
			free(s->items[i].repository);
	free(s->items);
	s->items = items;
	s->cap = MAX(s->n, (size_t)1);
	s->n = n;
	return 0;
}

static int place_items(struct archive *a)
{
	if (a->n)
		qsort(a->places, a->n, sizeof(*a->places), by_digest);
	for (size_t i = 0; a->n && i < a->scan->n; i++) {
		struct scan_item *it = &a->scan->items[i];
		struct place key = { .digest = it->digest };
		const struct place *p;

		if (it->kind == SCAN_TAG)
			continue;
		p = bsearch(&key, a->places, a->n, sizeof(key), by_digest);
		if (!p)
			continue;
		it->path = strdup(p->path);
		if (!it->path)
			return -ENOMEM;
		it->inside = true;
		it->offset = p->offset;
		it->size = p->size;
	}
	return put_in_order(a);
}

/* Its files: the path itself, or what lies in the folder. */
static int list_files(const char *path, glob_t *g)
{
	char pattern[PATH_MAX];
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		/* NOCHECK: a name with brackets in it stands for itself. */
		return glob(path, GLOB_NOCHECK | GLOB_NOESCAPE, NULL, g) ? -ENOMEM : 0;
	}
	if (snprintf(pattern, sizeof(pattern), "%s/mirror_*.tar", path) >=
	    (int)sizeof(pattern))
		return -ENAMETOOLONG;
	return glob(pattern, 0, NULL, g) ? -ENOENT : 0;
}

bool archive_is(const char *path)
{
	glob_t g = { 0 };
	bool is = list_files(path, &g) == 0;

	globfree(&g);
	return is;
}

int archive_scan(struct scan *s, const char *path, struct err *err)
{
	struct archive a = { .scan = s };
	glob_t g = { 0 };
	int r = list_files(path, &g);

	s->what = "oc-mirror";
	for (size_t i = 0; r == 0 && i < g.gl_pathc; i++)
		r = read_archive(&a, g.gl_pathv[i], err);
	if (r == 0)
		r = place_items(&a);
	if (r == 0 && !s->n)
		r = err_set(err, -ENOENT, "%.300s holds no images of registry:2", path);
	free(a.places);
	globfree(&g);
	return r;
}
