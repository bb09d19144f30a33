/* The data path of one worker thread: see server.h. */
#include "lbd/server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/net.h"
#include "common/upgrade.h"
#include "lbd/session.h"
#include "lbd/sources.h"

enum {
	EVENTS = 256,
	ACCEPT_MAX = 16,    /* connections of one listener in a row */
	PAUSE_MS = 1000,    /* without accepting, when descriptors ran out */
	RECHECK_MS = 100,   /* of a listener that waits for a free place */
	REQUEUE_MS = 50,    /* of sessions whose place another worker may free */
	LOG_RING = 1 << 20, /* bytes of log lines that wait for the writer */
	TAG_MASK = 7,
};

/* --- listeners ---------------------------------------------------------------- */

static void *tagged(void *p, enum engine_tag tag)
{
	return (void *)((uintptr_t)p | tag);
}

static void listener_set(struct engine_listener *l, bool on)
{
	struct engine *e = l->es->e;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.ptr = tagged(l, TAG_LISTENER) };

	if (l->on == on)
		return;
	if (epoll_ctl(e->epfd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, l->fd, &ev) < 0 &&
	    on)
		return;
	l->on = on;
	e->n_off += on ? -1u : 1u;
}

static bool has_room(const struct engine_listener *l)
{
	const struct engine_shared *sh = l->es->e->shared;
	const struct live *f = l->f->live;

	return live_now(&sh->sessions) <
	    __atomic_load_n(&l->es->snap->max_sessions, __ATOMIC_RELAXED) &&
	    live_now(&f->sessions) < live_limit(f);
}

static bool is_open(const struct engine_listener *l)
{
	return __atomic_load_n(&l->f->live->open, __ATOMIC_RELAXED) == LIVE_OPEN;
}

static void run_queues(struct engine *e);

static void recheck_later(struct engine *e, unsigned ms)
{
	if (!e->resume.due)
		wheel_set(&e->wheel, &e->resume, e->now_ms + ms);
}

static void resume_one(struct engine_listener *l)
{
	if (!is_open(l) || !has_room(l))
		return;
	if (l->dead)
		net_relisten(l->fd);
	l->dead = false;
	listener_set(l, true);
}

static void resume_listeners(struct engine *e)
{
	struct engine_snap *es = e->current;

	/* After a pause the timer alone resumes. */
	for (size_t i = 0; es && e->n_off && !e->paused && i < es->n_listeners; i++)
		resume_one(&es->listeners[i]);
	if (e->n_off && !e->draining)
		recheck_later(e, RECHECK_MS);
}

/* No connection can be taken: what is there goes on being served. */
static void pause_all(struct engine *e, const char *why)
{
	log_warning("%s: accepting again in a second", why);
	counter_add(&e->shared->accept_pauses, 1);
	e->paused = true;
	for (size_t i = 0; i < e->current->n_listeners; i++)
		listener_set(&e->current->listeners[i], false);
	wheel_clear(&e->wheel, &e->resume);
	recheck_later(e, PAUSE_MS);
}

/* True when it is no fault of the listener and the next may be taken. */
static bool accept_failed(struct engine_listener *l)
{
	int error = errno;

	switch (net_accept_error(error)) {
	case NET_ACCEPT_FULL:
		pause_all(l->es->e, "no descriptor is left for clients");
		return false;
	case NET_ACCEPT_DEAD:
		l->dead = true;
		pause_all(l->es->e, "a listener was shut down");
		return false;
	case NET_ACCEPT_AGAIN:
		break;
	}
	/* Else this one connection has gone wrong before it was taken. */
	return error != EAGAIN;
}

static void on_listener(struct engine_listener *l)
{
	unsigned taken = 0;

	for (; taken < l->batch && l->on; taken++) {
		union net_sockaddr peer;
		socklen_t len = sizeof(peer);
		int fd;

		if (!has_room(l)) {
			listener_set(l, false);
			recheck_later(l->es->e, RECHECK_MS);
			return;
		}
		fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			session_begin(l, fd, &peer);
		else if (!accept_failed(l))
			break;
	}
	/* As many as came the last time, and more when there were more: the call that
	 * finds nothing is rare. */
	l->batch = taken == l->batch ? MIN(2 * l->batch, (unsigned)ACCEPT_MAX)
				     : MAX(taken, 1u);
}

void engine_keep_alive(int fd, const struct timeouts_conf *t)
{
	int on = t->keepalive != 0, idle = (int)MAX(t->keepalive / 1000, 1u),
	    user = (int)t->user_timeout;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof(user));
}

/* Accepted sockets inherit these from the listener, so that they cost nothing. */
static void set_inherited(int fd, const struct timeouts_conf *t)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	engine_keep_alive(fd, t);
}

/* --- snapshots ------------------------------------------------------------------ */

