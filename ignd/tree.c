/* The files below a root: see tree.h. */
#include "ignd/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

struct walk {
	char *folders[TREE_FOLDERS]; /* found, in this order */
	unsigned n_folders, n_names;
	bool whole;
	void (*each)(void *arg, const char *name);
	void *arg;
};

static bool is_folder(int parent, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return fstatat(parent, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

static unsigned depth_of(const char *name)
{
	unsigned n = 0;

	for (; *name; name++)
		n += *name == '/';
	return n;
}

static void add_folder(struct walk *w, const char *name)
{
	char *copy = NULL;

	if (w->n_folders < TREE_FOLDERS && depth_of(name) < TREE_DEPTH)
		copy = strdup(name);
	if (copy)
		w->folders[w->n_folders++] = copy;
	else
		w->whole = false;
}

static void add_name(
    struct walk *w, const char *folder, int parent, const struct dirent *d)
{
	char name[TREE_PATH];
	int n = snprintf(
	    name, sizeof(name), "%s%s%s", folder, *folder ? "/" : "", d->d_name);

	if ((size_t)n >= sizeof(name))
		w->whole = false;
	else if (is_folder(parent, d))
		add_folder(w, name);
	else
		w->each(w->arg, name);
}

static void look_in(struct walk *w, struct root *root, const char *folder)
{
	int fd = root_dir(root, *folder ? folder : ".");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir)
		fd_close(fd);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		if (w->n_names == TREE_NAMES) {
			w->whole = false;
			break;
		}
		w->n_names++;
		add_name(w, folder, dirfd(dir), d);
	}
	if (dir)
		closedir(dir);
}

bool tree_walk(struct root *root, void (*each)(void *arg, const char *name), void *arg)
{
	struct walk w = { .whole = true, .each = each, .arg = arg };

	look_in(&w, root, "");
	for (unsigned i = 0; i < w.n_folders; i++) {
		look_in(&w, root, w.folders[i]);
		free(w.folders[i]);
	}
	return w.whole;
}
