/*
 * Configs of single nodes: see fragment.h.
 *
 * YAML becomes JSON with each key and each item on a line of its own, so that the line of
 * a fault in the JSON, which nobody wrote, leads back to the YAML's node.
 */
#include "ignd/fragment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/conf_doc.h"
#include "common/fd.h"
#include "common/json.h"
#include "ignd/place.h"

#define FRAGMENT_MAX (4u * 1024 * 1024)

const char *const fragment_suffixes[FRAGMENT_SUFFIXES] = { ".ign", ".yaml" };

void fragment_deinit(struct fragment *f)
{
	str_deinit(&f->json);
	str_deinit(&f->warnings);
}

/* --- YAML to JSON ------------------------------------------------------- */

static json_t *scalar_json(const struct conf_node *n)
{
	const char *s = conf_scalar(n);
	char *end;
	long long v;

	if (conf_is_null(n))
		return json_null();
	if (!conf_is_plain(n))
		return json_string(s);
	if (str_eq(s, "true") || str_eq(s, "false"))
		return json_boolean(s[0] == 't');
	/* File modes are written in octal: 0644, 0o644. */
	if (s[0] == '0' && s[1] && strspn(s + 1, "o01234567") == strlen(s + 1)) {
		v = strtoll(s + 1 + (s[1] == 'o'), &end, 8);
		if (!*end)
			return json_integer(v);
	}
	errno = 0;
	v = strtoll(s, &end, 10);
	if (*s && !*end && !errno && s[0] != '+' && s[0] != ' ')
		return json_integer(v);
	return json_string(s);
}

/* Bounded by the document's own limit on levels. */
static json_t *node_json(const struct conf_node *n)
{
	const struct conf_node *key;
	json_t *out;

	if (conf_is_list(n)) {
		out = json_array();
		for (size_t i = 0; i < conf_list_len(n); i++)
			json_array_append_new(out, node_json(conf_list_at(n, i)));
		return out;
	}
	if (!conf_is_table(n))
		return scalar_json(n);
	out = json_object();
	for (size_t i = 0; (key = conf_key_at(n, i)); i++)
		json_object_set_new(
		    out, conf_scalar(key), node_json(conf_value_at(n, i)));
	return out;
}

