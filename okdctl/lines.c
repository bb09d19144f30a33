/* Lines of a text: see lines.h. */
#include "okdctl/lines.h"

#include <string.h>

bool lines_are_plain(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\r' && (i + 1 == n || text[i + 1] != '\n'))
			return false;
	}
	return !memmem(text, n, "\xc2\x85", 2) && !memmem(text, n, "\xe2\x80\xa8", 3) &&
	    !memmem(text, n, "\xe2\x80\xa9", 3);
}

const char *lines_at(const char *text, const char *end, unsigned line)
{
	const char *at = text;

	while (line > 1 && at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));

		at = nl ? nl + 1 : end;
		line--;
	}
	return at;
}
