/* common/beneath: below the folder only, with openat2() and where it is forbidden. */
#include "common/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/no_openat2.h"
#include "tests/unit/test.h"

static int try(int root, const char *name, int flags)
{
	int fd = open_beneath(root, name, flags);

	if (fd < 0)
		return fd;
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	fd_close(fd);
	return 0;
}

static void look(int root)
{
	CHECK(try(root, "file", O_RDONLY) == 0);
	CHECK(try(root, "file", O_RDONLY | O_NOFOLLOW) == 0);
	CHECK(try(root, "inward", O_RDONLY) == 0);
	CHECK(try(root, "inward", O_RDONLY | O_NOFOLLOW) == -ELOOP);
	CHECK(try(root, "outward", O_RDONLY) == -EXDEV);
	CHECK(try(root, "outward", O_RDONLY | O_NOFOLLOW) == -ELOOP);
	CHECK(try(root, "up/outside", O_RDONLY) == -EXDEV);
	CHECK(try(root, "up/outside", O_RDONLY | O_NOFOLLOW) == -EXDEV);
	CHECK(try(root, "../outside", O_RDONLY) == -EXDEV);
	CHECK(try(root, "/etc/passwd", O_RDONLY) == -EXDEV);
	CHECK(try(root, "none", O_RDONLY) == -ENOENT);
	CHECK(try(root, ".", O_RDONLY | O_DIRECTORY) == 0);
	CHECK(try(root, "file", O_RDONLY | O_DIRECTORY) == -ENOTDIR);
}

TEST(opens_below_the_folder_only)
{
	char top[] = "/tmp/okd-beneath-XXXXXX";
	int dir, root, status = -1;
	pid_t pid;

	CHECK(mkdtemp(top) != NULL);
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0 && mkdirat(dir, "root", 0755) == 0);
	root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(root >= 0);
	fd_close(openat(dir, "outside", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	fd_close(openat(root, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	CHECK(symlinkat("file", root, "inward") == 0);
	CHECK(symlinkat("../outside", root, "outward") == 0);
	CHECK(symlinkat("..", root, "up") == 0);
	look(root);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		failed_here = 0;
		CHECK(forbid_openat2() == 0);
		CHECK(
		    syscall(SYS_openat2, root, "file", NULL, 0) < 0 && errno == ENOSYS);
		look(root);
		fflush(stdout);
		_exit(failed_here > 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	static const char *const names[] = { "file", "inward", "outward", "up" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK(unlinkat(root, names[i], 0) == 0);
	CHECK(unlinkat(dir, "outside", 0) == 0);
	CHECK(unlinkat(dir, "root", AT_REMOVEDIR) == 0 && rmdir(top) == 0);
	fd_close(root);
	fd_close(dir);
}
