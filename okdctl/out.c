/* Answers read and printed: see out.h. */
#include "okdctl/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/json.h"
#include "okdctl/cli.h"
#include "okdctl/term.h"

const char *text_of(const json_t *obj, const char *key)
{
	const char *s = json_str(obj, key);

	return s ? s : "";
}

int64_t number_of(const json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key));
}

/* JSON escapes the control characters of ASCII only, and a terminal obeys others. */
int out_json(const json_t *v)
{
	size_t how = JSON_INDENT(2) | (isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0);
	_cleanup_(freep) char *text = v ? json_dumps(v, how) : NULL;

	if (v && !text)
		return cli_fail(EXIT_FAILED, "out of memory");
	if (text)
		puts(text);
	return 0;
}

int out_json_take(json_t *v)
{
	_cleanup_(json_freep) json_t *owned = v;

	return owned ? out_json(owned) : cli_fail(EXIT_FAILED, "out of memory");
}

void out_line(const char *fmt, ...)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	term_vaddf(&text, fmt, ap);
	va_end(ap);
	puts(str_get(&text));
}

int out_table(struct table *t)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;

	table_print(t, 0, &out);
	table_deinit(t);
	if (str_err(&out))
		return cli_fail(EXIT_FAILED, "out of memory");
	fputs(str_get(&out), stdout);
	return 0;
}
