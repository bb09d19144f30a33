/* Files below a root: see file.h. */
#include "ignd/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/fd.h"

enum { READ_TRIES = 3 };

int root_init(struct root *r, const char *path)
{
	r->path = strdup(path);
	r->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r->path ? 0 : -ENOMEM;
}

void root_deinit(struct root *r)
{
	free(r->path);
	r->path = NULL;
	r->fd = fd_close(r->fd);
}

/* True when the folder of that name is another one than at the last look. */
static bool root_reopen(struct root *r)
{
	struct stat old, st;
	int fd = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 ||
	    (r->fd >= 0 && fstat(r->fd, &old) == 0 && old.st_ino == st.st_ino &&
		old.st_dev == st.st_dev)) {
		fd_close(fd);
		return false;
	}
	fd_close(r->fd);
	r->fd = fd;
	return true;
}

/* What opening says of names that are none of a served file. */
static int plain_error(int r)
{
	switch (r) {
	case -ENOTDIR:
	case -ELOOP:
	case -ENAMETOOLONG:
	case -EISDIR:
	case -ENXIO: /* a socket, or a pipe nobody writes to */
	case -ENODEV:
		return -ENOENT;
	}
	return r;
}

int root_open(struct root *r, const char *name, struct stat *st)
{
	/* A pipe must not block, a terminal must not become ours. */
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
	int fd = r->fd < 0 ? -ENOENT : open_beneath(r->fd, name, flags);

	if (fd == -ENOENT && root_reopen(r))
		fd = open_beneath(r->fd, name, flags);
	if (fd < 0)
		return plain_error(fd);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		fd_close(fd);
		return -ENOENT;
	}
	return fd;
}

bool root_is_dir(struct root *r, const char *name)
{
	int fd = r->fd < 0 ? -1 : open_beneath(r->fd, name, O_PATH | O_DIRECTORY);

	fd_close(fd);
	return fd >= 0;
}

int root_dir(struct root *r, const char *name)
{
	if (r->fd < 0 && !root_reopen(r))
		return -ENOENT;
	return open_beneath(r->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

int file_read_still(int fd, struct stat *st, size_t max, struct str *text)
{
	struct stat after;
	int r;

	for (int i = 0; i < READ_TRIES; i++) {
		str_reset(text);
		if (lseek(fd, 0, SEEK_SET) < 0)
			return -errno;
		r = fd_read_all(fd, max, text);
		if (r < 0)
			return r;
		if (fstat(fd, &after) < 0)
			return -errno;
		if (stat_same(st, &after) && (size_t)after.st_size == text->len)
			return 0;
		*st = after;
	}
	return -EBUSY;
}

bool stat_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}
