/* Chunked bodies: whole and byte by byte, and every abuse of a size line. */
#include "common/http_chunked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* Decodes text in pieces of step bytes: the verdict, the body, and the unused rest. */
static enum http_chunk decode(
    const char *text, size_t n, size_t step, char *body, size_t *rest)
{
	struct http_chunked c = { 0 };
	enum http_chunk k = HTTP_CHUNK_MORE;
	const char *in = text, *end = text + n;

	*body = '\0';
	while (k == HTTP_CHUNK_MORE && in < end) {
		const char *piece = in + MIN(step, (size_t)(end - in)), *data;
		size_t len;

		while ((k = http_chunked_next(&c, &in, piece, &data, &len)) ==
		    HTTP_CHUNK_DATA)
			strncat(body, data, len);
	}
	*rest = (size_t)(end - in);
	return k;
}

TEST(bodies)
{
	static const struct {
		const char *text;
		enum http_chunk k;
		const char *body;
		size_t rest;
	} table[] = {
		{ "0\r\n\r\n", HTTP_CHUNK_END, "", 0 },
		{ "5\r\nhello\r\n0\r\n\r\nGET", HTTP_CHUNK_END, "hello", 3 },
		{ "A\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n", HTTP_CHUNK_END,
		    "0123456789a", 0 },
		{ "0005\r\nhello\r\n000\r\n\r\n", HTTP_CHUNK_END, "hello", 0 },
		{ "5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n", HTTP_CHUNK_END, "hello", 0 },
		{ "1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n", HTTP_CHUNK_END, "a", 0 },
		{ "5\r\nhel", HTTP_CHUNK_MORE, "hel", 0 },
		{ "5\r\nhelloX", HTTP_CHUNK_BAD, "hello", 0 },
		{ "5\r\nhello\n0\r\n\r\n", HTTP_CHUNK_BAD, "hello", 0 },
		{ "5\nhello\r\n0\r\n\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "5\r\rhello", HTTP_CHUNK_BAD, "", 0 },
		{ "\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ ";a\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "+5\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "-5\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ " 5\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "5 \r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "5\t;a\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "0x5\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "5_0\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "5;a\nb\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "5;a\x01\r\nhello", HTTP_CHUNK_BAD, "", 0 },
		{ "5;a\rb", HTTP_CHUNK_BAD, "", 0 },
		{ "7fffffffffffffff\r\n", HTTP_CHUNK_MORE, "", 0 },
		{ "8000000000000000\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "10000000000000000\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "00000000000000005\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "0\r\n X: y\r\n\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "0\r\n: y\r\n\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "0\r\nX: y\n\r\n", HTTP_CHUNK_BAD, "", 0 },
		{ "0\r\n\rX", HTTP_CHUNK_BAD, "", 0 },
	};
	char body[64];
	size_t rest;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		for (size_t step = 1; step < 40; step++) {
			enum http_chunk k = decode(
			    table[i].text, strlen(table[i].text), step, body, &rest);
			bool ok = k == table[i].k && strcmp(body, table[i].body) == 0 &&
			    (k != HTTP_CHUNK_END || rest == table[i].rest);

			CHECK(ok);
			if (!ok)
				printf("# step %zu: %d %s for %s\n", step, k, body,
				    table[i].text);
		}
	}
}

TEST(bounds)
{
	enum { N = HTTP_CHUNK_EXTENSIONS_MAX + 100 };
	static char text[N];
	char body[64];
	size_t rest;

	memset(text, 'a', N);
	memcpy(text, "5;", 2);
	CHECK(decode(text, HTTP_CHUNK_EXTENSIONS_MAX, 1000, body, &rest) ==
	    HTTP_CHUNK_MORE);
	CHECK(decode(text, N, 1000, body, &rest) == HTTP_CHUNK_BAD);
	memcpy(text, "0\r\nX:", 5);
	CHECK(decode(text, HTTP_CHUNK_TRAILERS_MAX, 1000, body, &rest) ==
	    HTTP_CHUNK_MORE);
	CHECK(decode(text, HTTP_CHUNK_TRAILERS_MAX + 10, 1000, body, &rest) ==
	    HTTP_CHUNK_BAD);
}
