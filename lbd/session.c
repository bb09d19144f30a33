/* One client's connection: see session.h for its states. */
#include "lbd/session.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "lbd/install.h"
#include "lbd/proxyproto.h"
#include "lbd/sources.h"
#include "lbd/tcplog.h"

enum { RETRIES = 3, RETRY_PAUSE_MS = 1000 };

static void assign(struct session *s);
static void enqueue(struct session *s);
static int pick(struct session *s);
static void note_progress(struct session *s);

static struct engine *engine_of(const struct session *s)
{
	return s->es->e;
}

static const struct timeouts_conf *timeouts(const struct session *s)
{
	return &s->es->snap->conf->timeouts;
}

static struct live_counters *count(const struct session *s, const struct live *l)
{
	return &l->workers[engine_of(s)->index];
}

static const struct snap_server *server_of(const struct session *s)
{
	return s->server < 0 ? NULL : &s->be->b->servers[s->server];
}

static void set_timer(struct session *s, uint64_t ms)
{
	if (ms)
		wheel_set(&engine_of(s)->wheel, &s->timer, engine_of(s)->now_ms + ms);
	else
		wheel_clear(&engine_of(s)->wheel, &s->timer);
}

/* --- the log line --------------------------------------------------------------- */

static int64_t span(uint64_t from, uint64_t to)
{
	return from && to ? (int64_t)(to - from) : -1;
}

/* Where connections go by their address they wait for one server, as HAProxy sees it. */
static bool waits_for_one(const struct session *s)
{
	return s->be->b->conf->balance == BALANCE_SOURCE;
}

/* The server that one waits for; NULL: for any. */
static const struct snap_server *awaited(struct session *s)
{
	int server = waits_for_one(s) ? pick(s) : -1;

	return server < 0 ? NULL : &s->be->b->servers[server];
}

static void write_log(struct session *s, char cause, char state)
{
	const struct snap_server *sv = state == 'Q' ? awaited(s) : server_of(s);
	struct engine *e = engine_of(s);
	bool fields = e->shared->log_fields;
	char *to = reqlog_reserve(e->log, fields ? TCPLOG_FIELDS_MAX : TCPLOG_MAX);
	struct tcplog l;

	if (!to)
		return; /* counted by the log */
	l = (struct tcplog){
		.client = &s->ip,
		.port = s->port,
		.accepted_ms = (int64_t)s->accepted + e->real_ms,
		.frontend = s->f->conf->name,
		.backend = s->f->conf->backend,
		.server = sv ? sv->conf->name : NULL,
		.wait_ms = span(s->accepted, state == 'Q' ? e->now_ms : s->assigned),
		.connect_ms = span(s->assigned, s->connected),
		.total_ms = (int64_t)(e->now_ms - s->accepted),
		.bytes = s->flow[SERVER].bytes,
		.cause = cause,
		.state = state,
		.process = live_now(&e->shared->sessions),
		.at_frontend = live_now(&s->f->live->sessions),
		.at_backend = live_now(&s->be->b->live->sessions),
		.at_server = sv ? live_now(&sv->live->base.sessions) : 0,
		.retries = s->attempts > 1 ? s->attempts - 1u : 0,
		.redispatched = s->redispatched,
		.server_queue = waits_for_one(s) ? s->position : 0,
		.backend_queue = waits_for_one(s) ? 0 : s->position,
	};
	reqlog_commit(
	    e->log, fields ? tcplog_format_fields(&l, to) : tcplog_format(&l, to));
}

/* --- the end ----------------------------------------------------------------------- */

static void leave_queue(struct session *s)
{
	if (list_empty(&s->queued))
		return;
	list_remove(&s->queued);
	live_leave(&s->be->b->live->queue);
	s->position += s->be->n_served - s->n_before + 1;
}

static void leave_server(struct session *s)
{
	const struct snap_server *sv = server_of(s);

	if (sv)
		live_leave(&sv->live->base.sessions);
}

static void count_bytes(struct session *s, const struct live *l)
{
	struct live_counters *c = count(s, l);

	counter_add(&c->in, s->flow[CLIENT].bytes);
	counter_add(&c->out, s->flow[SERVER].bytes);
	counter_add(&c->total_ms, engine_of(s)->now_ms - s->accepted);
}

