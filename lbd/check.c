/* Health checks: see check.h. */
#include "lbd/check.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/tls.h"
#include "lbd/probe.h"

/*
 * A reload makes the checks anew.  One that is under way is not cut, since a server that
 * is in the midst of a handshake would write about that: it goes on as the new check of
 * that server where this asks the same question, and else to its end without a result.
 */
struct check {
	struct checks *all;
	const struct snap_backend *backend;
	const struct snap_server *server;
	const struct check_conf *conf;
	struct event timer;
	struct probe probe;
	uint64_t delay; /* of the next check alone, to spread them */
};

struct checks {
	struct loop *loop;
	struct snapshot *snap; /* has a reference */
	const struct check_ops *ops;
	void *arg;
	bool over;     /* results do not count any more */
	bool stopping; /* somebody waits for the end */
	size_t n, first_left;
	struct checks *successor; /* NULL while this set is in force */
	struct list_link link;    /* in the successor's list */
	struct list_link retired; /* predecessors that have checks under way */
	size_t n_contexts;
	struct tls_context **contexts; /* one a backend, where it is needed */
	struct check *list;
};

static void reap(struct checks *all);
static void tell_stopped(struct checks *all);

/* --- results --------------------------------------------------------------- */

uint64_t check_delay(const struct check_conf *k, const struct server_live *l)
{
	uint64_t factor = l->admin & SERVER_RETIRED ? CHECK_RETIRED_FACTOR : 1;

	if (health_in_transition(&l->health))
		return factor * (k->fast_interval ? k->fast_interval : k->interval);
	if (!health_up(&l->health))
		return factor * (k->down_interval ? k->down_interval : k->interval);
	return factor * k->interval;
}

static uint64_t next_delay(const struct check *c)
{
	return check_delay(c->conf, c->server->live);
}

/* Few checks, of intervals of some seconds, begin together at whole seconds, when there
 * is other work as well: a process that sleeps in between needs half the time, most of
 * which goes into waking up.  None begins later than its interval says. */
enum { TOGETHER_MAX = 16, TOGETHER_INTERVAL_MIN_MS = 2000 };

static bool is_together(const struct check *c, uint64_t ms)
{
	return c->all->n <= TOGETHER_MAX && ms >= TOGETHER_INTERVAL_MIN_MS &&
	    ms % 1000 == 0;
}

static void schedule(struct check *c, uint64_t ms)
{
	struct timeval tv = ms_to_tv(ms);

	c->server->live->check_due = clock_boot_ms() + ms;
	(void)event_add(&c->timer, &tv);
}

static void schedule_next(struct check *c)
{
	uint64_t ms = next_delay(c);

	if (is_together(c, ms))
		ms = check_ms_to_second(clock_boot_ms(), ms);
	else
		ms += c->delay;
	c->delay = 0;
	schedule(c, ms);
}

void check_note_transition(struct server_live *l, bool up)
{
	uint64_t now = clock_boot_ms();

	l->changed = now;
	if (up) {
		l->down_ms += l->down_since ? now - l->down_since : 0;
		l->down_since = 0;
		l->up_since = now;
	} else {
		l->down_since = now;
		l->downs++;
	}
}

static void on_done(struct probe *p, enum check_status status, const char *info)
{
	struct check *c = CONTAINER_OF(p, struct check, probe);
	struct server_live *l = c->server->live;
	struct checks *all = c->all;
	bool ok = check_status_ok(status), first = l->health.unchecked;
	enum health_change change;

	if (all->over) {
		tell_stopped(all);
		return;
	}
	reap(all);
	l->running = false;
	l->checks++;
	l->status = status;
	l->code = p->code;
	l->duration_ms = (unsigned)(clock_boot_ms() - p->started);
	snprintf(l->info, sizeof(l->info), "%s", info ? info : "");
	if (!ok && health_up(&l->health))
		l->failures++;
	change = health_add(&l->health, ok);
	if (change != HEALTH_SAME)
		check_note_transition(l, change == HEALTH_WENT_UP);
	schedule_next(c);
	all->ops->checked(all->arg, c->backend, c->server);
	if (change != HEALTH_SAME)
		all->ops->changed(
		    all->arg, c->backend, c->server, change == HEALTH_WENT_UP);
	if (first && all->first_left && --all->first_left == 0)
		all->ops->ready(all->arg);
}

