/* okdctl registry. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json.h"
#include "okdctl/admin_call.h"
#include "okdctl/cli.h"
#include "okdctl/files.h"
#include "okdctl/install_config.h"
#include "okdctl/out.h"
#include "okdctl/secrets.h"
#include "okdctl/target.h"
#include "okdctl/term.h"
#include "okdctl/verbs.h"

#define IMPORT_POLL_MS 100
#define LONG_MS (30 * 60 * 1000) /* hashing a release again takes minutes */

/* A request that may take long; the answer, or an exit status after a sentence. */
static int ask(struct cli *c, const char *method, const char *target, json_t **ret)
{
	_cleanup_(admin_call_deinit) struct admin_call call = {
		.to = REGD, .method = method, .target = target
	};
	int status;

	admin_call_all(c, &call, 1, LONG_MS);
	status = admin_call_explain(c, &call);
	*ret = NULL;
	if (status == 0 &&
	    json_load_limited(
		ret, NULL, str_get(&call.reply), call.reply.len, 0, NULL) < 0)
		status = cli_fail(EXIT_FAILED, "okd-regd answered something odd");
	return status;
}

/* --- verify-release ----------------------------------------------------- */

static void print_missing(const json_t *v)
{
	const json_t *missing = json_object_get(v, "missing");

	for (size_t i = 0; i < json_array_size(missing); i++) {
		const json_t *m = json_array_get(missing, i);

		out_line("  %s: %s", text_of(m, "image"), text_of(m, "reason"));
		out_line("      -> %s", text_of(m, "repair"));
	}
}

int registry_verify_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT, size = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	const char *repository = cli_get(c, "repository");
	bool complete;
	int r;

	str_addz(&target, "/v1/verify-release");
	target_add(&target, "repository",
	    repository ? repository : install_config_repository(c->args[0]));
	target_add(&target, "reference", c->args[0]);
	if (cli_has(c, "rehash"))
		target_add(&target, "rehash", "1");
	r = ask(c, "GET", str_get(&target), &v);
	if (r)
		return r;
	complete = json_is_true(json_object_get(v, "complete"));
	if (c->json)
		return out_json(v) ? EXIT_FAILED : complete ? 0 : EXIT_FAILED;
	term_add_bytes(&size, (uint64_t)number_of(v, "bytes"));
	out_line("%s: %lld of %lld images, %lld blobs of %s", text_of(v, "version"),
	    (long long)number_of(v, "present"), (long long)number_of(v, "images"),
	    (long long)number_of(v, "blobs"), str_get(&size));
	print_missing(v);
	return complete ? 0 : EXIT_FAILED;
}

/* --- gc, import, install pieces, ledger --------------------------------- */

int registry_gc_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str size = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	int r =
	    ask(c, "POST", cli_has(c, "dry-run") ? "/v1/gc?dry_run=1" : "/v1/gc", &v);

	if (r || c->json)
		return r ? r : out_json(v);
	term_add_bytes(&size, (uint64_t)number_of(v, "bytes"));
	printf("%lld blobs of %s %s\n", (long long)number_of(v, "blobs"),
	    str_get(&size), cli_has(c, "dry-run") ? "would go" : "are gone");
	return 0;
}

static void print_tags(const char *what, const json_t *tags)
{
	for (size_t i = 0; i < json_array_size(tags); i++)
		out_line("%s %s", what, json_string_value(json_array_get(tags, i)));
}

int registry_prune_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT, size = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	const char *repository = cli_get(c, "repository");
	bool dry = cli_has(c, "dry-run");
	char signatures[96] = "";
	size_t beside;
	int r;

	str_addz(&target, "/v1/prune");
	target_add(&target, "repository",
	    repository ? repository : install_config_repository(c->args[0]));
	for (unsigned i = 0; i < c->n_args; i++)
		target_add(&target, "keep", c->args[i]);
	if (dry)
		target_add(&target, "dry_run", "1");
	r = ask(c, "POST", str_get(&target), &v);
	if (r || c->json)
		return r ? r : out_json(v);
	print_tags(dry ? "would go:" : "went:", json_object_get(v, "drop"));
	print_tags("stays, since it cannot be read:", json_object_get(v, "unreadable"));
	beside = json_array_size(json_object_get(v, "beside"));
	if (beside)
		snprintf(signatures, sizeof(signatures),
		    " (%zu of the tags are signatures and the like of their images)",
		    beside);
	term_add_bytes(&size, (uint64_t)number_of(v, "bytes"));
	printf("%lld manifests and %lld tags %s%s; %lld blobs of %s %s used no more\n",
	    (long long)number_of(v, "manifests"), (long long)number_of(v, "tags"),
	    dry ? "would go" : "are gone", signatures, (long long)number_of(v, "blobs"),
	    str_get(&size), dry ? "would be" : "are");
	return 0;
}

