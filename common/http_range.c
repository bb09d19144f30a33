/* Byte ranges: see http_range.h. */
#include "common/http_range.h"

#include <string.h>
#include <strings.h>

/* Digits at *p, at least one; what does not fit is as good as malformed. */
static bool number(const char **p, uint64_t *ret)
{
	uint64_t v = 0;

	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; ++*p)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
			return false;
	*ret = v;
	return v <= INT64_MAX;
}

static void blanks(const char **p)
{
	*p += strspn(*p, " \t");
}

/* One "first-last", "first-" or "-suffix" as [*start, *end) of size. */
static bool spec(const char **p, uint64_t size, uint64_t *start, uint64_t *end)
{
	uint64_t v;

	blanks(p);
	if (**p == '-') {
		++*p;
		if (!number(p, &v))
			return false;
		*start = size - MIN(v, size);
		*end = size;
		blanks(p);
		return true;
	}
	if (!number(p, start))
		return false;
	blanks(p);
	if (*(*p)++ != '-')
		return false;
	blanks(p);
	*end = size;
	if (**p == ',' || !**p)
		return true;
	if (!number(p, &v))
		return false;
	*end = MIN(v + 1, size);
	blanks(p);
	return true;
}

int http_range_parse(const char *value, uint64_t size, struct http_range *ranges,
    unsigned max, unsigned *n)
{
	const char *p = value + 6;
	uint64_t total = 0, start, end;

	*n = 0;
	if (strncasecmp(value, "bytes=", 6) != 0)
		return 200;
	do {
		if (!spec(&p, size, &start, &end) || (*p != ',' && *p))
			return 416;
		if (start >= end) {
			if (start == 0 && size == 0)
				return 200;
			continue;
		}
		if (*n == max)
			return 200;
		ranges[(*n)++] = (struct http_range){ start, end - start };
		/* Each is at most size, so that the sum cannot wrap before this. */
		total += end - start;
		if (total > size)
			total = size + 1;
	} while (*p++ == ',');
	if (!*n)
		return 416;
	return total > size ? 200 : 206;
}