static void count_end(struct session *s, char cause, char state)
{
	const struct live *lives[3] = { s->f->live, s->be->b->live, NULL };
	const struct snap_server *sv = server_of(s);

	lives[2] = sv ? &sv->live->base : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(lives) && lives[i]; i++) {
		struct live_counters *c = count(s, lives[i]);

		count_bytes(s, lives[i]);
		if (cause == 'C' || cause == 'c')
			counter_add(&c->client_aborts, state == 'D' || i);
		if ((cause == 'S' || cause == 's') && state == 'D')
			counter_add(&c->server_aborts, 1);
		if (i && (state == 'C' || state == 'Q') && cause != 'C')
			counter_add(&c->errors, 1);
	}
}

void session_close(struct session *s, char cause, char state)
{
	struct engine_backend *be = s->be;
	struct engine *e = engine_of(s);

	if (s->state == SESSION_CLOSED)
		return;
	wheel_clear(&e->wheel, &s->timer);
	leave_queue(s);
	session_release_buffers(s);
	s->end[CLIENT].fd = fd_close(s->end[CLIENT].fd);
	s->end[SERVER].fd = fd_close(s->end[SERVER].fd);
	count_end(s, cause, state);
	if (s->counted)
		sources_leave(s->es->sources[s->f - s->es->snap->frontends], &s->ip);
	if (s->f->kind != SNAP_PLAIN && s->connected)
		note_progress(s);
	leave_server(s);
	live_leave(&be->b->live->sessions);
	/* The last two counts of the line are without this session, as HAProxy's. */
	if (s->f->conf->log == LOG_TCPLOG)
		write_log(s, cause, state);
	live_leave(&s->f->live->sessions);
	live_leave(&e->shared->sessions);
	s->state = SESSION_CLOSED;
	list_remove(&s->ready);
	list_remove(&s->link);
	list_append(&e->dead, &s->link);
	if (_unlikely_(!list_empty(&be->queue))) {
		if (e->hold_queues)
			engine_watch_queues(e);
		else
			session_run_queue(be);
	}
	engine_session_ended(e, s->es);
}

/* --- connecting -------------------------------------------------------------------- */

static int watch(struct session *s, enum side side)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr =
		    (void *)((uintptr_t)s | (side == CLIENT ? TAG_CLIENT : TAG_SERVER)),
	};

	return epoll_ctl(engine_of(s)->epfd, EPOLL_CTL_ADD, s->end[side].fd, &ev) < 0
	    ? -errno
	    : 0;
}

/* Closing does as much, unless another process has a copy (see upgrade_shares_fds()): what
 * happens to that would be taken for news of the socket that comes next. */
static void unwatch(struct session *s, enum side side)
{
	if (s->end[side].fd >= 0)
		(void)epoll_ctl(
		    engine_of(s)->epfd, EPOLL_CTL_DEL, s->end[side].fd, NULL);
}

