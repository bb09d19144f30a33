/* The registry's life: see regd.h. */
#include "regd/regd.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/reqlog.h"
#include "common/worker.h"
#include "regd/auth.h"
#include "regd/gc.h"
#include "regd/hooks.h"
#include "regd/import.h"
#include "regd/ledger.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/pool.h"
#include "regd/proxy.h"
#include "regd/quota.h"
#include "regd/scrub.h"
#include "regd/server.h"
#include "regd/store.h"
#include "regd/upload.h"
#include "regd/verbs.h"
#include "regd/writer.h"

enum {
	TICK_MS = 2000,
	DISK_THREADS = 2,
	DIGEST_THREADS = 2,
	LOG_RING = 256 * 1024,
	READER_CACHE_KIB = 2048,
	ROOM_MS = 1000, /* how long a look at the free space counts */
};

/* --- room --------------------------------------------------------------------- */

bool regd_can_write(struct regd *g)
{
	uint64_t now = loop_now_ms(g->loop);
	bool before = g->storage_read_only;

	if (g->write_checked_ms && g->write_checked_ms + ROOM_MS >= now)
		return !before;
	g->write_checked_ms = now;
	g->storage_read_only = store_is_read_only(g->store);
	if (g->storage_read_only && !before)
		log_err("%s is on a file system that is read-only: pushes are refused; "
			"the kernel's log may tell why",
		    store_root(g->store));
	return !g->storage_read_only;
}

bool regd_has_room(struct regd *g, uint64_t n)
{
	uint64_t now = loop_now_ms(g->loop);

	if (!g->free_checked_ms || g->free_checked_ms + ROOM_MS < now) {
		if (store_free_bytes(g->store, &g->free_bytes) < 0)
			return true; /* writing will tell */
		g->free_checked_ms = now;
	}
	return g->free_bytes >= g->conf->storage.reserve &&
	    g->free_bytes - g->conf->storage.reserve >= n;
}

void regd_used(struct regd *g, uint64_t n)
{
	g->free_bytes -= MIN(g->free_bytes, n);
}

/* --- start and end -------------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct regd *g = arg;

	auth_tick(g->auth);
	uploads_tick(g->uploads);
	gc_tick(g->gc);
	scrub_tick(g->scrub);
	ledger_tick(g->ledger);
	hooks_tick(g->hooks);
	if (g->server) /* the first tick may come before it */
		server_tick(g->server);
}

static int start_storage(struct regd *g, struct err *e)
{
	const char *root = g->conf->storage.root;
	char path[4096];
	int r;

	if (!root)
		root = daemon_state_dir(g->daemon);
	r = store_new(&g->store, root, e);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/regd.db", root);
	r = writer_new(&g->writer, path, meta_migrations, g->changes, e);
	if (r < 0)
		return r;
	r = db_open_readonly(&g->db, path, meta_migrations, e);
	if (r < 0)
		return r;
	db_set_cache(g->db, READER_CACHE_KIB);
	/* Kept open: sqlite cannot close a file while another connection of the process
	 * holds a lock on it. */
	r = db_open_readonly(&g->work_db, path, meta_migrations, e);
	if (r < 0)
		return r;
	r = uploads_new(&g->uploads, g, e);
	if (r < 0)
		return r;
	r = gc_new(&g->gc, g);
	if (r == 0)
		r = scrub_new(&g->scrub, g);
	if (r == 0)
		r = import_new(&g->import, g);
	if (r == 0)
		r = ledger_new(&g->ledger, g);
	if (r == 0)
		r = overlays_new(&g->overlays, g);
	return r < 0 ? err_set(e, r, "cannot start: %s", strerror(-r)) : 0;
}

