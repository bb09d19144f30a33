/* What was set by hand: see keep.h. */
#include "lbd/keep.h"

#include <jansson.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "lbd/balance.h"
#include "lbd/lbd.h"

enum { FILE_MAX = 1 << 20 };

#define BY_HAND (SERVER_DRAIN | SERVER_MAINT)

static char *path_of(const struct lbd *l)
{
	struct str path = STR_INIT;

	str_addf(&path, "%s/servers.json", daemon_runtime_dir(l->d));
	return str_take(&path);
}

/* --- writing ------------------------------------------------------------------ */

/* Beside what was set, KEY_of is what the file said then: when it says something else, that
 * counts. */
static void add_limit(json_t *o, const struct live *l)
{
	if (live_limit(l) == l->initial_limit)
		return;
	json_object_set_new(o, "limit", json_integer(live_limit(l)));
	json_object_set_new(o, "limit_of", json_integer(l->initial_limit));
}

static void add_weight(json_t *o, const struct server_live *s)
{
	if (s->weight == s->initial_weight)
		return;
	json_object_set_new(o, "weight", json_integer(s->weight));
	json_object_set_new(o, "weight_of", json_integer(s->initial_weight));
}

static void add_address(json_t *o, const struct server_live *s)
{
	if (!s->moved)
		return;
	json_object_set_new(o, "address", json_string(net_endpoint_str(&s->at)));
	json_object_set_new(o, "address_of", json_string(s->address));
}

/* Only if it says more than whom it is about. */
static void add_entry(json_t *list, json_t *o, size_t names)
{
	if (json_object_size(o) > names)
		json_array_append(list, o);
	json_decref(o);
}

static void add_server(json_t *list, const struct server_live *s)
{
	json_t *o =
	    json_pack("{s:s, s:s}", "backend", s->backend, "server", s->base.name);

	if (s->admin & BY_HAND)
		json_object_set_new(o, "admin", json_integer(s->admin & BY_HAND));
	add_weight(o, s);
	add_address(o, s);
	add_limit(o, &s->base);
	add_entry(list, o, 2);
}

static void add_frontend(json_t *list, const struct live *f)
{
	json_t *o = json_pack("{s:s}", "frontend", f->name);

	if (f->open == LIVE_PAUSED)
		json_object_set_new(o, "paused", json_true());
	add_limit(o, f);
	add_entry(list, o, 1);
}

static json_t *collect(const struct snapshot *snap)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snap->n_backends; i++)
		for (size_t k = 0; k < snap->backends[i].n; k++)
			add_server(list, snap->backends[i].servers[k].live);
	for (size_t i = 0; i < snap->n_frontends; i++)
		add_frontend(list, snap->frontends[i].live);
	if (snap->max_sessions != snap->hard_max_sessions)
		json_array_append_new(list,
		    json_pack("{s:i, s:i}", "max_sessions", (int)snap->max_sessions,
			"max_sessions_of", (int)snap->hard_max_sessions));
	return list;
}

void keep_save(const struct lbd *l)
{
	_cleanup_(freep) char *path = path_of(l);
	json_t *list = collect(l->snap);
	char *text = json_dumps(list, JSON_COMPACT);
	int r = -1;

	if (path && !json_array_size(list) && access(path, F_OK) < 0)
		r = 0;
	else if (path && text)
		r = file_replace(path, 0640, text, strlen(text));
	if (r < 0)
		log_warning("cannot write %s: a successor will not know what was set "
			    "by hand",
		    path ? path : "servers.json");
	free(text);
	json_decref(list);
}

/* --- reading ------------------------------------------------------------------ */

/* An integer between 0 and max, else what there is already. */
static unsigned get_unsigned(json_t *o, const char *key, json_int_t max, unsigned old)
{
	json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	return json_is_integer(v) && n >= 0 && n <= max ? (unsigned)n : old;
}

/* What was set by hand, unless the file's has changed from what it was then. */
static unsigned get_override(
    json_t *o, const char *key, const char *of, json_int_t max, unsigned file)
{
	json_t *then = json_object_get(o, of);

	return !then || json_integer_value(then) == file
	    ? get_unsigned(o, key, max, file)
	    : file;
}

static void apply_limit(json_t *o, struct live *l)
{
	live_set_limit(
	    l, get_override(o, "limit", "limit_of", LIVE_NO_LIMIT, l->initial_limit));
}

static void apply_address(json_t *o, struct server_live *s)
{
	const char *address = json_string_value(json_object_get(o, "address"));
	const char *of = json_string_value(json_object_get(o, "address_of"));
	struct net_endpoint at;

	if (!address || (of && !str_eq(of, s->address)) ||
	    net_endpoint_parse(address, 0, &at) < 0 || !at.ip.family)
		return;
	server_live_set_address(s, &at);
	s->admin &= ~(unsigned)SERVER_UNRESOLVED;
	s->moved = true;
}

/* True when it has moved. */
static bool apply_server(const struct lbd *l, json_t *o)
{
	const char *backend = json_string_value(json_object_get(o, "backend"));
	const char *server = json_string_value(json_object_get(o, "server"));
	const struct snap_server *s =
	    backend && server ? lbd_find_server(l, backend, server, NULL) : NULL;

	if (!s)
		return false;
	s->live->admin |= get_unsigned(o, "admin", BY_HAND, 0) & BY_HAND;
	__atomic_store_n(&s->live->weight,
	    get_override(
		o, "weight", "weight_of", BALANCE_WEIGHT_MAX, s->live->initial_weight),
	    __ATOMIC_RELAXED);
	apply_limit(o, &s->live->base);
	apply_address(o, s->live);
	server_live_publish(s->live, 0);
	return s->live->moved;
}

static void apply_frontend(const struct lbd *l, json_t *o, const char *name)
{
	const struct snap_frontend *f = lbd_find_frontend(l, name);

	if (!f)
		return;
	apply_limit(o, f->live);
	if (!json_is_true(json_object_get(o, "paused")))
		return;
	f->live->open = LIVE_PAUSED;
	for (unsigned i = 0; i < f->n_fds; i++)
		(void)shutdown(f->fds[i], SHUT_RD);
}

bool keep_load(struct lbd *l)
{
	_cleanup_(freep) char *path = path_of(l);
	_cleanup_(str_deinit) struct str text = STR_INIT;
	bool moved = false;
	json_t *list;

	if (!path || file_read(path, FILE_MAX, &text) < 0)
		return false;
	list = json_loadb(text.s, text.len, 0, NULL);
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *o = json_array_get(list, i);
		const char *frontend =
		    json_string_value(json_object_get(o, "frontend"));

		moved |= apply_server(l, o);
		if (frontend)
			apply_frontend(l, o, frontend);
		if (json_object_get(o, "max_sessions"))
			l->snap->max_sessions =
			    get_override(o, "max_sessions", "max_sessions_of",
				l->snap->hard_max_sessions, l->snap->hard_max_sessions);
	}
	json_decref(list);
	return moved;
}
