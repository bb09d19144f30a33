/*
 * A growing string, and small helpers for plain ones.  A failed allocation sticks: the
 * appends after it do nothing, and str_err() or str_take() tells at the end, so that a
 * page of output needs one check.
 */
#pragma once

#include <stdarg.h>
#include <string.h>

#include "common/base.h"

struct str {
	char *s; /* NUL-terminated once anything was appended, else NULL */
	size_t len, cap;
	int err;
};

#define STR_INIT              \
	{                     \
		NULL, 0, 0, 0 \
	}

void str_deinit(struct str *s);
/* Empties it and clears the error, but keeps the memory. */
void str_reset(struct str *s);
void str_add(struct str *s, const void *p, size_t n);
void str_addz(struct str *s, const char *z);
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) _printf_(2, 3);
void str_vaddf(struct str *s, const char *fmt, va_list ap) _printf_(2, 0);
/* Makes room for n more bytes and returns where they go, NULL without memory; the
 * caller adds what it wrote with str_commit(). */
char *str_reserve(struct str *s, size_t n);
void str_commit(struct str *s, size_t n);
/* 0, or -ENOMEM when an append failed since the last reset. */
int str_err(const struct str *s);
/* Hands the text over ("" when empty); NULL when an append failed. */
char *str_take(struct str *s);
/* The text so far; never NULL. */
const char *str_get(const struct str *s);

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix);
/* Digits only, no sign, no blanks, at most max: 0, -EINVAL or -ERANGE. */
int str_to_u64(const char *s, uint64_t max, uint64_t *ret) _mustcheck_;
/* The entry of a NULL-terminated list that s was probably meant to be, or NULL: at most
 * two edits away (a swap of neighbours is one), and less than half of its length. */
const char *str_nearest(const char *s, const char *const *list);
/* Compares without telling by its run time where the difference is. */
bool str_eq_secret(const void *a, const void *b, size_t n);
