/*
 * The head of a request (RFC 9112 sections 2, 3, 5 and 6).  It is parsed once it is
 * complete, in one pass and in place: the bytes that separate its parts become the NULs
 * that end them, so nothing is copied.
 */
#include "common/http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"

enum {
	TOKEN = 1 << 0,  /* tchar, RFC 9110 section 5.6.2 */
	FIELD = 1 << 1,  /* VCHAR, obs-text, SP and HTAB: section 5.5 */
	TARGET = 1 << 2, /* printable ASCII but "#", which no target has */
	HOST = 1 << 3,   /* reg-name, RFC 3986 section 3.2.2 */
};

static const uint8_t class[256] = {
	['\t'] = FIELD,
	[' '] = FIELD,
	['!'] = TOKEN | FIELD | TARGET | HOST,
	['"'] = FIELD | TARGET,
	['#'] = TOKEN | FIELD,
	['$'] = TOKEN | FIELD | TARGET | HOST,
	['%' ... '\''] = TOKEN | FIELD | TARGET | HOST,
	['(' ... ')'] = FIELD | TARGET | HOST,
	['*' ... '+'] = TOKEN | FIELD | TARGET | HOST,
	[','] = FIELD | TARGET | HOST,
	['-' ... '.'] = TOKEN | FIELD | TARGET | HOST,
	['/'] = FIELD | TARGET,
	['0' ... '9'] = TOKEN | FIELD | TARGET | HOST,
	[':'] = FIELD | TARGET,
	[';'] = FIELD | TARGET | HOST,
	['<'] = FIELD | TARGET,
	['='] = FIELD | TARGET | HOST,
	['>' ... '@'] = FIELD | TARGET,
	['A' ... 'Z'] = TOKEN | FIELD | TARGET | HOST,
	['[' ... ']'] = FIELD | TARGET,
	['^' ... '`'] = TOKEN | FIELD | TARGET,
	['a' ... 'z'] = TOKEN | FIELD | TARGET | HOST,
	['{'] = FIELD | TARGET,
	['|'] = TOKEN | FIELD | TARGET,
	['}'] = FIELD | TARGET,
	['~'] = TOKEN | FIELD | TARGET | HOST,
	[0x80 ... 0xff] = FIELD,
};

/* The first byte from p on that is not of that class; what ends a head always stops it.
 */
static char *skip(char *p, unsigned set)
{
	while (class[(unsigned char)*p] & set)
		p++;
	return p;
}

ssize_t http_head_find(const char *buf, size_t n, size_t *scanned)
{
	const char *end = buf + n;

	for (const char *p = buf + *scanned; p < end;) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		if (!lf)
			break;
		if (lf == buf || lf[-1] != '\r')
			return -EBADMSG;
		if (lf - buf >= 3 && lf[-2] == '\n')
			return lf + 1 - buf;
		p = lf + 1;
	}
	*scanned = n;
	return -EAGAIN;
}

/* host [":" port], RFC 9110 section 7.2; an empty one stands for "no authority". */
static bool host_ok(const char *s)
{
	const char *p = s;

	if (*p == '[') {
		p += strspn(p + 1, "0123456789abcdefABCDEF:.") + 1;
		if (*p++ != ']')
			return false;
	} else {
		while (class[(unsigned char)*p] & HOST)
			p++;
	}
	if (*p == ':')
		p += strspn(p + 1, "0123456789") + 1;
	return !*p;
}

/*
 * "http://host[/path][?query]" becomes the host and the rest.  Both need room for a
 * NUL, and an empty path for a slash: the scheme in front, which nobody needs, makes
 * it.
 */
static int absolute_form(struct http_head *h, char *target)
{
	char *host = strstr(target, "://"), *rest;
	size_t n;

	if (!host ||
	    !((host - target == 4 && strncasecmp(target, "http", 4) == 0) ||
		(host - target == 5 && strncasecmp(target, "https", 5) == 0)))
		return 400;
	host += 3;
	n = strcspn(host, "/?");
	rest = host + n;
	if (*rest == '/') {
		memmove(host - 1, host, n);
		host--;
	} else {
		memmove(host - 2, host, n);
		host -= 2;
		*--rest = '/';
	}
	host[n] = '\0';
	if (n == 0 || !host_ok(host))
		return 400;
	h->host = host;
	h->target = rest;
	return 0;
}

/* method SP target SP "HTTP/" digit "." digit CRLF; *line is moved behind it. */
static int request_line(struct http_head *h, char **line, size_t target_max)
{
	char *p = *line, *target, *end;

	end = skip(p, TOKEN);
	if (end == p || *end != ' ')
		return 400;
	*end = '\0';
	h->method_name = p;
	h->method = http_method_from(p, (size_t)(end - p));

	target = end + 1;
	end = skip(target, TARGET);
	if (end == target || *end != ' ')
		return 400;
	if ((size_t)(end - target) > target_max)
		return 414;
	*end = '\0';

	p = end + 1;
	if (strncmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' || p[6] != '.' ||
	    p[7] < '0' || p[7] > '9' || p[8] != '\r' || p[9] != '\n')
		return 400;
	if (p[5] != '1')
		return 505;
	h->minor = p[7] > '0';
	*line = p + 10;

	if (*target == '/' ||
	    (target[0] == '*' && !target[1] && h->method == HTTP_OPTIONS)) {
		h->target = target;
		return 0;
	}
	return absolute_form(h, target);
}

