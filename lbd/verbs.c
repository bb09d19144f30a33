/* The admin socket's own addresses: see verbs.h.  Who may change things was decided
 * before a request comes here. */
#include "lbd/verbs.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/http_reply.h"
#include "common/list.h"
#include "lbd/balance.h"
#include "lbd/install.h"
#include "lbd/lbd.h"
#include "lbd/override.h"
#include "lbd/shed.h"

enum {
	BODY_MAX = 4096,
	OPEN_DEFAULT_S = 3600,
	OPEN_MAX_S = 7 * 86400,
	SESSIONS_DEFAULT = 1000, /* that are listed */
	SESSIONS_MAX = 100000,
};

struct verbs {
	struct lbd *lbd;
	struct list_link waiters;
};

/* --- parameters ---------------------------------------------------------------- */

/* "90s", "30m", "2h" or "1d" in seconds; 0 when it is none. */
static uint64_t parse_span(const char *s)
{
	static const struct {
		char unit;
		uint64_t s;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t n = strlen(s);
	char digits[12];
	uint64_t v;

	if (n < 2 || n > sizeof(digits))
		return 0;
	snprintf(digits, sizeof(digits), "%.*s", (int)n - 1, s);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].unit == s[n - 1] &&
		    str_to_u64(digits, OPEN_MAX_S, &v) == 0)
			return v * units[i].s;
	return 0;
}

/* --- waiting ----------------------------------------------------------------- */

enum wait_for { WAIT_API, WAIT_MCS, WAIT_HANDOVER, WAIT_COMPLETE };

static const char *const wait_words[] = { "api", "mcs", "handover", "complete", NULL };

struct waiter {
	struct list_link link;
	struct http_req *req;
	enum wait_for what;
};

static bool backend_usable(const struct snapshot *snap, const char *name)
{
	int at = lbd_conf_find_backend(snap->conf, name);

	for (size_t i = 0; at >= 0 && i < snap->backends[at].n; i++)
		if (snap->backends[at].servers[i].live->usable)
			return true;
	return false;
}

static bool is_over(const struct lbd *l, enum wait_for what)
{
	enum lifecycle_state s = install_lifecycle(l->install)->state;

	switch (what) {
	case WAIT_API:
		return backend_usable(l->snap, l->snap->conf->lifecycle.api);
	case WAIT_MCS:
		return backend_usable(l->snap, l->snap->conf->lifecycle.mcs);
	case WAIT_HANDOVER:
		return s >= LIFECYCLE_HANDOVER;
	case WAIT_COMPLETE:
		return s == LIFECYCLE_COMPLETE;
	}
	return false;
}

static void on_waiter_end(struct http_req *r, void *arg, enum http_end end)
{
	struct waiter *w = arg;

	list_remove(&w->link);
	free(w);
}

static void reply_over(struct http_req *r, const struct lbd *l, enum wait_for what)
{
	struct str out = STR_INIT;

	str_addf(&out, "{\"for\":\"%s\",\"install\":\"%s\"}\n", wait_words[what],
	    lifecycle_name(install_lifecycle(l->install)->state));
	http_reply_str(r, 200, "application/json", &out);
}

void verbs_wake(struct verbs *v)
{
	if (!v)
		return;
	list_for_each_safe (it, &v->waiters) {
		struct waiter *w = CONTAINER_OF(it, struct waiter, link);

		if (is_over(v->lbd, w->what))
			reply_over(w->req, v->lbd, w->what);
	}
}

static int get_wait(struct http_req *r, void *arg)
{
	struct lbd *l = arg;
	struct waiter *w;
	char word[16];
	int what = 0;

	if (http_req_param(r, "for", word, sizeof(word)) < 0)
		word[0] = '\0';
	while (wait_words[what] && !str_eq(wait_words[what], word))
		what++;
	if (!wait_words[what]) {
		http_reply_error(
		    r, 400, "WAIT", "for= is one of api, mcs, handover, complete");
		return 0;
	}
	if (is_over(l, (enum wait_for)what)) {
		reply_over(r, l, (enum wait_for)what);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->req = r;
	w->what = (enum wait_for)what;
	list_append(&l->verbs->waiters, &w->link);
	http_req_on_end(r, on_waiter_end, w);
	return 0;
}

/* --- servers ------------------------------------------------------------------ */

/* Finds the server of "/v1/servers/BACKEND/SERVER"; NULL after a 404. */
static const struct snap_server *server_of_path(
    struct http_req *r, struct lbd *l, const struct snap_backend **b)
{
	const char *rest = http_route_rest("/v1/servers/*", http_req_path(r));
	const char *slash = rest ? strchr(rest, '/') : NULL;
	const struct snap_server *s = NULL;
	char backend[64];

	if (slash && (size_t)(slash - rest) < sizeof(backend)) {
		snprintf(backend, sizeof(backend), "%.*s", (int)(slash - rest), rest);
		s = lbd_find_server(l, backend, slash + 1, b);
	}
	if (!s)
		http_reply_error(
		    r, 404, "SERVER", "there is no server %s", rest ? rest : "");
	return s;
}

static bool apply_state(
    struct lbd *l, const struct snap_backend *b, const struct snap_server *s, json_t *v)
{
	static const char *const words[] = { "ready", "drain", "maint" };
	const char *word = json_string_value(v);

	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++) {
		if (!str_eq(words[i], word))
			continue;
		override_state(l, b, s, (enum override_state)i);
		return true;
	}
	return false;
}