static void show_import(const json_t *v)
{
	if (isatty(STDERR_FILENO) && number_of(v, "items"))
		fprintf(stderr, "\r\033[K%lld of %lld files",
		    (long long)number_of(v, "done"), (long long)number_of(v, "items"));
}

/* Until the import is over, of which *v is the first answer: 0 or an exit status. */
static int follow_import(struct cli *c, json_t **v)
{
	const struct timespec pause = { .tv_nsec = IMPORT_POLL_MS * 1000000L };
	int r = 0;

	while (r == 0 && json_is_true(json_object_get(*v, "running"))) {
		show_import(*v);
		nanosleep(&pause, NULL);
		json_freep(v);
		r = ask(c, "GET", "/v1/import", v);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	return r;
}

static void print_import(const json_t *v)
{
	const json_t *failed = json_object_get(v, "failed");
	_cleanup_(str_deinit) struct str size = STR_INIT;

	term_add_bytes(&size, (uint64_t)number_of(v, "bytes"));
	printf(
	    "%lld blobs of %s, %lld manifests and %lld tags are taken over; %lld files "
	    "were there already\n",
	    (long long)number_of(v, "blobs"), str_get(&size),
	    (long long)number_of(v, "manifests"), (long long)number_of(v, "tags"),
	    (long long)number_of(v, "skipped"));
	for (size_t i = 0; i < json_array_size(failed); i++) {
		const json_t *f = json_array_get(failed, i);

		out_line("failed: %s%s%s@%s: %s", text_of(f, "repository"),
		    json_str(f, "tag") ? ":" : "", text_of(f, "tag"),
		    text_of(f, "digest"), text_of(f, "reason"));
	}
}

/* okd-regd answers at once, and goes on by itself: whether all of it arrived is known at
 * its end. */
int registry_import_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(freep) char *dir = realpath(c->args[0], NULL);
	_cleanup_(json_freep) json_t *v = NULL;
	const char *error;
	int r;

	if (!dir)
		return cli_fail(EXIT_FAILED, "%s: %s", c->args[0], strerror(errno));
	str_addz(&target, "/v1/import");
	target_add(&target, "dir", dir);
	target_add(&target, "repository", cli_get(c, "repository"));
	r = ask(c, "POST", str_get(&target), &v);
	if (r == 0)
		r = follow_import(c, &v);
	if (r)
		return r;
	error = json_str(v, "error");
	if (c->json && out_json(v))
		return EXIT_FAILED;
	if (!c->json && !error)
		print_import(v);
	if (error)
		return cli_fail(EXIT_FAILED, "%s", error);
	return json_array_size(json_object_get(v, "failed")) ? EXIT_FAILED : 0;
}

int registry_pieces_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	int r;

	str_addz(&target, "/v1/install-pieces");
	target_add(&target, "repository", cli_get(c, "repository"));
	r = ask(c, "GET", str_get(&target), &v);
	if (r || c->json)
		return r ? r : out_json(v);
	for (void *i = json_object_iter(v); i; i = json_object_iter_next(v, i)) {
		const char *text = json_string_value(json_object_iter_value(i));

		printf("# --- %s\n%s\n", json_object_iter_key(i), text ? text : "");
	}
	return 0;
}

