/*
 * YAML into a tree: see conf_doc.h.  libyaml's events are turned into nodes by
 * recursive descent, so that every bound holds before the memory is spent: the scanner
 * never gets further than one token past the level, node or anchor that is too much.
 */
#include "common/conf_doc.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#include "common/fd.h"
#include "common/utf8.h"

enum kind {
	SCALAR,
	LIST,
	TABLE,
};

struct conf_node {
	struct conf_node *next; /* every node of the document, for freeing */
	const struct conf_doc *doc;
	enum kind kind;
	bool plain;
	unsigned line, column;
	size_t nodes;    /* this one and all below it, aliases expanded */
	unsigned height; /* levels, this one included */
	char *text;
	/* A list's elements, or a table's keys and values in turns. */
	struct conf_node **items;
	size_t n, cap;
};

struct conf_doc {
	char *name;
	struct conf_node *all, *root;
};

#define MAX_ANCHORS 1000

struct anchor {
	char *name;
	struct conf_node *node;
};

struct parser {
	yaml_parser_t yaml;
	struct conf_doc *doc;
	struct anchor *anchors;
	size_t n_anchors;
	size_t n_events;
	struct err *e;
};

static int parse_node(
    struct parser *p, yaml_event_t *ev, unsigned depth, struct conf_node **ret);

/*
 * Bytes
 */

/* What YAML takes unescaped. */
static bool is_printable(uint32_t c)
{
	return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f) ||
	    c == 0x85 || (c >= 0xa0 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
}

/* libyaml finds such bytes as well, but tells the offset only. */
static int check_bytes(const char *name, const char *text, size_t n, struct err *e)
{
	unsigned line = 1, column = 1;
	size_t i = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	while (i < n) {
		uint32_t c;
		size_t len = utf8_decode(text + i, n - i, &c);

		if (!len)
			return err_at(e, -EINVAL, name, line, column,
			    "byte 0x%02x is not UTF-8; save the file in UTF-8",
			    (unsigned char)text[i]);
		if (c == 0)
			return err_at(e, -EINVAL, name, line, column,
			    "there is a NUL byte; the file must be plain text");
		if (!is_printable(c))
			return err_at(e, -EINVAL, name, line, column,
			    "control character U+%04X; remove it, or write \"\\u%04x\" "
			    "in "
			    "double quotes",
			    c, c);
		i += len;
		column++;
		if (c == '\n') {
			line++;
			column = 1;
		}
	}
	return 0;
}

const char *conf_show_text(const char *s, char buf[CONF_SHOW_MAX])
{
	size_t n = strlen(s), at = 0, i = 0;

	while (i < n) {
		uint32_t c;
		size_t len = utf8_decode(s + i, n - i, &c);

		if (at + MAX(len, 1u) + 4 > CONF_SHOW_MAX) {
			memcpy(buf + at, "...", 3);
			at += 3;
			break;
		}
		if (!len || c < 0x20 || !is_printable(c) || c == 0x85 || c == 0x2028 ||
		    c == 0x2029) {
			buf[at++] = '?';
		} else {
			memcpy(buf + at, s + i, len);
			at += len;
		}
		i += MAX(len, 1u);
	}
	buf[at] = '\0';
	return buf;
}

/*
 * Events
 */

static int at_mark(const struct parser *p, const yaml_mark_t *m, const char *text)
{
	return err_at(p->e, -EINVAL, p->doc->name, (unsigned)m->line + 1,
	    (unsigned)m->column + 1, "%s", text);
}

/* libyaml's words for what goes wrong most, and ours. */
static const struct {
	const char *theirs, *ours;
} problems[] = {
	{ "cannot start any token",
	    "a word cannot begin like this; indent with spaces, not tabs, and quote "
	    "text "
	    "that begins with % @ or `" },
	{ "found a tab character", "there is a tab; indent with spaces" },
	{ "did not find expected node content",
	    "a value is missing here; quote text that begins with : or a comma" },
	{ "mapping values are not allowed",
	    "a key cannot stand here; check the indentation, and quote text that has "
	    "\": \" in it" },
	{ "could not find expected ':'",
	    "the line above is no \"key: value\"; check its colon and the "
	    "indentation" },
	{ "did not find expected key",
	    "this fits in nowhere; check the indentation and the quotes above" },
	{ "did not find expected <document start>",
	    "this fits in nowhere; check the indentation and the quotes above" },
	{ "did not find expected ',' or ']'", "a comma or ] is missing before this" },
	{ "did not find expected ',' or '}'", "a comma or } is missing before this" },
	{ "unexpected end of stream",
	    "a quote is not closed before the end of the file" },
};

