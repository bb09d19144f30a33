/*
 * The DNS daemon.  The main thread binds the sockets and tells the
 * workers; each worker owns a struct server.  A reload prepares everything that can fail
 * first: records, sockets.  Then the workers take over one by one, each between two events,
 * and what was in force before is freed.
 */
#include "dnsd/dnsd.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/daemon.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/reqlog.h"
#include "common/str.h"
#include "common/upgrade.h"
#include "common/worker.h"
#include "dnsd/catalog.h"
#include "dnsd/conf.h"
#include "dnsd/etcds.h"
#include "dnsd/hosts.h"
#include "dnsd/server.h"
#include "dnsd/stats.h"
#include "dnsd/store.h"
#include "dnsd/wild.h"

#define LOG_RING (1 << 20) /* bytes of lines that wait for the writer, per worker */

/* A predecessor may finish changes of the store while its successor starts and takes over. */
#define LOOK_MS 250
#define LOOKS 40

/* Of one endpoint; an upgrade may inherit more sockets than there are workers. */
#define MAX_UDP 1024

struct dnsd {
	struct daemon *daemon;
	struct dnsd_conf *conf;
	struct catalog *catalog;
	struct store *store;
	struct hosts *hosts;
	struct etcds *etcds;
	struct tcp_limit *limit;
	struct workers *workers;
	struct mailbox *mail;
	struct cookie_key cookies;
	struct reqlog *log; /* of queries */
	unsigned draining;  /* workers that still have TCP clients */
	struct event look;  /* for what a predecessor wrote */
	unsigned looks;     /* that are left */
	bool warned_buffer;
};

/* A worker's state, and how it reports the end of its drain. */
struct dnsd_worker {
	struct server *server;
	struct dnsd *dnsd;
	struct worker *worker;
	struct message drained;
};

/* --- wildcards in questions, which go to the main thread and back ------- */

static void on_wild_answer(struct message *m)
{
	wild_answer(CONTAINER_OF(m, struct wild_question, message));
}

static void on_wild_question(struct message *m)
{
	struct wild_question *q = CONTAINER_OF(m, struct wild_question, message);
	struct dnsd *d = q->dnsd;

	/* The workers end before the mail does. */
	if (!d->workers) {
		wild_question_free(q);
		return;
	}
	q->found = catalog_wildcard(d->catalog, &q->name);
	q->message.run = on_wild_answer;
	worker_post(q->worker, &q->message);
}

/* --- on the workers' threads -------------------------------------------- */

static void ask_wild(struct wild_question *q, void *arg)
{
	struct dnsd_worker *dw = arg;

	q->dnsd = dw->dnsd;
	q->worker = dw->worker;
	q->message.run = on_wild_question;
	mailbox_post(dw->dnsd->mail, &q->message);
}

static int worker_start(void **self, struct worker *w, void *arg)
{
	struct dnsd *d = arg;
	struct dnsd_worker *dw = calloc(1, sizeof(*dw));
	struct reqlog_ring *ring;
	int r;

	if (!dw)
		return -ENOMEM;
	dw->dnsd = d;
	dw->worker = w;
	r = reqlog_ring_new(&ring, d->log, LOG_RING);
	if (r == 0)
		r = server_new(
		    &dw->server, worker_loop(w), d->limit, ring, &d->cookies);
	if (r == 0)
		r = server_set_wild(dw->server, ask_wild, dw);
	if (r < 0) {
		server_free(dw->server);
		free(dw);
		return r;
	}
	*self = dw;
	return 0;
}

static void worker_stop(void *self)
{
	struct dnsd_worker *dw = self;

	server_free(dw->server);
	free(dw);
}

static const struct worker_class worker_class = {
	.name = "dnsd-worker",
	.start = worker_start,
	.stop = worker_stop,
};

/* What one worker gets from a configuration. */
struct change {
	const struct dnsd_conf *conf;
	const struct zone *zone;
	struct server_sockets *sockets; /* one for each worker, in their order */
	int result;
};

