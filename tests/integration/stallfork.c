/* Preloaded by test_lbd_queue.py: a child of fork() stands still before it does anything, for as
 * long as the file STALL_FORK is there; that file with ".reached" behind its name says that it
 * does. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

pid_t fork(void)
{
	pid_t (*real)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	const char *path = getenv("STALL_FORK");
	char reached[4096];
	pid_t pid = real();

	if (pid != 0 || !path || access(path, F_OK) != 0)
		return pid;
	snprintf(reached, sizeof(reached), "%s.reached", path);
	close(open(reached, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	while (access(path, F_OK) == 0)
		usleep(1000);
	return pid;
}