static void on_snapshot_home(struct message *m)
{
	struct snapshot *s = CONTAINER_OF(m, struct snapshot, release);

	snapshot_free(s);
}

static void release_snapshot(struct engine *e, struct snapshot *s)
{
	if (!snapshot_unref(s))
		return;
	s->release.run = on_snapshot_home;
	mailbox_post(e->shared->home, &s->release);
}

static struct engine_snap *engine_snap_free(struct engine_snap *es)
{
	if (!es)
		return NULL;
	list_remove(&es->link);
	for (size_t i = 0; es->backends && i < es->snap->n_backends; i++)
		balance_free(es->backends[i].balance);
	for (size_t i = 0; es->sources && i < es->snap->n_frontends; i++)
		sources_free(es->sources[i]);
	free(es->sources);
	free(es->backends);
	free(es->listeners);
	release_snapshot(es->e, es->snap);
	free(es);
	return NULL;
}

static void engine_snap_unref(struct engine_snap *es)
{
	if (--es->users == 0)
		engine_snap_free(es);
}

/* Takes what the main thread says of the servers into the balance. */
static int refresh(struct engine_backend *be)
{
	for (size_t i = 0; i < be->b->n; i++) {
		const struct snap_server *sv = &be->b->servers[i];
		struct balance_server *s = balance_server(be->balance, i);

		s->usable = __atomic_load_n(&sv->live->usable, __ATOMIC_ACQUIRE);
		s->weight = __atomic_load_n(&sv->live->weight, __ATOMIC_RELAXED);
		s->eweight = __atomic_load_n(&sv->live->eweight, __ATOMIC_RELAXED);
		s->backup = sv->conf->backup;
	}
	return balance_update(be->balance);
}

void engine_fill_loads(struct engine_backend *be)
{
	for (size_t i = 0; i < be->b->n; i++) {
		const struct snap_server *sv = &be->b->servers[i];
		struct balance_server *s = balance_server(be->balance, i);

		s->load = live_now(&sv->live->base.sessions);
		s->full = s->load >= live_limit(&sv->live->base);
	}
}

