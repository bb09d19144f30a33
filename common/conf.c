/* Tables, lists and words decoded and printed: see conf.h. */
#include "common/conf.h"

#include <errno.h>
#include <stdio.h>

/*
 * Errors
 */

int conf_field_err(const struct conf_field *f, const struct conf_node *n, struct err *e,
    const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return conf_err(n, e, "%s%s%s", f ? f->key : "", f ? ": " : "", text);
}

int conf_want_scalar(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, const char **ret, struct err *e)
{
	*ret = conf_scalar(n);
	if (*ret)
		return 0;
	return conf_field_err(f, n, e, "this is a %s, but must be %s",
	    conf_is_list(n) ? "list" : "table", t->what);
}

static void add_words(struct str *s, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		str_addf(s, "%s%s", i ? ", " : "", words[i]);
}

/*
 * Words
 */

int conf_enum_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *const *words = t->aux, *text = conf_scalar(n), *near;
	_cleanup_(str_deinit) struct str all = STR_INIT;

	add_words(&all, words);
	if (!text)
		return conf_field_err(f, n, e, "this is a %s, but must be one of %s",
		    conf_is_list(n) ? "list" : "table", str_get(&all));
	for (int i = 0; words[i]; i++) {
		if (str_eq(words[i], text)) {
			*(int *)out = i;
			return 0;
		}
	}
	near = str_nearest(text, words);
	return conf_field_err(f, n, e, "\"%s\" is none of %s%s%s%s", conf_show(text),
	    str_get(&all), near ? "; did you mean \"" : "", near ? near : "",
	    near ? "\"?" : "");
}

void conf_enum_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_print_string(((const char *const *)t->aux)[*(const int *)in], out);
}

/*
 * Lists
 */

static void *list_item(
    const struct conf_type *elem, const struct conf_list *l, size_t i)
{
	return (char *)l->items + i * elem->size;
}

int conf_list_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const struct conf_type *elem = t->aux;
	struct conf_list *l = out;
	size_t len = conf_list_len(n);

	if (conf_is_table(n))
		return conf_field_err(f, n, e,
		    elem->block
			? "this is one table, but must be a list of them; begin "
			  "each entry with \"- \""
			: "this is a table, but must be a list such as [a, b]");
	l->set = true;
	if (!len)
		return 0;
	l->items = calloc(len, elem->size);
	if (!l->items)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < len; i++) {
		const struct conf_node *item = conf_list_at(n, i);
		int r;

		if (conf_is_null(item))
			return conf_field_err(f, item, e,
			    "an entry of the list is empty; it must be %s", elem->what);
		l->n = i + 1;
		r = elem->parse(elem, f, item, list_item(elem, l, i), e);
		if (r < 0)
			return r;
	}
	return 0;
}

void conf_list_deinit(const struct conf_type *t, void *in)
{
	const struct conf_type *elem = t->aux;
	struct conf_list *l = in;

	for (size_t i = 0; elem->deinit && i < l->n; i++)
		elem->deinit(elem, list_item(elem, l, i));
	free(l->items);
	*l = (struct conf_list){ 0 };
}

bool conf_list_is_unset(const struct conf_type *t, const void *in)
{
	const struct conf_list *l = in;

	return !l->set && !l->n;
}

/*
 * Tables
 */

static void *field_at(const struct conf_field *f, const void *table)
{
	return (char *)table + f->offset;
}

/* Whether {} would be refused; a table below with required keys may itself be absent. */
static bool has_required(const struct conf_field *f)
{
	while (f->key && !f->required)
		f++;
	return f->key;
}

static int unknown_key(
    const struct conf_field *fields, const struct conf_node *key, struct err *e)
{
	_cleanup_(str_deinit) struct str all = STR_INIT;
	_cleanup_(freep) const char **words = NULL;
	const char *near;
	size_t n = 0;

	while (fields[n].key)
		n++;
	words = calloc(n + 1, sizeof(*words));
	if (!words)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		words[i] = fields[i].key;
	near = str_nearest(conf_scalar(key), words);
	if (near)
		return conf_err(key, e, "unknown key \"%s\"; did you mean \"%s\"?",
		    conf_show(conf_scalar(key)), near);
	add_words(&all, words);
	return conf_err(key, e, "unknown key \"%s\"; allowed %s %s",
	    conf_show(conf_scalar(key)), n == 1 ? "is" : "are", str_get(&all));
}

static int check_keys(
    const struct conf_field *fields, const struct conf_node *table, struct err *e)
{
	const struct conf_node *key;

	for (size_t i = 0; (key = conf_key_at(table, i)); i++) {
		const struct conf_field *f = fields;

		while (f->key && !str_eq(f->key, conf_scalar(key)))
			f++;
		if (!f->key)
			return unknown_key(fields, key, e);
	}
	return 0;
}

static int decode_default(
    const struct conf_field *f, const char *text, void *at, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	char name[96];
	int r;

	snprintf(name, sizeof(name), "(default of %s)", f->key);
	r = conf_doc_parse(&doc, name, text, strlen(text), e);
	return r < 0 ? r : f->type->parse(f->type, f, conf_doc_root(doc), at, e);
}

