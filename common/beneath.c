/* Opening files below a folder: see beneath.h. */
#include "common/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"

/* A rename below the root may make the kernel ask for another try. */
#define TRIES 16

/* Where a descriptor's file lies: its length, or -1 when the kernel does not say. */
static ssize_t path_of(int fd, char path[static PATH_MAX])
{
	char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX);
	return n < 0 || n >= PATH_MAX ? -1 : n;
}

/*
 * Where openat2() cannot be called, as below RestrictSUIDSGID=, whose filter cannot look
 * into its argument: the name is resolved without opening anything, and what it leads to
 * is opened when it lies below the root.
 */
static int open_checked(int root, const char *name, int flags)
{
	char above[PATH_MAX], path[PATH_MAX], link[32];
	int look = O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW);
	_cleanup_(fd_closep) int at = openat(root, name, look);
	ssize_t n, m;
	int fd;

	if (at < 0)
		return -errno;
	n = path_of(root, above);
	m = path_of(at, path);
	if (n < 0 || m < n || memcmp(above, path, (size_t)n) != 0 ||
	    (n > 1 && m > n && path[n] != '/'))
		return -EXDEV;
	/* What is opened here is a link of /proc; a link that was found is refused. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	fd = open(link, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int open_beneath(int root, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long r = -1;

	for (int i = 0; i < TRIES; i++) {
		r = syscall(SYS_openat2, root, name, &how, sizeof(how));
		if (r >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	if (r < 0 && errno == ENOSYS)
		return open_checked(root, name, flags);
	return r < 0 ? -errno : (int)r;
}
