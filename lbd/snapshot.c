/* Configurations as the workers see them: see snapshot.h. */
#include "lbd/snapshot.h"

#include <errno.h>

static int fill_server(struct snap_server *s, const struct server_conf *c,
    const struct backend_conf *b, struct live *backend, struct live_set *set)
{
	struct server_live *l;

	s->conf = c;
	s->live = l = live_get_server(set, backend, c->name, c->address, &c->at);
	if (!l)
		return -ENOMEM;
	if (l->base.refs == 1)
		health_init(
		    &l->health, (unsigned)b->check.rise, (unsigned)b->check.fall);
	return 0;
}

bool snapshot_is_checked(const struct snap_backend *b, size_t i)
{
	return b->servers[i].conf->check && b->conf->check.type != CHECK_OFF;
}

static void apply_backend(const struct snap_backend *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct server_conf *c = b->servers[i].conf;
		struct server_live *l = b->servers[i].live;

		/* A weight that was set by hand stays until the file's changes. */
		if (l->initial_weight != c->weight)
			__atomic_store_n(
			    &l->weight, (unsigned)c->weight, __ATOMIC_RELAXED);
		l->initial_weight = (unsigned)c->weight;
		live_configure_limit(&l->base, c->maxconn);
		health_configure(&l->health, (unsigned)b->conf->check.rise,
		    (unsigned)b->conf->check.fall);
		l->checked = snapshot_is_checked(b, i);
		server_live_publish(l, c->slowstart);
	}
}

void snapshot_apply(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_backends; i++)
		apply_backend(&s->backends[i]);
	for (size_t i = 0; i < s->n_frontends; i++)
		live_configure_limit(
		    s->frontends[i].live, s->frontends[i].conf->maxconn);
}

static int fill_backend(
    struct snap_backend *b, const struct backend_conf *c, struct live_set *set)
{
	b->conf = c;
	b->live = live_get(set, &set->backends, c->name);
	b->servers = calloc(c->servers.n ? c->servers.n : 1, sizeof(*b->servers));
	if (!b->live || !b->servers)
		return -ENOMEM;
	for (; b->n < c->servers.n; b->n++) {
		int r = fill_server(
		    &b->servers[b->n], backend_conf_server(c, b->n), c, b->live, set);

		if (r < 0)
			return r;
	}
	return 0;
}

int snapshot_new(struct snapshot **ret, struct lbd_conf *conf, struct live_set *set)
{
	_cleanup_(snapshot_freep) struct snapshot *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->refs = 1;
	s->frontends = calloc(conf->frontends.n + 1, sizeof(*s->frontends));
	s->backends = calloc(conf->backends.n + 1, sizeof(*s->backends));
	if (!s->frontends || !s->backends)
		return -ENOMEM;
	for (; r == 0 && s->n_backends < conf->backends.n; s->n_backends++)
		r = fill_backend(&s->backends[s->n_backends],
		    lbd_conf_backend(conf, s->n_backends), set);
	for (; r == 0 && s->n_frontends < conf->frontends.n; s->n_frontends++) {
		struct snap_frontend *f = &s->frontends[s->n_frontends];

		f->conf = lbd_conf_frontend(conf, s->n_frontends);
		f->backend_index =
		    (size_t)lbd_conf_find_backend(conf, f->conf->backend);
		f->backend = &s->backends[f->backend_index];
		f->kind = str_eq(f->conf->backend, conf->lifecycle.api) ? SNAP_API
		    : str_eq(f->conf->backend, conf->lifecycle.mcs)     ? SNAP_MCS
									: SNAP_PLAIN;
		f->live = live_get(set, &set->frontends, f->conf->name);
		if (!f->live)
			r = -ENOMEM;
	}
	if (r < 0)
		return r;
	s->conf = conf;

	*ret = TAKE(s);
	return 0;
}

struct snapshot *snapshot_free(struct snapshot *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_frontends; i++)
		live_unref(s->frontends[i].live);
	for (size_t i = 0; i < s->n_backends; i++) {
		struct snap_backend *b = &s->backends[i];

		for (size_t k = 0; b->servers && k < b->conf->servers.n; k++)
			server_live_unref(b->servers[k].live);
		free(b->servers);
		live_unref(b->live);
	}
	free(s->frontends);
	free(s->backends);
	free(s->nodes);
	lbd_conf_free(s->conf);
	free(s);
	return NULL;
}
