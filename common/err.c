/* Faults for the operator: see err.h. */
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>

/* Built apart, because the arguments may be the old text and file of e itself. */
static _printf_(5, 0) void fill(struct err *e, const char *file, unsigned line,
    unsigned column, const char *fmt, va_list ap)
{
	struct err made = { .line = line, .column = column };

	if (!e)
		return;
	snprintf(made.file, sizeof(made.file), "%s", file ? file : "");
	vsnprintf(made.text, sizeof(made.text), fmt, ap);
	*e = made;
}

int err_set(struct err *e, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, "", 0, 0, fmt, ap);
	va_end(ap);
	return r;
}

int err_at(struct err *e, int r, const char *file, unsigned line, unsigned column,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, file, line, column, fmt, ap);
	va_end(ap);
	return r;
}

const char *err_format(const struct err *e, char *buf, size_t n)
{
	if (!e->file[0])
		snprintf(buf, n, "%s", e->text);
	else if (!e->line)
		snprintf(buf, n, "%s: %s", e->file, e->text);
	else if (!e->column)
		snprintf(buf, n, "%s:%u: %s", e->file, e->line, e->text);
	else
		snprintf(buf, n, "%s:%u:%u: %s", e->file, e->line, e->column, e->text);
	return buf;
}
