/* Request paths: see http_path.h. */
#include "common/http_path.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_hex_pair(const char *p)
{
	int high = hex_digit(p[0]), low = high < 0 ? -1 : hex_digit(p[1]);

	return low < 0 ? -1 : high << 4 | low;
}

/* The next byte of the path, decoded; 0 at its end, -1 for a bad escape. */
static int next_byte(const char **p)
{
	int c = (unsigned char)**p;

	if (!c || c == '?')
		return 0;
	if (c != '%') {
		++*p;
		return c;
	}
	c = http_hex_pair(*p + 1);
	*p += 3;
	return c > 0 ? c : -1;
}

/* Ends the segment out[seg..len): returns the new length, or -1 above the root. */
static ssize_t segment_end(char *out, size_t seg, size_t len)
{
	size_t n = len - seg;

	if (n == 1 && out[seg] == '.')
		return (ssize_t)seg;
	if (n == 2 && out[seg] == '.' && out[seg + 1] == '.') {
		if (seg == 1)
			return -1;
		for (seg--; out[seg - 1] != '/'; seg--)
			;
		return (ssize_t)seg;
	}
	return (ssize_t)len;
}

ssize_t http_path_decode(const char *target, char *out, size_t size, const char **query)
{
	const char *p = target;
	size_t len = 1, seg = 1;
	int c;

	if (*p++ != '/')
		return -EINVAL;
	if (size < 2)
		return -ENOSPC;
	out[0] = '/';
	do {
		c = next_byte(&p);
		if (c < 0)
			return -EINVAL;
		if (c == 0 || c == '/') {
			ssize_t r = segment_end(out, seg, len);

			if (r < 0)
				return -EINVAL;
			len = (size_t)r;
			seg = len;
		}
		if (c == 0 || (c == '/' && out[len - 1] == '/'))
			continue;
		if (len + 1 >= size)
			return -ENOSPC;
		out[len++] = (char)c;
		if (c == '/')
			seg = len;
	} while (c);
	out[len] = '\0';
	*query = *p == '?' ? p + 1 : NULL;
	return (ssize_t)len;
}
