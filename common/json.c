/* Helpers over jansson: see json.h. */
#include "common/json.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* jansson recurses up to 2048 levels; this finds the depth without a stack. */
static int check_depth(const char *name, const char *text, size_t n, struct err *e)
{
	unsigned depth = 0, line = 1, column = 1;
	bool in_string = false;

	for (size_t i = 0; i < n; i++, column++) {
		char c = text[i];

		if (c == '\n') {
			line++;
			column = 0;
		} else if (c == '"') {
			in_string = !in_string;
		} else if (in_string) {
			i += c == '\\';
			column += c == '\\';
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_MAX_DEPTH)
				return err_at(e, -EINVAL, name, line, column,
				    "nested deeper than %d levels", JSON_MAX_DEPTH);
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return 0;
}

int json_load_limited(json_t **ret, const char *name, const char *text, size_t n,
    size_t flags, struct err *e)
{
	json_error_t je;
	json_t *v;
	int r = check_depth(name, text, n, e);

	if (r < 0)
		return r;
	v = json_loadb(text, n, flags, &je);
	if (!v) {
		/* It quotes the text. */
		for (char *p = je.text; *p; p++)
			*p = *p < ' ' || *p > '~' ? '?' : *p;
		return err_at(e,
		    json_error_code(&je) == json_error_out_of_memory ? -ENOMEM
								     : -EINVAL,
		    name, je.line > 0 ? (unsigned)je.line : 0,
		    je.column > 0 ? (unsigned)je.column : 0, "not valid JSON: %s",
		    je.text);
	}
	*ret = v;
	return 0;
}

const char *json_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

json_t *json_path(const json_t *obj, ...)
{
	json_t *v = (json_t *)obj;
	const char *key;
	va_list ap;

	va_start(ap, obj);
	while (v && (key = va_arg(ap, const char *)))
		v = json_object_get(v, key);
	va_end(ap);
	return v;
}

int json_i64(const json_t *v, int64_t *ret)
{
	const char *s = json_string_value(v);
	bool negative = s && *s == '-';
	uint64_t u;
	int r;

	if (!v)
		return -ENOENT;
	if (json_is_integer(v)) {
		*ret = json_integer_value(v);
		return 0;
	}
	if (!s)
		return -EINVAL;
	r = str_to_u64(s + negative, (uint64_t)INT64_MAX + negative, &u);
	if (r == 0)
		*ret = (int64_t)(negative ? 0 - u : u);
	return r;
}

static int add_to_str(const char *p, size_t n, void *arg)
{
	str_add(arg, p, n);
	return str_err(arg) ? -1 : 0;
}

int json_dump_str(const json_t *v, struct str *out)
{
	if (json_dump_callback(v, add_to_str, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
		return 0;
	return str_err(out) ? str_err(out) : -EINVAL;
}