static int yaml_json(struct str *out, const struct conf_doc *doc,
    const struct ignition *role, struct err *e)
{
	_cleanup_(json_freep) json_t *root = node_json(conf_doc_root(doc));
	_cleanup_(freep) char *text = NULL;

	if (!conf_is_table(conf_doc_root(doc)))
		return conf_err(conf_doc_root(doc), e,
		    "it must be a table, with the keys of an Ignition config");
	/* Behind all that the file says, whose lines must not move. */
	if (!json_object_get(root, "ignition"))
		json_object_set_new(root, "ignition",
		    json_pack("{s:o}", "version",
			json_sprintf("%u.%u.0", role->major, role->minor)));
	text = root ? json_dumps(root, JSON_INDENT(1) | JSON_ENCODE_ANY) : NULL;
	if (text)
		str_addz(out, text);
	return text && !str_err(out) ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* --- and back ----------------------------------------------------------- */

/* Counts left down along the lines of a node's JSON, the first of which it is on; the node
 * of the line where that comes to nothing.  A container ends in a line of its own. */
static const struct conf_node *find_line(const struct conf_node *n, unsigned *left)
{
	const struct conf_node *at, *value, *found;
	bool list = conf_is_list(n);
	size_t i = 0;

	for (;; i++) {
		value = list ? conf_list_at(n, i) : conf_value_at(n, i);
		at = list ? value : conf_key_at(n, i);
		if (!at)
			break;
		if (--*left == 0)
			return at;
		found = find_line(value, left);
		if (found)
			return found;
	}
	return i && --*left == 0 ? n : NULL;
}

static const struct conf_node *node_of_line(const struct conf_doc *doc, unsigned line)
{
	const struct conf_node *root = conf_doc_root(doc);

	line--;
	return line ? find_line(root, &line) : root;
}

/* Moves an error of the JSON to where it is in the YAML. */
static void move_error(const struct conf_doc *doc, struct err *e)
{
	const struct conf_node *n = e && e->line ? node_of_line(doc, e->line) : NULL;
	const struct err old = e ? *e : (struct err)ERR_INIT;

	if (n)
		conf_err(n, e, "%s", old.text);
	else if (e)
		e->line = e->column = 0;
}

/* The same for lines of warnings. */
static void move_warnings(
    const struct conf_doc *doc, const char *lines, struct str *out)
{
	while (*lines) {
		const char *end = strchrnul(lines, '\n'), *text = lines;
		struct err e = ERR_INIT;

		if (sscanf(lines, "%u:%u", &e.line, &e.column) == 2)
			text = memchr(lines, ' ', (size_t)(end - lines));
		text = text ? text : lines;
		snprintf(e.text, sizeof(e.text), "%.*s", (int)(end - text), text);
		move_error(doc, &e);
		str_addf(out, "%u:%u:%s\n", e.line, e.column, e.text);
		lines = end + (*end == '\n');
	}
}

/* --- what a node would refuse ------------------------------------------- */

/* Where the text names its version. */
static struct place version_place(const char *text, size_t n)
{
	_cleanup_(json_freep) json_t *root = json_loadb(text, n, JSON_ALLOW_NUL, NULL);
	const json_t *section = json_object_get(root, "ignition");

	return place_find(
	    root, text, n, section ? section : root, section ? "version" : "ignition");
}

/* A fragment must be of the role's major version, and not newer. */
static int check(struct str *warnings, const char *name, const struct str *json,
    const struct ignition *role, struct err *e)
{
	_cleanup_(ignition_freep) struct ignition *ign = NULL;
	int r = ignition_parse(&ign, name, str_get(json), json->len, e);
	struct place at;

	if (r < 0)
		return r;
	if (ign->major != role->major || ign->minor > role->minor) {
		at = version_place(str_get(json), json->len);
		return err_at(e, -EINVAL, name, at.line, at.column,
		    "ignition.version is %u.%u.0, but the role's config is of %u.%u.0",
		    ign->major, ign->minor, role->major, role->minor);
	}
	str_addz(warnings, str_get(&ign->warnings));
	return str_err(warnings) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int parse_yaml(struct fragment *ret, const char *name, const char *text,
    size_t n, const struct ignition *role, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	_cleanup_(str_deinit) struct str warnings = STR_INIT;
	int r = conf_doc_parse(&doc, name, text, n, e);

	if (r == 0)
		r = yaml_json(&ret->json, doc, role, e);
	if (r < 0)
		return r;
	r = check(&warnings, name, &ret->json, role, e);
	if (r < 0)
		move_error(doc, e);
	else
		move_warnings(doc, str_get(&warnings), &ret->warnings);
	return r;
}

int fragment_parse(struct fragment *ret, const char *name, const char *text, size_t n,
    const struct ignition *role, struct err *e)
{
	if (str_ends(name, ".yaml"))
		return parse_yaml(ret, name, text, n, role, e);
	str_add(&ret->json, text, n);
	if (str_err(&ret->json))
		return err_set(e, -ENOMEM, "out of memory");
	return check(&ret->warnings, name, &ret->json, role, e);
}

/* --- files -------------------------------------------------------------- */

static int open_file(struct root *nodes, const struct cluster_node *n,
    const char *suffix, char *name, size_t size, struct stat *st)
{
	snprintf(name, size, "%s%s", n->name, suffix);
	return root_open(nodes, name, st);
}

bool fragment_exists(
    struct root *nodes, const struct cluster_node *n, const char *suffix)
{
	char name[128];
	struct stat st;
	int fd = open_file(nodes, n, suffix, name, sizeof(name), &st);

	fd_close(fd);
	return fd != -ENOENT;
}

int fragment_read(struct fragment *ret, struct root *nodes,
    const struct cluster_node *n, const char *suffix, const struct ignition *role,
    struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char name[128];
	struct stat st;
	_cleanup_(fd_closep) int fd =
	    open_file(nodes, n, suffix, name, sizeof(name), &st);
	int r = fd < 0 ? fd : file_read_still(fd, &st, FRAGMENT_MAX, &text);

	if (fd == -ENOENT)
		return 0;
	if (r == -EBUSY)
		return err_at(e, r, name, 0, 0, "it changes while it is read");
	if (r < 0)
		return err_at(e, r, name, 0, 0, "it cannot be read: %s", strerror(-r));
	return fragment_parse(ret, name, str_get(&text), text.len, role, e);
}
