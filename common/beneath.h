/* Opening files below a folder, and nowhere else. */
#pragma once

#include "common/base.h"

/*
 * Opens name below the folder that root is open at, with these flags and O_CLOEXEC, so
 * that neither ".." nor a symbolic link leads out of it, whoever changes the tree
 * meanwhile.  Links that stay below are followed, the last one not when O_NOFOLLOW is
 * among the flags.  Returns the descriptor, -EXDEV for what leads out, or -errno.
 */
int open_beneath(int root, const char *name, int flags) _mustcheck_;