static int start_threads(struct regd *g)
{
	int r;

	r = mailbox_new(&g->jobs, g->loop);
	if (r == 0)
		r = mailbox_new(&g->changes, g->loop);
	if (r == 0)
		r = pool_new(&g->disk, "regd-disk", DISK_THREADS, g->jobs);
	if (r == 0)
		r = pool_new(&g->digest, "regd-digest", DIGEST_THREADS, g->jobs);
	if (r == 0)
		r = pool_new(&g->hash, "regd-hash", 1, g->jobs);
	if (r == 0)
		r = pool_new(&g->work, "regd-work", 1, g->jobs);
	if (r == 0)
		r = reqlog_new(&g->log, STDERR_FILENO);
	if (r == 0 && log_is_journal())
		r = reqlog_to_journal(g->log, REQLOG_JOURNAL);
	if (r == 0)
		r = reqlog_ring_new(&g->log_ring, g->log, LOG_RING);
	return r;
}

static int start_tick(struct regd *g)
{
	struct timeval tv = ms_to_tv(TICK_MS);

	g->tick =
	    event_new(loop_base(g->loop), -1, EV_TIMEOUT | EV_PERSIST, on_tick, g);
	return g->tick && event_add(g->tick, &tv) == 0 ? 0 : -ENOMEM;
}

static void regd_stop(void *self);

static int regd_start(void **ret, struct daemon *d, void *conf, struct err *e)
{
	struct regd *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return err_set(e, -ENOMEM, "out of memory");
	g->daemon = d;
	g->conf = conf;
	g->loop = daemon_loop(d);
	g->read_only = g->conf->read_only;
	r = start_threads(g);
	if (r == 0)
		r = start_tick(g);
	if (r < 0)
		err_set(e, r, "cannot start: %s", strerror(-r));
	if (r == 0)
		r = start_storage(g, e);
	if (r == 0)
		r = hooks_new(&g->hooks, g, e);
	if (r == 0)
		r = proxy_new(&g->proxy, g, e);
	if (r == 0)
		r = server_new(&g->server, g, e);
	if (r < 0) {
		g->conf = NULL;
		regd_stop(g);
		return r;
	}
	*ret = g;
	return 0;
}

/*
 * The order matters: connections first, so that no call is left; then the threads that
 * feed the writer, then what came home from them, then the writer.
 */
static void regd_stop(void *self)
{
	struct regd *g = self;

	if (g->tick)
		event_free(g->tick);
	g->server = server_free(g->server);
	g->proxy = proxy_free(g->proxy);
	g->hooks = hooks_free(g->hooks);
	if (g->scrub)
		scrub_stop(g->scrub);
	g->hash = pool_free(g->hash);
	g->digest = pool_free(g->digest);
	g->disk = pool_free(g->disk);
	g->work = pool_free(g->work);
	g->jobs = mailbox_free(g->jobs);
	if (g->ledger && g->writer)
		ledger_save(g->ledger);
	g->writer = writer_free(g->writer);
	g->changes = mailbox_free(g->changes);
	g->scrub = scrub_free(g->scrub);
	g->gc = gc_free(g->gc);
	g->import = import_free(g->import);
	g->overlays = overlays_free(g->overlays);
	g->ledger = ledger_free(g->ledger);
	g->auth = auth_free(g->auth);
	g->uploads = uploads_free(g->uploads);
	g->db = db_free(g->db);
	g->work_db = db_free(g->work_db);
	g->store = store_free(g->store);
	g->log = reqlog_free(g->log);
	conf_free(g->conf);
	free(g);
}

/* All of it or nothing: what can fail comes before anything is taken over, and the
 * server, which takes over at once what it has made, is the last of these. */
