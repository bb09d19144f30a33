/* Taking connections off servers: see shed.h. */
#include "lbd/shed.h"

#include <inttypes.h>

#include "lbd/session.h"

/* --- on the workers ----------------------------------------------------------------- */

struct shed {
	const struct server_live *server;
	unsigned left;    /* how many may still go */
	unsigned n;       /* how many went */
	uint64_t idle_ms; /* those alone that were silent for so long */
	char cause;
};

static void shed_some(void *engine, void *arg)
{
	struct engine *e = engine;
	struct shed *k = arg;

	e->hold_queues = true;
	list_for_each_safe (it, &e->sessions) {
		struct session *s = CONTAINER_OF(it, struct session, link);

		if (!k->left)
			break;
		if (s->server < 0 || s->be->b->servers[s->server].live != k->server)
			continue;
		if (e->now_ms - s->last < k->idle_ms)
			continue;
		session_close(s, k->cause, s->state == SESSION_OPEN ? 'D' : 'C');
		k->left--;
		k->n++;
	}
	e->hold_queues = false;
}

unsigned shed_all(struct workers *ws, const struct server_live *server)
{
	struct shed k = { .server = server, .left = UINT32_MAX, .cause = 'K' };

	workers_call(ws, shed_some, &k);
	return k.n;
}

struct shed_one {
	uintptr_t id;
	bool found;
};

static void shed_by_id(void *engine, void *arg)
{
	struct engine *e = engine;
	struct shed_one *k = arg;

	list_for_each (it, &e->sessions) {
		struct session *s = CONTAINER_OF(it, struct session, link);

		if ((uintptr_t)s != k->id)
			continue;
		session_close(s, 'K', s->state == SESSION_OPEN ? 'D' : 'C');
		k->found = true;
		return;
	}
}

bool shed_one(struct workers *ws, uintptr_t id)
{
	struct shed_one k = { .id = id };

	workers_call(ws, shed_by_id, &k);
	return k.found;
}

/* --- shares ---------------------------------------------------------------------------- */

unsigned shed_excess(
    unsigned mine, unsigned weight, unsigned total, unsigned total_weight)
{
	uint64_t share;

	if (!total_weight)
		return 0;
	share = ((uint64_t)total * weight + total_weight - 1) / total_weight;
	return mine > share + share / 10 + 1 ? (unsigned)(mine - share) : 0;
}

/* Among active servers alone: what is left on a backup is drained, never cut. */
static bool takes_part(const struct snap_server *s)
{
	return !s->conf->backup && s->live->usable;
}

static void rebalance(struct workers *ws, const struct snap_backend *b)
{
	unsigned total = 0, weights = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (!takes_part(&b->servers[i]))
			continue;
		total += live_now(&b->servers[i].live->base.sessions);
		weights += b->servers[i].live->weight;
	}
	for (size_t i = 0; i < b->n; i++) {
		const struct server_live *l = b->servers[i].live;
		struct shed k = {
			.server = l, .idle_ms = b->conf->rebalance_idle, .cause = 'U'
		};

		if (!takes_part(&b->servers[i]))
			continue;
		k.left =
		    shed_excess(live_now(&l->base.sessions), l->weight, total, weights);
		k.left = (unsigned)MIN(k.left, b->conf->rebalance);
		if (k.left)
			workers_call(ws, shed_some, &k);
	}
}

void shed_rebalance(struct workers *ws, const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_backends; i++)
		if (snap->backends[i].conf->rebalance)
			rebalance(ws, &snap->backends[i]);
}

void shed_overdue(struct workers *ws, const struct snapshot *snap)
{
	uint64_t now = clock_boot_ms();

	for (size_t i = 0; i < snap->n_backends; i++) {
		const struct snap_backend *b = &snap->backends[i];

		for (size_t k = 0; k < b->n; k++) {
			struct server_live *l = b->servers[k].live;

			if (!l->cut_at || now < l->cut_at)
				continue;
			l->cut_at = 0;
			(void)shed_all(ws, l);
		}
	}
}

/* --- showing ------------------------------------------------------------------------------ */

struct shed_show {
	struct str *out;
	unsigned left;
	bool any;
	enum shed_format format;
};

static const char *const state_words[] = {
	[SESSION_PROXY] = "proxy",
	[SESSION_QUEUE] = "queue",
	[SESSION_CONNECT] = "connect",
	[SESSION_RETRY] = "retry",
	[SESSION_OPEN] = "open",
	[SESSION_CLOSED] = "closed",
};

/* Names consist of characters that need no quoting in either form. */
static void show_one(struct shed_show *l, const struct session *s)
{
	uint64_t now = s->es->e->now_ms;
	const char *server =
	    s->server < 0 ? NULL : s->be->b->servers[s->server].conf->name;

	if (l->format == SHED_JSON)
		str_addf(l->out,
		    "%s{\"client\":\"%s\",\"port\":%u,\"frontend\":\"%s\","
		    "\"backend\":\"%s\",\"server\":%s%s%s,\"state\":\"%s\","
		    "\"age_ms\":%" PRIu64 ",\"idle_ms\":%" PRIu64
		    ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 "}",
		    l->any ? ",\n" : "", net_ip_str(&s->ip), s->port, s->f->conf->name,
		    s->f->conf->backend, server ? "\"" : "", server ? server : "null",
		    server ? "\"" : "", state_words[s->state], now - s->accepted,
		    now - s->last, s->flow[CLIENT].bytes, s->flow[SERVER].bytes);
	else
		str_addf(l->out,
		    "%p: proto=tcpv%d src=%s:%u fe=%s be=%s srv=%s ts=%s age=%" PRIu64
		    "s idle=%" PRIu64 "s in=%" PRIu64 " out=%" PRIu64 "\n",
		    (const void *)s, s->ip.family == 6 ? 6 : 4, net_ip_str(&s->ip),
		    s->port, s->f->conf->name, s->f->conf->backend,
		    server ? server : "<none>", state_words[s->state],
		    (now - s->accepted) / 1000, (now - s->last) / 1000,
		    s->flow[CLIENT].bytes, s->flow[SERVER].bytes);
	l->any = true;
}

static void show_some(void *engine, void *arg)
{
	struct engine *e = engine;
	struct shed_show *l = arg;

	list_for_each (it, &e->sessions) {
		if (!l->left)
			return;
		show_one(l, CONTAINER_OF(it, struct session, link));
		l->left--;
	}
}

void shed_list(
    struct workers *ws, unsigned max, enum shed_format format, struct str *out)
{
	struct shed_show l = { .out = out, .left = max, .format = format };

	str_addz(out, format == SHED_JSON ? "[" : "");
	workers_call(ws, show_some, &l);
	str_addz(out, format == SHED_JSON ? "]\n" : "");
}
