/*
 * The folders that files are served from.  A name is opened below its root and nowhere
 * else (common/beneath.h).
 */
#pragma once

#include <sys/stat.h>

#include "common/base.h"
#include "common/str.h"

struct root {
	char *path;
	int fd; /* -1 while the folder is not there */
};

/* path is copied.  A folder that is missing is looked for again at each opening. */
int root_init(struct root *r, const char *path) _mustcheck_;
void root_deinit(struct root *r);
/*
 * Opens a regular file, for reading, and fills st.  Returns the descriptor, or -ENOENT
 * (there is none, or it is no regular file), -EXDEV (it leads out of the root), -EACCES,
 * -EMFILE and the like.
 */
int root_open(struct root *r, const char *name, struct stat *st) _mustcheck_;
/* Whether there is a folder of that name. */
bool root_is_dir(struct root *r, const char *name);
/* The folder of that name ("." is the root), which is no link, for reading its names; the
 * caller closes it.  -errno. */
int root_dir(struct root *r, const char *name) _mustcheck_;

/* Reads the whole file into text, and insists on one that stands still meanwhile: st, as
 * the file was opened, becomes that of the very bytes.  -EBUSY: it keeps changing; -EFBIG:
 * it holds more than max; -errno. */
int file_read_still(int fd, struct stat *st, size_t max, struct str *text) _mustcheck_;
/* Whether two of them tell of the same bytes: same file, size and times. */
bool stat_same(const struct stat *a, const struct stat *b);
