/* The life of okd-lbd: start, reload, drain, free, and the parts' dealings with each
 * other. */
#include "lbd/lbd.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/reqlog.h"
#include "lbd/check.h"
#include "lbd/cli.h"
#include "lbd/install.h"
#include "lbd/keep.h"
#include "lbd/override.h"
#include "lbd/resolve.h"
#include "lbd/server.h"
#include "lbd/shed.h"
#include "lbd/site.h"
#include "lbd/statelog.h"
#include "lbd/stats.h"
#include "lbd/verbs.h"

enum {
	RESERVED_FDS = 26,   /* listeners, checks, the page, the admin socket */
	HOLD_MS = 200,       /* for the first checks, at most */
	RESOLVE_S = 10,      /* between attempts to resolve a server's name */
	CERT_WARN_S = 86400, /* before a server's certificate ends */
};

/* --- servers going up and down ------------------------------------------------- */

void lbd_publish_states(struct lbd *l)
{
	workers_call(l->workers, engine_servers_changed, NULL);
}

void lbd_step_install(struct lbd *l)
{
	_cleanup_(str_deinit) struct str line = STR_INIT;
	const struct lifecycle *life = install_lifecycle(l->install);
	struct lifecycle before = *life;

	if (install_step(l->install, l->snap))
		lbd_publish_states(l);
	__atomic_store_n(
	    &l->shared.install_open, install_is_open(l->install), __ATOMIC_RELAXED);
	verbs_wake(l->verbs);
	if (l->said && before.state == life->state && before.returned == life->returned)
		return;
	l->said = true;
	install_headline(l->install, &line);
	daemon_status_line(l->d, "%s", str_get(&line));
}

void lbd_look(struct lbd *l)
{
	l->said = false;
	lbd_step_install(l);
}

/* --- finding ----------------------------------------------------------------- */

const struct snap_server *lbd_find_server(const struct lbd *l, const char *backend,
    const char *server, const struct snap_backend **ret)
{
	int at = lbd_conf_find_backend(l->snap->conf, backend);

	for (size_t i = 0; at >= 0 && i < l->snap->backends[at].n; i++) {
		const struct snap_server *s = &l->snap->backends[at].servers[i];

		if (!str_eq(s->conf->name, server))
			continue;
		if (ret)
			*ret = &l->snap->backends[at];
		return s;
	}
	return NULL;
}

const struct snap_frontend *lbd_find_frontend(const struct lbd *l, const char *name)
{
	for (size_t i = 0; i < l->snap->n_frontends; i++)
		if (str_eq(l->snap->frontends[i].conf->name, name))
			return &l->snap->frontends[i];
	return NULL;
}

/* --- news of the checks -------------------------------------------------------- */

static void on_changed(
    void *arg, const struct snap_backend *b, const struct snap_server *s, bool up)
{
	server_live_publish(s->live, up ? s->conf->slowstart : 0);
	lbd_publish_states(arg);
	statelog_change(b, s, up);
	lbd_step_install(arg);
}

/* Whoever keeps the cluster learns in time that a certificate ends. */
static void tell_end(struct server_live *l)
{
	int64_t left = l->not_after - clock_real_s();

	if (l->not_after == l->told_not_after || left > CERT_WARN_S)
		return;
	l->told_not_after = l->not_after;
	log_with(LOG_WARNING,
	    LOG_FIELDS("OKD_BACKEND", l->backend, "OKD_SERVER", l->base.name),
	    left < 0 ? "the certificate of %s/%s has ended %" PRId64 " h ago"
		     : "the certificate of %s/%s ends in %" PRId64 " h",
	    l->backend, l->base.name, (left < 0 ? -left : left) / 3600);
}

static void tell_name(struct server_live *l, const char *name)
{
	if (!l->misnamed || l->not_after == l->told_misnamed)
		return;
	l->told_misnamed = l->not_after;
	log_with(LOG_WARNING,
	    LOG_FIELDS("OKD_BACKEND", l->backend, "OKD_SERVER", l->base.name),
	    "the certificate of %s/%s is not for %s, by which nodes will call it; its "
	    "issuer is \"%s\"",
	    l->backend, l->base.name, name, l->issuer);
}

static void on_checked(
    void *arg, const struct snap_backend *b, const struct snap_server *s)
{
	if (!s->live->not_after)
		return;
	tell_end(s->live);
	tell_name(s->live, b->conf->check.sni);
}

