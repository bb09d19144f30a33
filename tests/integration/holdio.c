/* Preloaded by test_regd_pipeline.py: calls that the disk answers late, or with an error.
 * While the folder HOLDIO has a file "pread" (of the threads that follow uploads),
 * "pread.import" (of what an import brought in), "sync_file_range" or "fdatasync" (of those
 * that wait for the disk), such a call does not return; while it has "<call>.fail" the call
 * fails.  "copy_file_range.fail" stands for a file system that has no such call, and
 * "pwrite.fail" for one whose own quota is used up by uploads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int there(const char *call, const char *end)
{
	const char *folder = getenv("HOLDIO");
	char path[4096];

	snprintf(
	    path, sizeof(path), "%s/%s%s", folder ? folder : "/nowhere", call, end);
	return access(path, F_OK) == 0;
}

/* Whether the call is to fail. */
static int hold(const char *call)
{
	static const struct timespec ms = { 0, 1000000 };

	while (there(call, ""))
		nanosleep(&ms, NULL);
	return there(call, ".fail");
}

static int on_thread(const char *wanted)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	return strcmp(name, wanted) == 0;
}

static ssize_t fail(void)
{
	errno = EIO;
	return -1;
}

static int is_upload(int fd)
{
	char link[64], name[4096] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, name, sizeof(name) - 1) > 0 && strstr(name, "/uploads/");
}

ssize_t pread64(int fd, void *buf, size_t n, off64_t at)
{
	if (on_thread("regd-digest") && hold("pread"))
		return fail();
	if (on_thread("regd-work") && is_upload(fd) && hold("pread.import"))
		return fail();
	return syscall(SYS_pread64, fd, buf, n, at);
}

#include "pread_names.h"

int sync_file_range(int fd, off64_t at, off64_t n, unsigned flags)
{
	if (hold("sync_file_range"))
		return (int)fail();
	return (int)syscall(SYS_sync_file_range, fd, at, n, flags);
}

int fdatasync(int fd)
{
	if (on_thread("regd-disk") && hold("fdatasync"))
		return (int)fail();
	return (int)syscall(SYS_fdatasync, fd);
}

ssize_t copy_file_range(
    int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned flags)
{
	if (there("copy_file_range", ".fail")) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return syscall(SYS_copy_file_range, from, at, to, to_at, n, flags);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at)
{
	if (there("pwrite", ".fail") && is_upload(fd)) {
		errno = EDQUOT;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, buf, n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return pwrite64(fd, buf, n, at);
}