static void on_certified(struct probe *p, const struct tls *tls)
{
	struct check *c = CONTAINER_OF(p, struct check, probe);
	struct server_live *l = c->server->live;
	const char *name = c->conf->sni;

	/* A session that was resumed goes by the certificate that is known. */
	if (c->all->over || (l->not_after && tls_resumed(tls)))
		return;
	l->not_after = tls_peer_not_after(tls);
	if (!tls_peer_issuer(tls, l->issuer, sizeof(l->issuer)))
		l->issuer[0] = '\0';
	l->misnamed = name && !tls_peer_is(tls, name);
}

static const struct probe_ops probe_ops = {
	.done = on_done,
	.certified = on_certified,
};

static struct net_endpoint target_of(const struct check *c)
{
	struct net_endpoint to = c->server->live->at;

	if (c->conf->address.family)
		to.ip = c->conf->address;
	if (c->conf->port)
		to.port = (uint16_t)c->conf->port;
	return to;
}

static void begin(struct check *c)
{
	struct net_endpoint to = target_of(c);

	(void)event_del(&c->timer);
	c->server->live->running = true;
	c->server->live->code = 0;
	probe_ask(&c->probe, &to);
}

/* Timers are not exact: others that are meant for the same moment begin with this one. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct check *c = arg;
	struct checks *all = c->all;
	uint64_t now = clock_boot_ms();

	begin(c);
	for (size_t i = 0; all->n <= TOGETHER_MAX && i < all->n; i++) {
		struct check *o = &all->list[i];

		if (event_pending(&o->timer, EV_TIMEOUT, NULL) &&
		    o->server->live->check_due <= now + CHECK_SLACK_MS)
			begin(o);
	}
}

/* --- one set of checks after another --------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
	return a->n == b->n &&
	    (!a->n ||
		memcmp(conf_list_items(a, struct conf_status),
		    conf_list_items(b, struct conf_status),
		    a->n * sizeof(struct conf_status)) == 0);
}

/* Whether the answer to the one is the answer to the other. */
static bool asks_the_same(const struct check *a, const struct check *b)
{
	const struct check_conf *x = a->conf, *y = b->conf;
	const struct server_conf *s = a->server->conf, *t = b->server->conf;

	return a->server->live == b->server->live && x->type == y->type &&
	    same_text(x->path, y->path) && same_text(x->host, y->host) &&
	    same_text(x->sni, y->sni) && same_text(x->ca, y->ca) &&
	    same_list(&x->expect, &y->expect) && s->send_proxy == t->send_proxy &&
	    net_ip_eq(&s->source, &t->source);
}

/* The check under way that answers c's question; NULL: there is none. */
static struct check *find_running(struct checks *old, const struct check *c)
{
	struct net_endpoint to = target_of(c);

	for (size_t i = 0; old && i < old->n; i++) {
		struct check *o = &old->list[i];

		if (probe_is_asking(&o->probe) && asks_the_same(o, c) &&
		    o->probe.to.port == to.port && net_ip_eq(&o->probe.to.ip, &to.ip))
			return o;
	}
	return NULL;
}

static bool any_running(const struct checks *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (probe_is_asking(&all->list[i].probe))
			return true;
	return false;
}

/* Predecessors of which nothing is under way any more. */
static void reap(struct checks *all)
{
	list_for_each_safe (it, &all->retired) {
		struct checks *r = CONTAINER_OF(it, struct checks, link);

		if (!any_running(r))
			checks_free(r);
	}
}

static void tell_stopped(struct checks *all)
{
	if (all->successor)
		all = all->successor;
	if (!all->stopping || any_running(all))
		return;
	list_for_each (it, &all->retired)
		if (any_running(CONTAINER_OF(it, struct checks, link)))
			return;
	all->stopping = false;
	all->ops->stopped(all->arg);
}

/* What is still under way ends by itself. */
static void retire(struct checks *all, struct checks *successor)
{
	list_for_each_safe (it, &all->retired) {
		list_remove(it);
		list_append(&successor->retired, it);
		CONTAINER_OF(it, struct checks, link)->successor = successor;
	}
	for (size_t i = 0; i < all->n; i++) {
		(void)event_del(&all->list[i].timer);
		probe_retire(&all->list[i].probe);
	}
	all->successor = successor;
	all->over = true;
	list_append(&successor->retired, &all->link);
	reap(successor);
}

/* --- life ------------------------------------------------------------------------ */

/* How late another certificate of a server is noticed. */
enum { RESUME_MS = 10 * 60 * 1000 };

