/* Figures of one moment: see stats.h. */
#include "lbd/stats.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"

static uint64_t seconds_since(uint64_t ms)
{
	return (clock_boot_ms() - ms) / 1000;
}

static void fill_live(struct stats_row *r, const struct live *l)
{
	uint64_t last = 0, n;

	r->queue = live_now(&l->queue);
	r->queue_max = live_max(&l->queue);
	r->sessions = live_now(&l->sessions);
	r->sessions_max = live_max(&l->sessions);
	r->rate = l->rate;
	r->rate_max = l->rate_max;
	r->total = n = live_total(l, sessions);
	r->connections = live_total(l, connections);
	r->in = live_total(l, in);
	r->out = live_total(l, out);
	r->denied = live_total(l, denied);
	r->bad = live_total(l, bad);
	r->errors = live_total(l, errors);
	r->retries = live_total(l, retries);
	r->redispatches = live_total(l, redispatches);
	r->client_aborts = live_total(l, client_aborts);
	r->server_aborts = live_total(l, server_aborts);
	r->queue_ms = n ? live_total(l, queue_ms) / n : 0;
	r->connect_ms = n ? live_total(l, connect_ms) / n : 0;
	r->total_ms = n ? live_total(l, total_ms) / n : 0;
	for (unsigned i = 0; i < l->n_workers; i++)
		last = MAX(last, counter_get(&l->workers[i].last));
	r->last_session = last ? (int64_t)seconds_since(last) : -1;
}

static void fill_frontend(
    struct stats_row *r, const struct snap_frontend *f, const struct snapshot *snap)
{
	fill_live(r, f->live);
	r->type = STATS_FRONTEND;
	r->proxy = f->conf->name;
	r->name = "FRONTEND";
	r->limit = MIN(live_limit(f->live), snap->hard_max_sessions);
	r->up = f->live->open == LIVE_OPEN;
	strcpy(r->status,
	    f->live->open == LIVE_PAUSED     ? "PAUSED"
		: f->live->open == LIVE_SHUT ? "STOP"
		: r->sessions >= r->limit    ? "FULL"
					     : "OPEN");
}

static void fill_server(struct stats_row *r, const struct snap_backend *b, size_t i)
{
	const struct snap_server *s = &b->servers[i];
	const struct server_live *l = s->live;

	fill_live(r, &l->base);
	r->type = STATS_SERVER;
	r->proxy = b->conf->name;
	r->name = s->conf->name;
	r->backend = b->conf;
	r->server = s->conf;
	r->live = l;
	r->sid = (unsigned)i + 1;
	r->limit = live_limit(&l->base) == LIVE_NO_LIMIT ? 0 : live_limit(&l->base);
	if (l->moved)
		net_endpoint_format(&l->at, r->moved);
	r->up = server_live_is_up(l) && !(l->admin & ~(unsigned)SERVER_DRAIN);
	r->weight = l->weight;
	r->active = !s->conf->backup;
	r->backup = s->conf->backup;
	r->downs = l->downs;
	r->changed_s = seconds_since(l->changed);
	r->downtime_s =
	    l->down_ms / 1000 + (l->down_since ? seconds_since(l->down_since) : 0);
	server_live_text(l, r->status);
}

static void fill_backend(struct stats_row *r, const struct snap_backend *b)
{
	uint64_t changed = b->live->since;

	fill_live(r, b->live);
	r->type = STATS_BACKEND;
	r->proxy = b->conf->name;
	r->name = "BACKEND";
	r->backend = b->conf;
	for (size_t i = 0; i < b->n; i++) {
		const struct server_live *l = b->servers[i].live;

		changed = MAX(changed, l->changed);
		if (!l->usable)
			continue;
		if (b->servers[i].conf->backup)
			r->backup++;
		else
			r->active++;
		r->weight += l->weight;
	}
	r->up = r->active || r->backup;
	r->changed_s = seconds_since(changed);
	strcpy(r->status, r->up ? "UP" : "DOWN");
}

static size_t add_backend(
    struct stats *s, size_t n, const struct snap_backend *b, unsigned iid)
{
	for (size_t i = 0; i < b->n; i++)
		fill_server(&s->rows[n + i], b, i);
	fill_backend(&s->rows[n + b->n], b);
	for (size_t i = 0; i <= b->n; i++)
		s->rows[n + i].iid = iid;
	return n + b->n + 1;
}

int stats_gather(struct stats *ret, const struct snapshot *snap)
{
	_cleanup_(freep) bool *done = calloc(snap->n_backends + 1, sizeof(*done));
	struct stats s = { .n = snap->n_frontends };
	unsigned iid = 2; /* as though "listen stats" came first, as in the guide */
	size_t n = 0;

	for (size_t i = 0; i < snap->n_backends; i++)
		s.n += snap->backends[i].n + 1;
	s.rows = calloc(s.n + 1, sizeof(*s.rows));
	if (!s.rows || !done) {
		free(s.rows);
		return -ENOMEM;
	}
	for (size_t i = 0; i < snap->n_frontends; i++) {
		size_t at = snap->frontends[i].backend_index;

		fill_frontend(&s.rows[n], &snap->frontends[i], snap);
		s.rows[n++].iid = ++iid;
		if (!done[at])
			n = add_backend(&s, n, &snap->backends[at], ++iid);
		done[at] = true;
	}
	for (size_t i = 0; i < snap->n_backends; i++)
		if (!done[i])
			n = add_backend(&s, n, &snap->backends[i], ++iid);
	*ret = s;
	return 0;
}

void stats_deinit(struct stats *s)
{
	free(s->rows);
	*s = (struct stats){ 0 };
}

const char *stats_address(const struct stats_row *r)
{
	return r->moved[0] ? r->moved : r->server->address;
}

const char *stats_colour(const struct stats_row *r)
{
	const struct server_live *l = r->live;

	if (!l)
		return r->up ? "up" : r->type == STATS_FRONTEND ? "maint" : "down";
	if (l->admin & ~(unsigned)SERVER_DRAIN)
		return "maint";
	if (l->checked && !health_up(&l->health))
		return health_in_transition(&l->health) ? "going-up" : "down";
	if (l->admin & SERVER_DRAIN)
		return "drain";
	if (!l->checked)
		return "nocheck";
	return health_in_transition(&l->health) && !l->health.unchecked ? "going-down"
									: "up";
}

bool stats_usable(const struct snapshot *snap, struct str *reasons)
{
	bool all = true;

	for (size_t i = 0; i < snap->n_frontends; i++) {
		const struct snap_frontend *f = &snap->frontends[i];
		bool any = false;

		for (size_t k = 0; k < f->backend->n; k++)
			any |= f->backend->servers[k].live->usable;
		if (any && f->live->open == LIVE_OPEN)
			continue;
		all = false;
		str_addf(reasons, "frontend %s %s\n", f->conf->name,
		    any ? "is disabled" : "has no usable server");
	}
	return all;
}
