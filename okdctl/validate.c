/* okdctl ign validate: see validate.h. */
#include "okdctl/validate.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/json.h"
#include "ignd/ignition.h"
#include "okdctl/admin_call.h"
#include "okdctl/cli.h"
#include "okdctl/out.h"
#include "okdctl/term.h"
#include "okdctl/verbs.h"

#define WARN_BEFORE_S (12 * 3600) /* okd-ignd's own default */

/* --- a text ------------------------------------------------------------- */

static json_t *clock_json(const struct certclock *k, int64_t now)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	enum certclock_state s = certclock_judge(k, now, WARN_BEFORE_S);

	if (!k->n)
		return json_null();
	certclock_describe(k, s, now, &text);
	return json_pack("{s:s,s:I,s:I,s:I,s:s}", "state", certclock_state_text(s),
	    "count", (json_int_t)k->n, "not_before", (json_int_t)k->not_before,
	    "not_after", (json_int_t)k->not_after, "text", str_get(&text));
}

json_t *validate_text(const char *name, const char *text, size_t n, int64_t now)
{
	_cleanup_(ignition_freep) struct ignition *ign = NULL;
	struct err e = ERR_INIT;
	int r = ignition_parse(&ign, name, text, n, &e);

	if (r == -ENOMEM)
		return NULL;
	if (r < 0)
		return json_pack("{s:s, s:s, s:s}", "name", name, "state", "bad",
		    "error", err_str(&e));
	return json_pack("{s:s, s:s, s:o, s:I, s:s, s:o}", "name", name, "state",
	    "good", "version", json_sprintf("%u.%u.0", ign->major, ign->minor), "bytes",
	    (json_int_t)n, "warnings", str_get(&ign->warnings), "certificates",
	    clock_json(&ign->certs, now));
}

const char *validate_reason(const json_t *v)
{
	const json_t *certs = json_object_get(v, "certificates");
	const char *state = text_of(v, "state"), *clock = text_of(certs, "state");

	if (!str_eq(state, "good"))
		return json_str(v, "error") ? json_str(v, "error") : state;
	if (str_eq(clock, "expired") || str_eq(clock, "not yet valid"))
		return text_of(certs, "text");
	return NULL;
}

/* --- the command -------------------------------------------------------- */

static void add_warnings(struct table *t, const char *at)
{
	while (*at) {
		int n = (int)strcspn(at, "\n");

		table_add(t, "");
		table_add(t, "warning");
		table_add(t, "");
		table_addf(t, "%.*s", n, at);
		at += n;
		at += *at == '\n';
	}
}

static void add_row(struct table *t, const json_t *v)
{
	const json_t *certs = json_object_get(v, "certificates");
	const char *state = text_of(v, "state"), *why = validate_reason(v);
	bool good = str_eq(state, "good");

	table_add(t, text_of(v, "name"));
	table_add(t, good && why ? text_of(certs, "state") : state);
	table_add(t, text_of(v, "version"));
	table_add(
	    t, *text_of(v, "error") ? text_of(v, "error") : text_of(certs, "text"));
	add_warnings(t, text_of(v, "warnings"));
}

static int print(struct cli *c, const json_t *list)
{
	struct table t = { .columns = 4 };
	bool good = true;
	int r;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		add_row(&t, v);
		good = good && !validate_reason(v);
	}
	if (c->json) {
		table_deinit(&t);
		r = out_json(list);
	} else {
		r = out_table(&t);
	}
	return r ? r : good ? 0 : EXIT_FAILED;
}

int validate_read(const char *path, struct str *out)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? file_read(path, VALIDATE_MAX, out) : -EINVAL;
}

/* A file that cannot be read is an answer as well. */
static json_t *look(const char *path)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = validate_read(path, &text);

	if (r < 0)
		return json_pack("{s:s, s:s, s:s}", "name", path, "state",
		    r == -ENOENT ? "missing" : "unreadable", "error",
		    r == -EFBIG        ? "it is larger than 32 MiB"
			: r == -EINVAL ? "it is no plain file"
				       : strerror(-r));
	return validate_text(path, str_get(&text), text.len, clock_real_s());
}

static int validate_files(struct cli *c)
{
	_cleanup_(json_freep) json_t *list = json_array();

	for (unsigned i = 0; i < c->n_args; i++) {
		json_t *v = look(c->args[i]);

		if (!v || json_array_append_new(list, v) < 0)
			return cli_fail(EXIT_FAILED, "out of memory");
	}
	return print(c, list);
}

/* With files, these; else what okd-ignd found in those that are published. */
int ign_validate_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *v = NULL;
	int r = c->n_args ? 0 : admin_request(c, IGND, "GET", "/status", NULL, &v);

	if (c->n_args)
		return validate_files(c);
	return r ? r : print(c, json_path(v, "ignd", "configs", NULL));
}
