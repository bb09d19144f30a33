/* The folders that okd-ignd serves from: see ignd_dirs.h. */
#include "okdctl/ignd_dirs.h"

#include "common/conf_doc.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/admin_call.h"
#include "okdctl/cli.h"

#define STATE "/var/lib/okd-ignd"

static bool from_status(const struct str *text, const char *key, struct str *out)
{
	_cleanup_(json_freep) json_t *v = NULL;
	const char *dir;

	if (json_load_limited(&v, NULL, str_get(text), text->len, 0, NULL) < 0)
		return false;
	dir = json_str(json_path(v, "ignd", "folders", NULL), key);
	if (dir)
		str_addz(out, dir);
	return dir;
}

static bool from_file(const struct str *text, const char *key, struct str *out)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const char *dir;

	if (conf_doc_parse(&doc, "(configuration)", str_get(text), text->len, NULL) < 0)
		return false;
	dir = conf_scalar(conf_get(conf_doc_root(doc), key));
	if (!dir || !*dir)
		return false;
	str_addf(out, "%s%s", *dir == '/' ? "" : STATE "/", dir);
	return true;
}

void ignd_dir(const struct cli *c, const char *key, struct str *out)
{
	_cleanup_(admin_call_deinit) struct admin_call call = { .to = IGND,
		.target = "/status" };
	_cleanup_(str_deinit) struct str path = STR_INIT, text = STR_INIT;

	admin_call_all(c, &call, 1, ADMIN_TIMEOUT_MS);
	if (call.result == 200 && from_status(&call.reply, key, out))
		return;
	cli_etc_path(c, "ignd.yaml", &path);
	if (file_read(str_get(&path), CONF_MAX_BYTES, &text) == 0 &&
	    from_file(&text, key, out))
		return;
	str_addf(out, STATE "/%s", key);
}
