/* okdctl dns put, del, ls and import: the records in okd-dnsd's store. */
#include <errno.h>
#include <strings.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json.h"
#include "okdctl/admin_call.h"
#include "okdctl/cli.h"
#include "okdctl/import.h"
#include "okdctl/out.h"
#include "okdctl/target.h"
#include "okdctl/term.h"
#include "okdctl/verbs.h"

#define TEXT_MAX ((size_t)16 << 20)

/* Sends {"changes": [...]}, which is taken over; with --json it is what was done. */
static int send_changes(struct cli *c, json_t *changes)
{
	_cleanup_(json_freep) json_t *body = json_pack("{so}", "changes", changes);
	_cleanup_(json_freep) json_t *reply = NULL;
	int r;

	if (!body)
		return cli_fail(EXIT_FAILED, "out of memory");
	r = admin_request(c, DNSD, "POST", "/v1/records", body, &reply);
	return r || !c->json ? r : out_json(body);
}

/* "ntp 60 IN A 192.168.120.5": TTL and class may be left out by a person. */
static void add_line(const struct cli *c, struct str *line)
{
	unsigned i = 1;
	uint64_t ttl;

	str_addz(line, c->args[0]);
	if (str_to_u64(c->args[i], INT32_MAX, &ttl) == 0)
		str_addf(line, " %s", c->args[i++]);
	i += c->args[i] && strcasecmp(c->args[i], "IN") == 0;
	str_addz(line, " IN");
	for (; i < c->n_args; i++)
		str_addf(line, " %s", c->args[i]);
}

/* dns put, dns del: the words of a zone file's line; del takes a key as well. */
int dns_change_run(struct cli *c)
{
	bool del = str_ends(c->command->name, "del");
	_cleanup_(str_deinit) struct str line = STR_INIT;

	if (del && c->args[0][0] == '/' && c->n_args == 1)
		return send_changes(c, json_pack("[{ss}]", "key", c->args[0]));
	if (c->n_args < 3)
		return cli_fail(EXIT_USAGE, "something is missing; write: okdctl %s %s",
		    c->command->name, c->command->args);
	add_line(c, &line);
	return send_changes(c,
	    del ? json_pack("[{sssb}]", "record", str_get(&line), "delete", 1)
		: json_pack("[{ss}]", "record", str_get(&line)));
}

static void add_row(struct table *t, const json_t *record)
{
	const json_t *value = json_object_get(record, "value");
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (json_string_value(value))
		str_addz(&text, json_string_value(value));
	else if (!value || json_dump_str(value, &text) < 0)
		str_addz(&text, "?");
	table_add(t, json_str(record, "key"));
	table_add(t, str_get(&text));
}

int dns_list_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	const char *prefix = c->n_args ? c->args[0] : "/";
	_cleanup_(json_freep) json_t *v = NULL;
	struct table t = { .columns = 2 };
	const json_t *list;
	int r;

	if (prefix[0] != '/')
		return cli_fail(EXIT_USAGE,
		    "\"%s\" is no key; write one such as "
		    "/skydns/com/example",
		    prefix);
	str_addz(&target, "/v1/records");
	for (; *prefix; prefix += strcspn(prefix, "/")) {
		_cleanup_(freep) char *label = NULL;

		prefix += strspn(prefix, "/");
		label = strndup(prefix, strcspn(prefix, "/"));
		if (label && *label)
			target_segment(&target, label);
	}
	str_addc(&target, '/');
	r = admin_request(c, DNSD, "GET", str_get(&target), NULL, &v);
	if (r)
		return r;
	list = json_object_get(v, "records");
	if (c->json)
		return out_json(list);
	for (size_t i = 0; i < json_array_size(list); i++)
		add_row(&t, json_array_get(list, i));
	return out_table(&t);
}

/* A value that is no table goes as the text that it is, for okd-dnsd to judge: without a
 * value, or with null, the change would be to take the key away. */
static void add_change(void *arg, const char *key, const char *value, size_t n)
{
	json_t *v = json_loadb(value, n, 0, NULL);

	if (!json_is_object(v)) {
		json_decref(v);
		v = json_stringn(value, n);
	}
	json_array_append_new(
	    arg, json_pack("{s:s, s:o}", "key", key, "value", v ? v : json_string("")));
}

int dns_import_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str text = STR_INIT, out = STR_INIT,
					 notes = STR_INIT;
	_cleanup_(json_freep) json_t *changes = json_array();
	const char *path = c->args[0];
	struct err e = ERR_INIT;
	struct import in = { .name = path, .out = &out, .notes = &notes, .err = &e };
	size_t n;
	int r = str_eq(path, "-") ? fd_read_all(STDIN_FILENO, TEXT_MAX, &text)
				  : file_read(path, TEXT_MAX, &text);

	if (r < 0)
		return cli_fail(
		    cli_status_of(r), "cannot read %s: %s", path, strerror(-r));
	in.text = str_get(&text);
	in.n = text.len;
	r = import_etcd_pairs(&in, add_change, changes);
	if (r < 0)
		return cli_fail_err(EXIT_FAILED, &e);
	n = json_array_size(changes);
	if (n == 0)
		return cli_fail(EXIT_FAILED, "%s holds no key", path);
	r = send_changes(c, json_incref(changes));
	if (r == 0 && !c->json)
		printf("%zu records\n", n);
	return r;
}