static int make_contexts(struct checks *all, const struct snapshot *snap, struct err *e)
{
	for (size_t i = 0; i < snap->n_backends; i++) {
		const struct check_conf *k = &snap->backends[i].conf->check;
		struct tls_client_options o = { .ca = k->ca, .resume_ms = RESUME_MS };
		int r;

		if (k->type != CHECK_TLS && k->type != CHECK_HTTPS)
			continue;
		r = tls_client_new(&all->contexts[i], &o, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_check(
    struct checks *all, const struct snapshot *snap, size_t backend, size_t server)
{
	struct check *c = &all->list[all->n++];

	c->all = all;
	c->backend = &snap->backends[backend];
	c->server = &c->backend->servers[server];
	c->conf = &c->backend->conf->check;
	probe_init(&c->probe, all->loop, c->conf, c->server->conf,
	    all->contexts[backend], &probe_ops);
	(void)evtimer_assign(&c->timer, loop_base(all->loop), on_timer, c);
}

int checks_new(struct checks **ret, struct loop *l, struct snapshot *snap,
    const struct check_ops *ops, void *arg, struct err *e)
{
	_cleanup_(checks_freep) struct checks *all = calloc(1, sizeof(*all));
	size_t n = 0;
	int r;

	if (!all)
		return err_set(e, -ENOMEM, "out of memory");
	list_init(&all->link);
	list_init(&all->retired);
	all->loop = l;
	all->ops = ops;
	all->arg = arg;
	all->snap = snap;
	snapshot_ref(snap);
	all->n_contexts = snap->n_backends;
	for (size_t i = 0; i < snap->n_backends; i++)
		n += snap->backends[i].n;
	all->contexts = calloc(snap->n_backends + 1, sizeof(*all->contexts));
	all->list = calloc(n + 1, sizeof(*all->list));
	if (!all->contexts || !all->list)
		return err_set(e, -ENOMEM, "out of memory");
	r = make_contexts(all, snap, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < snap->n_backends; i++)
		for (size_t k = 0; k < snap->backends[i].n; k++)
			if (snapshot_is_checked(&snap->backends[i], k) &&
			    snap->backends[i].servers[k].live->to)
				add_check(all, snap, i, k);

	*ret = TAKE(all);
	return 0;
}

/* At its turn, be it that of a predecessor's plan. */
static uint64_t first_delay(const struct check *c, uint64_t spread)
{
	uint64_t due = c->server->live->check_due, now = clock_boot_ms();

	if (!due)
		return spread;
	return due > now ? MIN(due - now, next_delay(c)) : 0;
}

void checks_start(struct checks *all, struct checks *old)
{
	for (size_t i = 0; i < all->n; i++)
		all->first_left += all->list[i].server->live->health.unchecked;
	for (size_t i = 0; i < all->n; i++) {
		struct check *c = &all->list[i], *running = find_running(old, c);
		uint64_t spread = is_together(c, c->conf->interval)
		    ? 0
		    : c->conf->interval * i / all->n;

		if (running) {
			probe_take_over(&c->probe, &running->probe);
		} else if (c->server->live->health.unchecked) {
			c->delay = spread;
			schedule(c, 0);
		} else {
			schedule(c, first_delay(c, spread));
		}
		c->server->live->running = running != NULL;
	}
	if (old)
		retire(old, all);
	if (!all->first_left)
		all->ops->ready(all->arg);
}

/* What has not got further than the connect is not seen by the server's accept(). */
static void stop_some(struct checks *all)
{
	all->over = true;
	for (size_t i = 0; i < all->n; i++) {
		struct check *c = &all->list[i];

		(void)event_del(&c->timer);
		probe_retire(&c->probe);
		if (c->probe.phase == PROBE_CONNECT)
			probe_cut(&c->probe);
	}
}

void checks_stop(struct checks *all)
{
	list_for_each (it, &all->retired)
		stop_some(CONTAINER_OF(it, struct checks, link));
	stop_some(all);
	all->stopping = true;
	tell_stopped(all);
}

struct checks *checks_free(struct checks *all)
{
	if (!all)
		return NULL;
	list_for_each_safe (it, &all->retired)
		checks_free(CONTAINER_OF(it, struct checks, link));
	list_remove(&all->link);
	for (size_t i = 0; i < all->n; i++) {
		struct check *c = &all->list[i];

		(void)event_del(&c->timer);
		probe_deinit(&c->probe);
		if (!all->over)
			c->server->live->running = false;
	}
	for (size_t i = 0; i < all->n_contexts && all->contexts; i++)
		tls_context_free(all->contexts[i]);
	free(all->contexts);
	free(all->list);
	if (snapshot_unref(all->snap))
		snapshot_free(all->snap);
	free(all);
	return NULL;
}