static void worker_change(void *self, void *arg)
{
	struct dnsd_worker *dw = self;
	struct change *c = arg;
	int r;

	server_set_zone(dw->server, c->zone);
	server_configure(dw->server, &c->conf->settings);
	r = server_listen(dw->server, c->sockets++);
	if (r < 0)
		c->result = r;
}

static void on_worker_drained(struct message *m)
{
	struct dnsd *d = CONTAINER_OF(m, struct dnsd_worker, drained)->dnsd;

	if (--d->draining == 0)
		daemon_drained(d->daemon);
}

static void worker_drained(void *arg)
{
	struct dnsd_worker *dw = arg;

	dw->drained.run = on_worker_drained;
	mailbox_post(dw->dnsd->mail, &dw->drained);
}

static void worker_drain(void *self, void *arg)
{
	struct dnsd_worker *dw = self;

	server_drain(dw->server, worker_drained, dw);
}

static void worker_set_zone(void *self, void *zone)
{
	server_set_zone(((struct dnsd_worker *)self)->server, zone);
}

/* --- the catalog's snapshots -------------------------------------------- */

static void release(void *base)
{
	zone_release(base);
}

static void on_publish(
    struct zone *next, struct zone *base, bool all_at_once, void *arg)
{
	struct dnsd *d = arg;

	if (!all_at_once &&
	    workers_publish(d->workers, worker_set_zone, next, release, base) == 0)
		return;
	workers_call(d->workers, worker_set_zone, next);
	zone_release(base);
}

static const struct catalog_ops catalog_ops = { .publish = on_publish };

/* --- sockets ------------------------------------------------------------ */

/* The descriptors of every endpoint, dealt out to the workers. */
struct deal {
	struct server_sockets *workers;
	unsigned n_workers;
};

static void deal_deinit(struct deal *deal)
{
	for (unsigned i = 0; deal->workers && i < deal->n_workers; i++) {
		free(deal->workers[i].udp);
		free(deal->workers[i].tcp);
	}
	free(deal->workers);
}

static int push(int **list, unsigned *n, int fd)
{
	int *a = reallocarray(*list, *n + 1, sizeof(int));

	if (!a)
		return -ENOMEM;
	a[(*n)++] = fd;
	*list = a;
	return 0;
}

/* A queue that holds what comes while a worker is busy; net.core.rmem_max bounds it. */
static void ask_for_buffer(struct dnsd *d, int fd, uint64_t want)
{
	int size = (int)want, got = 0;
	socklen_t len = sizeof(got);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* The kernel reports twice what it grants. */
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len) < 0 || got / 2 >= size ||
	    d->warned_buffer)
		return;
	d->warned_buffer = true;
	log_warning("the receive buffer is %d bytes instead of %d: bursts may be lost; "
		    "raise net.core.rmem_max",
	    got / 2, size);
}

static int deal_endpoint(struct dnsd *d, const struct dnsd_conf *c,
    const struct net_endpoint *at, struct deal *deal, struct err *e)
{
	int fds[MAX_UDP], r, n;

	n = daemon_listen(d->daemon, at, SOCK_DGRAM, deal->n_workers, fds, MAX_UDP, e);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		struct server_sockets *w =
		    &deal->workers[(unsigned)i % deal->n_workers];

		ask_for_buffer(d, fds[i], c->receive_buffer);
		r = push(&w->udp, &w->n_udp, fds[i]);
		if (r < 0)
			return err_set(e, r, "out of memory");
	}
	n = daemon_listen(d->daemon, at, SOCK_STREAM, 1, fds, 1, e);
	if (n < 0)
		return n;
	for (unsigned i = 0; i < deal->n_workers; i++) {
		struct server_sockets *w = &deal->workers[i];

		r = push(&w->tcp, &w->n_tcp, fds[0]);
		if (r < 0)
			return err_set(e, r, "out of memory");
	}
	return 0;
}

