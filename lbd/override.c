/* Changes by hand: see override.h. */
#include "lbd/override.h"

#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "lbd/check.h"
#include "lbd/keep.h"
#include "lbd/lbd.h"
#include "lbd/statelog.h"

/* --- servers ------------------------------------------------------------------ */

void override_state(struct lbd *l, const struct snap_backend *b,
    const struct snap_server *s, enum override_state state)
{
	unsigned before = s->live->admin;
	unsigned own = SERVER_DRAIN | SERVER_MAINT;
	unsigned want = state == OVERRIDE_DRAIN ? SERVER_DRAIN
	    : state == OVERRIDE_MAINT           ? SERVER_MAINT
						: 0;

	if ((before & own) == want)
		return;
	s->live->admin = (before & ~own) | want;
	s->live->changed = clock_boot_ms();
	s->live->cut_at = 0;
	server_live_publish(s->live, 0);
	lbd_publish_states(l);
	statelog_by_hand(b, s, state, before);
	keep_save(l);
}

void override_weight(struct lbd *l, const struct snap_server *s, unsigned weight)
{
	__atomic_store_n(&s->live->weight, weight, __ATOMIC_RELAXED);
	server_live_publish(s->live, s->conf->slowstart);
	lbd_publish_states(l);
	keep_save(l);
}

void override_health(
    struct lbd *l, const struct snap_backend *b, const struct snap_server *s, bool up)
{
	if (!s->live->checked || health_up(&s->live->health) == up)
		return;
	health_force(&s->live->health, up);
	check_note_transition(s->live, up);
	server_live_publish(s->live, up ? s->conf->slowstart : 0);
	lbd_publish_states(l);
	statelog_change(b, s, up);
	lbd_step_install(l);
}

void override_address(
    struct lbd *l, const struct snap_server *s, const struct net_endpoint *at)
{
	struct server_live *v = s->live;

	if (v->to && net_ip_eq(&v->at.ip, &at->ip) && v->at.port == at->port)
		return;
	server_live_set_address(v, at);
	v->moved =
	    at->port != v->configured.port || !net_ip_eq(&at->ip, &v->configured.ip);
	v->admin &= ~(unsigned)SERVER_UNRESOLVED;
	server_live_publish(v, s->conf->slowstart);
	lbd_publish_states(l);
	log_with(LOG_NOTICE,
	    LOG_FIELDS("OKD_BACKEND", v->backend, "OKD_SERVER", v->base.name),
	    "server %s/%s has the address %s, by hand", v->backend, v->base.name,
	    net_endpoint_str(at));
	lbd_restart_checks(l);
	keep_save(l);
}

/* --- limits ------------------------------------------------------------------- */

static void publish_limits(struct lbd *l)
{
	workers_call(l->workers, engine_limits_changed, NULL);
}

void override_limit(struct lbd *l, struct live *target, unsigned limit)
{
	live_set_limit(target, limit);
	publish_limits(l);
	keep_save(l);
}

void override_max_sessions(struct lbd *l, unsigned max)
{
	__atomic_store_n(&l->snap->max_sessions, max, __ATOMIC_RELAXED);
	publish_limits(l);
	keep_save(l);
}

void override_inherit(struct snapshot *snap, const struct snapshot *old)
{
	if (snap->hard_max_sessions == old->hard_max_sessions)
		snap->max_sessions = old->max_sessions;
	for (size_t i = 0; i < snap->n_frontends; i++)
		if (snap->frontends[i].live->open == LIVE_SHUT)
			snap->frontends[i].live->open = LIVE_OPEN;
}

/* --- frontends ---------------------------------------------------------------- */

/* A listening socket that is shut down refuses, and keeps its address; whoever waits in
 * its queue is reset.  The workers let go of it first, and get it back last. */
void override_open(struct lbd *l, const struct snap_frontend *f, enum live_open open)
{
	static const char *const words[] = { "takes connections again",
		"is disabled: its port refuses connections",
		"is shut down: its port refuses connections until a reload" };

	for (unsigned i = 0; open == LIVE_OPEN && i < f->n_fds; i++)
		net_relisten(f->fds[i]);
	__atomic_store_n(&f->live->open, open, __ATOMIC_RELAXED);
	publish_limits(l);
	for (unsigned i = 0; open != LIVE_OPEN && i < f->n_fds; i++)
		(void)shutdown(f->fds[i], SHUT_RD);
	log_with(LOG_NOTICE, LOG_FIELDS("OKD_FRONTEND", f->conf->name),
	    "frontend %s %s", f->conf->name, words[open]);
	keep_save(l);
}
