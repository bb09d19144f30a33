/* Go's template notation: see gotmpl.h.  A line is compiled to pieces, each a run of text
 * or an expression; an expression is a tree of at most DEPTH_MAX levels. */
#include "dnsd/gotmpl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

#define DEPTH_MAX 8
#define VALUE_MAX 1100 /* bytes of any value: a name in text, escapes included */

enum op {
	OP_TEXT, /* text */
	OP_NAME,
	OP_TYPE,
	OP_CLASS,
	OP_ZONE,
	OP_REMOTE,
	OP_QUESTION_NAME,
	OP_QUESTION_TYPE,
	OP_QUESTION_CLASS,
	OP_MESSAGE_ID,
	OP_META,
	OP_GROUP,     /* text: its name */
	OP_MATCH,     /* number */
	OP_PARSE_INT, /* arg, number (base), bits */
};

struct expr {
	enum op op;
	char *text;
	long number;
	long bits;
	struct expr *arg;
};

struct gotmpl {
	struct expr *pieces;
	size_t n;
};

struct parser {
	const char *p;
	struct err *e;
};

static void expr_deinit(struct expr *x)
{
	if (x->arg)
		expr_deinit(x->arg);
	free(x->arg);
	free(x->text);
}

static int bad(struct parser *p, const char *what)
{
	return err_set(p->e, -EINVAL, "template: %s at \"%.32s\"", what, p->p);
}

