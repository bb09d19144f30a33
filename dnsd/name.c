/* Domain names: see name.h. */
#include "dnsd/name.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

uint64_t name_key[2] = { 0x2d358dccaa6c78a5ULL, 0x8bb84b93962eacc9ULL };

static void draw_key(void)
{
	uint64_t r[2];

	/* At early boot without entropy the built-in key serves. */
	if (getrandom(r, sizeof(r), GRND_NONBLOCK) == sizeof(r))
		memcpy(name_key, r, sizeof(r));
}

void name_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, draw_key);
}

/* One character of a label, escapes resolved; *s moves on.  -1 for a bad escape. */
static int next_char(const char **s)
{
	const char *p = *s;
	int c = (unsigned char)*p++;

	if (c == '\\') {
		if (isdigit((unsigned char)p[0]) && isdigit((unsigned char)p[1]) &&
		    isdigit((unsigned char)p[2])) {
			c = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
			p += 3;
		} else if (*p && !isdigit((unsigned char)*p)) {
			c = (unsigned char)*p++;
		} else {
			return -1;
		}
	}
	*s = p;
	return c <= 255 ? c : -1;
}

int name_parse(struct name_buf *b, const char *text)
{
	uint8_t wire[DNS_NAME_MAX + 1];
	size_t start = 0, i = 1;

	if (!*text)
		return -EINVAL;
	if (text[0] == '.' && !text[1])
		text++;
	while (*text) {
		int c;

		if (*text == '.') {
			if (i == start + 1)
				return -EINVAL;
			wire[start] = (uint8_t)(i - start - 1);
			start = i++;
			text++;
			if (start >= DNS_NAME_MAX)
				return -EINVAL;
			continue;
		}
		c = next_char(&text);
		if (c < 0 || i - start > DNS_LABEL_MAX || i >= DNS_NAME_MAX)
			return -EINVAL;
		wire[i++] = (uint8_t)c;
	}
	if (i > start + 1) {
		wire[start] = (uint8_t)(i - start - 1);
		start = i;
	}
	if (start >= DNS_NAME_MAX)
		return -EINVAL;
	wire[start] = 0;
	name_set(b, wire, start + 1);
	return 0;
}

int name_prepend(struct name_buf *b, const char *label)
{
	uint8_t wire[DNS_NAME_MAX];
	size_t n = strlen(label);

	if (!n || n > DNS_LABEL_MAX || b->len + n + 1 > DNS_NAME_MAX)
		return -EINVAL;
	wire[0] = (uint8_t)n;
	memcpy(wire + 1, label, n);
	memcpy(wire + 1 + n, b->wire, b->len);
	name_set(b, wire, b->len + n + 1);
	return 0;
}

void name_reverse(struct name_buf *b, const struct net_ip *ip)
{
	static const char hex[] = "0123456789abcdef";
	char text[80];
	size_t n = 0;

	if (ip->family == 4) {
		snprintf(text, sizeof(text), "%u.%u.%u.%u.in-addr.arpa.", ip->bytes[3],
		    ip->bytes[2], ip->bytes[1], ip->bytes[0]);
	} else {
		for (int i = 15; i >= 0; i--) {
			text[n++] = hex[ip->bytes[i] & 15];
			text[n++] = '.';
			text[n++] = hex[ip->bytes[i] >> 4];
			text[n++] = '.';
		}
		strcpy(text + n, "ip6.arpa.");
	}
	/* Such a name is always well formed. */
	if (name_parse(b, text) < 0)
		abort();
}

enum { PLAIN, ESCAPED, DECIMAL };

/* What means something else in a zone file, in which templates write names, and in the
 * quotes of the query log, gets a backslash. */
static int kind_of(uint8_t c)
{
	static const uint8_t escaped[128] = { ['.'] = 1,
		['\\'] = 1,
		['"'] = 1,
		['\''] = 1,
		['@'] = 1,
		[';'] = 1,
		['('] = 1,
		[')'] = 1 };

	if (c <= ' ' || c >= 127)
		return DECIMAL;
	return escaped[c] ? ESCAPED : PLAIN;
}

const char *name_format(const uint8_t *wire, char buf[NAME_TEXT_MAX])
{
	char *o = buf;

	if (!*wire)
		*o++ = '.';
	while (*wire) {
		for (unsigned n = *wire++; n; n--, wire++) {
			int kind = kind_of(*wire);

			if (_unlikely_(kind == DECIMAL)) {
				o += sprintf(o, "\\%03u", *wire);
				continue;
			}
			if (_unlikely_(kind == ESCAPED))
				*o++ = '\\';
			*o++ = (char)*wire;
		}
		*o++ = '.';
	}
	*o = '\0';
	return buf;
}

unsigned name_labels(const uint8_t *wire)
{
	unsigned n = 0;

	for (; *wire; wire += *wire + 1u)
		n++;
	return n;
}

bool name_has_wildcard(const struct name_buf *name)
{
	for (const uint8_t *p = name->wire; *p; p += *p + 1u)
		if ((p[0] == 1 && p[1] == '*') ||
		    (p[0] == 3 && memcmp(p + 1, "any", 3) == 0))
			return true;
	return false;
}
