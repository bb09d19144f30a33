/* File descriptors and whole files. */
#pragma once

#include <sys/types.h>

#include "common/base.h"
#include "common/str.h"

/* Closes fd unless it is negative; returns -1. */
int fd_close(int fd);
static inline void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

/* Hands an owned descriptor over: the source is -1 afterwards. */
#define TAKE_FD(fd)            \
	({                     \
		int t_ = (fd); \
		(fd) = -1;     \
		t_;            \
	})

/* Whether something could not be opened for want of descriptors or memory, which passes and
 * says nothing about it; error is -errno. */
bool fd_is_shortage(int error);
/* Writes all n bytes of a blocking descriptor: 0 or -errno. */
int fd_write_all(int fd, const void *p, size_t n) _mustcheck_;
/* Appends a whole file to out; -EFBIG when it holds more than max bytes. */
int file_read(const char *path, size_t max, struct str *out) _mustcheck_;
/* The same from an open descriptor, from where it stands. */
int fd_read_all(int fd, size_t max, struct str *out) _mustcheck_;
/*
 * Replaces path by the given bytes so that a reader, or a machine that loses power,
 * finds the old file or the new one and never a part: temporary file beside it, fsync,
 * rename, fsync of the folder.  A failed write leaves the old file alone and no
 * temporary one.
 */
int file_replace(const char *path, mode_t mode, const void *p, size_t n) _mustcheck_;
/* Creates path and the folders above it, each with mode, where they are missing; durably,
 * unless the folder above may not be read. */
int dir_make(const char *path, mode_t mode) _mustcheck_;