static int deal_all(
    struct dnsd *d, const struct dnsd_conf *c, struct deal *deal, struct err *e)
{
	const struct net_endpoint *at =
	    conf_list_items(&c->listen, struct net_endpoint);
	int r = 0;

	deal->n_workers = workers_count(d->workers);
	deal->workers = calloc(deal->n_workers, sizeof(*deal->workers));
	if (!deal->workers)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < c->listen.n; i++)
		r = deal_endpoint(d, c, &at[i], deal, e);
	return r;
}

/* --- life --------------------------------------------------------------- */

/* A file in the state folder, unless a path is given. */
static char *state_file(const struct dnsd *d, const char *path, const char *name)
{
	struct str s = STR_INIT;

	if (path)
		return strdup(path);
	str_addf(&s, "%s/%s", daemon_state_dir(d->daemon), name);
	return str_take(&s);
}

/* Joins the records of a configuration with those of the sources, which it may change:
 * all of it or nothing. */
static int join(struct dnsd *d, struct dnsd_conf *c, struct zone **ret, struct err *e)
{
	struct etcd_settings settings[ETCD_CLUSTERS];
	size_t n = dnsd_conf_etcd(c, settings);
	struct hosts_list files = { 0 };
	int r = hosts_list_init(&files, &c->hosts, c->hosts_ttl);

	if (r < 0)
		err_set(e, r, "out of memory");
	else
		r = etcds_prepare(d->etcds, settings, n, e);
	if (r < 0) {
		hosts_list_deinit(&files);
		return r;
	}
	etcds_swap(d->etcds);
	hosts_swap(d->hosts, &files);
	*ret = catalog_join(
	    d->catalog, TAKE(c->zone), c->base, c->settings.forward.limits.positive);
	if (!*ret) {
		hosts_swap(d->hosts, &files);
		etcds_swap(d->etcds);
		r = err_set(e, -ENOMEM, "out of memory");
	}
	hosts_list_deinit(&files);
	etcds_settle(d->etcds);
	return r;
}

/* Puts a configuration in force, or changes nothing. */
static int apply(struct dnsd *d, struct dnsd_conf *c, struct err *e)
{
	_cleanup_(deal_deinit) struct deal deal = { 0 };
	struct change change = { .conf = c };
	struct zone *zone = NULL;
	int r = deal_all(d, c, &deal, e);

	if (r == 0)
		r = join(d, c, &zone, e);
	if (r < 0)
		return r;
	change.zone = zone;
	change.sockets = deal.workers;
	tcp_limit_set(
	    d->limit, (unsigned)c->tcp.clients, (unsigned)c->tcp.clients_per_address);
	workers_call(d->workers, worker_change, &change);
	/* Only memory can be missing here; what is in force is whole but for listeners. */
	if (change.result < 0)
		log_err("some sockets are not served: %s", strerror(-change.result));
	catalog_settle(d->catalog, zone);
	if (d->store)
		store_set_origin(d->store, c->cluster ? c->cluster->domain : NULL);
	log_info("%zu records of %zu names", zone->n_records, zone->n_names);
	return 0;
}

static void dnsd_free(void *self)
{
	struct dnsd *d = self;

	d->workers = workers_free(d->workers);
	event_del(&d->look);
	d->store = store_free(d->store);
	d->etcds = etcds_free(d->etcds);
	d->hosts = hosts_free(d->hosts);
	d->mail = mailbox_free(d->mail);
	d->log = reqlog_free(d->log);
	d->limit = tcp_limit_free(d->limit);
	d->catalog = catalog_free(d->catalog);
	if (d->conf)
		dnsd_conf_free(d->conf);
	free(d);
}

