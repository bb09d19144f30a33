/* The other names of pread64(), for libraries that are preloaded and define that one. */
#pragma once

#include <unistd.h>

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
	return pread64(fd, buf, n, at);
}

ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t size)
{
	return pread64(fd, buf, n, at);
}

ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t size)
{
	return pread64(fd, buf, n, at);
}
