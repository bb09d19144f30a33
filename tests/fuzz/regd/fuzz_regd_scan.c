/*
 * Folders of images, as registry:2, oc and skopeo leave them: whatever lies there, what is
 * found obeys the grammar, comes in order and is read or refused.
 *
 * An input is a list of lines, each a path below the folder: "path" is a folder,
 * "path=text" a file with that text, "path>target" a symbolic link, "path@path" a hard
 * link.  Absent folders on the way are made.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "regd/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 64, LINE_MAX_LEN = 400, READ_MAX = 4096 };

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	return remove(path);
}

/* Only what stays below the folder is made. */
static bool is_inside(const char *path)
{
	return path[0] && path[0] != '/' && !strstr(path, "..");
}

static void make_parents(char *path)
{
	for (char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)!mkdir(path, 0700);
		*p = '/';
	}
}

static void make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static void make(char *line)
{
	char *what = strpbrk(line, "=>@");
	char kind = what ? *what : '\0';

	if (what)
		*what++ = '\0';
	if (!is_inside(line))
		return;
	make_parents(line);
	if (kind == '=')
		make_file(line, what);
	else if (kind == '>')
		(void)!symlink(what, line);
	else if (kind == '@' && is_inside(what))
		(void)!link(what, line);
	else if (!kind)
		(void)!mkdir(line, 0700);
}

static void make_all(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;

	for (int i = 0; p < end && i < LINES_MAX; i++) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((lf ? lf : end) - p);
		char line[LINE_MAX_LEN + 1];

		if (n <= LINE_MAX_LEN) {
			memcpy(line, p, n);
			line[n] = '\0';
			make(line);
		}
		p += n + 1;
	}
}

static void judge(const struct scan *s)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;
	enum scan_kind last = SCAN_BLOB;

	for (size_t i = 0; i < s->n; i++) {
		const struct scan_item *it = &s->items[i];
		struct manifest *m = NULL;
		struct oci_digest d;

		assert(it->kind >= last);
		last = it->kind;
		assert(name_is_repository(it->repository, strlen(it->repository)));
		assert(oci_digest_parse(&d, it->digest.text) == 0);
		assert((it->kind == SCAN_TAG) == (it->tag != NULL));
		assert((it->kind == SCAN_TAG) == (it->path == NULL));
		assert(!it->tag || name_is_tag(it->tag));
		if (it->kind == SCAN_TAG)
			continue;
		str_reset(&out);
		if (scan_item_read(it, READ_MAX, &out) == 0)
			assert(out.len <= READ_MAX);
		str_reset(&out);
		if (it->kind == SCAN_MANIFEST && scan_item_manifest(it, &out, &m) == 0)
			assert(m && oci_digest_matches(&d, str_get(&out), out.len));
		manifest_free(m);
	}
}

/* Works in a folder of its own, which is in memory where there is such a place. */
static bool enter(char path[PATH_MAX])
{
	static const char *const places[] = { "/dev/shm", "/tmp" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, PATH_MAX, "%s/okd-fuzz-XXXXXX", places[i]);
		if (mkdtemp(path))
			return chdir(path) == 0;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(fd_closep) int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(scan_freep) struct scan *s = NULL;
	struct err e = ERR_INIT;
	char path[PATH_MAX];

	if (home < 0 || memchr(data, 0, size) || !enter(path))
		return 0;
	make_all(data, size);
	if (scan_folder(&s, path, size % 2 ? "a/b" : "", &e) == 0) {
		assert(s->what);
		judge(s);
	} else {
		assert(!s && e.text[0]);
	}
	assert(fchdir(home) == 0);
	assert(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	return 0;
}
