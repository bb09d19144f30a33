/* The state of the whole install: see status.h. */
#include "okdctl/status.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/okdctl.h"
#include "okdctl/out.h"
#include "okdctl/term.h"

#define DAY 86400

static void fetch_from(
    const struct cli *c, struct status *s, unsigned first, unsigned n)
{
	struct admin_call calls[N_DAEMONS] = { 0 };

	for (unsigned i = 0; i < n; i++)
		calls[i] = (struct admin_call){ .to = (enum bastion_daemon)(first + i),
			.target = "/status" };
	admin_call_all(c, calls, n, ADMIN_TIMEOUT_MS);
	for (unsigned i = 0; i < n; i++) {
		enum bastion_daemon d = calls[i].to;

		s->result[d] = calls[i].result;
		if (calls[i].result == 200 &&
		    json_load_limited(&s->of[d], NULL, str_get(&calls[i].reply),
			calls[i].reply.len, 0, NULL) < 0)
			s->result[d] = -EPROTO;
		admin_call_deinit(&calls[i]);
	}
	s->now = clock_real_s();
}

void status_fetch(const struct cli *c, struct status *s)
{
	fetch_from(c, s, 0, N_DAEMONS);
}

void status_fetch_one(const struct cli *c, struct status *s, enum bastion_daemon d)
{
	fetch_from(c, s, d, 1);
}

void status_deinit(struct status *s)
{
	for (unsigned i = 0; i < N_DAEMONS; i++)
		json_freep(&s->of[i]);
}

/* --- looking things up -------------------------------------------------- */

const json_t *status_find(const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		if (json_str(v, "name") && str_eq(json_str(v, "name"), name))
			return v;
	}
	return NULL;
}

json_t *status_own(const struct status *s, enum bastion_daemon d, const char *key)
{
	return json_path(s->of[d], daemon_names[d], key, NULL);
}

const json_t *status_node(
    const struct status *s, enum bastion_daemon d, const char *name)
{
	return status_find(status_own(s, d, "nodes"), name);
}

const json_t *status_server(
    const struct status *s, const char *backend, const char *server)
{
	const json_t *b = status_find(status_own(s, LBD, "backends"), backend);

	return status_find(json_object_get(b, "servers"), server);
}

static void seconds_ago(struct table *t, int64_t now, int64_t at)
{
	_cleanup_(str_deinit) struct str cell = STR_INIT;

	if (at > 0)
		term_add_seconds(&cell, now - at);
	table_add(t, str_get(&cell));
}

void status_heading(struct str *out, bool color, const char *s)
{
	if (out->len)
		str_addc(out, '\n');
	term_add(out, color, TERM_BOLD, s);
	str_addc(out, '\n');
}

/* --- daemons ------------------------------------------------------------ */

static void absent(struct table *t, bool color, int result)
{
	bool down = result == -ENOENT || result == -ECONNREFUSED;

	table_add_color(t, color, down ? TERM_DIM : TERM_RED,
	    down                       ? "not running"
		: result == -EACCES    ? "no permission"
		: result == -ETIMEDOUT ? "no answer"
				       : "odd answer");
	table_add(t, "");
	table_add(t, "");
	table_add(t, "");
}

static void add_reasons(const json_t *v, struct str *out)
{
	const json_t *reasons = json_object_get(v, "reasons");
	const char *error = json_str(json_object_get(v, "config"), "error");

	if (error)
		str_addf(out, "the last reload failed: %s", error);
	for (size_t i = 0; i < json_array_size(reasons); i++)
		str_addf(out, "%s%s", out->len ? "; " : "",
		    json_string_value(json_array_get(reasons, i)));
}

static void print_daemons(const struct status *s, bool color, struct str *out)
{
	struct table t = { .columns = 5 };

	status_heading(out, color, "Daemons");
	for (unsigned i = 0; i < N_DAEMONS; i++) {
		_cleanup_(str_deinit) struct str why = STR_INIT;
		const json_t *v = s->of[i];
		bool ready = json_is_true(json_object_get(v, "ready"));

		table_addf(&t, "okd-%s", daemon_names[i]);
		if (!v) {
			absent(&t, color, s->result[i]);
			continue;
		}
		table_add_color(&t, color, ready ? TERM_GREEN : TERM_YELLOW,
		    ready ? "ready" : "not ready");
		table_add(&t, text_of(v, "version"));
		seconds_ago(&t, s->now, number_of(v, "started_at"));
		add_reasons(v, &why);
		table_add(&t, str_get(&why));
	}
	table_print(&t, 2, out);
	table_deinit(&t);
}

/* --- the install ---------------------------------------------------------- */

static void add_count(struct str *out, int64_t n, const char *one, const char *many)
{
	str_addf(out, "%lld %s", (long long)n, n == 1 ? one : many);
}