static int yaml_failed(const struct parser *p)
{
	const yaml_parser_t *y = &p->yaml;
	const char *problem = y->problem ? y->problem : "unknown problem";
	char text[256];

	if (y->error == YAML_MEMORY_ERROR)
		return err_set(p->e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(problems); i++) {
		if (strstr(problem, problems[i].theirs))
			return at_mark(p, &y->problem_mark, problems[i].ours);
	}
	snprintf(text, sizeof(text), "not valid YAML: %s%s%s%s", problem,
	    y->context ? " (" : "", y->context ? y->context : "",
	    y->context ? ")" : "");
	return at_mark(p, &y->problem_mark, text);
}

static int next_event(struct parser *p, yaml_event_t *ev)
{
	return yaml_parser_parse(&p->yaml, ev) ? 0 : yaml_failed(p);
}

/*
 * Nodes
 */

static struct conf_node *node_new(
    struct parser *p, enum kind kind, const yaml_event_t *ev)
{
	struct conf_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	*n = (struct conf_node){
		.next = p->doc->all,
		.doc = p->doc,
		.kind = kind,
		.line = (unsigned)ev->start_mark.line + 1,
		.column = (unsigned)ev->start_mark.column + 1,
		.nodes = 1,
		.height = 1,
	};
	p->doc->all = n;
	return n;
}

static int add_item(struct parser *p, struct conf_node *n, struct conf_node *item)
{
	if (n->n == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 4;
		struct conf_node **items = reallocarray(n->items, cap, sizeof(*items));

		if (!items)
			return err_set(p->e, -ENOMEM, "out of memory");
		n->items = items;
		n->cap = cap;
	}
	n->items[n->n++] = item;
	n->nodes += item->nodes;
	n->height = MAX(n->height, item->height + 1);
	if (n->nodes > CONF_MAX_NODES)
		return conf_err(item, p->e,
		    "more than %d values once aliases are expanded; that is the limit",
		    CONF_MAX_NODES);
	return 0;
}

static int check_depth(struct parser *p, unsigned depth, const yaml_mark_t *m)
{
	return depth > CONF_MAX_DEPTH
	    ? at_mark(p, m, "nested deeper than 64 levels; that is the limit")
	    : 0;
}

static int parse_scalar(
    struct parser *p, const yaml_event_t *ev, struct conf_node **ret)
{
	const char *value = (const char *)ev->data.scalar.value;
	struct conf_node *n = node_new(p, SCALAR, ev);

	if (!n)
		return err_set(p->e, -ENOMEM, "out of memory");
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (strlen(value) != ev->data.scalar.length)
		return conf_err(
		    n, p->e, "\"\\0\" puts a NUL into the text; leave it out");
	n->text = strdup(value);
	if (!n->text)
		return err_set(p->e, -ENOMEM, "out of memory");
	*ret = n;
	return 0;
}

static int parse_list(
    struct parser *p, const yaml_event_t *start, unsigned depth, struct conf_node **ret)
{
	struct conf_node *n = node_new(p, LIST, start), *item;

	if (!n)
		return err_set(p->e, -ENOMEM, "out of memory");
	for (;;) {
		yaml_event_t ev;
		bool end;
		int r = next_event(p, &ev);

		if (r < 0)
			return r;
		end = ev.type == YAML_SEQUENCE_END_EVENT;
		r = end ? 0 : parse_node(p, &ev, depth + 1, &item);
		yaml_event_delete(&ev);
		if (r == 0 && !end)
			r = add_item(p, n, item);
		if (r < 0)
			return r;
		if (end)
			break;
	}
	*ret = n;
	return 0;
}

static int check_key(struct parser *p, const struct conf_node *key)
{
	if (key->kind != SCALAR)
		return conf_err(key, p->e,
		    "a key must be a word; quote text that begins with { or [");
	if (!key->text[0])
		return conf_err(key, p->e, "a key is missing before the colon");
	if (key->plain && str_eq(key->text, "<<"))
		return conf_err(key, p->e,
		    "merge keys (<<) are not supported; write the settings out");
	return 0;
}

static int by_text_then_place(const void *a, const void *b)
{
	const struct conf_node *x = *(struct conf_node *const *)a;
	const struct conf_node *y = *(struct conf_node *const *)b;
	int r = strcmp(x->text, y->text);

	if (r == 0)
		r = (x->line > y->line) - (x->line < y->line);
	return r ? r : (x->column > y->column) - (x->column < y->column);
}

