/* ignd/tree: which names are found, and how many at most. */
#include "ignd/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/test.h"

static struct root root;
static unsigned found;
static struct str names;

static void note(void *arg, const char *name)
{
	found++;
	str_addf(&names, "%s ", name);
}

static bool walk(void)
{
	found = 0;
	str_reset(&names);
	return tree_walk(&root, note, NULL);
}

static void put(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
	fd_close(fd);
}

static void begin(char dir[])
{
	CHECK(mkdtemp(dir) && chdir(dir) == 0);
	root = (struct root){ .fd = -1 };
	CHECK(mkdir("root", 0755) == 0 && root_init(&root, "root") == 0);
}

static void end(const char *dir)
{
	char command[80];

	root_deinit(&root);
	str_deinit(&names);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK(system(command) == 0);
}

TEST(folders_in_folders)
{
	char dir[] = "/tmp/okd-tree-XXXXXX";

	begin(dir);
	CHECK(walk() && found == 0);
	CHECK(mkdir("beside", 0755) == 0 && mkdir("root/.git", 0755) == 0);
	CHECK(mkdir("root/a", 0755) == 0 && mkdir("root/a/b", 0755) == 0);
	put("beside/secret");
	put("root/.git/config");
	put("root/a/b/deep");
	put("root/a/.hidden");
	put("root/a/middle");
	put("root/top");
	CHECK(symlink("../beside", "root/outward") == 0);
	CHECK(symlink("..", "root/a/up") == 0);
	CHECK(symlink("top", "root/a/link") == 0);
	CHECK(walk());
	CHECK(strstr(str_get(&names), "top ") < strstr(str_get(&names), "a/middle "));
	CHECK(strstr(str_get(&names), "a/middle ") <
	    strstr(str_get(&names), "a/b/deep "));
	CHECK(strstr(str_get(&names), "a/link "));
	/* Links are names like others, and not gone through. */
	CHECK(found == 6 && !strstr(str_get(&names), "secret"));
	CHECK(!strstr(str_get(&names), "hidden") && !strstr(str_get(&names), ".git"));
	CHECK(!strstr(str_get(&names), "up/"));
	end(dir);
}

TEST(only_so_deep)
{
	char dir[] = "/tmp/okd-tree-XXXXXX", name[64] = "root";

	begin(dir);
	for (int i = 0; i < TREE_DEPTH; i++) {
		strcat(name, "/d");
		CHECK(mkdir(name, 0755) == 0);
	}
	strcat(name, "/file");
	put(name);
	CHECK(walk() && found == 1);
	CHECK(str_ends(str_get(&names), "/file "));
	CHECK(unlink(name) == 0 && mkdir(name, 0755) == 0);
	CHECK(!walk() && found == 0);
	end(dir);
}

TEST(only_so_many)
{
	char dir[] = "/tmp/okd-tree-XXXXXX", name[64];

	begin(dir);
	for (int i = 0; i < TREE_FOLDERS; i++) {
		snprintf(name, sizeof(name), "root/%d", i);
		CHECK(mkdir(name, 0755) == 0);
		snprintf(name, sizeof(name), "root/%d/file", i);
		put(name);
	}
	CHECK(walk() && found == TREE_FOLDERS);
	CHECK(mkdir("root/more", 0755) == 0);
	/* Which one is left out is the file system's choice. */
	CHECK(!walk() && found >= TREE_FOLDERS - 1);
	CHECK(rmdir("root/more") == 0 && walk());
	for (int i = 0; i < TREE_NAMES; i++) {
		snprintf(name, sizeof(name), "root/0/x%d", i);
		put(name);
	}
	CHECK(!walk() && found <= TREE_NAMES - TREE_FOLDERS);
	end(dir);
}
