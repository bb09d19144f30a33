/* Preloaded by test_ignd_faults.py: pread() of files whose name ends with ".eio" fails as on
 * a disk that is broken.  The file FAILREAD counts that, in a number of 64 bits. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int64_t *count;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILREAD");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		count = p;
	close(fd);
}

static int is_broken(int fd)
{
	char link[64], name[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name));
	return n > 4 && memcmp(name + n - 4, ".eio", 4) == 0;
}

ssize_t pread64(int fd, void *buf, size_t n, off64_t at)
{
	if (!count || !is_broken(fd))
		return syscall(SYS_pread64, fd, buf, n, at);
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	errno = EIO;
	return -1;
}

#include "pread_names.h"