int registry_ledger_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	struct table t = { .columns = 4 };
	const json_t *list, *lacking;
	int r;

	str_addz(&target, "/v1/pulls");
	target_add(&target, "digest", c->n_args ? c->args[0] : NULL);
	r = ask(c, "GET", str_get(&target), &v);
	if (r || c->json)
		return r ? r : out_json(v);
	list = json_object_get(v, "pulls");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *p = json_array_get(list, i);

		table_add(&t, text_of(p, "client"));
		table_add(&t, text_of(p, "node"));
		table_addf(&t, number_of(p, "pulls") == 1 ? "%lld time" : "%lld times",
		    (long long)number_of(p, "pulls"));
		table_add(&t, text_of(p, "digest"));
	}
	r = out_table(&t);
	lacking = json_object_get(v, "lacking");
	for (size_t i = 0; i < json_array_size(lacking); i++)
		out_line("%s has not pulled it",
		    json_string_value(json_array_get(lacking, i)));
	return r;
}

/* --- users -------------------------------------------------------------- */

static int read_password(struct cli *c, struct str *out, bool *made)
{
	const char *file = cli_get(c, "password-file");
	int r = 0;

	*made = !file;
	if (!file)
		secrets_password(out);
	else
		r = str_eq(file, "-") ? fd_read_all(STDIN_FILENO, 4096, out)
				      : file_read(file, 4096, out);
	if (r < 0)
		return cli_fail(
		    cli_status_of(r), "cannot read %s: %s", file, strerror(-r));
	if (out->len)
		out->s[strcspn(out->s, "\r\n")] = '\0';
	return *str_get(out) ? 0 : cli_fail(EXIT_FAILED, "the password is empty");
}

static int list_users(const struct cli *c, const char *text)
{
	_cleanup_(json_freep) json_t *list = json_array();

	while (*text) {
		size_t line = strcspn(text, "\n"), name = strcspn(text, ":\n");

		if (name < line && *text != '#' && c->json)
			json_array_append_new(list, json_stringn(text, name));
		else if (name < line && *text != '#')
			out_line("%.*s", (int)name, text);
		text += line;
		text += *text == '\n';
	}
	return c->json ? out_json(list) : 0;
}

static int write_users(struct cli *c, const char *path, struct str *text)
{
	_cleanup_(files_deinit) struct files f = { 0 };
	struct err e = ERR_INIT;
	int r = files_add(&f, path, 0640, "okd-regd", text, &e);

	if (r == 0)
		r = files_write(&f, &e);
	return r < 0 ? cli_fail_err(cli_status_of(r), &e) : 0;
}

/* registry user ls | set NAME | del NAME; okd-regd sees the file change by itself. */
int registry_user_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str path = STR_INIT, text = STR_INIT,
					 out = STR_INIT;
	_cleanup_(secrets_wipe) struct str password = STR_INIT;
	const char *verb = c->args[0], *user = c->n_args > 1 ? c->args[1] : NULL;
	bool set = str_eq(verb, "set"), found, made = false;
	struct err e = ERR_INIT;
	int r;

	cli_etc_path(c, "registry.htpasswd", &path);
	r = file_read(str_get(&path), 1 << 20, &text);
	if (r < 0 && !(r == -ENOENT && set))
		return cli_fail(cli_status_of(r), "cannot read %s: %s", str_get(&path),
		    strerror(-r));
	if (str_eq(verb, "ls") && !user)
		return list_users(c, str_get(&text));
	if ((!set && !str_eq(verb, "del")) || !user)
		return cli_fail(
		    EXIT_USAGE, "write: okdctl registry user ls|set|del [NAME]");
	found = secrets_without_user(str_get(&text), user, &out);
	if (!set && !found)
		return cli_fail(
		    EXIT_FAILED, "there is no user \"%s\" in %s", user, str_get(&path));
	r = set ? read_password(c, &password, &made) : 0;
	if (r)
		return r;
	if (set && secrets_htpasswd(user, str_get(&password), &out, &e) < 0)
		return cli_fail_err(EXIT_FAILED, &e);
	r = write_users(c, str_get(&path), &out);
	if (r == 0 && c->json)
		return out_json_take(made ? json_pack("{s:s, s:s}", "user", user,
						"password", str_get(&password))
					  : json_pack("{s:s}", "user", user));
	if (r == 0 && made)
		printf("%s\n", str_get(&password));
	return r;
}