static void blanks(struct parser *p)
{
	p->p += strspn(p->p, " \t\r\n");
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Takes the word w when it stands here. */
static bool take(struct parser *p, const char *w)
{
	size_t n = strlen(w);

	if (strncmp(p->p, w, n) != 0 || (word_char(w[n - 1]) && word_char(p->p[n])))
		return false;
	p->p += n;
	return true;
}

static int parse_number(struct parser *p, long *ret)
{
	char *end;

	blanks(p);
	errno = 0;
	*ret = strtol(p->p, &end, 10);
	if (end == p->p || errno || word_char(*end))
		return bad(p, "a number is missing");
	p->p = end;
	return 0;
}

static int parse_quoted(struct parser *p, char **ret)
{
	const char *end;
	char quote;

	blanks(p);
	quote = *p->p;
	end = quote == '"' || quote == '`' ? strchr(p->p + 1, quote) : NULL;
	if (!end || memchr(p->p, '\\', (size_t)(end - p->p)))
		return bad(p, "a quoted word is missing");
	*ret = strndup(p->p + 1, (size_t)(end - p->p - 1));
	p->p = end + 1;
	return *ret ? 0 : -ENOMEM;
}

static int parse_word(struct parser *p, char **ret)
{
	size_t n = 0;

	while (word_char(p->p[n]))
		n++;
	if (!n)
		return bad(p, "a word is missing");
	*ret = strndup(p->p, n);
	p->p += n;
	return *ret ? 0 : -ENOMEM;
}

static int parse_expr(struct parser *p, struct expr *x, unsigned depth);

static int parse_index(struct parser *p, struct expr *x)
{
	blanks(p);
	if (take(p, ".Match")) {
		x->op = OP_MATCH;
		return parse_number(p, &x->number);
	}
	if (!take(p, ".Group"))
		return bad(p, "index is for .Match and .Group");
	x->op = OP_GROUP;
	return parse_quoted(p, &x->text);
}

static int parse_parse_int(struct parser *p, struct expr *x, unsigned depth)
{
	int r;

	x->op = OP_PARSE_INT;
	x->arg = calloc(1, sizeof(*x->arg));
	if (!x->arg)
		return -ENOMEM;
	blanks(p);
	r = parse_expr(p, x->arg, depth + 1);
	if (r == 0)
		r = parse_number(p, &x->number);
	if (r == 0)
		r = parse_number(p, &x->bits);
	if (r == 0 && (x->number < 0 || x->number == 1 || x->number > 36))
		return bad(p, "parseInt's base must be 0 or from 2 to 36");
	if (r == 0 && (x->bits < 0 || x->bits > 64))
		return bad(p, "parseInt's size must be from 0 to 64");
	return r;
}

static int parse_expr(struct parser *p, struct expr *x, unsigned depth)
{
	static const struct {
		const char *word;
		enum op op;
	} words[] = { { ".Name", OP_NAME }, { ".Type", OP_TYPE },
		{ ".Class", OP_CLASS }, { ".Zone", OP_ZONE }, { ".Remote", OP_REMOTE },
		{ ".Question.Name", OP_QUESTION_NAME },
		{ ".Question.Qtype", OP_QUESTION_TYPE },
		{ ".Question.Qclass", OP_QUESTION_CLASS },
		{ ".Message.Id", OP_MESSAGE_ID } };
	int r;

	if (depth > DEPTH_MAX)
		return bad(p, "too many parentheses");
	if (take(p, "(")) {
		blanks(p);
		r = parse_expr(p, x, depth + 1);
		blanks(p);
		return r < 0 || take(p, ")") ? r : bad(p, "\")\" is missing");
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (take(p, words[i].word)) {
			x->op = words[i].op;
			return 0;
		}
	if (take(p, ".Group.")) {
		x->op = OP_GROUP;
		return parse_word(p, &x->text);
	}
	if (take(p, ".Meta")) {
		x->op = OP_META;
		return parse_quoted(p, &x->text);
	}
	if (take(p, "index"))
		return parse_index(p, x);
	if (take(p, "parseInt"))
		return parse_parse_int(p, x, depth);
	if (*p->p == '"' || *p->p == '`') {
		x->op = OP_TEXT;
		return parse_quoted(p, &x->text);
	}
	return bad(p, "this expression is not known");
}

static int push(struct gotmpl *t, struct expr x)
{
	struct expr *a = reallocarray(t->pieces, t->n + 1, sizeof(*a));

	if (!a) {
		expr_deinit(&x);
		return -ENOMEM;
	}
	t->pieces = a;
	a[t->n++] = x;
	return 0;
}

static int push_text(struct gotmpl *t, const char *s, size_t n)
{
	struct expr x = { .op = OP_TEXT };

	if (!n)
		return 0;
	x.text = strndup(s, n);
	return x.text ? push(t, x) : -ENOMEM;
}

/* What stands between "{{" and "}}". */
static int parse_action(struct parser *p, struct gotmpl *t, bool *trim)
{
	struct expr x = { 0 };
	int r;

	if (*p->p == '-' && isspace((unsigned char)p->p[1]))
		p->p++;
	blanks(p);
	if (strncmp(p->p, "/*", 2) == 0) {
		const char *end = strstr(p->p, "*/");

		if (!end)
			return bad(p, "a comment without end");
		p->p = end + 2;
	} else {
		r = parse_expr(p, &x, 0);
		if (r < 0) {
			expr_deinit(&x);
			return r;
		}
		r = push(t, x);
		if (r < 0)
			return r;
	}
	blanks(p);
	*trim = p->p[0] == '-' && p->p[1] == '}';
	p->p += *trim;
	return take(p, "}}") ? 0 : bad(p, "\"}}\" is missing");
}

static int parse(struct parser *p, struct gotmpl *t)
{
	bool trim = false;

	while (*p->p) {
		const char *open;
		size_t n;
		int r;

		if (trim)
			blanks(p);
		open = strstr(p->p, "{{");
		n = open ? (size_t)(open - p->p) : strlen(p->p);
		if (open && open[2] == '-' && isspace((unsigned char)open[3]))
			while (n && isspace((unsigned char)p->p[n - 1]))
				n--;
		r = push_text(t, p->p, n);
		if (r < 0 || !open)
			return r;
		p->p = open + 2;
		r = parse_action(p, t, &trim);
		if (r < 0)
			return r;
	}
	return 0;
}

int gotmpl_new(struct gotmpl **ret, const char *text, struct err *e)
{
	_cleanup_(gotmpl_freep) struct gotmpl *t = calloc(1, sizeof(*t));
	struct parser p = { text, e };
	int r = t ? parse(&p, t) : -ENOMEM;

	if (r == -ENOMEM)
		return err_set(e, r, "out of memory");
	if (r < 0)
		return r;
	*ret = TAKE(t);
	return 0;
}

struct gotmpl *gotmpl_free(struct gotmpl *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n; i++)
		expr_deinit(&t->pieces[i]);
	free(t->pieces);
	free(t);
	return NULL;
}

const char *gotmpl_constant(const struct gotmpl *t)
{
	if (t->n != 2 || t->pieces[0].op != OP_NAME || t->pieces[1].op != OP_TEXT ||
	    !isspace((unsigned char)t->pieces[1].text[0]))
		return NULL;
	return t->pieces[1].text;
}

/* --- rendering ---------------------------------------------------------- */

static int put(char *buf, size_t n, const char *s, size_t len)
{
	if (len >= n)
		return -E2BIG;
	memcpy(buf, s, len);
	buf[len] = '\0';
	return (int)len;
}

static int put_number(char *buf, size_t n, long long v)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", v);

	return put(buf, n, text, (size_t)len);
}

