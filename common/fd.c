/* Descriptors and files: see fd.h. */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

bool fd_is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

int fd_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int fd_read_all(int fd, size_t max, struct str *out)
{
	size_t start = out->len;

	for (;;) {
		char *to = str_reserve(out, 16384);
		ssize_t n;

		if (!to)
			return -ENOMEM;
		n = read(fd, to, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		str_commit(out, (size_t)n);
		if (out->len - start > max)
			return -EFBIG;
		if (n == 0)
			return 0;
	}
}

int file_read(const char *path, size_t max, struct str *out)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return fd_read_all(fd, max, out);
}

/* The folder of path, "." where it names none. */
static void folder_of(const char *path, struct str *out)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		str_addz(out, ".");
	else
		str_add(out, path, slash == path ? 1 : (size_t)(slash - path));
}

static int fsync_folder(const char *path)
{
	_cleanup_(str_deinit) struct str folder = STR_INIT;
	_cleanup_(fd_closep) int fd = -1;

	folder_of(path, &folder);
	if (str_err(&folder))
		return -ENOMEM;
	fd = open(folder.s, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, mode_t mode, const void *p, size_t n)
{
	_cleanup_(str_deinit) struct str tmp = STR_INIT;
	_cleanup_(fd_closep) int fd = -1;
	int r;

	str_addf(&tmp, "%s.XXXXXX", path);
	if (str_err(&tmp))
		return -ENOMEM;
	fd = mkostemp(tmp.s, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode) < 0 ? -errno : 0;
	if (r == 0)
		r = fd_write_all(fd, p, n);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(tmp.s, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(tmp.s);
		return r;
	}
	return fsync_folder(path);
}

static int make_one(const char *path, mode_t mode)
{
	struct stat st;
	int r;

	if (mkdir(path, mode) == 0) {
		r = fsync_folder(path);
		return r == -EACCES ? 0 : r;
	}
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int dir_make(const char *path, mode_t mode)
{
	_cleanup_(freep) char *copy = strdup(path);
	int r;

	if (!copy)
		return -ENOMEM;
	for (char *at = copy; *at; at++) {
		if (*at != '/' || at == copy)
			continue;
		*at = '\0';
		r = make_one(copy, mode);
		if (r < 0)
			return r;
		*at = '/';
	}
	return make_one(copy, mode);
}