static void begin_serving(struct lbd *l)
{
	if (l->serving || l->draining)
		return;
	l->serving = true;
	workers_call(l->workers, engine_commit, NULL);
	site_commit(l->site);
	/* A successor takes the socket's name over from its predecessor. */
	if (cli_new(&l->cli, l) < 0)
		log_warning("there is no CLI socket: %s", strerror(errno));
	daemon_release_ready(l->d);
}

/* Not at once: this may come from within start. */
static void on_first_checks(void *arg)
{
	struct lbd *l = arg;

	event_active(l->hold, EV_TIMEOUT, 0);
}

static void on_hold(evutil_socket_t fd, short what, void *arg)
{
	begin_serving(arg);
}

/* Once from each worker, and once from the checks. */
static void note_drained(struct lbd *l)
{
	if (++l->n_drained == workers_count(l->workers) + 1)
		daemon_drained(l->d);
}

static void on_checks_stopped(void *arg)
{
	note_drained(arg);
}

static const struct check_ops check_ops = {
	.changed = on_changed,
	.checked = on_checked,
	.ready = on_first_checks,
	.stopped = on_checks_stopped,
};

/* --- names of servers ---------------------------------------------------------- */

static void ask_for_names(struct lbd *l)
{
	for (size_t i = 0; i < l->snap->n_backends; i++)
		for (size_t k = 0; k < l->snap->backends[i].n; k++) {
			const struct snap_server *s = &l->snap->backends[i].servers[k];
			_cleanup_(freep) char *name = NULL;

			if (!(s->live->admin & SERVER_UNRESOLVED))
				continue;
			name = strndup(s->conf->address,
			    (size_t)(strrchr(s->conf->address, ':') -
				s->conf->address));
			if (name)
				resolver_ask(l->resolver, name);
		}
}

static bool is_name_of(const struct snap_server *s, const char *name)
{
	const char *colon = strrchr(s->conf->address, ':');

	return (s->live->admin & SERVER_UNRESOLVED) && colon &&
	    strlen(name) == (size_t)(colon - s->conf->address) &&
	    strncmp(name, s->conf->address, strlen(name)) == 0;
}

/* The checks are begun anew when there is one more to check, or one elsewhere. */
void lbd_restart_checks(struct lbd *l)
{
	struct checks *checks = NULL;
	struct err e = ERR_INIT;

	if (l->draining)
		return;
	if (checks_new(&checks, l->loop, l->snap, &check_ops, l, &e) < 0) {
		log_err("%s", err_str(&e));
		return;
	}
	checks_start(checks, l->checks);
	l->checks = checks;
}

static void on_name_found(void *arg, const char *name, const struct net_ip *ip)
{
	struct lbd *l = arg;
	bool any = false;

	for (size_t i = 0; i < l->snap->n_backends; i++)
		for (size_t k = 0; k < l->snap->backends[i].n; k++) {
			const struct snap_server *s = &l->snap->backends[i].servers[k];
			struct net_endpoint at = { .ip = *ip };

			if (!is_name_of(s, name))
				continue;
			at.port = (uint16_t)atoi(strrchr(s->conf->address, ':') + 1);
			server_live_set_address(s->live, &at);
			s->live->admin &= ~(unsigned)SERVER_UNRESOLVED;
			s->live->changed = clock_boot_ms();
			server_live_publish(s->live, s->conf->slowstart);
			log_info("server %s/%s has the address %s", s->live->backend,
			    s->live->base.name, net_ip_str(ip));
			any = true;
		}
	if (!any)
		return;
	lbd_restart_checks(l);
	lbd_publish_states(l);
}

/* --- once a second ------------------------------------------------------------------ */

static bool is_starting_slowly(const struct snap_server *s)
{
	return s->conf->slowstart && s->live->up_since &&
	    clock_boot_ms() - s->live->up_since < s->conf->slowstart + 1500;
}

static void tick_backend(struct snap_backend *b, bool *changed)
{
	live_tick(b->live, offsetof(struct live_counters, sessions));
	for (size_t i = 0; i < b->n; i++) {
		struct snap_server *s = &b->servers[i];

		live_tick(&s->live->base, offsetof(struct live_counters, sessions));
		if (!is_starting_slowly(s))
			continue;
		server_live_publish(s->live, s->conf->slowstart);
		*changed = true;
	}
}

