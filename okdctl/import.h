/*
 * Our configuration made from another program's, text to text and without I/O.  What
 * cannot be carried over is noted with its line: "Corefile:7: ...".
 *
 * Each function appends YAML to out, and notes, one a line.  0, -EINVAL with a sentence
 * for a text that is of another kind or broken, -ENOMEM.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "okdctl/words.h"

struct import {
	const char *name; /* of the file, for notes */
	const char *text;
	size_t n;
	struct str *out, *notes;
	struct err *err;
};

int import_corefile(struct import *in) _mustcheck_; /* dnsd.yaml */
int import_haproxy(struct import *in) _mustcheck_;  /* lbd.yaml */
int import_nginx(struct import *in) _mustcheck_;    /* ignd.yaml */
int import_etcd(struct import *in) _mustcheck_;     /* dnsd.yaml: records */

/* Each key and value of what etcdctl printed, in order; the key is "" for a pair that
 * cannot be read.  -EINVAL with a sentence for JSON that is none. */
typedef void import_pair_fn(void *arg, const char *key, const char *value, size_t n);
int import_etcd_pairs(struct import *in, import_pair_fn *fn, void *arg) _mustcheck_;

/* --- for the four of them ----------------------------------------------- */

void import_note(struct import *in, unsigned line, const char *fmt, ...) _printf_(3, 4);

/* How lines are taken apart. */
enum import_syntax {
	SYNTAX_CADDY, /* # begins a comment at the start of a word; "..." quotes */
	SYNTAX_HAPROXY, /* # anywhere; '...' and "..." quote, a backslash takes one byte */
};

/*
 * The words of the next line of text, which begins at *at and is left behind it.  A word
 * that begins outside ASCII begins a remark, as people write them behind settings; it is
 * noted when no # stands before it.  cut is set when the last word ends behind a lone
 * backslash.  False at the end of the text; *line counts.
 */
bool import_line(struct import *in, enum import_syntax syntax, const char **at,
    unsigned *line, struct words *w, bool *cut);

/* A HAProxy or Go duration as one of ours: "500ms", "30s".  unit is that of a bare
 * number, in milliseconds.  -EINVAL. */
int import_duration(const char *s, uint64_t unit, struct str *out) _mustcheck_;
void import_yaml_word(struct str *out, const char *s);
