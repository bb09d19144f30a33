/* The chunked decoder: a state per place where the input may stop. */
#include "common/http_chunked.h"

enum {
	SIZE,      /* hexadecimal digits */
	EXTENSION, /* behind the ";", dropped */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_START, /* first byte of a trailer line, or the CR of the last line */
	TRAILER,       /* dropped */
	TRAILER_LF,
	END_LF,
	DONE,
	BAD,
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What may stand in an extension or a trailer: no control character but the tab. */
static bool text(char c)
{
	return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* Strict where programs were seen to differ: no sign, no "0x", no blank, one digit at
 * least, and nothing that overflows. */
static uint8_t size_byte(struct http_chunked *c, char b)
{
	int v = hex_value(b);

	if (v >= 0) {
		if (c->digits == 16 || c->left > (uint64_t)INT64_MAX >> 4)
			return BAD;
		c->digits++;
		c->left = c->left << 4 | (unsigned)v;
		return SIZE;
	}
	if (c->digits == 0)
		return BAD;
	c->digits = 0;
	return b == '\r' ? SIZE_LF : b == ';' ? EXTENSION : BAD;
}

static uint8_t extension_byte(struct http_chunked *c, char b)
{
	if (b == '\r')
		return SIZE_LF;
	if (!text(b) || ++c->extensions > HTTP_CHUNK_EXTENSIONS_MAX)
		return BAD;
	return EXTENSION;
}

static uint8_t trailer_byte(struct http_chunked *c, char b)
{
	if (b == '\r')
		return c->state == TRAILER ? TRAILER_LF : END_LF;
	/* A line that starts with a blank or a colon is none. */
	if (c->state == TRAILER_START && (b == ' ' || b == '\t' || b == ':'))
		return BAD;
	if (!text(b) || ++c->trailers > HTTP_CHUNK_TRAILERS_MAX)
		return BAD;
	return TRAILER;
}

static uint8_t next_state(struct http_chunked *c, char b)
{
	switch (c->state) {
	case SIZE:
		return size_byte(c, b);
	case EXTENSION:
		return extension_byte(c, b);
	case SIZE_LF:
		return b != '\n' ? BAD : c->left ? DATA : TRAILER_START;
	case DATA_CR:
		return b == '\r' ? DATA_LF : BAD;
	case DATA_LF:
		return b == '\n' ? SIZE : BAD;
	case TRAILER_START:
	case TRAILER:
		return trailer_byte(c, b);
	case TRAILER_LF:
		return b == '\n' ? TRAILER_START : BAD;
	case END_LF:
		return b == '\n' ? DONE : BAD;
	}
	return BAD;
}

enum http_chunk http_chunked_next(struct http_chunked *c, const char **in,
    const char *end, const char **data, size_t *n)
{
	while (c->state != DONE && c->state != BAD && *in < end) {
		if (c->state == DATA) {
			*data = *in;
			*n = (size_t)MIN((uint64_t)(end - *in), c->left);
			*in += *n;
			c->left -= *n;
			if (!c->left)
				c->state = DATA_CR;
			return HTTP_CHUNK_DATA;
		}
		c->state = next_state(c, **in);
		++*in;
	}
	return c->state == DONE ? HTTP_CHUNK_END
	    : c->state == BAD   ? HTTP_CHUNK_BAD
				: HTTP_CHUNK_MORE;
}
