/* Preloaded by stallready.py: a successor that has all ready for its predecessor's word stands
 * still before it says so, for as long as the file STALL_READY is there; that file with
 * ".reached" behind its name says that it does. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void stall(const char *path)
{
	char reached[4096];

	snprintf(reached, sizeof(reached), "%s.reached", path);
	close(open(reached, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	while (access(path, F_OK) == 0)
		usleep(1000);
}

ssize_t write(int fd, const void *p, size_t n)
{
	const char *path = getenv("STALL_READY");

	if (path && n == 1 && *(const char *)p == '1' && is_pipe(fd) &&
	    access(path, F_OK) == 0)
		stall(path);
	return syscall(SYS_write, fd, p, n);
}