static int regd_reload(void *self, void *conf, struct err *e)
{
	struct regd *g = self;
	struct conf *fresh = conf, *old = g->conf;
	_cleanup_(auth_users_freep) struct auth_users *users = NULL;
	_cleanup_(endpoints_freep) struct endpoints *endpoints = NULL;
	struct upstreams *upstreams = NULL;
	int r;

	r = auth_users_new(&users, g->auth, fresh, e);
	if (r == 0)
		r = endpoints_new(&endpoints, g->hooks, fresh, e);
	if (r == 0)
		r = upstreams_new(&upstreams, g->proxy, fresh, e);
	if (r == 0)
		r = server_reload(g->server, fresh, e);
	if (r < 0) {
		upstreams_unref(upstreams);
		return r;
	}
	auth_take(g->auth, TAKE(users));
	hooks_take(g->hooks, TAKE(endpoints));
	proxy_take(g->proxy, upstreams);
	g->conf = fresh;
	g->read_only = fresh->read_only;
	conf_free(old);
	return 0;
}

static void on_drained(void *arg)
{
	struct regd *g = arg;

	daemon_drained(g->daemon);
}

static void regd_drain(void *self)
{
	struct regd *g = self;

	server_drain(g->server, on_drained, g);
}

/* --- what it says ------------------------------------------------------------------ */

static void regd_metrics(void *self, struct str *out)
{
	stats_metrics(self, out);
}

static void regd_status(void *self, json_t *obj)
{
	struct regd *g = self;
	const struct gc_result *last;
	struct meta_totals t = { 0 };
	uint64_t room = 0;
	int64_t at;

	(void)!store_free_bytes(g->store, &room);
	if (meta_totals(g->db, &t) < 0)
		json_object_set_new(obj, "error", json_string(db_error(g->db)));
	json_object_set_new(obj, "repositories", json_integer(t.repositories));
	json_object_set_new(obj, "manifests", json_integer(t.manifests));
	json_object_set_new(obj, "tags", json_integer(t.tags));
	json_object_set_new(obj, "blobs", json_integer(t.blobs));
	json_object_set_new(obj, "blob_bytes", json_integer(t.blob_bytes));
	json_object_set_new(obj, "bad_blobs", json_integer(t.bad_blobs));
	json_object_set_new(obj, "quota", quota_total(g));
	json_object_set_new(obj, "quotas", quota_list(g));
	json_object_set_new(obj, "free_bytes", json_integer((json_int_t)room));
	json_object_set_new(
	    obj, "uploads", json_integer((json_int_t)uploads_count(g->uploads)));
	json_object_set_new(
	    obj, "events_waiting", json_integer(hooks_waiting(g->hooks)));
	json_object_set_new(obj, "read_only", json_boolean(g->read_only));
	json_object_set_new(obj, "storage_read_only", json_boolean(!regd_can_write(g)));
	json_object_set_new(obj, "overlays", overlays_status(g->overlays));
	last = gc_last(g->gc, &at);
	json_object_set_new(obj, "gc",
	    json_pack("{s:I,s:I,s:I,s:I}", "at", (json_int_t)at, "blobs",
		(json_int_t)last->blobs, "bytes", (json_int_t)last->bytes, "strays",
		(json_int_t)last->strays));
	json_object_set_new(obj, "root", json_string(store_root(g->store)));
	json_object_set_new(
	    obj, "certificate_ends", json_integer(server_cert_ends(g->server)));
}

static bool regd_ready(void *self, struct str *reasons)
{
	struct regd *g = self;

	if (!overlays_ready(g->overlays, reasons))
		return false;
	if (!regd_can_write(g)) {
		str_addz(reasons,
		    "the storage's file system is read-only: pushes are refused\n");
		return false;
	}
	if (regd_has_room(g, 0))
		return true;
	str_addz(
	    reasons, "the disk is full up to storage.reserve: pushes are refused\n");
	return false;
}

const struct daemon_class regd_class = {
	.name = "regd",
	.summary = "The container registry of an OKD bastion.",
	.conf_load = conf_load,
	.conf_free = conf_free,
	.conf_print = conf_show_all,
	.start = regd_start,
	.reload = regd_reload,
	.drain = regd_drain,
	.free = regd_stop,
	.metrics = regd_metrics,
	.status = regd_status,
	.ready = regd_ready,
	.routes = verbs_routes,
};
