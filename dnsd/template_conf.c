/* The keys of a template in dnsd.yaml: see template.h. */
#include <string.h>

#include "common/str.h"
#include "dnsd/template.h"

static const struct conf_type strings = CONF_LIST(&conf_string);

/* true is every zone, false none; else a list of zones. */
static int fallthrough_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *word = conf_is_plain(n) ? conf_scalar(n) : NULL;
	struct conf_list *list = out;
	char **items;

	if (!word || (!str_eq(word, "true") && !str_eq(word, "false")))
		return conf_list_parse(t, f, n, out, e);
	list->set = true;
	if (str_eq(word, "false"))
		return 0;
	items = calloc(1, sizeof(*items));
	if (items)
		items[0] = strdup(".");
	if (!items || !items[0]) {
		free(items);
		return conf_err(n, e, "out of memory");
	}
	list->items = items;
	list->n = 1;
	return 0;
}

static const struct conf_type fallthrough_type = {
	.what = "true, false or a list of zones",
	.size = sizeof(struct conf_list),
	.parse = fallthrough_parse,
	.print = conf_list_print,
	.deinit = conf_list_deinit,
	.is_unset = conf_list_is_unset,
	.aux = &conf_string,
};

#define AT(member) offsetof(struct template_conf, member)
static const struct conf_field fields[] = { { "zones", &strings, AT(zones), "[.]",
						false, 0, 0 },
	{ "class", &conf_string, AT(class), "IN", false, 0, 0 },
	{ "type", &conf_string, AT(type), "ANY", false, 0, 0 },
	{ "match", &strings, AT(match), "['.*']", false, 0, 0 },
	{ "answer", &strings, AT(answer), NULL, false, 0, 0 },
	{ "additional", &strings, AT(additional), NULL, false, 0, 0 },
	{ "authority", &strings, AT(authority), NULL, false, 0, 0 },
	{ "rcode", &conf_string, AT(rcode), "NOERROR", false, 0, 0 },
	{ "ederror", &conf_string, AT(ederror), NULL, false, 0, 0 },
	{ "fallthrough", &fallthrough_type, AT(fallthrough), "false", false, 0, 0 },
	CONF_END };
static const struct conf_type template_type = CONF_TABLE(struct template_conf, fields);
const struct conf_type template_list_type = CONF_LIST(&template_type);
