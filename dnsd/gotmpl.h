/*
 * The part of Go's template notation that template lines are written in:
 *
 *   {{ .Name }} {{ .Type }} {{ .Class }} {{ .Zone }} {{ .Remote }} {{ .Meta "x" }}
 *   {{ .Question.Name }} {{ .Question.Qtype }} {{ .Question.Qclass }} {{ .Message.Id }}
 *   {{ .Group.word }} {{ index .Group "word" }} {{ index .Match 1 }}
 *   {{ parseInt .Group.word 16 32 }} {{- trimmed -}} and comments
 *
 * with parentheses around an argument that is an expression.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

struct gotmpl;

/* What a line is filled with. */
struct gotmpl_data {
	const char *name; /* lower case, with a final dot */
	const char *type, *class, *zone, *remote;
	const char *question; /* the name as it was asked */
	uint16_t id, qtype, qclass;
	/* The match's groups, 0 being all of it.  Each returns false when there is no such
	 * group; text and n tell its bytes. */
	bool (*match)(void *arg, unsigned i, const char **text, size_t *n);
	bool (*group)(void *arg, const char *name, const char **text, size_t *n);
	void *arg;
};

/* -EINVAL with a sentence for what is not known. */
int gotmpl_new(struct gotmpl **ret, const char *text, struct err *e) _mustcheck_;
struct gotmpl *gotmpl_free(struct gotmpl *t);
DEFINE_FREEP(gotmpl)
/* When the line is "{{ .Name }}" and then constant text: that text; else NULL. */
const char *gotmpl_constant(const struct gotmpl *t);
/* The line with its NUL in buf: its length, -EINVAL when an expression fails, -E2BIG. */
int gotmpl_render(
    const struct gotmpl *t, const struct gotmpl_data *d, char *buf, size_t n);
