/*
 * The image and ignition daemon.  Everything that is served runs on the main loop, which
 * therefore owns the nodes' progress too.  A reload prepares all that can fail first.
 */
#include "ignd/ignd.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/loop.h"
#include "ignd/checksum.h"
#include "ignd/conf.h"
#include "ignd/joined.h"
#include "ignd/progress.h"
#include "ignd/server.h"
#include "ignd/store.h"
#include "ignd/tickets.h"
#include "ignd/verbs.h"

enum { TICK_MS = 2500, POLL_EVERY = 2, MAX_SOCKETS = 64 };
#define KIND_NODE "node"
#define KIND_RESET "reset"
#define KIND_IMAGE "image"

struct ignd {
	struct daemon *daemon;
	struct ignd_conf *conf;
	struct progress *progress;
	struct server *server;
	struct store *store;
	struct joined *joined;
	struct event *tick;
	unsigned ticks;
	bool draining;
};

/* --- life --------------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct ignd *d = arg;

	server_look(d->server);
	if (d->ticks++ % POLL_EVERY != 0)
		return;
	store_poll(d->store);
	if (d->conf && !d->draining)
		joined_ask(d->joined, d->conf);
}

static void on_changed(void *arg, const struct node_state *n, bool keep)
{
	struct ignd *d = arg;

	if (keep && d->store) {
		/* In a row of its own, which a predecessor that still finishes a
		 * transfer does not write over. */
		if (n->reset_at && !n->stage_at)
			store_put(d->store, KIND_RESET, n->name,
			    json_pack("{s:I}", "at", (json_int_t)n->reset_at));
		store_put(d->store, KIND_NODE, n->name, progress_save(n));
	}
	server_changed(d->server);
}

/* The predecessor writes what it knew of windows, too; ours stand. */
static void keep_own(
    struct ignd *d, const struct node_state *n, const json_t *value, bool written_over)
{
	json_t *own;

	if (!d->store || d->draining)
		return;
	own = progress_save(n);
	if (json_equal(own, value) && !written_over)
		json_decref(own);
	else
		store_put(d->store, KIND_NODE, n->name, own);
}

/* From the last run; or from the process that this one has replaced, which may still
 * finish transfers. */
static void on_row(void *arg, const char *kind, const char *name, const json_t *value,
    bool written_over)
{
	struct ignd *d = arg;
	/* A node that the cluster file does not name may come back into it. */
	struct node_state *n =
	    str_eq(kind, KIND_IMAGE) ? NULL : progress_get(d->progress, name);

	if (str_eq(kind, KIND_NODE) && n) {
		progress_restore(d->progress, n, value);
		keep_own(d, n, value, written_over);
		if (n->window.mode == WINDOW_CLOSED)
			server_windows_closed(d->server);
	}
	if (str_eq(kind, KIND_RESET) && n)
		progress_restore_reset(
		    d->progress, n, json_integer_value(json_object_get(value, "at")));
	if (str_eq(kind, KIND_IMAGE))
		checksums_restore(server_checksums(d->server), name, value);
}

