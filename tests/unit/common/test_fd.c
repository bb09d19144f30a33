/* Files are replaced whole or not at all; folders are made as deep as needed. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

static char dir[] = "/tmp/okd-test-fd.XXXXXX";
static char path[64];

static const char *in_dir(const char *name)
{
	static bool made;

	if (!made)
		CHECK(mkdtemp(dir) != NULL);
	made = true;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* How many entries the folder has. */
static int entries(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	CHECK(d != NULL);
	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static bool holds(const char *name, const char *text)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;

	return file_read(in_dir(name), 1 << 20, &s) == 0 && str_eq(str_get(&s), text);
}

TEST(replace_and_read)
{
	struct stat st;

	CHECK(file_replace(in_dir("f"), 0640, "one", 3) == 0);
	CHECK(holds("f", "one"));
	CHECK(file_replace(in_dir("f"), 0600, "two", 3) == 0);
	CHECK(holds("f", "two"));
	CHECK(stat(in_dir("f"), &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(file_replace(in_dir("f"), 0600, NULL, 0) == 0);
	CHECK(holds("f", ""));
	CHECK(entries() == 1);
}

/* A limit on file sizes stands in for a full disk: the write fails half way. */
TEST(a_failed_replacement_leaves_the_old_file)
{
	static char large[100000];
	struct rlimit old, small;

	CHECK(file_replace(in_dir("f"), 0640, "old", 3) == 0);
	signal(SIGXFSZ, SIG_IGN);
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = (struct rlimit){ 5000, old.rlim_max };
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	CHECK(file_replace(in_dir("f"), 0640, large, sizeof(large)) == -EFBIG);
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
	CHECK(holds("f", "old"));
	CHECK(entries() == 1);
}

TEST(replacing_what_cannot_be_replaced)
{
	CHECK(mkdir(in_dir("folder"), 0755) == 0);
	CHECK(file_replace(in_dir("folder"), 0600, "x", 1) == -EISDIR);
	CHECK(file_replace(in_dir("none/f"), 0600, "x", 1) == -ENOENT);
	CHECK(rmdir(in_dir("folder")) == 0);
	CHECK(entries() == 1);
}

TEST(reading_within_bounds)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;

	CHECK(file_replace(in_dir("f"), 0600, "12345", 5) == 0);
	CHECK(file_read(in_dir("f"), 4, &s) == -EFBIG);
	str_reset(&s);
	str_addz(&s, "before ");
	CHECK(file_read(in_dir("f"), 5, &s) == 0);
	CHECK(str_eq(str_get(&s), "before 12345"));
	CHECK(file_read(in_dir("none"), 5, &s) == -ENOENT);
	CHECK(file_read(dir, 5, &s) == -EISDIR);
}

TEST(folders)
{
	struct stat st;
	char deep[128];

	CHECK(dir_make(in_dir("a/b/c"), 0750) == 0);
	CHECK(stat(in_dir("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
	CHECK((st.st_mode & 0777) == 0750);
	CHECK(dir_make(in_dir("a/b/c"), 0750) == 0);
	CHECK(dir_make(in_dir("a/b/d//"), 0750) == 0);
	CHECK(stat(in_dir("a/b/d"), &st) == 0);
	CHECK(dir_make("/", 0750) == 0);
	CHECK(dir_make("", 0750) == -ENOENT);
	/* A file in the way, at the end or before it. */
	CHECK(dir_make(in_dir("f"), 0750) == -ENOTDIR);
	CHECK(dir_make(in_dir("f/g"), 0750) == -ENOTDIR);
	/* A link to a folder is one. */
	snprintf(deep, sizeof(deep), "%s/a", dir);
	CHECK(symlink(deep, in_dir("link")) == 0);
	CHECK(dir_make(in_dir("link"), 0750) == 0);
	CHECK(dir_make(in_dir("link/e"), 0750) == 0);
	CHECK(stat(in_dir("a/e"), &st) == 0);
}

TEST(descriptors)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), taken = TAKE_FD(fd);

	CHECK(fd == -1 && taken >= 0);
	CHECK(fd_close(taken) == -1 && fcntl(taken, F_GETFD) < 0);
	CHECK(fd_close(-1) == -1);
	CHECK(fd_write_all(-1, "x", 1) == -EBADF);
}

TEST(cleans_up)
{
	CHECK(unlink(in_dir("f")) == 0 && unlink(in_dir("link")) == 0);
	CHECK(rmdir(in_dir("a/b/c")) == 0 && rmdir(in_dir("a/b/d")) == 0);
	CHECK(rmdir(in_dir("a/b")) == 0 && rmdir(in_dir("a/e")) == 0);
	CHECK(rmdir(in_dir("a")) == 0 && rmdir(dir) == 0);
}
