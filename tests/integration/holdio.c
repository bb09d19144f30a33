/* Preloaded by test_regd_pipeline.py: calls that the disk answers late, or with an error.
 * While the folder HOLDIO has a file "pread" (of the threads that follow uploads),
 * "sync_file_range" or "fdatasync" (of those that wait for the disk), such a call does not
 * return; while it has
 * "<call>.fail" the call fails. */
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

ssize_t pread64(int fd, void *buf, size_t n, off64_t at)
{
	if (on_thread("regd-digest") && hold("pread"))
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
