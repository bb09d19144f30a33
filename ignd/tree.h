/*
 * The names of the files below a root, in folders of folders, as many as there is time for:
 * whoever fills the folder must not keep the main loop busy.
 */
#pragma once

#include "common/base.h"
#include "ignd/file.h"

enum {
	TREE_DEPTH = 8,     /* folders in each other */
	TREE_FOLDERS = 256, /* in all */
	TREE_NAMES = 4096,  /* in all, folders too */
	TREE_PATH = 512,    /* bytes of a name with its folders, and a zero */
};

/*
 * Calls each for every name that is no folder's, "folder/file", what is nearer to the top
 * first.  Neither hidden names nor what links to folders lead to are among them.  False:
 * some were left out, because there are too many, too deep or too long ones.
 */
bool tree_walk(struct root *root, void (*each)(void *arg, const char *name), void *arg);