/* name ":" OWS value OWS CRLF; *line is moved behind it. */
static int field_line(struct http_header *f, char **line)
{
	char *name = *line, *p = skip(name, TOKEN), *value, *end;

	/* A blank in front of the line (a folded one) or of the colon ends up here too.
	 */
	if (p == name || *p != ':')
		return 400;
	*p++ = '\0';
	while (*p == ' ' || *p == '\t')
		p++;
	value = p;
	p = skip(p, FIELD);
	if (p[0] != '\r' || p[1] != '\n')
		return 400;
	end = p;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	f->name = name;
	f->value = value;
	*line = p + 2;
	return 0;
}

/* What the lines that frame the message say, gathered before it is judged. */
struct framing {
	const char *host, *length, *coding;
	unsigned hosts, lengths, codings;
	bool close, keep_alive;
};

static int framing_add(
    struct http_head *h, struct framing *f, const char *name, const char *value)
{
	switch (strlen(name)) {
	case 4:
		if (strcasecmp(name, "host") == 0) {
			f->host = value;
			f->hosts++;
		}
		break;
	case 6:
		if (strcasecmp(name, "expect") == 0) {
			if (strcasecmp(value, "100-continue") != 0)
				return 417;
			h->expect_continue = h->minor > 0;
		}
		break;
	case 10:
		if (strcasecmp(name, "connection") == 0) {
			f->close |= http_list_has(value, "close");
			f->keep_alive |= http_list_has(value, "keep-alive");
		}
		break;
	case 14:
		if (strcasecmp(name, "content-length") == 0) {
			f->length = value;
			f->lengths++;
		}
		break;
	case 17:
		if (strcasecmp(name, "transfer-encoding") == 0) {
			f->coding = value;
			f->codings++;
		}
		break;
	}
	return 0;
}

/*
 * Which body follows (RFC 9112 section 6.3).  Anything that another program could read
 * otherwise is refused: both lengths, a repeated one, a list of lengths, a coding in
 * HTTP/1.0, chunked that is not the only and last coding.
 */
static int framing_body(struct http_head *h, const struct framing *f)
{
	if (f->codings) {
		if (f->lengths || f->codings > 1 || h->minor == 0)
			return 400;
		if (strcasecmp(f->coding, "chunked") != 0)
			return !*f->coding || http_list_has(f->coding, "chunked") ? 400
										  : 501;
		h->chunked = true;
	} else if (f->lengths) {
		if (f->lengths > 1 ||
		    str_to_u64(f->length, INT64_MAX, &h->content_length) < 0)
			return 400;
		h->has_length = true;
	}
	return 0;
}

static int framing_judge(struct http_head *h, const struct framing *f)
{
	/* RFC 9112 section 3.2: also where the absolute form overrules the line. */
	if (f->hosts > 1 || (f->hosts == 0 && h->minor > 0))
		return 400;
	if (f->host && !host_ok(f->host))
		return 400;
	if (!h->host)
		h->host = f->host;
	h->keep_alive = !f->close && (h->minor > 0 || f->keep_alive);
	return framing_body(h, f);
}

int http_head_parse(struct http_head *h, char *buf, size_t n, size_t target_max)
{
	struct framing f = { 0 };
	char *line = buf, *end = buf + n - 2;
	int r;

	/* The array stays as it is: only n_headers of it count. */
	memset(h, 0, offsetof(struct http_head, headers));
	if (n >= 2 && line[0] == '\r' && line[1] == '\n')
		line += 2;
	if (line >= end)
		return 400;
	r = request_line(h, &line, target_max);
	if (r)
		return r;
	while (line < end) {
		struct http_header *field = &h->headers[h->n_headers];

		if (h->n_headers == HTTP_HEADERS_MAX)
			return 431;
		r = field_line(field, &line);
		if (!r)
			r = framing_add(h, &f, field->name, field->value);
		if (r)
			return r;
		h->n_headers++;
	}
	return framing_judge(h, &f);
}

static const char *get_from(const struct http_head *h, unsigned i, const char *name)
{
	for (; i < h->n_headers; i++)
		if (strcasecmp(h->headers[i].name, name) == 0)
			return h->headers[i].value;
	return NULL;
}

const char *http_head_get(const struct http_head *h, const char *name)
{
	return get_from(h, 0, name);
}

const char *http_head_next(
    const struct http_head *h, const char *name, const char *value)
{
	for (unsigned i = 0; i < h->n_headers; i++)
		if (h->headers[i].value == value)
			return get_from(h, i + 1, name);
	return NULL;
}

void http_head_moved(struct http_head *h, const char *from, const char *to)
{
	const char **fixed[] = { &h->method_name, &h->target, &h->host };

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (*fixed[i])
			*fixed[i] = to + (*fixed[i] - from);
	for (unsigned i = 0; i < h->n_headers; i++) {
		h->headers[i].name = to + (h->headers[i].name - from);
		h->headers[i].value = to + (h->headers[i].value - from);
	}
}
