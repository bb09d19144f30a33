/* Ranges of uploads: see span.h. */
#include "regd/span.h"

#include <errno.h>

#include "common/str.h"

/* Digits at *s, which is moved behind them: 0 or -EINVAL. */
static int number(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > (INT64_MAX - 9) / 10)
			return -EINVAL;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	if (p == *s)
		return -EINVAL;
	*s = p;
	*ret = v;
	return 0;
}

int span_parse(const char *s, uint64_t *first, uint64_t *last)
{
	bool rfc = str_starts(s, "bytes ");
	uint64_t size;

	if (rfc)
		s += 6;
	if (number(&s, first) < 0 || *s++ != '-' || number(&s, last) < 0)
		return -EINVAL;
	if (rfc && *s == '/') {
		s++;
		if (*s == '*')
			s++;
		else if (number(&s, &size) < 0)
			return -EINVAL;
	}
	return *s == '\0' && *first <= *last ? 0 : -EINVAL;
}
