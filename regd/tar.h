/*
 * Reads a tar stream as it comes, in pieces of any size: ustar, GNU long names, pax
 * paths and sizes.  Pure; memory is bounded whatever the stream says.
 */
#pragma once

#include "common/base.h"

enum { TAR_NAME_MAX = 1024 }; /* of an entry, with its NUL; longer ones are skipped */

struct tar;

struct tar_ops {
	/* A regular file begins; true when its data are wanted.  name has no "./" in
	 * front. */
	bool (*entry)(void *arg, const char *name, uint64_t size);
	/* A piece of a wanted file: 0, or what tar_feed() is to end with. */
	int (*data)(void *arg, const void *p, size_t n);
	/* A wanted file is complete: 0, or what tar_feed() is to end with. */
	int (*end)(void *arg);
};

int tar_new(struct tar **ret, const struct tar_ops *ops, void *arg) _mustcheck_;
struct tar *tar_free(struct tar *t);
DEFINE_FREEP(tar)
/* 0 for more, -EBADMSG for what is no tar, or what a callback returned. */
int tar_feed(struct tar *t, const void *p, size_t n) _mustcheck_;
/* The data at hand are not wanted: how many bytes to pass over, which then count as fed.
 * 0 elsewhere. */
uint64_t tar_skip(struct tar *t);