static int make_backends(struct engine_snap *es)
{
	for (size_t i = 0; i < es->snap->n_backends; i++) {
		struct engine_backend *be = &es->backends[i];
		int r;

		be->b = &es->snap->backends[i];
		list_init(&be->queue);
		r = balance_new(&be->balance,
		    (enum balance_algorithm)be->b->conf->balance,
		    (enum balance_hash)be->b->conf->hash_type, be->b->conf->all_backups,
		    be->b->n);
		if (r == 0)
			r = refresh(be);
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_sources(struct engine_snap *es)
{
	es->sources = calloc(es->snap->n_frontends + 1, sizeof(*es->sources));
	if (!es->sources)
		return -ENOMEM;
	for (size_t i = 0; i < es->snap->n_frontends; i++) {
		const struct frontend_conf *c = es->snap->frontends[i].conf;
		int r;

		if (!c->source_connections && !c->source_rate)
			continue;
		r = sources_new(&es->sources[i], (unsigned)c->source_connections,
		    (unsigned)c->source_rate);
		if (r < 0)
			return r;
	}
	return 0;
}

static int engine_snap_new(
    struct engine_snap **ret, struct engine *e, struct snapshot *snap)
{
	struct engine_snap *es = calloc(1, sizeof(*es));
	size_t n = 0;

	if (!es)
		return -ENOMEM;
	es->e = e;
	es->users = 1;
	es->snap = snap;
	snapshot_ref(snap);
	list_init(&es->link);
	for (size_t i = 0; i < snap->n_frontends; i++)
		n += snap->frontends[i].n_fds;
	es->backends = calloc(snap->n_backends + 1, sizeof(*es->backends));
	es->listeners = calloc(n + 1, sizeof(*es->listeners));
	if (!es->backends || !es->listeners || make_backends(es) < 0 ||
	    make_sources(es) < 0) {
		engine_snap_free(es);
		return -ENOMEM;
	}
	for (size_t i = 0; i < snap->n_frontends; i++)
		for (unsigned k = 0; k < snap->frontends[i].n_fds; k++)
			es->listeners[es->n_listeners++] =
			    (struct engine_listener){ .es = es,
				    .f = &snap->frontends[i],
				    .fd = snap->frontends[i].fds[k],
				    .batch = 1 };

	*ret = es;
	return 0;
}

void engine_prepare(void *self, void *change)
{
	struct engine_change *c = change;
	struct engine *e = self;
	int r;

	/* One that a reload overtakes before the first checks are done. */
	e->next = engine_snap_free(e->next);
	r = engine_snap_new(&e->next, e, c->snap);
	/* On the list at once, so that it hears of changes before it is in force. */
	if (r < 0)
		c->r = r;
	else
		list_append(&e->snaps, &e->next->link);
}

void engine_abandon(void *self, void *change)
{
	struct engine *e = self;

	e->next = engine_snap_free(e->next);
}

static void stop_listening(struct engine *e)
{
	if (!e->current)
		return;
	for (size_t i = 0; i < e->current->n_listeners; i++)
		listener_set(&e->current->listeners[i], false);
	e->n_off = 0;
	e->paused = false;
	wheel_clear(&e->wheel, &e->resume);
}

void engine_commit(void *self, void *change)
{
	struct engine *e = self;
	struct engine_snap *old = e->current;

	stop_listening(e);
	e->current = e->next;
	e->next = NULL;
	for (size_t i = 0; i < e->current->n_listeners; i++) {
		struct engine_listener *l = &e->current->listeners[i];

		set_inherited(l->fd, &e->current->snap->conf->timeouts);
		e->n_off++;
		if (is_open(l))
			listener_set(l, true);
	}
	if (e->n_off)
		recheck_later(e, RECHECK_MS);
	if (old)
		engine_snap_unref(old);
}

void engine_limits_changed(void *self, void *unused)
{
	struct engine *e = self;

	for (size_t i = 0; e->current && i < e->current->n_listeners; i++)
		if (!is_open(&e->current->listeners[i]))
			listener_set(&e->current->listeners[i], false);
	if (e->n_off && !e->draining)
		resume_listeners(e);
	run_queues(e);
}

/* --- queues ----------------------------------------------------------------------- */

/* Each engine and snapshot has a queue of its own, while a server's places belong to
 * all: who ends elsewhere is found out here. */
static void run_queues(struct engine *e)
{
	bool any = false;

	list_for_each_safe (at, &e->snaps) {
		struct engine_snap *es = CONTAINER_OF(at, struct engine_snap, link);

		es->users++;
		for (size_t i = 0; i < es->snap->n_backends; i++) {
			session_run_queue(&es->backends[i]);
			any |= !list_empty(&es->backends[i].queue);
		}
		engine_snap_unref(es);
	}
	if (any)
		engine_watch_queues(e);
}

void engine_watch_queues(struct engine *e)
{
	if (!e->requeue.due)
		wheel_set(&e->wheel, &e->requeue, e->now_ms + REQUEUE_MS);
}

/* --- states of servers ------------------------------------------------------------ */

/* Sessions on servers that have gone down, where they are to end with the server. */
static void close_on_down(struct engine *e)
{
	e->hold_queues = true;
	list_for_each_safe (it, &e->sessions) {
		struct session *s = CONTAINER_OF(it, struct session, link);
		const struct snap_server *sv;

		if (s->server < 0 || !s->be->b->conf->close_on_down)
			continue;
		sv = &s->be->b->servers[s->server];
		if (__atomic_load_n(&sv->live->down, __ATOMIC_RELAXED))
			session_close(s, 'D', s->state == SESSION_OPEN ? 'D' : 'C');
	}
	e->hold_queues = false;
}

void engine_servers_changed(void *self, void *unused)
{
	struct engine *e = self;

	list_for_each (it, &e->snaps) {
		struct engine_snap *es = CONTAINER_OF(it, struct engine_snap, link);

		for (size_t i = 0; i < es->snap->n_backends; i++)
			if (refresh(&es->backends[i]) < 0)
				log_err("no memory for the states of backend %s",
				    es->backends[i].b->conf->name);
	}
	close_on_down(e);
	run_queues(e);
}

/* --- the loop ----------------------------------------------------------------------- */

static void tell_drained(struct engine *e)
{
	if (!e->draining || e->n_sessions || e->drain_told)
		return;
	e->drain_told = true;
	mailbox_post(e->shared->home, &e->shared->drained[e->index].m);
}

void engine_session_ended(struct engine *e, struct engine_snap *es)
{
	e->n_sessions--;
	engine_snap_unref(es);
	if (!e->n_sessions)
		pipes_deinit(&e->pipes);
	if (_unlikely_(e->n_off))
		resume_listeners(e);
	tell_drained(e);
}

void engine_drain(void *self, void *unused)
{
	struct engine *e = self;

	stop_listening(e);
	e->draining = true;
	tell_drained(e);
}

static void read_clock(struct engine *e)
{
	uint64_t now = clock_boot_ms();

	/* The wall clock is read once a second at most: it goes at the same pace. */
	if (now / 1000 != e->now_ms / 1000)
		e->real_ms =
		    (int64_t)(clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC) - (int64_t)now;
	e->now_ms = now;
}

static void dispatch(struct engine *e, const struct epoll_event *ev)
{
	void *p = (void *)((uintptr_t)ev->data.ptr & ~(uintptr_t)TAG_MASK);

	switch ((enum engine_tag)((uintptr_t)ev->data.ptr & TAG_MASK)) {
	case TAG_CLIENT:
		session_on_event(p, CLIENT, ev->events);
		break;
	case TAG_SERVER:
		session_on_event(p, SERVER, ev->events);
		break;
	case TAG_LISTENER:
		/* A listener of an earlier snapshot may be gone by now. */
		for (size_t i = 0; i < e->current->n_listeners; i++)
			if (p == &e->current->listeners[i])
				on_listener(p);
		break;
	case TAG_MAIL:
		worker_take_mail(e->worker);
		break;
	}
}

static void run_timers(struct engine *e)
{
	struct timer *t;

	while ((t = wheel_expire(&e->wheel, e->now_ms))) {
		if (t == &e->resume) {
			e->paused = false;
			resume_listeners(e);
		} else if (t == &e->requeue)
			run_queues(e);
		else
			session_on_timer(CONTAINER_OF(t, struct session, timer));
	}
}

/* Each once: those that are still not done go to the end of the list anew. */
static void run_ready(struct engine *e)
{
	struct list_link now, *l;

	if (list_empty(&e->ready))
		return;
	now = e->ready;
	now.next->prev = now.prev->next = &now;
	list_init(&e->ready);
	while ((l = list_first(&now))) {
		list_remove(l);
		session_continue(CONTAINER_OF(l, struct session, ready));
	}
}

enum { POOL_MAX = 256 };

/* Sessions that have ended in this turn: events that name them are all dealt with, but for
 * those of sockets that another process keeps open. */
static void bury(struct engine *e)
{
	struct list_link *l;

	if (_unlikely_(upgrade_shares_fds()))
		return;
	while ((l = list_first(&e->dead))) {
		list_remove(l);
		if (e->n_pool >= POOL_MAX) {
			free(CONTAINER_OF(l, struct session, link));
			continue;
		}
		list_prepend(&e->pool, l);
		e->n_pool++;
	}
}

static void engine_run(void *self)
{
	struct engine *e = self;
	struct epoll_event events[EVENTS];

	while (!worker_stopping(e->worker)) {
		int wait = list_empty(&e->ready) ? wheel_wait(&e->wheel, e->now_ms) : 0;
		int n = epoll_wait(e->epfd, events, EVENTS, wait);

		read_clock(e);
		wheel_skip(&e->wheel, e->now_ms);
		for (int i = 0; i < n; i++)
			dispatch(e, &events[i]);
		run_ready(e);
		run_timers(e);
		bury(e);
	}
}

/* --- life ------------------------------------------------------------------------------ */

static struct engine *engine_free(struct engine *e)
{
	struct list_link *l;

	if (!e)
		return NULL;
	e->drain_told = true;
	while (!list_empty(&e->sessions))
		session_close(
		    CONTAINER_OF(e->sessions.next, struct session, link), 'K', 'D');
	stop_listening(e);
	if (e->current)
		engine_snap_unref(e->current);
	engine_snap_free(e->next);
	bury(e);
	while ((l = list_first(&e->pool))) {
		list_remove(l);
		free(CONTAINER_OF(l, struct session, link));
	}
	pipes_deinit(&e->pipes);
	fd_close(e->epfd);
	free(e->buffer);
	free(e);
	return NULL;
}
DEFINE_FREEP(engine)

static int watch_mail(struct engine *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (void *)TAG_MAIL };

	return epoll_ctl(e->epfd, EPOLL_CTL_ADD, worker_mail_fd(e->worker), &ev) < 0
	    ? -errno
	    : 0;
}

static int engine_start(void **self, struct worker *w, void *arg)
{
	_cleanup_(engine_freep) struct engine *e = calloc(1, sizeof(*e));
	struct engine_shared *sh = arg;
	int r;

	if (!e)
		return -ENOMEM;
	list_init(&e->snaps);
	list_init(&e->sessions);
	list_init(&e->ready);
	list_init(&e->dead);
	list_init(&e->pool);
	e->epfd = -1;
	e->worker = w;
	e->shared = sh;
	e->index = __atomic_fetch_add(&sh->n_engines, 1, __ATOMIC_RELAXED);
	sh->drained[e->index].m.run = sh->on_drained;
	read_clock(e);
	wheel_init(&e->wheel, e->now_ms);
	pipes_init(&e->pipes, sh->max_pipes);
	e->buffer = malloc(ENGINE_BUFFER);
	e->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!e->buffer || e->epfd < 0)
		return -ENOMEM;
	r = reqlog_ring_new(&e->log, sh->log, LOG_RING);
	if (r == 0)
		r = watch_mail(e);
	if (r < 0)
		return r;

	*self = TAKE(e);
	return 0;
}

static void engine_stop(void *self)
{
	engine_free(self);
}

const struct worker_class engine_class = {
	.name = "lbd-worker",
	.start = engine_start,
	.stop = engine_stop,
	.run = engine_run,
};