static int dnsd_init(struct dnsd *d, const struct dnsd_conf *c, struct err *e)
{
	int r = tcp_limit_new(&d->limit);

	cookie_key_random(&d->cookies);
	if (r == 0)
		r = mailbox_new(&d->mail, daemon_loop(d->daemon));
	if (r == 0)
		r = catalog_new(&d->catalog, daemon_loop(d->daemon), &catalog_ops, d);
	if (r == 0)
		r = hosts_new(&d->hosts, daemon_loop(d->daemon), d->catalog);
	if (r == 0)
		r = etcds_new(&d->etcds, daemon_loop(d->daemon), d->catalog, d->mail,
		    daemon_state_dir(d->daemon));
	if (r == 0)
		r = reqlog_new(&d->log, STDERR_FILENO);
	if (r == 0 && log_is_journal())
		r = reqlog_to_journal(d->log, REQLOG_JOURNAL);
	if (r == 0)
		r = workers_new(&d->workers, &worker_class, d, dnsd_conf_workers(c),
		    daemon_loop(d->daemon));
	return r < 0 ? err_set(e, r, "cannot start workers: %s", strerror(-r)) : 0;
}

static void look_soon(struct dnsd *d)
{
	struct timeval tv = ms_to_tv(LOOK_MS);

	if (d->looks)
		event_add(&d->look, &tv);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct dnsd *d = arg;

	d->looks--;
	store_look(d->store);
	look_soon(d);
}

static int open_store(struct dnsd *d, const struct dnsd_conf *c, struct err *e)
{
	char *file;
	int r;

	if (!c->store.enabled)
		return 0;
	file = state_file(d, c->store.file, "records.db");
	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	r = store_new(&d->store, d->catalog, d->mail, c->store.path, file, e);
	free(file);
	if (r < 0)
		return r;
	d->looks = upgrade_is_successor() ? LOOKS : 0;
	look_soon(d);
	return 0;
}

static int dnsd_start(void **self, struct daemon *daemon, void *conf, struct err *e)
{
	struct dnsd *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->daemon = daemon;
	evtimer_assign(&d->look, loop_base(daemon_loop(daemon)), on_look, d);
	r = dnsd_init(d, conf, e);
	if (r == 0)
		r = open_store(d, conf, e);
	if (r == 0)
		r = apply(d, conf, e);
	if (r < 0) {
		dnsd_free(d);
		return r;
	}
	d->conf = conf;
	daemon_watch_workers(daemon, d->workers);
	*self = d;
	return 0;
}

static bool same_store(const struct dnsd_conf *a, const struct dnsd_conf *b)
{
	const char *file_a = a->store.file, *file_b = b->store.file;

	return a->store.enabled == b->store.enabled &&
	    str_eq(a->store.path, b->store.path) &&
	    (file_a && file_b ? str_eq(file_a, file_b) : file_a == file_b);
}

static int dnsd_reload(void *self, void *conf, struct err *e)
{
	struct dnsd *d = self;
	struct dnsd_conf *old = d->conf;
	int r = apply(d, conf, e);

	if (r < 0)
		return r;
	if (!same_store(old, conf))
		log_warning("store: takes effect at the next start or upgrade");
	if (dnsd_conf_workers(conf) != workers_count(d->workers))
		log_warning("workers: takes effect at the next start or upgrade");
	d->conf = conf;
	dnsd_conf_free(old);
	return 0;
}

static void dnsd_drain(void *self)
{
	struct dnsd *d = self;

	d->draining = workers_count(d->workers);
	workers_call(d->workers, worker_drain, NULL);
}

/* --- what is shown ------------------------------------------------------ */

static void sum_up(const struct dnsd *d, struct stats *sum)
{
	*sum = (struct stats){ 0 };
	for (unsigned i = 0; i < workers_count(d->workers); i++) {
		struct dnsd_worker *dw = worker_self(workers_get(d->workers, i));

		stats_sum(sum, server_stats(dw->server));
	}
}

