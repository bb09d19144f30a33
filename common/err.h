/*
 * What went wrong, for the operator: a sentence, and where to look.  The caller owns
 * the struct (usually on its stack) and hands a pointer down; whoever finds the fault
 * fills it and returns -errno beside it.  Every function here takes NULL and does
 * nothing then.
 */
#pragma once

#include "common/base.h"

struct err {
	char file[256];        /* "" when the fault is in no file */
	unsigned line, column; /* from 1; 0 means unknown */
	char text[768];
};

#define ERR_INIT             \
	{                    \
		"", 0, 0, "" \
	}

/* A sentence without a place.  Returns r, so that it can end a function. */
int err_set(struct err *e, int r, const char *fmt, ...) _printf_(3, 4);
/* A sentence with a place. */
int err_at(struct err *e, int r, const char *file, unsigned line, unsigned column,
    const char *fmt, ...) _printf_(6, 7);
/* "file:line:column: sentence", or the sentence alone, in a buffer of the caller's. */
const char *err_format(const struct err *e, char *buf, size_t n);

#define ERR_FORMAT_MAX (sizeof(struct err) + 32)
#define err_str(e) err_format((e), (char[ERR_FORMAT_MAX]){ "" }, ERR_FORMAT_MAX)
