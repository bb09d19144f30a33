/* okdctl node add and remove: see node.h. */
#include "okdctl/node.h"

#include <errno.h>

#include "common/cluster.h"
#include "common/fd.h"
#include "okdctl/cli.h"
#include "okdctl/files.h"
#include "okdctl/install.h"
#include "okdctl/lines.h"
#include "okdctl/out.h"
#include "okdctl/topology.h"

#define BY_HAND                                                                     \
	"the nodes are not written one a line (\"  - {name: ...}\" or \"  - name: " \
	"...\"), so the file has to be edited by hand"

struct text {
	const char *start, *end;
	const struct conf_node *nodes;
	unsigned
	    last_line; /* where the block of nodes ends: the next key's, or past it */
};

/* Where the list of nodes lies; its items must begin lines of their own. */
static int find_nodes(struct text *t, const struct conf_doc *doc, struct err *err)
{
	const struct conf_node *root = conf_doc_root(doc), *key;
	const char *first;

	t->nodes = conf_get(root, "nodes");
	t->last_line = ~0u;
	for (size_t i = 0; (key = conf_key_at(root, i)); i++)
		if (str_eq(conf_scalar(key), "nodes") && conf_key_at(root, i + 1))
			t->last_line = conf_line(conf_key_at(root, i + 1));
	if (!conf_is_list(t->nodes) || !conf_list_len(t->nodes) ||
	    !lines_are_plain(t->start, (size_t)(t->end - t->start)))
		return conf_err(root, err, BY_HAND);
	first = lines_at(t->start, t->end, conf_line(conf_list_at(t->nodes, 0)));
	first += strspn(first, " ");
	return *first == '-' ? 0 : conf_err(t->nodes, err, BY_HAND);
}

static size_t indent_of(const char *line, const char *end)
{
	size_t n = 0;

	while (line + n < end && line[n] == ' ')
		n++;
	return n;
}

static const char *next_line(const struct text *t, const char *line)
{
	const char *nl = memchr(line, '\n', (size_t)(t->end - line));

	return nl ? nl + 1 : t->end;
}

/* Neither a remark nor an empty line. */
static bool says_something(const struct text *t, const char *line)
{
	size_t n = indent_of(line, t->end);

	return line + n < t->end && !strchr("#\r\n", line[n]);
}

/* Past the last line that belongs to the item on this line: one that is deeper than its
 * dash.  Remarks and empty lines between such lines are the item's too, those behind them
 * are not. */
static const char *end_of_item(const struct text *t, const char *line)
{
	size_t dash = indent_of(line, t->end);
	const char *end = next_line(t, line);

	for (line = end; line < t->end; line = next_line(t, line)) {
		if (!says_something(t, line))
			continue;
		if (indent_of(line, t->end) <= dash)
			break;
		end = next_line(t, line);
	}
	return end;
}

/* What the text says, but for one node, in a form that can be compared: false where it
 * says nothing. */
static bool meaning(
    const char *name, const char *text, size_t n, const char *but, struct str *out)
{
	_cleanup_(cluster_freep) struct cluster *c = NULL;
	_cleanup_(topology_deinit) struct topology t = { 0 };

	if (cluster_parse(&c, name, text, n, NULL, NULL) < 0 ||
	    topology_from_cluster(&t, c) < 0)
		return false;
	topology_remove_node(&t, but);
	topology_print(&t, out);
	return true;
}

/* The result must be what was meant, and nothing else: without the node that came or went,
 * it says what the text said, unless that was none (the change may be what mends it). */
static int verify(const struct text *t, const char *name, const char *node,
    const struct str *out, size_t want, struct err *err)
{
	_cleanup_(cluster_freep) struct cluster *c = NULL;
	_cleanup_(str_deinit) struct str before = STR_INIT, after = STR_INIT;
	int r = str_err(out)
	    ? -ENOMEM
	    : cluster_parse(&c, name, str_get(out), out->len, NULL, err);

	if (r == -ENOMEM)
		return err_set(err, r, "out of memory");
	if (r < 0)
		return r;
	if (cluster_n_nodes(c) != want ||
	    (meaning(name, t->start, (size_t)(t->end - t->start), node, &before) &&
		(!meaning(name, str_get(out), out->len, node, &after) ||
		    !str_eq(str_get(&before), str_get(&after)))))
		return err_set(err, -EINVAL, BY_HAND);
	return 0;
}

