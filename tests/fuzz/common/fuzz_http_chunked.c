/* Chunked bodies: the whole at once and byte by byte must give the same. */
#include <stdlib.h>
#include <string.h>

#include "common/http_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The body goes to out; returns the verdict and how much input was used. */
static enum http_chunk decode(
    const char *in, size_t size, size_t step, char *out, size_t *body_n, size_t *used)
{
	struct http_chunked c = { 0 };
	enum http_chunk k = HTTP_CHUNK_MORE;
	const char *p = in, *end = in + size;

	*body_n = 0;
	while (k == HTTP_CHUNK_MORE && p < end) {
		const char *stop = (size_t)(end - p) < step ? end : p + step, *piece;
		size_t n;

		while ((k = http_chunked_next(&c, &p, stop, &piece, &n)) ==
		    HTTP_CHUNK_DATA) {
			memcpy(out + *body_n, piece, n);
			*body_n += n;
		}
		if (k == HTTP_CHUNK_MORE && p != stop)
			abort();
	}
	*used = (size_t)(p - in);
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *a = malloc(size + 1), *b = malloc(size + 1);
	size_t a_n, b_n, a_used, b_used;
	enum http_chunk x, y;

	x = decode((const char *)data, size, size + 1, a, &a_n, &a_used);
	y = decode((const char *)data, size, 1, b, &b_n, &b_used);
	if (x != y || a_n != b_n || a_used != b_used || memcmp(a, b, a_n) != 0)
		abort();
	free(a);
	free(b);
	return 0;
}
