/* The chunked transfer coding (RFC 9112 section 7.1), decoded as it comes in. */
#pragma once

#include "common/base.h"

enum {
	HTTP_CHUNK_EXTENSIONS_MAX = 16384, /* bytes of extensions in one body */
	HTTP_CHUNK_TRAILERS_MAX = 8192,
};

/* All zero at the start of a body. */
struct http_chunked {
	uint64_t left;                 /* of the chunk at hand */
	uint32_t extensions, trailers; /* bytes so far */
	uint8_t state;
	uint8_t digits; /* of the size line at hand */
};

enum http_chunk {
	HTTP_CHUNK_MORE, /* all input was used, and more is needed */
	HTTP_CHUNK_DATA, /* *data and *n are a piece of the body */
	HTTP_CHUNK_END,  /* the body is over; what follows is the next request's */
	HTTP_CHUNK_BAD,  /* answer 400 and close */
};

/*
 * Decodes from *in up to end and moves *in behind what was used.  Call it again until
 * it says something else than DATA.  Extensions and trailers are checked, counted and
 * dropped.
 */
enum http_chunk http_chunked_next(struct http_chunked *c, const char **in,
    const char *end, const char **data, size_t *n);
