/* ignd/file: names are opened below their root, with openat2() and without. */
#include "ignd/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/no_openat2.h"
#include "tests/unit/test.h"

static char top[64];

static void put(const char *name, const char *text)
{
	int fd = openat(AT_FDCWD, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	fd_close(fd);
}

static void tree(void)
{
	strcpy(top, "/tmp/okd-file-XXXXXX");
	CHECK(mkdtemp(top) && chdir(top) == 0);
	CHECK(mkdir("root", 0755) == 0 && mkdir("root/sub", 0755) == 0);
	CHECK(mkdir("root-beside", 0755) == 0);
	put("root/file", "inside");
	put("root/sub/deep", "deep");
	put("root-beside/file", "outside");
	put("outside", "outside");
	CHECK(symlink("sub/deep", "root/inward") == 0);
	CHECK(symlink("../outside", "root/outward") == 0);
	CHECK(symlink("../root-beside/file", "root/beside") == 0);
	CHECK(symlink("loop", "root/loop") == 0);
	CHECK(mkfifo("root/pipe", 0644) == 0);
}

static int opened(struct root *r, const char *name, const char *text)
{
	struct stat st;
	char buf[16] = "";
	int fd = root_open(r, name, &st);

	if (fd < 0)
		return fd;
	CHECK(read(fd, buf, sizeof(buf) - 1) == (ssize_t)strlen(text));
	CHECK(strcmp(buf, text) == 0 && st.st_size == (off_t)strlen(text));
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	fd_close(fd);
	return 0;
}

static void look(void)
{
	struct root r;
	int fd;

	CHECK(root_init(&r, "root") == 0);
	CHECK(opened(&r, "file", "inside") == 0);
	CHECK(opened(&r, "sub/deep", "deep") == 0);
	CHECK(opened(&r, "inward", "deep") == 0);
	CHECK(opened(&r, "outward", "") == -EXDEV);
	CHECK(opened(&r, "beside", "") == -EXDEV);
	CHECK(opened(&r, "../outside", "") == -EXDEV);
	CHECK(opened(&r, "/etc/passwd", "") == -EXDEV);
	CHECK(opened(&r, "none", "") == -ENOENT);
	CHECK(opened(&r, "loop", "") == -ENOENT);
	CHECK(opened(&r, "pipe", "") == -ENOENT);
	CHECK(opened(&r, "sub", "") == -ENOENT);
	CHECK(opened(&r, "file/below", "") == -ENOENT);
	fd = root_dir(&r, ".");
	CHECK(fd >= 0);
	fd_close(fd);
	root_deinit(&r);
}

TEST(below_the_root)
{
	tree();
	look();
}

TEST(below_the_root_where_openat2_is_forbidden)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		failed_here = 0;
		CHECK(forbid_openat2() == 0);
		look();
		fflush(stdout);
		_exit(failed_here > 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(chdir("/") == 0);
	CHECK(strlen(top) > 10);
	/* The tree is this test's own. */
	char *argv[] = { "rm", "-rf", top, NULL };
	pid = fork();
	if (pid == 0)
		_exit(execvp(argv[0], argv));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}
