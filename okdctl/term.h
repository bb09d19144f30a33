/* What a person sees: colours on a terminal, and tables whose columns line up. */
#pragma once

#include <stdarg.h>

#include "common/base.h"
#include "common/str.h"

enum term_color { TERM_PLAIN, TERM_GREEN, TERM_YELLOW, TERM_RED, TERM_BOLD, TERM_DIM };

/* Appends text in a colour, or plain when on is false. */
void term_add(struct str *out, bool on, enum term_color color, const char *text);
/* Looks at the locale: where it is no UTF-8 one, nothing but ASCII is shown. */
void term_init(void);
/* The size of the terminal that fd is; 0 columns where it is none. */
struct term_size {
	unsigned columns, rows;
};
struct term_size term_size(int fd);
/* Appends a text that begins in column indent, broken at blanks into lines of so many
 * columns, the later ones indented as far; 0 columns: as it is. */
void term_add_wrapped(
    struct str *out, const char *text, unsigned indent, unsigned columns);
/* Appends a screen of lines, cut to the terminal's size: what does not fit is left out, and
 * its last line says so.  Each is cleared behind its text. */
void term_add_screen(struct str *out, const char *lines, struct term_size size);
/* Puts ? for what a terminal might take for a command, and for what is no UTF-8: other
 * people's texts, such as the names of certificate requests, are shown. */
void term_clean(char *s);
/* Appends a sentence, cleaned. */
void term_vaddf(struct str *out, const char *fmt, va_list ap) _printf_(2, 0);
/* Appends a text, cleaned. */
void term_add_text(struct str *out, const char *text);
/* How many columns a text takes on a terminal: escapes take none, and a code point
 * one, or two in the wide East Asian blocks. */
size_t term_width(const char *s);

#define TABLE_COLUMNS 12

/* Rows of cells, printed once all are known.  A failed allocation shows in the output's
 * str. */
struct table {
	struct str *cells;
	size_t n, cap;
	unsigned columns; /* at most TABLE_COLUMNS */
	int err;
};

/* Appends a cell, cleaned; row after row, columns each. */
void table_add(struct table *t, const char *text);
void table_add_color(struct table *t, bool on, enum term_color color, const char *text);
void table_addf(struct table *t, const char *fmt, ...) _printf_(2, 3);
/* Appends all of it, indented; a last column is not padded. */
void table_print(const struct table *t, unsigned indent, struct str *out);
void table_deinit(struct table *t);

/* "17 s", "5 min", "3 h 12 min", "2 d 4 h". */
void term_add_seconds(struct str *out, int64_t s);
/* "512 B", "3.4 MiB". */
void term_add_bytes(struct str *out, uint64_t n);
