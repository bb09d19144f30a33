/* The last events of okdctl status: what the daemons' answers date, in its order. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "okdctl/out.h"
#include "okdctl/status.h"
#include "okdctl/term.h"

#define MAX_SHOWN 8
#define TEXT_MAX 200

struct event {
	int64_t at; /* seconds since 1970 */
	char text[TEXT_MAX];
};

struct events {
	struct event *v;
	size_t n, cap;
	int err;
};

/* What has no time did not happen. */
static _printf_(3, 4) void add(struct events *e, int64_t at, const char *fmt, ...)
{
	va_list ap;

	if (at <= 0)
		return;
	if (e->n == e->cap) {
		size_t cap = e->cap ? 2 * e->cap : 64;
		struct event *v = reallocarray(e->v, cap, sizeof(*v));

		if (!v) {
			e->err = -ENOMEM;
			return;
		}
		e->v = v;
		e->cap = cap;
	}
	e->v[e->n].at = at;
	va_start(ap, fmt);
	vsnprintf(e->v[e->n].text, TEXT_MAX, fmt, ap);
	va_end(ap);
	term_clean(e->v[e->n++].text);
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void of_ignd(const struct status *s, struct events *e)
{
	const json_t *list = status_own(s, IGND, "nodes");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i);
		const json_t *file = json_object_get(n, "image");
		const char *name = text_of(n, "name"), *stage = text_of(n, "stage");

		add(e, number_of(file, "started_at"), "%s begins to fetch %s", name,
		    base(text_of(file, "path")));
		add(e, number_of(file, "done_at"), "%s has the image", name);
		add(e, number_of(n, "ticket_at"), "%s has its .ign file", name);
		if (str_eq(stage, "Failed") || str_eq(stage, "Waiting for ignition"))
			add(e, number_of(n, "stage_at"), "%s: %s: %s", name, stage,
			    text_of(n, "why"));
	}
}

static void of_lbd(const struct status *s, struct events *e)
{
	const json_t *install = status_own(s, LBD, "install");
	const json_t *nodes = json_object_get(install, "nodes");
	const json_t *backends = status_own(s, LBD, "backends");

	if (!str_eq(text_of(install, "state"), "waiting"))
		add(e, number_of(install, "since"), "the install is at \"%s\"",
		    text_of(install, "state"));
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i);

		add(e, number_of(n, "fetched_last"),
		    "%s has fetched its machine config", text_of(n, "name"));
		add(e, number_of(n, "api_first"), "%s has reached the API",
		    text_of(n, "name"));
	}
	for (size_t i = 0; i < json_array_size(backends); i++) {
		const json_t *b = json_array_get(backends, i);
		const json_t *servers = json_object_get(b, "servers");

		for (size_t k = 0; k < json_array_size(servers); k++) {
			const json_t *v = json_array_get(servers, k);

			add(e, s->now - number_of(v, "changed_s"), "%s/%s is %s",
			    text_of(b, "name"), text_of(v, "name"),
			    text_of(v, "status"));
		}
	}
}

static void of_csrd(const struct status *s, struct events *e)
{
	const json_t *list = status_own(s, CSRD, "recent");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *d = json_array_get(list, i);

		add(e, number_of(d, "at"), "%s of %s: %s (%s)", text_of(d, "csr"),
		    *text_of(d, "node") ? text_of(d, "node") : "an unknown node",
		    text_of(d, "decision"), text_of(d, "reason"));
	}
}

/* The order of equal times is that of the text, so that a screen does not flicker. */
static int compare(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->at != y->at ? (x->at < y->at ? -1 : 1) : strcmp(x->text, y->text);
}

void status_print_events(const struct status *s, bool color, struct str *out)
{
	struct events e = { 0 };
	struct table t = { .columns = 2 };

	of_ignd(s, &e);
	of_lbd(s, &e);
	of_csrd(s, &e);
	if (e.n) {
		status_heading(out, color, "Events");
		qsort(e.v, e.n, sizeof(*e.v), compare);
	}
	for (size_t i = e.n > MAX_SHOWN ? e.n - MAX_SHOWN : 0; i < e.n; i++) {
		_cleanup_(str_deinit) struct str ago = STR_INIT;

		term_add_seconds(&ago, s->now - e.v[i].at);
		str_addz(&ago, " ago");
		table_add_color(&t, color, TERM_DIM, str_get(&ago));
		table_add(&t, e.v[i].text);
	}
	table_print(&t, 2, out);
	table_deinit(&t);
	if (e.err)
		out->err = e.err;
	free(e.v);
}