int node_text_add(const char *name, const char *text, size_t n, const char *node,
    const char *line, struct str *out, struct err *err)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	struct text t = { .start = text, .end = text + n };
	const char *at, *last;
	int r = conf_doc_parse(&doc, name, text, n, err);

	if (r == 0)
		r = find_nodes(&t, doc, err);
	if (r < 0)
		return r;
	last = lines_at(t.start, t.end,
	    conf_line(conf_list_at(t.nodes, conf_list_len(t.nodes) - 1)));
	at = end_of_item(&t, last);
	str_add(out, text, (size_t)(at - text));
	if (at[-1] != '\n')
		str_addc(out, '\n');
	str_addf(out, "%*s- %s\n", (int)indent_of(last, t.end), "", line);
	str_add(out, at, (size_t)(t.end - at));
	return verify(&t, name, node, out, conf_list_len(t.nodes) + 1, err);
}

int node_text_remove(const char *name, const char *text, size_t n, const char *node,
    struct str *out, struct err *err)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	struct text t = { .start = text, .end = text + n };
	int r = conf_doc_parse(&doc, name, text, n, err);

	if (r == 0)
		r = find_nodes(&t, doc, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < conf_list_len(t.nodes); i++) {
		const struct conf_node *item = conf_list_at(t.nodes, i);
		const char *have = conf_scalar(conf_get(item, "name")), *line;

		if (!have || !str_eq(have, node))
			continue;
		line = lines_at(t.start, t.end, conf_line(item));
		str_add(out, text, (size_t)(line - text));
		line = end_of_item(&t, line);
		str_add(out, line, (size_t)(t.end - line));
		return verify(&t, name, node, out, conf_list_len(t.nodes) - 1, err);
	}
	return err_set(err, -ENOENT, "%s has no node \"%s\"", name, node);
}

/* --- the commands ------------------------------------------------------- */

/* The name of a node, and its line as topology_print() writes it, without its dash. */
static int line_of(const char *keys, struct str *name, struct str *out, struct err *err)
{
	_cleanup_(topology_deinit) struct topology t = { 0 };
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = topology_add_node(&t, keys, err);
	const char *at;

	if (r < 0)
		return r;
	topology_print(&t, &text);
	at = strstr(str_get(&text), "  - {");
	if (!at)
		return err_set(err, -ENOMEM, "out of memory");
	at += strlen("  - ");
	str_add(out, at, strcspn(at, "\n"));
	str_addz(name, t.nodes[0].name);
	return 0;
}

static int change(struct cli *c, bool add)
{
	_cleanup_(str_deinit) struct str text = STR_INIT, out = STR_INIT,
					 node = STR_INIT, line = STR_INIT;
	_cleanup_(files_deinit) struct files f = { 0 };
	const char *path = str_get(&c->cluster_path);
	struct err e = ERR_INIT;
	int r = file_read(path, CONF_MAX_BYTES, &text);

	if (r < 0)
		return cli_fail(cli_status_of(r), "cannot read %s: %s%s", path,
		    strerror(-r),
		    r == -ENOENT ? "; write it with \"okdctl init\"" : "");
	if (add)
		r = line_of(c->args[0], &node, &line, &e);
	if (r == 0)
		r = add ? node_text_add(path, str_get(&text), text.len, str_get(&node),
			      str_get(&line), &out, &e)
			: node_text_remove(
			      path, str_get(&text), text.len, c->args[0], &out, &e);
	if (r == 0)
		r = files_add(&f, path, 0644, NULL, &out, &e);
	if (r == 0)
		r = files_write(&f, &e);
	if (r < 0)
		return cli_fail_err(cli_status_of(r), &e);
	if (c->json)
		return out_json_take(
		    json_pack("{s:s, s:s, s:s}", add ? "added" : "removed", c->args[0],
			"file", path, "next", "okdctl reload"));
	puts("Next: okdctl reload");
	return 0;
}

int node_add_run(struct cli *c)
{
	return change(c, true);
}

int node_remove_run(struct cli *c)
{
	return change(c, false);
}