static void print_install(const struct status *s, bool color, struct str *out)
{
	const json_t *install = status_own(s, LBD, "install"),
		     *csrd = status_own(s, CSRD, "api");

	if (!install && !csrd)
		return;
	status_heading(out, color, "Install");
	if (install) {
		str_addz(out, "  ");
		term_add_text(out, text_of(install, "state"));
		str_addz(out, " for ");
		term_add_seconds(out, s->now - number_of(install, "since"));
		str_addf(out, "; machine configs are %s\n",
		    json_is_true(json_object_get(install, "mcs_open")) ? "served"
								       : "closed");
		if (json_is_true(json_object_get(install, "bootstrap_returned")))
			str_addz(out, "  the bootstrap has come back\n");
	}
	if (*text_of(csrd, "trouble")) {
		str_addz(out, "  certificate requests: ");
		term_add_text(out, text_of(csrd, "trouble"));
		str_addc(out, '\n');
	} else if (csrd) {
		str_addz(out, "  ");
		add_count(out, json_integer_value(status_own(s, CSRD, "pending")),
		    "certificate request pending\n", "certificate requests pending\n");
	}
}

/* --- backends ----------------------------------------------------------- */

static void add_server(const struct status *s, const char *backend, const json_t *v,
    bool color, struct table *t)
{
	const char *state = text_of(v, "status");
	const json_t *check = json_object_get(v, "check");

	table_add(t, backend);
	table_add(t, text_of(v, "name"));
	table_add(t, text_of(v, "address"));
	table_add_color(t, color,
	    str_starts(state, "UP")         ? TERM_GREEN
		: str_starts(state, "DOWN") ? TERM_RED
					    : TERM_YELLOW,
	    state);
	table_add(t, json_is_true(json_object_get(v, "backup")) ? "backup" : "");
	seconds_ago(t, s->now, v ? s->now - number_of(v, "changed_s") : 0);
	table_addf(t, "%lld session%s", (long long)number_of(v, "sessions"),
	    number_of(v, "sessions") == 1 ? "" : "s");
	table_add(t, text_of(check, "info"));
}

static void print_backends(const struct status *s, bool color, struct str *out)
{
	const json_t *list = status_own(s, LBD, "backends");
	struct table t = { .columns = 8 };

	if (!json_array_size(list))
		return;
	status_heading(out, color, "Backends");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *b = json_array_get(list, i);
		const json_t *servers = json_object_get(b, "servers");

		for (size_t k = 0; k < json_array_size(servers); k++)
			add_server(s, k ? "" : text_of(b, "name"),
			    json_array_get(servers, k), color, &t);
	}
	table_print(&t, 2, out);
	table_deinit(&t);
}

/* --- files and images --------------------------------------------------- */

/* The certificate clock: how long a node may still boot from this file. */
static void add_clock(struct table *t, int64_t now, const json_t *certs, bool color)
{
	int64_t end = number_of(certs, "not_after");
	_cleanup_(str_deinit) struct str text = STR_INIT;
	enum term_color c = TERM_PLAIN;

	if (str_eq(text_of(certs, "state"), "expired")) {
		str_addz(&text, "its certificates expired ");
		term_add_seconds(&text, now - end);
		str_addz(&text, " ago");
		c = TERM_RED;
	} else if (str_eq(text_of(certs, "state"), "not yet valid")) {
		str_addz(
		    &text, "its certificates are not valid yet: look at the clocks");
		c = TERM_RED;
	} else if (end > 0) {
		str_addz(&text, "certificates hold for ");
		term_add_seconds(&text, end - now);
		c = str_eq(text_of(certs, "state"), "good") ? TERM_PLAIN : TERM_YELLOW;
	}
	table_add_color(t, color, c, str_get(&text));
}

static void add_config(
    const struct status *s, const json_t *v, bool color, struct table *t)
{
	const char *state = text_of(v, "state");
	const char *why = json_str(v, "error");

	table_add(t, text_of(v, "name"));
	table_add_color(t, color,
	    str_eq(state, "good")          ? TERM_GREEN
		: str_eq(state, "missing") ? TERM_DIM
					   : TERM_RED,
	    state);
	if (why)
		table_add(t, why);
	else
		add_clock(t, s->now, json_object_get(v, "certificates"), color);
}

static void add_image(const json_t *v, bool color, struct table *t)
{
	const char *state = text_of(v, "state");

	table_add(t, text_of(v, "name"));
	table_add_color(t, color, str_eq(state, "bad") ? TERM_RED : TERM_PLAIN, state);
	table_add(t,
	    json_is_false(json_object_get(v, "signature")) ? "without its .sig"
							   : text_of(v, "why"));
}

static void print_files(const struct status *s, bool color, struct str *out)
{
	const json_t *configs = status_own(s, IGND, "configs"),
		     *images = status_own(s, IGND, "images");
	struct table t = { .columns = 3 };

	if (!json_array_size(configs) && !json_array_size(images))
		return;
	status_heading(out, color, "Files");
	for (size_t i = 0; i < json_array_size(configs); i++)
		add_config(s, json_array_get(configs, i), color, &t);
	for (size_t i = 0; i < json_array_size(images); i++)
		add_image(json_array_get(images, i), color, &t);
	table_print(&t, 2, out);
	table_deinit(&t);
}