static int eval(const struct expr *x, const struct gotmpl_data *d, char *buf, size_t n);

static int eval_int(
    const struct expr *x, const struct gotmpl_data *d, char *buf, size_t n)
{
	char text[VALUE_MAX], *end;
	long long v;
	int r = eval(x->arg, d, text, sizeof(text));
	unsigned bits = x->bits ? (unsigned)x->bits : 64;

	if (r < 0)
		return r;
	errno = 0;
	v = strtoll(text, &end, (int)x->number);
	if (end == text || *end || errno || isspace((unsigned char)text[0]))
		return -EINVAL;
	if (bits < 64 && (v >> (bits - 1) != 0 && v >> (bits - 1) != -1))
		return -EINVAL;
	return put_number(buf, n, v);
}

/* What a group says; a named one that does not exist is empty, as in a Go map. */
static int eval_group(
    const struct expr *x, const struct gotmpl_data *d, char *buf, size_t n)
{
	const char *text = "";
	uint64_t i;
	size_t len = 0;

	if (x->op == OP_MATCH) {
		if (x->number < 0 ||
		    !d->match(d->arg, (unsigned)x->number, &text, &len))
			return -EINVAL;
	} else if (str_to_u64(x->text, 1000, &i) == 0) {
		d->match(d->arg, (unsigned)i, &text, &len);
	} else {
		d->group(d->arg, x->text, &text, &len);
	}
	return put(buf, n, text, len);
}

static int eval(const struct expr *x, const struct gotmpl_data *d, char *buf, size_t n)
{
	const char *text = "";

	switch (x->op) {
	case OP_TEXT:
		text = x->text;
		break;
	case OP_NAME:
		text = d->name;
		break;
	case OP_TYPE:
		text = d->type;
		break;
	case OP_CLASS:
		text = d->class;
		break;
	case OP_ZONE:
		text = d->zone;
		break;
	case OP_REMOTE:
		text = d->remote;
		break;
	case OP_QUESTION_NAME:
		text = d->question;
		break;
	case OP_META:
		break;
	case OP_QUESTION_TYPE:
		return put_number(buf, n, d->qtype);
	case OP_QUESTION_CLASS:
		return put_number(buf, n, d->qclass);
	case OP_MESSAGE_ID:
		return put_number(buf, n, d->id);
	case OP_GROUP:
	case OP_MATCH:
		return eval_group(x, d, buf, n);
	case OP_PARSE_INT:
		return eval_int(x, d, buf, n);
	}
	return put(buf, n, text, strlen(text));
}

int gotmpl_render(
    const struct gotmpl *t, const struct gotmpl_data *d, char *buf, size_t n)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < t->n; i++) {
		int r = eval(&t->pieces[i], d, buf + len, n - len);

		if (r < 0)
			return r;
		len += (size_t)r;
	}
	return (int)len;
}
