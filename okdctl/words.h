/* A growing list of owned strings. */
#pragma once

#include "common/base.h"

struct words {
	char **v;
	size_t n;
};

/* Appends a copy: 0 or -ENOMEM. */
int words_add(struct words *w, const char *s) _mustcheck_;
int words_add_n(struct words *w, const char *s, size_t n) _mustcheck_;
/* The words of text between blanks. */
int words_split(struct words *w, const char *text) _mustcheck_;
bool words_has(const struct words *w, const char *s);
void words_deinit(struct words *w);