static void print_registry(const struct status *s, bool color, struct str *out)
{
	const json_t *v = json_object_get(s->of[REGD], "regd");
	int64_t ends = number_of(v, "certificate_ends");

	if (!v)
		return;
	status_heading(out, color, "Registry");
	str_addz(out, "  ");
	add_count(out, number_of(v, "repositories"), "repository, ", "repositories, ");
	add_count(out, number_of(v, "manifests"), "manifest, ", "manifests, ");
	add_count(out, number_of(v, "tags"), "tag, ", "tags, ");
	add_count(out, number_of(v, "blobs"), "blob of ", "blobs of ");
	term_add_bytes(out, (uint64_t)number_of(v, "blob_bytes"));
	str_addz(out, ", ");
	term_add_bytes(out, (uint64_t)number_of(v, "free_bytes"));
	str_addz(out, " free");
	if (number_of(v, "bad_blobs")) {
		str_addz(out, ", ");
		add_count(out, number_of(v, "bad_blobs"), "blob is damaged",
		    "blobs are damaged");
	}
	if (json_is_true(json_object_get(v, "read_only")))
		str_addz(out, ", read-only");
	if (ends && ends - s->now < 30 * DAY) {
		str_addz(out,
		    ends > s->now ? ", its certificate ends in "
				  : ", its certificate expired before ");
		term_add_seconds(out, ends - s->now);
	}
	str_addc(out, '\n');
}

void status_print(const struct status *s, bool color, struct str *out)
{
	print_daemons(s, color, out);
	print_install(s, color, out);
	status_print_nodes(s, color, out);
	print_backends(s, color, out);
	print_files(s, color, out);
	print_registry(s, color, out);
	status_print_events(s, color, out);
}

/* --- the command -------------------------------------------------------- */

static bool any_answer(const struct status *s)
{
	for (unsigned i = 0; i < N_DAEMONS; i++) {
		if (s->of[i])
			return true;
	}
	return false;
}

static int print_json(const struct status *s)
{
	json_t *v = json_object();

	for (unsigned i = 0; i < N_DAEMONS; i++)
		json_object_set_new(v, daemon_names[i],
		    s->of[i]
			? json_incref(s->of[i])
			: json_pack("{sbss}", "running", 0, "error",
			      strerror(s->result[i] < 0 ? -s->result[i] : EPROTO)));
	return out_json_take(v);
}

/* Writes the screen over the one before, without a flicker. */
static void redraw(const struct str *screen, struct term_size size)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;

	str_addz(&out, "\033[H");
	term_add_screen(&out, str_get(screen), size);
	fwrite(str_get(&out), 1, out.len, stdout);
	fflush(stdout);
}

static int show_once(struct cli *c, const struct cluster *cluster, bool watch)
{
	struct term_size size =
	    watch && c->terminal ? term_size(STDOUT_FILENO) : (struct term_size){ 0 };
	_cleanup_(status_deinit) struct status s = { .cluster = cluster,
		.columns = size.columns };
	_cleanup_(str_deinit) struct str out = STR_INIT;

	status_fetch(c, &s);
	if (c->json && print_json(&s))
		return EXIT_FAILED;
	if (c->json)
		return any_answer(&s) || watch ? 0 : EXIT_UNREACHABLE;
	status_print(&s, c->color, &out);
	if (str_err(&out))
		return cli_fail(EXIT_FAILED, "out of memory");
	if (watch && c->terminal)
		redraw(
		    &out, size.rows ? size : (struct term_size){ UINT_MAX, UINT_MAX });
	else
		fputs(str_get(&out), stdout);
	return any_answer(&s) || watch ? 0 : EXIT_UNREACHABLE;
}

/* Ctrl-C is how a person ends it: that is no failure. */
static int watch(struct cli *c, const struct cluster *cluster)
{
	sigset_t end;
	const struct timespec second = { .tv_sec = 1 };
	int r;

	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	if (c->terminal)
		fputs("\033[2J", stdout);
	do {
		r = show_once(c, cluster, true);
		fflush(stdout);
	} while (r == 0 && !ferror(stdout) && sigtimedwait(&end, NULL, &second) < 0);
	if (c->terminal)
		putchar('\n'); /* the shell's prompt gets a line of its own */
	return r;
}

int status_run(struct cli *c)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	struct err e = ERR_INIT;
	int r = cluster_load(&cluster, str_get(&c->cluster_path), NULL, &e);

	/* Without a cluster file there is still something to see. */
	if (r < 0 && r != -ENOENT)
		cli_fail_err(0, &e);
	return cli_has(c, "watch") ? watch(c, cluster) : show_once(c, cluster, false);
}
