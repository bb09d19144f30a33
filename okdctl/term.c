/* Colours and tables: see term.h. */
#include "okdctl/term.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "common/utf8.h"

void term_add(struct str *out, bool on, enum term_color color, const char *text)
{
	static const char *const codes[] = {
		[TERM_PLAIN] = "",
		[TERM_GREEN] = "\033[32m",
		[TERM_YELLOW] = "\033[33m",
		[TERM_RED] = "\033[31;1m",
		[TERM_BOLD] = "\033[1m",
		[TERM_DIM] = "\033[2m",
	};

	if (!on || color == TERM_PLAIN)
		str_addz(out, text);
	else
		str_addf(out, "%s%s\033[0m", codes[color], text);
}

/* Bytes of UTF-8 may be commands to a terminal of another encoding. */
static bool ascii_only;

void term_init(void)
{
	ascii_only = !setlocale(LC_CTYPE, "") || !str_eq(nl_langinfo(CODESET), "UTF-8");
}

struct term_size term_size(int fd)
{
	struct winsize w;

	if (ioctl(fd, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
		return (struct term_size){ 0 };
	return (struct term_size){ w.ws_col, w.ws_row };
}

/* Control characters of ASCII and ISO 6429, and those of Unicode that turn the text
 * around or end a line. */
static bool is_command(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
	    (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069);
}

void term_clean(char *s)
{
	size_t left = strlen(s);

	while (left) {
		uint32_t c = 0;
		size_t n = utf8_decode(s, left, &c);

		if (n == 0 || is_command(c) || (ascii_only && c > 0x7f)) {
			n = n ? n : 1;
			memset(s, '?', n);
		}
		s += n;
		left -= n;
	}
}

void term_vaddf(struct str *out, const char *fmt, va_list ap)
{
	size_t from = out->len;

	str_vaddf(out, fmt, ap);
	if (out->len > from)
		term_clean(out->s + from);
}

void term_add_text(struct str *out, const char *text)
{
	_cleanup_(freep) char *clean = strdup(text);

	if (clean)
		term_clean(clean);
	str_addz(out, clean ? clean : "");
}

static bool is_wide(uint32_t c)
{
	return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
	    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	    (c >= 0xff00 && c <= 0xff60) || (c >= 0x20000 && c <= 0x3fffd);
}

size_t term_width(const char *s)
{
	size_t width = 0, left = strlen(s);
	uint32_t c;

	while (left) {
		size_t n = 1;

		if (*s == '\033') {
			n = strcspn(s, "m");
			n += n < left;
		} else {
			n = utf8_decode(s, left, &c);
			width += n ? (is_wide(c) ? 2 : 1) : 1;
			n = n ? n : 1;
		}
		s += n;
		left -= n;
	}
	return width;
}

/* --- lines -------------------------------------------------------------- */

#define WRAP_LEAST 20 /* columns; in fewer, words are not to be read any more */

void term_add_wrapped(
    struct str *out, const char *text, unsigned indent, unsigned columns)
{
	size_t room = columns > indent + WRAP_LEAST ? columns - indent : WRAP_LEAST;
	size_t at = 0;

	if (!columns) {
		str_addz(out, text);
		return;
	}
	while (*text) {
		size_t n = strcspn(text, " ");
		_cleanup_(freep) char *word = strndup(text, n);
		size_t width = word ? term_width(word) : 0;

		if (at && at + 1 + width > room) {
			str_addf(out, "\n%*s", (int)indent, "");
			at = 0;
		}
		str_addf(out, "%s%s", at ? " " : "", word ? word : "");
		at += width + (at != 0);
		text += n;
		text += *text == ' ';
	}
}

/* The first so many columns of a line; colours go on to its end. */
static void add_cut(struct str *out, const char *line, size_t n, size_t columns)
{
	for (size_t i = 0, width = 0; i < n;) {
		uint32_t c = 0;
		size_t len = 1;

		if (line[i] == '\033') {
			len = strcspn(line + i, "m") + 1;
		} else {
			len = utf8_decode(line + i, n - i, &c);
			len = len ? len : 1;
			width += is_wide(c) ? 2 : 1;
			if (width > columns) {
				i += len;
				continue;
			}
		}
		str_add(out, line + i, MIN(len, n - i));
		i += len;
	}
}

void term_add_screen(struct str *out, const char *lines, struct term_size size)
{
	size_t total = 0, shown;

	for (const char *p = lines; *p; p++)
		total += *p == '\n';
	shown = total > size.rows ? size.rows - 1 : total;
	for (size_t i = 0; i < shown; i++) {
		size_t n = strcspn(lines, "\n");

		add_cut(out, lines, n, size.columns);
		/* Behind the last row, a line end would move the whole screen. */
		str_addz(out, i + 1 < size.rows ? "\033[K\n" : "\033[K");
		lines += n;
		lines += *lines == '\n';
	}
	if (shown < total) {
		_cleanup_(str_deinit) struct str rest = STR_INIT;

		str_addf(
		    &rest, "%zu more lines: make the window higher", total - shown);
		add_cut(out, str_get(&rest), rest.len, size.columns);
		str_addz(out, "\033[K");
	}
	str_addz(out, "\033[J");
}

/* --- tables ------------------------------------------------------------- */

void table_add_color(struct table *t, bool on, enum term_color color, const char *text)
{
	_cleanup_(freep) char *clean = strdup(text ? text : "");

	if (t->err)
		return;
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct str *cells = reallocarray(t->cells, cap, sizeof(*cells));

		if (!cells) {
			t->err = -ENOMEM;
			return;
		}
		t->cells = cells;
		t->cap = cap;
	}
	t->cells[t->n] = (struct str)STR_INIT;
	if (clean)
		term_clean(clean);
	term_add(&t->cells[t->n++], on, color, clean ? clean : "");
}

void table_add(struct table *t, const char *text)
{
	table_add_color(t, false, TERM_PLAIN, text);
}

void table_addf(struct table *t, const char *fmt, ...)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	table_add(t, str_get(&s));
}

void table_print(const struct table *t, unsigned indent, struct str *out)
{
	size_t width[TABLE_COLUMNS] = { 0 };

	if (t->err)
		out->err = t->err;
	for (size_t i = 0; i < t->n; i++) {
		size_t w = term_width(str_get(&t->cells[i]));

		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->n; i++) {
		unsigned column = (unsigned)(i % t->columns);
		const char *text = str_get(&t->cells[i]);

		str_addf(out, "%*s%s", column ? 2 : (int)indent, "", text);
		if (column + 1 < t->columns)
			str_addf(
			    out, "%*s", (int)(width[column] - term_width(text)), "");
		else
			str_addc(out, '\n');
	}
}

void table_deinit(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		str_deinit(&t->cells[i]);
	free(t->cells);
	*t = (struct table){ .columns = t->columns };
}

void term_add_seconds(struct str *out, int64_t s)
{
	long long v = s < 0 ? -(long long)s : (long long)s;

	if (v < 120)
		str_addf(out, "%lld s", v);
	else if (v < 7200)
		str_addf(out, "%lld min", v / 60);
	else if (v < 172800)
		str_addf(out, "%lld h %lld min", v / 3600, v / 60 % 60);
	else
		str_addf(out, "%lld d %lld h", v / 86400, v / 3600 % 24);
}

void term_add_bytes(struct str *out, uint64_t n)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n / 1024;
	unsigned u = 0;

	if (n < 1024) {
		str_addf(out, "%u B", (unsigned)n);
		return;
	}
	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	str_addf(out, "%.1f %s", v, units[u]);
}
