/*
 * A reply under construction, for query.c: the question, then records as they are written,
 * then header and OPT around them.
 */
#pragma once

#include "dnsd/cookie.h"
#include "dnsd/query.h"

#define COOKIE_OPTION_LEN (4 + COOKIE_LEN)

struct writer {
	uint8_t *out;
	size_t pos, end; /* end leaves room for OPT */
	unsigned answers, authority, additional;
	unsigned turn; /* which of several records is the first */
	bool truncated;
};

/* Begins a reply in out, with the question from in unless that is out. */
void writer_init(struct writer *w, const struct query_env *env, const struct query *q,
    const uint8_t *in, uint8_t *out, size_t out_max);
/* Ends it: header and OPT around what was written, without records if it is truncated. */
void writer_finish(struct writer *w, const struct query_env *env, struct query *q,
    unsigned rcode, unsigned flags);

/* Room for n bytes; without it the reply is truncated. */
static inline uint8_t *writer_reserve(struct writer *w, size_t n)
{
	uint8_t *p = w->out + w->pos;

	if (_unlikely_(n > w->end - w->pos)) {
		w->truncated = true;
		return NULL;
	}
	w->pos += n;
	return p;
}