static int missing_key(const struct conf_field *f, const struct conf_node *n,
    const struct conf_node *table, struct err *e)
{
	bool is_enum = f->type->parse == conf_enum_parse;
	_cleanup_(str_deinit) struct str words = STR_INIT;

	if (is_enum)
		add_words(&words, f->type->aux);
	return conf_err(n ? n : table, e, "required key \"%s\" %s; it must be %s%s",
	    f->key, n ? "has no value" : "is missing",
	    is_enum ? "one of " : f->type->what, str_get(&words));
}

static int decode_field(
    const struct conf_field *f, const struct conf_node *table, void *at, struct err *e)
{
	const struct conf_node *n = conf_get(table, f->key);
	bool is_table = f->type->parse == conf_table_parse;

	if (!conf_is_null(n))
		return f->type->parse(f->type, f, n, at, e);
	if (f->required)
		return missing_key(f, n, table, e);
	if (f->def)
		return decode_default(f, f->def, at, e);
	return is_table && !has_required(f->type->aux) ? decode_default(f, "{}", at, e)
						       : 0;
}

static int decode_table(const struct conf_field *fields, const struct conf_node *n,
    void *out, struct err *e)
{
	int r = check_keys(fields, n, e);

	for (const struct conf_field *f = fields; r == 0 && f->key; f++)
		r = decode_field(f, n, field_at(f, out), e);
	if (r < 0)
		conf_deinit(fields, out);
	return r;
}

int conf_table_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	if (!conf_is_table(n))
		return conf_field_err(f, n, e,
		    "this is %s, but must be a table of settings (key: value)",
		    conf_is_list(n) ? "a list" : "a lone value");
	return decode_table(t->aux, n, out, e);
}

void conf_table_deinit(const struct conf_type *t, void *in)
{
	conf_deinit(t->aux, in);
}

void conf_deinit(const struct conf_field *fields, void *out)
{
	for (const struct conf_field *f = fields; f->key; f++) {
		if (f->type->deinit)
			f->type->deinit(f->type, field_at(f, out));
		memset(field_at(f, out), 0, f->type->size);
	}
}

int conf_decode(const struct conf_doc *doc, const struct conf_field *fields, void *out,
    struct err *e)
{
	const struct conf_type top = CONF_TABLE(char, fields);

	return conf_table_parse(&top, NULL, conf_doc_root(doc), out, e);
}

int conf_defaults(const struct conf_field *fields, void *out, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r = conf_doc_parse(&doc, "(defaults)", "", 0, e);

	return r < 0 ? r : conf_decode(doc, fields, out, e);
}

/*
 * Printing.  Whoever prints a value has just written "key: " or "- "; a block takes
 * that blank back and goes on in the next line.
 */

static void begin_line(int indent, struct str *out)
{
	if (out->len && out->s[out->len - 1] == ' ')
		out->s[--out->len] = '\0';
	str_addf(out, "\n%*s", indent, "");
}

static bool is_zero(const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++) {
		if (b[i])
			return false;
	}
	return true;
}

static bool is_left_out(const struct conf_field *f, const void *at)
{
	const struct conf_type *t = f->type;

	if (!t->print || (t->is_unset && t->is_unset(t, at)))
		return true;
	/* An absent table would get its defaults, which may differ from zero. */
	if (t->parse == conf_table_parse && !has_required(t->aux))
		return false;
	return !f->def && !f->required && is_zero(at, t->size);
}

/* Prints the keys a line each, the first where out stands; false when there are none.
 */
static bool print_fields(const struct conf_field *fields, const void *in, int indent,
    bool first_here, struct str *out)
{
	bool any = false;

	for (const struct conf_field *f = fields; f->key; f++) {
		if (is_left_out(f, field_at(f, in)))
			continue;
		if (any || !first_here)
			begin_line(indent, out);
		any = true;
		str_addf(out, "%s: ", f->key);
		f->type->print(f->type, field_at(f, in), indent + 2, out);
	}
	return any;
}

void conf_table_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	if (!print_fields(t->aux, in, indent, false, out))
		str_addz(out, "{}");
}

void conf_list_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	const struct conf_type *elem = t->aux;
	const struct conf_list *l = in;
	bool block = elem->block && l->n > 0;

	if (!block)
		str_addc(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		const void *item = list_item(elem, l, i);

		if (!block) {
			str_addz(out, i ? ", " : "");
			elem->print(elem, item, indent, out);
			continue;
		}
		begin_line(indent, out);
		str_addz(out, "- ");
		if (elem->print != conf_table_print)
			elem->print(elem, item, indent + 2, out);
		else if (!print_fields(elem->aux, item, indent + 2, true, out))
			str_addz(out, "{}");
	}
	if (!block)
		str_addc(out, ']');
}

void conf_print(const struct conf_field *fields, const void *in, struct str *out)
{
	str_addz(out, print_fields(fields, in, 0, true, out) ? "\n" : "{}\n");
}