static void show_upstreams(const struct dnsd *d, struct stats *sum, struct str *out)
{
	const struct forward_settings *s = &d->conf->settings.forward;
	char text[FORWARD_SERVERS][NET_ENDPOINT_MAX];
	const char *to[FORWARD_SERVERS];
	size_t n;

	for (size_t i = 0; i < s->n_servers; i++)
		to[i] = net_endpoint_format(&s->servers[i].at, text[i]);
	n = stats_merge_upstreams(sum, to, s->n_servers);
	stats_upstream_metrics(sum, to, n, out);
	if (d->conf->old_metrics)
		stats_old_metrics(sum, to, n, out);
}

static void show_plugins(const struct dnsd *d, struct str *out)
{
	const struct server_settings *s = &d->conf->settings;
	const struct stats_plugin plugins[] = {
		{ "acl", true },
		{ "cache", s->forward.n_servers > 0 },
		{ "etcd", etcds_count(d->etcds) > 0 },
		{ "forward", s->forward.n_servers > 0 },
		{ "hosts", d->conf->hosts.n > 0 },
		{ "loadbalance", s->rotate },
		{ "log", s->log != 0 },
		{ "loop", s->forward.n_servers > 0 && d->conf->forward.find_loops },
		{ "prometheus", true },
		{ "template", s->templates != NULL },
	};

	stats_plugins_metrics(plugins, ARRAY_SIZE(plugins), out);
}

static void dnsd_metrics(void *self, struct str *out)
{
	struct dnsd *d = self;
	struct stats sum;

	sum_up(d, &sum);
	show_plugins(d, out);
	stats_metrics(&sum, out);
	stats_template_metrics(&sum, d->conf->settings.templates, out);
	show_upstreams(d, &sum, out);
	etcds_metrics(d->etcds, out);
	metric_single(out, "okd_dnsd_log_dropped_total", METRIC_COUNTER,
	    "Lines of the query log that were dropped because its reader is too slow.",
	    (double)reqlog_dropped(d->log));
	metric_single(out, "okd_dnsd_zone_names", METRIC_GAUGE,
	    "Names that are answered from memory, empty ones included.",
	    (double)catalog_zone(d->catalog)->n_names);
	metric_single(out, "okd_dnsd_zone_records", METRIC_GAUGE,
	    "Records that are answered from memory.",
	    (double)catalog_zone(d->catalog)->n_records);
}

static void dnsd_status(void *self, json_t *obj)
{
	struct dnsd *d = self;
	struct stats sum;

	sum_up(d, &sum);
	stats_status(&sum, obj);
	etcds_status(d->etcds, obj);
	if (d->store)
		json_object_set_new(
		    obj, "store", json_integer((json_int_t)store_count(d->store)));
	json_object_set_new(obj, "workers", json_integer(workers_count(d->workers)));
	json_object_set_new(
	    obj, "names", json_integer((json_int_t)catalog_zone(d->catalog)->n_names));
	json_object_set_new(obj, "records",
	    json_integer((json_int_t)catalog_zone(d->catalog)->n_records));
}

static int on_records(struct http_req *r, void *self)
{
	struct dnsd *d = self;

	if (d->store)
		return store_request(d->store, r);
	http_reply_error(r, 404, "STORE", "the store is switched off (store: enabled)");
	return 0;
}

#define RECORDS_METHODS (HTTP_GET | HTTP_PUT | HTTP_POST | HTTP_DELETE)
static const struct http_route routes[] = {
	{ RECORDS_METHODS, "/v1/records", on_records },
	{ RECORDS_METHODS, "/v1/records/*", on_records },
	{ 0, NULL, NULL },
};

const struct daemon_class dnsd_class = {
	.name = "dnsd",
	.summary = "The DNS server of an OKD bastion.",
	.conf_load = dnsd_conf_load,
	.conf_free = dnsd_conf_free,
	.conf_print = dnsd_conf_print,
	.start = dnsd_start,
	.reload = dnsd_reload,
	.drain = dnsd_drain,
	.free = dnsd_free,
	.metrics = dnsd_metrics,
	.status = dnsd_status,
	.routes = routes,
};
