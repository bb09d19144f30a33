/* Counters and states that outlive a reload: see live.h. */
#include "lbd/live.h"

#include <stdio.h>
#include <string.h>

#include "lbd/balance.h"

void live_set_init(struct live_set *s, unsigned n_workers)
{
	list_init(&s->frontends);
	list_init(&s->backends);
	list_init(&s->servers);
	s->n_workers = n_workers;
}

static int live_init(struct live *l, struct live_set *set, const char *name)
{
	void *workers = NULL;

	list_init(&l->link);
	l->refs = 1;
	l->limit = l->initial_limit = LIVE_NO_LIMIT;
	l->since = clock_boot_ms();
	l->n_workers = set->n_workers;
	l->name = strdup(name);
	if (!l->name ||
	    posix_memalign(&workers, 64, set->n_workers * sizeof(*l->workers)) != 0)
		return -1;
	l->workers = workers;
	memset(l->workers, 0, set->n_workers * sizeof(*l->workers));
	return 0;
}

static void live_deinit(struct live *l)
{
	list_remove(&l->link);
	free(l->workers);
	free(l->name);
}

struct live *live_get(struct live_set *set, struct list_link *kind, const char *name)
{
	struct live *l;

	list_for_each (it, kind) {
		l = CONTAINER_OF(it, struct live, link);
		if (str_eq(l->name, name)) {
			l->refs++;
			return l;
		}
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	if (live_init(l, set, name) < 0) {
		live_deinit(l);
		free(l);
		return NULL;
	}
	list_append(kind, &l->link);
	return l;
}

struct live *live_unref(struct live *l)
{
	if (l && --l->refs == 0) {
		live_deinit(l);
		free(l);
	}
	return NULL;
}

static bool is_at(
    const struct server_live *s, const char *address, const struct net_endpoint *at)
{
	return at->ip.family ? memcmp(&s->configured, at, sizeof(*at)) == 0
			     : str_eq(s->address, address);
}

struct server_live *live_get_server(struct live_set *set, struct live *backend,
    const char *name, const char *address, const struct net_endpoint *at)
{
	struct server_live *s;

	list_for_each (it, &set->servers) {
		s = CONTAINER_OF(it, struct server_live, base.link);
		if (str_eq(s->base.name, name) && str_eq(s->backend, backend->name) &&
		    is_at(s, address, at)) {
			s->base.refs++;
			return s;
		}
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->backend = strdup(backend->name);
	s->address = strdup(address);
	if (!s->backend || !s->address || live_init(&s->base, set, name) < 0) {
		s->base.refs = 1;
		list_init(&s->base.link);
		return server_live_unref(s);
	}
	s->at = s->configured = *at;
	if (at->ip.family)
		server_live_set_address(s, at);
	else
		s->admin = SERVER_UNRESOLVED;
	s->changed = s->base.since;
	s->status = CHECK_STATUS_INIT;
	list_append(&set->servers, &s->base.link);
	return s;
}

struct server_live *server_live_unref(struct server_live *s)
{
	if (s && --s->base.refs == 0) {
		live_deinit(&s->base);
		free((char *)s->backend);
		free(s->address);
		free(s);
	}
	return NULL;
}

uint64_t live_sum(const struct live *l, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->n_workers; i++)
		sum += counter_get(
		    (const struct counter *)((const char *)&l->workers[i] + offset));
	return sum;
}

void live_tick(struct live *l, size_t offset)
{
	uint64_t total = live_sum(l, offset);

	l->rate = (unsigned)(total - l->rate_total);
	l->rate_max = MAX(l->rate_max, l->rate);
	l->rate_total = total;
}

void live_clear_max(struct live *l)
{
	l->rate_max = 0;
	__atomic_store_n(&l->sessions.max, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->queue.max, 0, __ATOMIC_RELAXED);
}

void live_clear_counters(struct live *l, unsigned worker)
{
	struct live_counters *c = &l->workers[worker];
	struct counter *all = (struct counter *)c;

	/* The time of the last session is no count. */
	for (size_t i = 0; i < offsetof(struct live_counters, last) / sizeof(*all); i++)
		__atomic_store_n(&all[i].value, 0, __ATOMIC_RELAXED);
}

void live_clear_rate(struct live *l)
{
	l->rate = 0;
	l->rate_total = 0;
}

void live_set_limit(struct live *l, unsigned limit)
{
	__atomic_store_n(&l->limit, limit, __ATOMIC_RELAXED);
}

void live_configure_limit(struct live *l, uint64_t limit)
{
	unsigned want = limit ? (unsigned)MIN(limit, LIVE_NO_LIMIT) : LIVE_NO_LIMIT;

	if (want != l->initial_limit)
		live_set_limit(l, want);
	l->initial_limit = want;
}

void server_live_set_address(struct server_live *s, const struct net_endpoint *at)
{
	struct server_address *to = &s->addresses[s->to == &s->addresses[0]];

	s->at = *at;
	to->len = net_endpoint_to_sa(at, &to->sa);
	__atomic_store_n(&s->to, to, __ATOMIC_RELEASE);
}

bool server_live_is_up(const struct server_live *s)
{
	return !s->checked || health_up(&s->health);
}

/* Weight grows over the slow start in the steps HAProxy takes: once a second. */
static unsigned effective_weight(const struct server_live *s, uint64_t slowstart_ms)
{
	unsigned full = s->weight * BALANCE_SCALE;
	uint64_t up = clock_boot_ms() - s->up_since;

	if (!slowstart_ms || !s->up_since || up >= slowstart_ms)
		return full;
	return MAX((unsigned)(full * up / slowstart_ms), s->weight ? 1u : 0u);
}

void server_live_publish(struct server_live *s, uint64_t slowstart_ms)
{
	bool usable = !s->admin && s->weight && server_live_is_up(s);

	__atomic_store_n(
	    &s->eweight, effective_weight(s, slowstart_ms), __ATOMIC_RELAXED);
	__atomic_store_n(&s->down, !server_live_is_up(s), __ATOMIC_RELAXED);
	__atomic_store_n(&s->usable, usable, __ATOMIC_RELEASE);
}

const char *server_live_text(const struct server_live *s, char *buf)
{
	if (s->admin & SERVER_UNRESOLVED)
		return strcpy(buf, "MAINT (resolution)");
	if (s->admin & SERVER_MAINT)
		return strcpy(buf, "MAINT");
	if (s->admin & SERVER_RETIRED)
		return strcpy(buf, "MAINT (retired)");
	if (s->checked && !health_up(&s->health))
		return health_text(&s->health, buf);
	if (s->admin & SERVER_DRAIN)
		return strcpy(buf, "DRAIN");
	if (!s->checked)
		return strcpy(buf, "no check");
	return health_text(&s->health, buf);
}