static void schedule_tick(struct lbd *l)
{
	struct timeval tv = ms_to_tv(check_ms_to_second(clock_boot_ms(), 1000));

	(void)event_add(l->tick, &tv);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct lbd *l = arg;
	bool changed = false;

	schedule_tick(l);
	for (size_t i = 0; i < l->snap->n_frontends; i++)
		live_tick(l->snap->frontends[i].live,
		    offsetof(struct live_counters, connections));
	for (size_t i = 0; i < l->snap->n_backends; i++)
		tick_backend(&l->snap->backends[i], &changed);
	if (changed)
		lbd_publish_states(l);
	/* A predecessor's connections have the deadline that was set here. */
	shed_overdue(l->workers, l->snap);
	/* The install's state is the successor's by now. */
	if (l->draining)
		return;
	shed_rebalance(l->workers, l->snap);
	lbd_step_install(l);
	if (++l->ticks % RESOLVE_S == 0)
		ask_for_names(l);
}

/* --- limits -------------------------------------------------------------------------- */

/* As many descriptors as the hard limit allows; returns how many that are. */
static uint64_t raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1024;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
	(void)getrlimit(RLIMIT_NOFILE, &lim);
	return lim.rlim_cur;
}

/* Not for clients: a check has the connection that it keeps and the one it begins with. */
static uint64_t reserved_fds(const struct snapshot *s)
{
	uint64_t n = RESERVED_FDS;

	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].conf->check.reuse > 1)
			n += 2 * s->backends[i].n;
	return n;
}

static int set_max_sessions(struct snapshot *s, struct err *e)
{
	uint64_t fds = raise_fd_limit(), want = s->conf->maxconn;
	uint64_t reserved = reserved_fds(s);
	uint64_t most = fds > reserved + 2 ? (fds - reserved) / 2 : 1;

	if (want > most)
		return err_set(e, -EMFILE,
		    "maxconn: %" PRIu64 " connections need %" PRIu64
		    " descriptors, but the limit is %" PRIu64
		    "; raise LimitNOFILE= of the unit, or write maxconn: %" PRIu64,
		    want, 2 * want + reserved, fds, most);
	s->hard_max_sessions = (unsigned)MIN(want ? want : most, UINT32_MAX / 2);
	s->max_sessions = s->hard_max_sessions;
	return 0;
}

/* --- taking a configuration into force -------------------------------------------------- */

static int find_listeners(struct lbd *l, struct snapshot *s, struct err *e)
{
	for (size_t i = 0; i < s->n_frontends; i++) {
		struct snap_frontend *f = &s->frontends[i];
		const struct conf_list *list = &f->conf->listen;

		if (list->n > SNAPSHOT_LISTENERS_MAX)
			return err_set(e, -E2BIG, "frontend %s: at most %d addresses",
			    f->conf->name, SNAPSHOT_LISTENERS_MAX);
		for (; f->n_fds < list->n; f->n_fds++) {
			int r = daemon_listen(l->d,
			    conf_list_items(list, struct net_endpoint) + f->n_fds,
			    SOCK_STREAM, 1, &f->fds[f->n_fds], 1, e);

			if (r < 0)
				return r;
			if (f->live->open == LIVE_PAUSED)
				(void)shutdown(f->fds[f->n_fds], SHUT_RD);
		}
	}
	return 0;
}

static int prepare_workers(struct lbd *l, struct snapshot *s)
{
	struct engine_change change = { .snap = s };

	workers_call(l->workers, engine_prepare, &change);
	if (change.r < 0)
		workers_call(l->workers, engine_abandon, &change);
	return change.r;
}