static int open_store(struct ignd *d, struct err *e)
{
	_cleanup_(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/ignd.db", daemon_state_dir(d->daemon)) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	r = store_new(&d->store, daemon_loop(d->daemon), path, on_row, d, e);
	if (r == 0)
		checksums_set_store(server_checksums(d->server), d->store);
	return r;
}

static int listen_list(
    struct ignd *d, const struct conf_list *list, int *fds, unsigned *n, struct err *e)
{
	const struct net_endpoint *at = conf_list_items(list, struct net_endpoint);
	int r;

	for (size_t i = 0; i < list->n; i++) {
		if (*n == MAX_SOCKETS)
			return err_set(
			    e, -E2BIG, "listen: at most %d addresses", MAX_SOCKETS);
		r = daemon_listen(d->daemon, &at[i], SOCK_STREAM, 1, &fds[*n], 1, e);
		if (r < 0)
			return r;
		(*n)++;
	}
	return 0;
}

/* Puts a configuration in force, or changes nothing. */
static int apply(struct ignd *d, struct ignd_conf *c, struct err *e)
{
	int fds[MAX_SOCKETS], r;
	unsigned n = 0;

	r = listen_list(d, &c->listen, fds, &n, e);
	if (r == 0)
		r = listen_list(d, &c->tls.listen, fds, &n, e);
	return r < 0 ? r : server_configure(d->server, c, fds, n, e);
}

static void ignd_free(void *self)
{
	struct ignd *d = self;

	if (d->tick)
		event_free(d->tick);
	d->joined = joined_free(d->joined);
	d->server = server_free(d->server);
	d->store = store_free(d->store);
	d->progress = progress_free(d->progress);
	if (d->conf)
		ignd_conf_free(d->conf);
	free(d);
}

static int ignd_init(struct ignd *d, struct err *e)
{
	struct timeval tv = ms_to_tv(TICK_MS);
	struct loop *l = daemon_loop(d->daemon);
	int r = progress_new(&d->progress);

	if (r == 0) {
		d->progress->changed = on_changed;
		d->progress->arg = d;
		r = server_new(&d->server, l, d->progress);
	}
	if (r == 0)
		r = joined_new(&d->joined, l, d->progress);
	if (r == 0) {
		d->tick =
		    event_new(loop_base(l), -1, EV_TIMEOUT | EV_PERSIST, on_tick, d);
		r = d->tick && event_add(d->tick, &tv) == 0 ? 0 : -ENOMEM;
	}
	return r < 0 ? err_set(e, r, "cannot start the server: %s", strerror(-r)) : 0;
}

static int ignd_start(void **self, struct daemon *daemon, void *conf, struct err *e)
{
	struct ignd *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->daemon = daemon;
	r = ignd_init(d, e);
	if (r == 0)
		r = apply(d, conf, e);
	if (r == 0)
		r = open_store(d, e);
	if (r < 0) {
		ignd_free(d);
		return r;
	}
	d->conf = conf;
	/* First of all what a predecessor wrote since the store was read. */
	event_active(d->tick, 0, 0);
	*self = d;
	return 0;
}

static int ignd_reload(void *self, void *conf, struct err *e)
{
	struct ignd *d = self;
	int r = apply(d, conf, e);

	if (r < 0)
		return r;
	joined_forget(d->joined);
	ignd_conf_free(d->conf);
	d->conf = conf;
	return 0;
}

static void on_drained(void *arg)
{
	struct ignd *d = arg;

	daemon_drained(d->daemon);
}

static void ignd_drain(void *self)
{
	struct ignd *d = self;

	d->draining = true;
	server_drain(d->server, on_drained, d);
}

/* --- what is shown ------------------------------------------------------ */

static void ignd_metrics(void *self, struct str *out)
{
	struct ignd *d = self;

	server_metrics(d->server, out);
}

static void ignd_status(void *self, json_t *obj)
{
	struct ignd *d = self;

	server_status(d->server, obj);
}

static int get_tickets(struct http_req *r, void *arg)
{
	struct ignd *d = arg;

	return tickets_reply(r, d->progress);
}

static int get_nodes(struct http_req *r, void *arg)
{
	struct ignd *d = arg;

	return verb_nodes(r, d->progress, d->conf);
}

static int post_open(struct http_req *r, void *arg)
{
	struct ignd *d = arg;

	return verb_open(r, d->progress, d->conf);
}

static int post_close(struct http_req *r, void *arg)
{
	struct ignd *d = arg;
	int status = verb_close(r, d->progress, d->conf);

	server_windows_closed(d->server);
	return status;
}

static int post_reset(struct http_req *r, void *arg)
{
	struct ignd *d = arg;

	return verb_reset(r, d->progress, d->conf);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/nodes", get_nodes },
	{ HTTP_POST, "/v1/open", post_open },
	{ HTTP_POST, "/v1/close", post_close },
	{ HTTP_POST, "/v1/reset", post_reset },
	{ HTTP_GET, "/v1/tickets", get_tickets },
	{ 0, NULL, NULL },
};

const struct daemon_class ignd_class = {
	.name = "ignd",
	.summary = "The image and ignition server of an OKD bastion.",
	.conf_load = ignd_conf_load,
	.conf_free = ignd_conf_free,
	.conf_print = ignd_conf_print,
	.start = ignd_start,
	.reload = ignd_reload,
	.drain = ignd_drain,
	.free = ignd_free,
	.metrics = ignd_metrics,
	.status = ignd_status,
	.routes = routes,
};
