/* The keys of etcd's settings in dnsd.yaml: a table for each cluster; a lone one is a list of
 * one, and is printed so. */
#include <errno.h>

#include "dnsd/etcd_settings.h"

static const struct conf_type strings = CONF_LIST(&conf_string);

#define ETCD(member) offsetof(struct etcd_settings, member)
static const struct conf_field fields[] = { { "endpoints", &strings, ETCD(endpoints),
						NULL, false, 0, 0 },
	{ "path", &conf_string, ETCD(path), "/skydns", false, 0, 0 },
	{ "zones", &strings, ETCD(zones), "[.]", false, 0, 0 },
	{ "fallthrough", &conf_bool, ETCD(fallthrough), "false", false, 0, 0 },
	{ "username", &conf_string, ETCD(username), NULL, false, 0, 0 },
	{ "password_file", &conf_string, ETCD(password_file), NULL, false, 0, 0 },
	{ "ca", &conf_string, ETCD(ca), NULL, false, 0, 0 },
	{ "certificate", &conf_string, ETCD(certificate), NULL, false, 0, 0 },
	{ "key", &conf_string, ETCD(key), NULL, false, 0, 0 }, CONF_END };
static const struct conf_type table = CONF_TABLE(struct etcd_settings, fields);

static int list_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	struct conf_list *l = out;

	if (conf_list_len(n) > ETCD_CLUSTERS)
		return conf_field_err(
		    f, n, e, "at most %d clusters are followed", ETCD_CLUSTERS);
	if (!conf_is_table(n))
		return conf_list_parse(t, f, n, out, e);
	*l = (struct conf_list){ calloc(1, table.size), 1, true };
	if (!l->items)
		return err_set(e, -ENOMEM, "out of memory");
	return table.parse(&table, f, n, l->items, e);
}

static void list_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	const struct conf_list *l = in;

	if (l->n == 1)
		table.print(&table, l->items, indent, out);
	else
		conf_list_print(t, in, indent, out);
}

const struct conf_type etcd_list_type = {
	.what = "a table of settings, or a list of them",
	.size = sizeof(struct conf_list),
	.parse = list_parse,
	.print = list_print,
	.deinit = conf_list_deinit,
	.is_unset = conf_list_is_unset,
	.aux = &table,
};