static int find_nodes(struct lbd *l, struct snapshot *s, struct err *e)
{
	const struct cluster *c = s->conf->cluster;
	size_t n = c ? cluster_n_nodes(c) : 0;

	s->nodes = calloc(n + 1, sizeof(*s->nodes));
	if (!s->nodes)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct cluster_node *node = cluster_node_at(c, i);

		s->nodes[i] = install_node(
		    l->install, conf_list_items(&node->addresses, struct net_ip));
		if (!s->nodes[i])
			return err_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

/* Everything that may fail.  What is in force is not touched before only memory can be
 * short. */
static int prepare(struct lbd *l, void *conf, struct snapshot **snap,
    struct checks **checks, struct err *e)
{
	int r = snapshot_new(snap, conf, &l->live);

	if (r < 0)
		return err_set(e, r, "out of memory");
	r = set_max_sessions(*snap, e);
	if (r == 0)
		r = find_nodes(l, *snap, e);
	if (r == 0)
		r = find_listeners(l, *snap, e);
	if (r == 0)
		r = site_prepare(l->site, l->d, &(*snap)->conf->stats, e);
	if (r == 0)
		r = checks_new(checks, l->loop, *snap, &check_ops, l, e);
	if (r == 0) {
		snapshot_apply(*snap);
		r = prepare_workers(l, *snap);
		if (r < 0)
			err_set(e, r, "out of memory");
	}
	return r;
}

static void release(struct snapshot *s)
{
	if (s && snapshot_unref(s))
		snapshot_free(s);
}

/* The configuration stays the caller's after a failure. */
static void discard(struct snapshot *s, struct checks *checks)
{
	checks_free(checks);
	if (s)
		s->conf = NULL;
	release(s);
}

static int lbd_reload(void *self, void *conf, struct err *e)
{
	struct snapshot *snap = NULL, *old;
	struct checks *checks = NULL;
	struct lbd *l = self;
	int r = prepare(l, conf, &snap, &checks, e);

	if (r < 0) {
		discard(snap, checks);
		return r;
	}
	if (snap->conf->workers != l->snap->conf->workers)
		log_warning("workers: takes effect with an upgrade in place");
	old = l->snap;
	l->snap = snap;
	override_inherit(snap, old);
	if (l->serving) {
		workers_call(l->workers, engine_commit, NULL);
		site_commit(l->site);
	}
	release(old);
	if (!l->serving)
		begin_serving(l);
	lbd_publish_states(l);
	checks_start(checks, l->checks);
	l->checks = checks;
	ask_for_names(l);
	keep_save(l);
	return 0;
}

/* --- life --------------------------------------------------------------------------------- */

static void on_drained(struct message *m)
{
	note_drained(CONTAINER_OF(m, struct engine_drained, m)->owner);
}

static void lbd_drain(void *self)
{
	struct lbd *l = self;

	l->draining = true;
	checks_stop(l->checks);
	l->cli = cli_free(l->cli);
	site_drain(l->site);
	if (workers_publish(l->workers, engine_drain, NULL, NULL, NULL) < 0)
		daemon_drained(l->d);
}

static void lbd_free(void *self)
{
	struct lbd *l = self;

	if (!l)
		return;
	l->resolver = resolver_free(l->resolver);
	l->checks = checks_free(l->checks);
	l->site = site_free(l->site);
	l->cli = cli_free(l->cli);
	if (l->tick)
		event_free(l->tick);
	if (l->hold)
		event_free(l->hold);
	l->workers = workers_free(l->workers);
	l->shared.home = mailbox_free(l->shared.home);
	release(l->snap);
	l->install = install_free(l->install);
	l->verbs = verbs_free(l->verbs);
	l->shared.log = reqlog_free(l->shared.log);
	free(l);
}

static const struct snapshot *site_snapshot(void *arg)
{
	return ((struct lbd *)arg)->snap;
}

static void site_headline(void *arg, struct str *out)
{
	struct lbd *l = arg;

	install_headline(l->install, out);
	str_addf(out, " · %u of %u connections", live_now(&l->shared.sessions),
	    l->snap->max_sessions);
}

static void site_metrics(void *arg, struct str *out)
{
	struct lbd *l = arg;

	metric_single(out, "haproxy_process_current_connections", METRIC_GAUGE,
	    "Number of active sessions.", live_now(&l->shared.sessions));
	metric_single(out, "okd_lbd_log_lines_dropped_total", METRIC_COUNTER,
	    "Log lines lost because their reader was too slow.",
	    (double)reqlog_dropped(l->shared.log));
	metric_single(out, "okd_lbd_accept_pauses_total", METRIC_COUNTER,
	    "Times accepting stopped for want of descriptors.",
	    (double)counter_get(&l->shared.accept_pauses));
	install_metrics(l->install, out);
}

static void lbd_status(void *self, json_t *obj)
{
	struct lbd *l = self;
	json_t *install = json_object();
	struct stats stats;

	json_object_set_new(
	    obj, "sessions", json_integer(live_now(&l->shared.sessions)));
	json_object_set_new(obj, "max_sessions", json_integer(l->snap->max_sessions));
	install_status(l->install, l->snap, install);
	json_object_set_new(obj, "install", install);
	if (stats_gather(&stats, l->snap) < 0)
		return;
	stats_json(&stats, obj);
	stats_deinit(&stats);
}

static json_t *site_status(void *arg)
{
	json_t *obj = json_object();

	lbd_status(arg, obj);
	return obj;
}

static void lbd_metrics(void *self, struct str *out)
{
	struct lbd *l = self;
	struct stats stats;

	site_metrics(self, out);
	if (stats_gather(&stats, l->snap) < 0)
		return;
	stats_metrics(&stats, l->snap, out);
	stats_deinit(&stats);
}

static bool lbd_ready(void *self, struct str *reasons)
{
	return stats_usable(((struct lbd *)self)->snap, reasons);
}

static const struct site_ops site_ops = {
	.snapshot = site_snapshot,
	.headline = site_headline,
	.metrics = site_metrics,
	.status = site_status,
};

static int start_threads(struct lbd *l, unsigned n)
{
	int r = mailbox_new(&l->shared.home, l->loop);

	if (r == 0)
		r = reqlog_new(&l->shared.log, STDERR_FILENO);
	if (r == 0 && log_is_journal()) {
		l->shared.log_fields = true;
		r = reqlog_to_journal(l->shared.log, REQLOG_JOURNAL);
	}
	if (r == 0)
		r = workers_new(&l->workers, &engine_class, &l->shared, n, l->loop);
	if (r == 0)
		daemon_watch_workers(l->d, l->workers);
	return r;
}

static int start_timers(struct lbd *l)
{
	struct timeval hold = ms_to_tv(HOLD_MS);

	l->tick = evtimer_new(loop_base(l->loop), on_tick, l);
	l->hold = evtimer_new(loop_base(l->loop), on_hold, l);
	if (!l->tick || !l->hold || event_add(l->hold, &hold) < 0)
		return -ENOMEM;
	schedule_tick(l);
	return 0;
}

static int lbd_new(
    struct lbd **ret, struct daemon *d, unsigned n_workers, struct err *e)
{
	struct lbd *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(e, -ENOMEM, "out of memory");
	l->d = d;
	l->loop = daemon_loop(d);
	l->started = clock_boot_ms();
	l->shared.install_open = 1;
	l->shared.on_drained = on_drained;
	for (unsigned i = 0; i < CONF_WORKERS_MAX; i++)
		l->shared.drained[i].owner = l;
	l->shared.max_pipes = 256;
	live_set_init(&l->live, n_workers);
	r = start_threads(l, n_workers);
	if (r == 0)
		r = site_new(&l->site, l->loop, &site_ops, l);
	if (r == 0)
		r = start_timers(l);
	if (r == 0)
		r = verbs_new(&l->verbs, l);
	if (r == 0)
		r = resolver_new(&l->resolver, l->loop, on_name_found, l);
	if (r < 0)
		err_set(e, r, "cannot start: %s", strerror(-r));
	if (r == 0)
		r = install_new(
		    &l->install, daemon_state_dir(d), daemon_runtime_dir(d), e);
	if (r < 0) {
		lbd_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static int lbd_start(void **self, struct daemon *d, void *conf, struct err *e)
{
	const struct lbd_conf *c = conf;
	struct lbd *l = NULL;
	int r = lbd_new(&l, d, (unsigned)c->workers, e);
	bool moved;

	if (r < 0)
		return r;
	r = prepare(l, conf, &l->snap, &l->checks, e);
	if (r < 0) {
		/* The workers may hold it until they end. */
		if (l->snap)
			l->snap->conf = NULL;
		lbd_free(l);
		return r;
	}
	moved = keep_load(l);
	lbd_publish_states(l);
	daemon_hold_ready(d);
	if (moved)
		lbd_restart_checks(l);
	else
		checks_start(l->checks, NULL);
	ask_for_names(l);
	*self = l;
	return 0;
}

const struct daemon_class lbd_class = {
	.name = "lbd",
	.summary =
	    "TCP balancer for the API, the machine config server and the ingress",
	.conf_load = lbd_conf_load,
	.conf_free = lbd_conf_free,
	.conf_print = lbd_conf_print,
	.start = lbd_start,
	.reload = lbd_reload,
	.drain = lbd_drain,
	.free = lbd_free,
	.metrics = lbd_metrics,
	.status = lbd_status,
	.ready = lbd_ready,
	.routes = lbd_routes,
};