static int start_connect(struct session *s, const struct snap_server *sv)
{
	const struct server_address *to =
	    __atomic_load_n(&sv->live->to, __ATOMIC_ACQUIRE);
	_cleanup_(fd_closep) int fd = -1;
	int on = 1, r;

	/* What has no address is not usable, and may have been when it was picked. */
	if (!to)
		return -EADDRNOTAVAIL;
	fd = socket(to->sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (sv->conf->source.family) {
		r = net_bind_source(fd, &sv->conf->source);
		if (r < 0)
			return r;
	}
	if (connect(fd, &to->sa.sa, to->len) < 0 && errno != EINPROGRESS)
		return -errno;
	s->end[SERVER] = (struct end){ .fd = fd };
	r = watch(s, SERVER);
	if (r < 0) {
		s->end[SERVER].fd = -1;
		return r;
	}
	fd = -1;
	return 0;
}

static void connect_failed(struct session *s, char cause);

static void connect_to(struct session *s, int server)
{
	const struct snap_server *sv = &s->be->b->servers[server];
	uint64_t now = engine_of(s)->now_ms;

	leave_server(s);
	s->server = (int16_t)server;
	s->attempts++;
	live_enter(&sv->live->base.sessions);
	if (!s->assigned) {
		s->assigned = now;
		counter_add(&count(s, s->be->b->live)->queue_ms, now - s->accepted);
	}
	s->connecting = now;
	s->state = SESSION_CONNECT;
	if (start_connect(s, sv) < 0)
		connect_failed(s, 'S');
	else
		set_timer(s, timeouts(s)->connect);
}

static void remember_tried(struct session *s)
{
	if (s->n_tried < SESSION_TRIED_MAX)
		s->tried[s->n_tried++] = (uint16_t)s->server;
}

/* Lets go of its server, whose place is another's then. */
static void release_server(struct session *s)
{
	leave_server(s);
	s->server = -1;
}

/* The server that the balance chooses among those that have not failed it; -1: none. */
static int pick(struct session *s)
{
	engine_fill_loads(s->be);
	return balance_pick(
	    s->be->balance, balance_hash_ip(&s->ip), s->tried, s->n_tried);
}

static bool is_full(const struct session *s, int server)
{
	return balance_server(s->be->balance, (size_t)server)->full;
}

/*
 * Another server gets the connection at once, or when it has a place for it, and a backup
 * where there is no other; when every one has failed, the round begins anew after a pause,
 * until the attempts are used up.
 */
static void connect_failed(struct session *s, char cause)
{
	const struct live *from = &server_of(s)->live->base;
	int next = -1;

	unwatch(s, SERVER);
	s->end[SERVER].fd = fd_close(s->end[SERVER].fd);
	if (s->attempts > RETRIES) {
		session_close(s, cause, 'C');
		return;
	}
	remember_tried(s);
	if (s->be->b->conf->failover)
		next = pick(s);
	if (s->be->b->conf->failover && next < 0)
		next = balance_pick_backup(s->be->balance, s->tried, s->n_tried);
	counter_add(&count(s, s->be->b->live)->retries, 1);
	counter_add(&count(s, from)->retries, 1);
	if (next >= 0) {
		s->redispatched = true;
		counter_add(&count(s, s->be->b->live)->redispatches, 1);
		counter_add(&count(s, from)->redispatches, 1);
		if (!is_full(s, next)) {
			connect_to(s, next);
			return;
		}
		release_server(s);
		enqueue(s);
		return;
	}
	s->n_tried = s->n_barred;
	s->state = SESSION_RETRY;
	set_timer(s,
	    MIN(timeouts(s)->connect ? timeouts(s)->connect : RETRY_PAUSE_MS,
		(uint64_t)RETRY_PAUSE_MS));
}

/* What the balancer before the server is to know of the client. */
static bool send_header(struct session *s)
{
	unsigned version = (unsigned)server_of(s)->conf->send_proxy;
	char buf[PROXYPROTO_FORMAT_MAX];
	struct proxyproto h = { .from = { s->ip, s->port } };
	union net_sockaddr local;
	socklen_t len = sizeof(local);
	size_t n;

	if (!version)
		return true;
	if (getsockname(s->end[CLIENT].fd, &local.sa, &len) == 0)
		h.to.ip = net_ip_from_sa(&local.sa, &h.to.port);
	n = proxyproto_format(&h, version, buf);
	/* The first bytes of a connection always find room. */
	return send(s->end[SERVER].fd, buf, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static uint64_t idle_limit(const struct session *s, char *cause)
{
	const struct timeouts_conf *t = timeouts(s);
	bool half = s->flow[CLIENT].shut || s->flow[SERVER].shut;
	uint64_t client = t->tunnel ? t->tunnel : t->client;
	uint64_t server = t->tunnel ? t->tunnel : t->server;

	if (half && s->flow[SERVER].shut && t->client_fin)
		client = t->client_fin;
	if (half && s->flow[CLIENT].shut && t->server_fin)
		server = t->server_fin;
	*cause = client && (!server || client <= server) ? 'c' : 's';
	return !client ? server : !server ? client : MIN(client, server);
}

/* Looks after an open session when it may have been idle for too long, and once for
 * keep-alive. */
void session_rearm(struct session *s)
{
	uint64_t now = engine_of(s)->now_ms, keepalive = timeouts(s)->keepalive, idle;
	uint64_t due = UINT64_MAX;
	char cause;

	idle = idle_limit(s, &cause);
	if (idle)
		due = s->last + idle;
	if (keepalive && !s->keepalive)
		due = MIN(due, s->connected + keepalive);
	if (due == UINT64_MAX)
		wheel_clear(&engine_of(s)->wheel, &s->timer);
	else
		wheel_set(&engine_of(s)->wheel, &s->timer, MAX(due, now));
}

static void on_connected(struct session *s)
{
	const struct live *lives[2] = { s->be->b->live, &server_of(s)->live->base };
	uint64_t now = engine_of(s)->now_ms;

	s->connected = now;
	s->last = now;
	s->state = SESSION_OPEN;
	for (size_t i = 0; i < 2; i++) {
		struct live_counters *c = count(s, lives[i]);

		counter_add(&c->sessions, 1);
		counter_add(&c->connect_ms, now - s->assigned);
		__atomic_store_n(&c->last.value, now, __ATOMIC_RELAXED);
	}
	if (!send_header(s)) {
		session_close(s, 'S', 'C');
		return;
	}
	/* A node's first connection to the API may be one that stays for hours. */
	if (s->f->kind == SNAP_API)
		note_progress(s);
	session_rearm(s);
	session_forward(s);
}

/* A socket that has an error, or is ready to write, is done connecting. */
static void on_connect_event(struct session *s, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (events & (EPOLLERR | EPOLLHUP)) {
		(void)getsockopt(s->end[SERVER].fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error || !(events & EPOLLIN)) {
			connect_failed(s, 'S');
			return;
		}
	}
	if (events & EPOLLOUT)
		on_connected(s);
}

/* --- finding a server ----------------------------------------------------------------- */

static void enqueue(struct session *s)
{
	list_append(&s->be->queue, &s->queued);
	s->n_before = s->be->n_served;
	live_enter(&s->be->b->live->queue);
	s->state = SESSION_QUEUE;
	set_timer(s, timeouts(s)->queue);
	engine_watch_queues(engine_of(s));
}

static void assign(struct session *s)
{
	int server;

	/* One that is tried again must not wait for the place that it has itself. */
	release_server(s);
	server = pick(s);
	if (server < 0)
		session_close(s, 'S', 'C');
	else if (is_full(s, server))
		enqueue(s);
	else
		connect_to(s, server);
}

/* Where another server is not wanted it is the same one, while it can be used. */
static void try_again(struct session *s)
{
	if (!s->be->b->conf->failover &&
	    balance_server(s->be->balance, (size_t)s->server)->usable)
		connect_to(s, s->server);
	else
		assign(s);
}

/* Of one that waits: when all have failed it that there are, the round begins anew. */
static int pick_anew(struct session *s)
{
	int server = pick(s);

	if (server >= 0 || s->n_tried == s->n_barred)
		return server;
	s->n_tried = s->n_barred;
	return pick(s);
}

/* Sessions that end in here would run the queue again, each one inside the other: there
 * may be more of them than the stack has room for. */
void session_run_queue(struct engine_backend *be)
{
	struct list_link *l;

	if (be->running)
		return;
	be->running = true;
	while ((l = list_first(&be->queue))) {
		struct session *s = CONTAINER_OF(l, struct session, queued);
		int server = pick_anew(s);

		if (server >= 0 && is_full(s, server))
			break;
		leave_queue(s);
		if (server < 0) {
			session_close(s, 'S', 'C');
			continue;
		}
		be->n_served++;
		connect_to(s, server);
	}
	be->running = false;
}

/* --- admission -------------------------------------------------------------------------- */

static bool in_list(const struct conf_list *l, const struct net_ip *ip)
{
	for (size_t i = 0; i < l->n; i++)
		if (net_cidr_has(conf_list_items(l, struct net_cidr) + i, ip))
			return true;
	return false;
}

/* Of the cluster's nodes, the one with the client's address; -1: none. */
static int node_of(const struct session *s)
{
	const struct cluster *c = s->es->snap->conf->cluster;
	const struct cluster_node *n = c ? cluster_node_by_ip(c, &s->ip) : NULL;

	return n ? (int)(n - cluster_node_at(c, 0)) : -1;
}

static void note_progress(struct session *s)
{
	int node = node_of(s);

	if (node >= 0 && s->es->snap->nodes && s->es->snap->nodes[node])
		node_live_add(
		    s->es->snap->nodes[node], s->f->kind, s->flow[SERVER].bytes);
}

/* After the install nobody may fetch a configuration until a verb allows it. */
static bool may_install(const struct session *s, int node)
{
	struct node_live **nodes = s->es->snap->nodes;

	if (node < 0)
		return false;
	if (__atomic_load_n(&engine_of(s)->shared->install_open, __ATOMIC_RELAXED))
		return true;
	if (nodes && nodes[node])
		node_live_refuse(nodes[node]);
	return false;
}

static bool may_enter(const struct session *s)
{
	const struct frontend_conf *c = s->f->conf;
	const struct cluster *cluster = s->es->snap->conf->cluster;
	int node;

	if (c->allow.n && !in_list(&c->allow, &s->ip))
		return false;
	if (c->admit == ADMIT_ALL || !cluster)
		return true;
	node = node_of(s);
	if (c->admit == ADMIT_INSTALL)
		return may_install(s, node);
	return node >= 0 || cluster_is_bastion(cluster, &s->ip);
}

static struct sources *sources_of(const struct session *s)
{
	return s->es->sources[s->f - s->es->snap->frontends];
}

/* Within the bounds of its address. */
static bool may_have_one_more(struct session *s)
{
	struct sources *sources = sources_of(s);

	if (!sources)
		return true;
	s->counted = sources_enter(sources, &s->ip, engine_of(s)->now_ms);
	return s->counted;
}

/* Servers that do not serve this client: the bootstrap answers masters alone. */
static void bar_servers(struct session *s)
{
	const struct cluster *cluster = s->es->snap->conf->cluster;
	const struct cluster_node *node;

	if (!cluster)
		return;
	node = cluster_node_by_ip(cluster, &s->ip);
	if (!node || node->role != NODE_WORKER)
		return;
	for (size_t i = 0; i < s->be->b->n; i++)
		if (s->be->b->servers[i].conf->serve == SERVE_MASTERS &&
		    s->n_barred < SESSION_TRIED_MAX / 2)
			s->tried[s->n_barred++] = (uint16_t)i;
	s->n_tried = s->n_barred;
}

/* Ends it as though nobody listened: a rule has refused it. */
static void deny(struct session *s)
{
	counter_add(&count(s, s->f->live)->denied, 1);
	end_abort(&s->end[CLIENT]);
	session_close(s, 'P', 'R');
}

static void admit(struct session *s)
{
	if (!may_enter(s) || !may_have_one_more(s)) {
		deny(s);
		return;
	}
	bar_servers(s);
	counter_add(&count(s, s->f->live)->sessions, 1);
	assign(s);
}

/* Reads the PROXY header, which is taken from the socket once it is complete. */
static void read_header(struct session *s)
{
	struct engine *e = engine_of(s);
	struct proxyproto h;
	ssize_t n = recv(s->end[CLIENT].fd, e->buffer, ENGINE_BUFFER, MSG_PEEK), len;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	len = n > 0 ? proxyproto_parse(e->buffer, (size_t)n, &h) : -EBADMSG;
	if (len == -EAGAIN && !s->end[CLIENT].hangup && n < ENGINE_BUFFER)
		return;
	if (len < 0 || recv(s->end[CLIENT].fd, e->buffer, (size_t)len, 0) != len) {
		counter_add(&count(s, s->f->live)->bad, 1);
		end_abort(&s->end[CLIENT]);
		session_close(s, n == 0 ? 'C' : 'P', 'R');
		return;
	}
	if (h.from.ip.family) {
		s->ip = h.from.ip;
		s->port = h.from.port;
	}
	set_timer(s, 0);
	admit(s);
}

/* --- the beginning ------------------------------------------------------------------------ */

static struct session *session_new(struct engine *e)
{
	struct list_link *l = list_first(&e->pool);
	struct session *s;

	if (!l) {
		s = calloc(1, sizeof(*s));
	} else {
		list_remove(l);
		e->n_pool--;
		s = CONTAINER_OF(l, struct session, link);
		memset(s, 0, sizeof(*s));
	}
	return s;
}

void session_begin(struct engine_listener *l, int fd, const union net_sockaddr *peer)
{
	struct engine *e = l->es->e;
	struct session *s = session_new(e);

	if (!s) {
		fd_close(fd);
		return;
	}
	s->end[CLIENT].fd = fd;
	s->end[SERVER].fd = -1;
	s->server = -1;
	s->es = l->es;
	s->f = l->f;
	s->be = &l->es->backends[l->f->backend_index];
	s->accepted = s->last = e->now_ms;
	s->ip = net_ip_from_sa(&peer->sa, &s->port);
	list_init(&s->ready);
	list_init(&s->queued);
	list_append(&e->sessions, &s->link);
	l->es->users++;
	e->n_sessions++;
	live_enter(&e->shared->sessions);
	live_enter(&s->f->live->sessions);
	live_enter(&s->be->b->live->sessions);
	counter_add(&count(s, s->f->live)->connections, 1);
	if (watch(s, CLIENT) < 0) {
		session_close(s, 'R', 'C');
		return;
	}
	if (!s->f->conf->accept_proxy) {
		admit(s);
		return;
	}
	s->state = SESSION_PROXY;
	set_timer(s, timeouts(s)->proxy_header);
}

/* --- events --------------------------------------------------------------------------------- */

/* Urgent data is read in its place among the rest.  A listener's connections do so from
 * the start; to ask for it on each one to a server would cost a call. */
static void note_urgent(struct end *end)
{
	int on = 1;

	if (!end->urgent)
		(void)setsockopt(end->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	end->urgent = true;
}

void session_on_event(struct session *s, enum side side, uint32_t events)
{
	struct end *end = &s->end[side];

	if (s->state == SESSION_CLOSED)
		return;
	end->in |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	end->out |= (events & EPOLLOUT) != 0;
	end->hangup |= (events & EPOLLRDHUP) != 0;
	if (_unlikely_(events & EPOLLPRI))
		note_urgent(end);
	end->error |= (events & EPOLLERR) != 0;
	if (_likely_(s->state == SESSION_OPEN))
		session_forward(s);
	else if (s->state == SESSION_PROXY && end->in)
		read_header(s);
	else if (s->state == SESSION_CONNECT && side == SERVER)
		on_connect_event(s, events);
	else if (side == CLIENT && end->error)
		session_close(s, 'C', s->state == SESSION_QUEUE ? 'Q' : 'C');
}

void session_continue(struct session *s)
{
	if (s->state == SESSION_OPEN)
		session_forward(s);
}

/* The client's side has it from the listener; the server's only matters where a
 * connection lives long enough. */
static void keep_server_alive(struct session *s)
{
	s->keepalive = true;
	engine_keep_alive(s->end[SERVER].fd, timeouts(s));
}

static void on_idle_timer(struct session *s)
{
	uint64_t now = engine_of(s)->now_ms, idle;
	char cause;

	if (s->lingering) {
		end_abort(&s->end[CLIENT]);
		end_abort(&s->end[SERVER]);
		session_close(s, s->cause, 'D');
		return;
	}
	idle = idle_limit(s, &cause);
	if (idle && now - s->last >= idle) {
		session_close(s, cause, 'D');
		return;
	}
	if (!s->keepalive && timeouts(s)->keepalive &&
	    now - s->connected >= timeouts(s)->keepalive)
		keep_server_alive(s);
	session_rearm(s);
}

void session_on_timer(struct session *s)
{
	switch ((enum session_state)s->state) {
	case SESSION_PROXY:
		session_close(s, 'P', 'R');
		break;
	case SESSION_QUEUE:
		session_close(s, 's', 'Q');
		break;
	case SESSION_CONNECT:
		connect_failed(s, 's');
		break;
	case SESSION_RETRY:
		try_again(s);
		break;
	case SESSION_OPEN:
		on_idle_timer(s);
		break;
	case SESSION_CLOSED:
		break;
	}
}