static int check_duplicates(struct parser *p, const struct conf_node *table)
{
	_cleanup_(freep) const struct conf_node **keys = NULL;
	size_t n = table->n / 2;

	if (n < 2)
		return 0;
	keys = calloc(n, sizeof(*keys));
	if (!keys)
		return err_set(p->e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		keys[i] = table->items[2 * i];
	qsort(keys, n, sizeof(*keys), by_text_then_place);
	for (size_t i = 1; i < n; i++) {
		if (str_eq(keys[i - 1]->text, keys[i]->text))
			return conf_err(keys[i], p->e,
			    "key \"%s\" stands on line %u already; keep one of the two",
			    conf_show(keys[i]->text), keys[i - 1]->line);
	}
	return 0;
}

static int parse_table(
    struct parser *p, const yaml_event_t *start, unsigned depth, struct conf_node **ret)
{
	struct conf_node *n = node_new(p, TABLE, start), *item;
	int r;

	if (!n)
		return err_set(p->e, -ENOMEM, "out of memory");
	for (;;) {
		yaml_event_t ev;
		bool end;

		r = next_event(p, &ev);
		if (r < 0)
			return r;
		end = ev.type == YAML_MAPPING_END_EVENT;
		r = end ? 0 : parse_node(p, &ev, depth + 1, &item);
		yaml_event_delete(&ev);
		if (r == 0 && !end && n->n % 2 == 0)
			r = check_key(p, item);
		if (r == 0 && !end)
			r = add_item(p, n, item);
		if (r < 0)
			return r;
		if (end)
			break;
	}
	r = check_duplicates(p, n);
	if (r == 0)
		*ret = n;
	return r;
}

/* An anchor is known once its node is complete, so that nothing can contain itself. */
static int parse_alias(
    struct parser *p, const yaml_event_t *ev, unsigned depth, struct conf_node **ret)
{
	const char *name = (const char *)ev->data.alias.anchor;

	for (size_t i = p->n_anchors; i > 0; i--) {
		struct conf_node *n = p->anchors[i - 1].node;

		if (!str_eq(p->anchors[i - 1].name, name))
			continue;
		*ret = n;
		return check_depth(p, depth + n->height - 1, &ev->start_mark);
	}
	err_at(p->e, -EINVAL, p->doc->name, (unsigned)ev->start_mark.line + 1,
	    (unsigned)ev->start_mark.column + 1,
	    "*%s refers to no anchor above it; quote text that begins with *",
	    conf_show(name));
	return -EINVAL;
}

static int add_anchor(struct parser *p, const yaml_char_t *name, struct conf_node *n)
{
	struct anchor *anchors;

	if (p->n_anchors == MAX_ANCHORS)
		return conf_err(
		    n, p->e, "more than %d anchors; that is the limit", MAX_ANCHORS);
	anchors = reallocarray(p->anchors, p->n_anchors + 1, sizeof(*anchors));
	if (!anchors)
		return err_set(p->e, -ENOMEM, "out of memory");
	p->anchors = anchors;
	anchors[p->n_anchors] = (struct anchor){ strdup((const char *)name), n };
	if (!anchors[p->n_anchors].name)
		return err_set(p->e, -ENOMEM, "out of memory");
	p->n_anchors++;
	return 0;
}

static int parse_node(
    struct parser *p, yaml_event_t *ev, unsigned depth, struct conf_node **ret)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	int r = check_depth(p, depth, &ev->start_mark);

	if (r == 0 && ++p->n_events > CONF_MAX_NODES)
		r = at_mark(
		    p, &ev->start_mark, "more than 100000 values; that is the limit");
	if (r < 0)
		return r;
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
		r = parse_scalar(p, ev, ret);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
		r = parse_list(p, ev, depth, ret);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
		r = parse_table(p, ev, depth, ret);
		break;
	case YAML_ALIAS_EVENT:
		return parse_alias(p, ev, depth, ret);
	default:
		return at_mark(p, &ev->start_mark, "a value is missing here");
	}
	if (r == 0 && tag)
		return conf_err(*ret, p->e,
		    "tags are not supported; leave it out, and quote text that begins "
		    "with !");
	return r == 0 && anchor ? add_anchor(p, anchor, *ret) : r;
}

/*
 * Documents
 */

/* What follows the first document may only be the end of the stream. */
static int parse_stream(struct parser *p)
{
	unsigned documents = 0;

	for (;;) {
		yaml_event_t ev;
		int r = next_event(p, &ev);
		bool end;

		if (r < 0)
			return r;
		end = ev.type == YAML_STREAM_END_EVENT;
		if (ev.type == YAML_DOCUMENT_START_EVENT)
			documents++;
		if (documents > 1)
			r = at_mark(p, &ev.start_mark,
			    "a second document begins here; one file holds one");
		else if (ev.type != YAML_STREAM_START_EVENT && !end &&
		    ev.type != YAML_DOCUMENT_START_EVENT &&
		    ev.type != YAML_DOCUMENT_END_EVENT)
			r = parse_node(p, &ev, 1, &p->doc->root);
		yaml_event_delete(&ev);
		if (r < 0 || end)
			return r;
	}
}