static int apply(struct http_req *r, struct lbd *l, const struct snap_backend *b,
    const struct snap_server *s, json_t *o)
{
	json_t *weight = json_object_get(o, "weight");
	json_t *state = json_object_get(o, "state");
	json_t *deadline = json_object_get(o, "deadline");
	json_int_t w = json_integer_value(weight);
	uint64_t span = 0;

	if (!json_is_object(o) || (!weight && !state) ||
	    (weight && (!json_is_integer(weight) || w < 0 || w > BALANCE_WEIGHT_MAX))) {
		http_reply_error(r, 400, "BODY",
		    "write {\"state\": \"ready\", \"drain\" or \"maint\"} or "
		    "{\"weight\": 0 to %d}",
		    BALANCE_WEIGHT_MAX);
		return 0;
	}
	if (deadline && json_is_string(deadline))
		span = parse_span(json_string_value(deadline));
	if (deadline && (!span || !state)) {
		http_reply_error(r, 400, "DEADLINE",
		    "deadline is a time such as 90s or 5m, beside a state of drain or "
		    "maint");
		return 0;
	}
	if (state && !apply_state(l, b, s, state)) {
		http_reply_error(
		    r, 400, "STATE", "state is one of ready, drain, maint");
		return 0;
	}
	if (span && s->live->admin)
		s->live->cut_at = clock_boot_ms() + span * 1000;
	if (weight)
		override_weight(l, s, (unsigned)w);
	http_reply_empty(r, 204);
	return 0;
}

static int on_server_body(struct http_req *r, void *arg, const char *body, size_t n)
{
	const struct snap_backend *b = NULL;
	const struct snap_server *s = server_of_path(r, arg, &b);
	json_t *o;

	if (!s)
		return 0;
	o = json_loadb(body, n, 0, NULL);
	(void)apply(r, arg, b, s, o);
	json_decref(o);
	return 0;
}

static int post_server(struct http_req *r, void *arg)
{
	return http_req_gather(r, BODY_MAX, on_server_body, arg);
}

/* DELETE /v1/servers/B/s: ends its sessions. */
static int delete_sessions(struct http_req *r, void *arg)
{
	const struct snap_server *s = server_of_path(r, arg, NULL);
	struct str out = STR_INIT;

	if (!s)
		return 0;
	str_addf(&out, "{\"sessions\":%u}\n",
	    shed_all(((struct lbd *)arg)->workers, s->live));
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

/* GET /v1/sessions?max=100: the open ones, with their ages and bytes so far. */
static int get_sessions(struct http_req *r, void *arg)
{
	uint64_t max = SESSIONS_DEFAULT;
	struct str out = STR_INIT;
	struct lbd *l = arg;
	char text[16];

	if (http_req_param(r, "max", text, sizeof(text)) >= 0 &&
	    str_to_u64(text, SESSIONS_MAX, &max) < 0) {
		http_reply_error(
		    r, 400, "MAX", "max= is a number up to %d", SESSIONS_MAX);
		return 0;
	}
	shed_list(l->workers, (unsigned)max, SHED_JSON, &out);
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

/* --- the install ----------------------------------------------------------------- */

static int post_restart(struct http_req *r, void *arg)
{
	struct lbd *l = arg;

	install_restart(l->install);
	lbd_look(l);
	/* The bootstrap's would wait as they do after its retirement. */
	lbd_restart_checks(l);
	http_reply_empty(r, 204);
	return 0;
}

static int post_open(struct http_req *r, void *arg)
{
	struct lbd *l = arg;
	uint64_t span = OPEN_DEFAULT_S;
	char text[16];

	if (http_req_param(r, "for", text, sizeof(text)) >= 0)
		span = parse_span(text);
	if (!span || span > OPEN_MAX_S) {
		http_reply_error(
		    r, 400, "FOR", "for= is a time of at most 7d, such as 30m or 2h");
		return 0;
	}
	install_open(l->install, span);
	lbd_look(l);
	http_reply_empty(r, 204);
	return 0;
}

static int post_close(struct http_req *r, void *arg)
{
	struct lbd *l = arg;

	install_open(l->install, 0);
	lbd_look(l);
	http_reply_empty(r, 204);
	return 0;
}

const struct http_route lbd_routes[] = {
	{ HTTP_GET, "/wait", get_wait },
	{ HTTP_GET, "/v1/sessions", get_sessions },
	{ HTTP_POST, "/v1/servers/*", post_server },
	{ HTTP_DELETE, "/v1/servers/*", delete_sessions },
	{ HTTP_POST, "/v1/install/restart", post_restart },
	{ HTTP_POST, "/v1/mcs/open", post_open },
	{ HTTP_POST, "/v1/mcs/close", post_close },
	{ 0, NULL, NULL },
};

int verbs_new(struct verbs **ret, struct lbd *l)
{
	struct verbs *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->lbd = l;
	list_init(&v->waiters);
	*ret = v;
	return 0;
}

/* The admin socket has gone before: nobody waits any more. */
struct verbs *verbs_free(struct verbs *v)
{
	free(v);
	return NULL;
}
