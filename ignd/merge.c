/* A node's own configuration: see merge.h. */
#include "ignd/merge.h"

#include <errno.h>

#include "common/digest.h"
#include "common/json.h"
#include "ignd/fragment.h"
#include "ignd/ignition.h"

bool merge_wanted(
    const struct ignd_conf *c, struct root *nodes, const struct cluster_node *n)
{
	/* One that cannot be read is an error later. */
	for (size_t i = 0; i < FRAGMENT_SUFFIXES; i++)
		if (fragment_exists(nodes, n, fragment_suffixes[i]))
			return true;
	return c->hostname;
}

/* Adds a config to the list of entries, as a data: URL. */
static int add_entry(json_t *list, const char *text, size_t n, struct err *e)
{
	_cleanup_(str_deinit) struct str url = STR_INIT;

	str_addz(&url, "data:;base64,");
	base64_encode(&url, text, n, BASE64_STD);
	if (str_err(&url) ||
	    json_array_append_new(list, json_pack("{s:s}", "source", url.s)) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

static int add_hostname(json_t *list, const struct cluster_node *n,
    const struct ignition *role, struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	str_addf(&text,
	    "{\"ignition\":{\"version\":\"%u.%u.0\"},\"storage\":{\"files\":[{%s"
	    "\"path\":\"/etc/hostname\",\"mode\":420,\"overwrite\":true,\"contents\":{"
	    "\"source\":\"data:,%s%%0A\"}}]}}",
	    role->major, role->minor,
	    role->major == 2 ? "\"filesystem\":\"root\"," : "", n->fqdn);
	return str_err(&text) ? err_set(e, -ENOMEM, "out of memory")
			      : add_entry(list, text.s, text.len, e);
}

static int add_fragment(json_t *list, struct root *nodes, const struct cluster_node *n,
    const char *suffix, const struct ignition *role, struct err *e)
{
	_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };
	int r = fragment_read(&f, nodes, n, suffix, role, e);

	return r < 0 || !f.json.len ? r : add_entry(list, f.json.s, f.json.len, e);
}

int merge_build(struct str *out, const struct ignd_conf *c, struct root *nodes,
    const struct cluster_node *n, const struct ignfile *role, struct err *e)
{
	_cleanup_(ignition_freep) struct ignition *whole = NULL;
	_cleanup_(json_freep) json_t *root = NULL;
	const struct ignition *ign = role->ign;
	json_t *list = json_array();
	int r;

	root = json_pack("{s:{s:o,s:{s:o}}}", "ignition", "version",
	    json_sprintf("%u.%u.0", ign->major, ign->minor), "config",
	    ign->major == 2 ? "append" : "merge", list);
	if (!root)
		return err_set(e, -ENOMEM, "out of memory");
	r = add_entry(list, role->text.s, role->text.len, e);
	if (r == 0 && c->hostname)
		r = add_hostname(list, n, ign, e);
	for (size_t i = 0; r == 0 && i < FRAGMENT_SUFFIXES; i++)
		r = add_fragment(list, nodes, n, fragment_suffixes[i], ign, e);
	if (r == 0 && json_dump_str(root, out) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	return r < 0 ? r : ignition_parse(&whole, n->name, out->s, out->len, e);
}