/* An empty file, or one that holds null, is a table without keys. */
static int replace_null_root(struct parser *p)
{
	const yaml_event_t top = { .type = YAML_MAPPING_START_EVENT };

	if (!conf_is_null(p->doc->root))
		return 0;
	p->doc->root = node_new(p, TABLE, &top);
	return p->doc->root ? 0 : err_set(p->e, -ENOMEM, "out of memory");
}

static int run_parser(struct conf_doc *doc, const char *text, size_t n, struct err *e)
{
	struct parser p = { .doc = doc, .e = e };
	int r;

	if (!yaml_parser_initialize(&p.yaml))
		return err_set(e, -ENOMEM, "out of memory");
	yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, n);
	r = parse_stream(&p);
	if (r == 0)
		r = replace_null_root(&p);
	for (size_t i = 0; i < p.n_anchors; i++)
		free(p.anchors[i].name);
	free(p.anchors);
	yaml_parser_delete(&p.yaml);
	return r;
}

int conf_doc_parse(
    struct conf_doc **ret, const char *name, const char *text, size_t n, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r;

	if (n > CONF_MAX_BYTES)
		return err_at(
		    e, -EFBIG, name, 0, 0, "larger than 1 MiB; that is the limit");
	r = check_bytes(name, text, n, e);
	if (r < 0)
		return r;
	doc = calloc(1, sizeof(*doc));
	if (!doc)
		return err_set(e, -ENOMEM, "out of memory");
	doc->name = strdup(name);
	if (!doc->name)
		return err_set(e, -ENOMEM, "out of memory");
	r = run_parser(doc, text, n, e);
	if (r < 0)
		return r;
	*ret = TAKE(doc);
	return 0;
}

int conf_doc_load(struct conf_doc **ret, const char *path, struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = file_read(path, CONF_MAX_BYTES, &text);

	if (r == -ENOENT)
		return r;
	if (r == -EFBIG)
		return err_at(e, r, path, 0, 0, "larger than 1 MiB; that is the limit");
	if (r < 0)
		return err_at(e, r, path, 0, 0, "cannot be read: %s", strerror(-r));
	return conf_doc_parse(ret, path, str_get(&text), text.len, e);
}

struct conf_doc *conf_doc_free(struct conf_doc *doc)
{
	if (!doc)
		return NULL;
	while (doc->all) {
		struct conf_node *n = doc->all;

		doc->all = n->next;
		free(n->text);
		free(n->items);
		free(n);
	}
	free(doc->name);
	free(doc);
	return NULL;
}

const struct conf_node *conf_doc_root(const struct conf_doc *doc)
{
	return doc->root;
}

const struct conf_node *conf_get(const struct conf_node *table, const char *key)
{
	if (!conf_is_table(table))
		return NULL;
	for (size_t i = 0; i < table->n; i += 2) {
		if (str_eq(table->items[i]->text, key))
			return table->items[i + 1];
	}
	return NULL;
}

const char *conf_scalar(const struct conf_node *n)
{
	return n && n->kind == SCALAR ? n->text : NULL;
}

bool conf_is_plain(const struct conf_node *n)
{
	return n && n->kind == SCALAR && n->plain;
}

bool conf_is_null(const struct conf_node *n)
{
	if (!n)
		return true;
	return conf_is_plain(n) &&
	    (!n->text[0] || str_eq(n->text, "~") || str_eq(n->text, "null") ||
		str_eq(n->text, "Null") || str_eq(n->text, "NULL"));
}

bool conf_is_list(const struct conf_node *n)
{
	return n && n->kind == LIST;
}

bool conf_is_table(const struct conf_node *n)
{
	return n && n->kind == TABLE;
}

size_t conf_list_len(const struct conf_node *list)
{
	if (conf_is_list(list))
		return list->n;
	return conf_scalar(list) && !conf_is_null(list) ? 1 : 0;
}

const struct conf_node *conf_list_at(const struct conf_node *list, size_t i)
{
	if (i >= conf_list_len(list))
		return NULL;
	return list->kind == LIST ? list->items[i] : list;
}

const struct conf_node *conf_key_at(const struct conf_node *table, size_t i)
{
	return conf_is_table(table) && i < table->n / 2 ? table->items[2 * i] : NULL;
}

const struct conf_node *conf_value_at(const struct conf_node *table, size_t i)
{
	return conf_is_table(table) && i < table->n / 2 ? table->items[2 * i + 1]
							: NULL;
}

unsigned conf_line(const struct conf_node *n)
{
	return n->line;
}

int conf_err(const struct conf_node *n, struct err *e, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_at(e, -EINVAL, n->doc->name, n->line, n->column, "%s", text);
}
