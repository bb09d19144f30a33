/* Answers of the API server: see answer.h. */
#include "csrd/answer.h"

#include <string.h>

#include "common/json.h"

/* What stands behind the string that begins there; a zero in it becomes another. */
static size_t tame_string(char *p, size_t at, size_t n)
{
	while (at < n && p[at] != '"') {
		bool escape = p[at] == '\\';

		if (escape && n - at >= 6 && memcmp(p + at + 1, "u0000", 5) == 0)
			memcpy(p + at + 1, "ufffd", 5);
		at += escape ? 2 : 1;
	}
	return at + 1;
}

/* Whether brackets fit is the parser's business. */
static void tame(char *p, size_t n)
{
	size_t deep = 0;
	unsigned depth = 0;

	for (size_t at = 0; at < n;) {
		char c = p[at++];

		if (c == '"') {
			at = tame_string(p, at, n);
		} else if (c == '[' || c == '{') {
			if (++depth == JSON_MAX_DEPTH)
				deep = at;
		} else if ((c == ']' || c == '}') && depth) {
			if (depth-- == JSON_MAX_DEPTH)
				memset(p + deep, ' ', at - 1 - deep);
		}
	}
}

json_t *answer_parse(struct str *text)
{
	tame(text->s, text->len);
	return json_loadb(str_get(text), text->len, 0, NULL);
}
