/*
 * Webhooks: see hooks.h.
 *
 * An event has one row.  Each endpoint has a row with the number of the last event that
 * it took, so that an event goes when all have taken it, or when it is further back than
 * the largest queue's bound.  An endpoint has one request under way at a time.
 */
#include "regd/hooks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/http_client.h"
#include "common/list.h"
#include "common/log.h"
#include "regd/cafile.h"
#include "regd/call.h"
#include "regd/conf.h"
#include "regd/regd.h"
#include "regd/writer.h"

enum {
	BATCH_MAX = 50, /* events of one envelope */
	BATCH_BYTES = 256 * 1024,
	BACKOFF_MIN_MS = 1000,
	BACKOFF_MAX_MS = 60 * 1000,
	ANSWER_MAX = 64 * 1024,
	HEADERS_MAX = CONF_HEADERS_MAX,
};

struct endpoint {
	struct hooks *hooks;
	char *name, *url, *ca;
	char **headers; /* ends in NULL */
	unsigned kinds;
	uint64_t timeout, queue;
	int64_t taken;   /* the last event it took */
	int64_t sending; /* the last of the envelope under way */
	struct http_transfer *transfer;
	uint64_t backoff_ms, next_ms;
	bool busy;  /* a request or its row is under way */
	bool fresh; /* it has no row yet */
};

struct endpoints {
	unsigned kinds; /* that anybody wants */
	size_t n;
	struct endpoint v[];
};

struct hooks {
	struct regd *regd;
	struct http_client *client;
	struct endpoints *to;
	unsigned generation; /* of to */
	char instance[64];
};

/* --- events into the database -------------------------------------------------- */

char *hooks_event(struct call *c, struct notice *e)
{
	struct hooks *h = c->regd->hooks;
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (!(h->to->kinds & e->kind))
		return NULL;
	e->time = clock_real_s();
	e->user = c->user;
	e->peer = http_req_peer(c->req, NULL);
	e->method = http_req_head(c->req)->method_name;
	e->agent = http_req_header(c->req, "User-Agent");
	e->host = http_req_header(c->req, "Host");
	e->instance = h->instance;
	if (notice_format(e, &text) < 0) {
		counter_add(&c->regd->stats.events_lost, 1);
		return NULL;
	}
	return str_take(&text);
}

int hooks_apply(struct db *db, const char *text)
{
	return text ? db_run(db, "INSERT INTO events(text) VALUES(?)", "s", text) : 0;
}

struct telling {
	struct change change;
	struct regd *regd;
	char *text;
};

static int telling_apply(struct change *ch, struct db *db)
{
	return hooks_apply(db, CONTAINER_OF(ch, struct telling, change)->text);
}

static void telling_done(struct change *ch)
{
	struct telling *t = CONTAINER_OF(ch, struct telling, change);

	if (ch->result == 0 && t->regd->hooks)
		hooks_wake(t->regd->hooks);
	free(t->text);
	free(t);
}

void hooks_tell(struct call *c, struct notice *e)
{
	char *text = hooks_event(c, e);
	struct telling *t;

	if (!text)
		return;
	t = calloc(1, sizeof(*t));
	if (!t) {
		free(text);
		return;
	}
	t->regd = c->regd;
	t->text = text;
	t->change.apply = telling_apply;
	t->change.done = telling_done;
	writer_post(c->regd->writer, &t->change);
}

/* --- out of it --------------------------------------------------------------------- */

static void send_next(struct endpoint *ep);

/* How far an endpoint is. */
struct advance {
	struct change change;
	struct regd *regd;
	char *name;
	unsigned generation; /* of the endpoint that waits for it */
	bool waits;          /* it is busy until then */
	int64_t taken, floor;
};

static int advance_apply(struct change *ch, struct db *db)
{
	struct advance *a = CONTAINER_OF(ch, struct advance, change);
	int r = db_run(db,
	    "INSERT INTO hooks(name, taken) VALUES(?1, ?2)"
	    " ON CONFLICT(name) DO UPDATE SET taken = ?2",
	    "sl", a->name, a->taken);

	return r < 0 ? r
		     : db_run(db, "DELETE FROM events WHERE id <= ?", "l", a->floor);
}

static struct endpoint *find(struct endpoints *to, const char *name)
{
	for (size_t i = 0; to && i < to->n; i++)
		if (str_eq(to->v[i].name, name))
			return &to->v[i];
	return NULL;
}

static void advance_done(struct change *ch)
{
	struct advance *a = CONTAINER_OF(ch, struct advance, change);
	struct hooks *h = a->regd->hooks;
	struct endpoint *ep = NULL;

	/* One of a later configuration may be busy with something else. */
	if (h && a->waits && a->generation == h->generation)
		ep = find(h->to, a->name);
	if (ep) {
		ep->busy = false;
		if (ch->result == 0)
			send_next(ep);
	}
	free(a->name);
	free(a);
}

/* waits: the endpoint is busy until it is written. */
static void advance(struct endpoint *ep, bool waits)
{
	struct hooks *h = ep->hooks;
	struct advance *a = calloc(1, sizeof(*a));

	if (a)
		a->name = strdup(ep->name);
	if (!a || !a->name) {
		free(a);
		ep->busy = ep->busy && !waits;
		return;
	}
	a->regd = h->regd;
	a->generation = h->generation;
	a->waits = waits;
	a->taken = a->floor = ep->taken;
	for (size_t i = 0; i < h->to->n; i++)
		a->floor = MIN(a->floor, h->to->v[i].taken);
	a->change.apply = advance_apply;
	a->change.done = advance_done;
	writer_post(h->regd->writer, &a->change);
}

static void on_done(struct http_transfer *t, int result, void *arg)
{
	struct endpoint *ep = arg;
	struct stats *stats = &ep->hooks->regd->stats;

	ep->transfer = NULL;
	if (result >= 200 && result < 400) {
		if (ep->backoff_ms)
			log_info("notifications: %s takes events again", ep->name);
		ep->backoff_ms = 0;
		ep->taken = ep->sending;
		counter_add(&stats->events_posted, 1);
		advance(ep, true);
		return;
	}
	counter_add(&stats->events_failed, 1);
	if (!ep->backoff_ms && result < 0)
		log_warning("notifications: %s does not take events, trying on: %s",
		    ep->name, http_transfer_why(t));
	else if (!ep->backoff_ms)
		log_warning("notifications: %s does not take events, trying on: it "
			    "answers with status %d",
		    ep->name, result);
	ep->backoff_ms = ep->backoff_ms
	    ? MIN(2 * ep->backoff_ms, (uint64_t)BACKOFF_MAX_MS)
	    : BACKOFF_MIN_MS;
	ep->next_ms = clock_boot_ms() + ep->backoff_ms;
	ep->busy = false;
}

static unsigned kind_of(const char *text)
{
	static const struct {
		const char *word;
		enum notice_kind kind;
	} words[] = {
		{ "\"action\":\"pull\"", NOTICE_PULL },
		{ "\"action\":\"push\"", NOTICE_PUSH },
		{ "\"action\":\"mount\"", NOTICE_MOUNT },
		{ "\"action\":\"delete\"", NOTICE_DELETE },
	};

	/* Quotes in texts are escaped, so this is the member itself. */
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(text, words[i].word))
			return words[i].kind;
	return 0;
}

/* The next envelope of what the endpoint wants; *last is where it ends.  1 something to
 * send, 0 nothing, or -errno. */
static int gather(struct endpoint *ep, struct str *out, int64_t *last)
{
	_cleanup_(db_donep) struct db_stmt *st = NULL;
	unsigned n = 0;
	int r = db_query(ep->hooks->regd->db, &st,
	    "SELECT id, text FROM events WHERE id > ? ORDER BY id", "l", ep->taken);

	if (r < 0)
		return r;
	str_addz(out, "{\"events\":[");
	while (n < BATCH_MAX && out->len < BATCH_BYTES && (r = db_step(st)) > 0) {
		*last = db_int(st, 0);
		if (!(kind_of(db_text(st, 1)) & ep->kinds))
			continue;
		if (n++)
			str_addc(out, ',');
		str_addz(out, db_text(st, 1));
	}
	str_addz(out, "]}");
	if (r < 0)
		return r;
	return str_err(out) < 0 ? -ENOMEM : n > 0;
}

/* Events beyond the bound of the queue are given up, and leave the database at once:
 * nothing else would take them out while no endpoint takes any. */
static void keep_bound(struct endpoint *ep)
{
	struct hooks *h = ep->hooks;
	int64_t newest = 0, lost;

	if (db_get(h->regd->db, &newest, "SELECT coalesce(max(id), 0) FROM events",
		NULL) < 0)
		return;
	lost = newest - ep->taken - (int64_t)ep->queue;
	if (lost <= 0)
		return;
	counter_add(&h->regd->stats.events_lost, (uint64_t)lost);
	ep->taken += lost;
	advance(ep, false);
}

static int post(struct endpoint *ep, const struct str *envelope, struct err *err)
{
	const char *headers[HEADERS_MAX + 2] = { "Content-Type: " NOTICE_TYPE };
	struct http_client_request q = {
		.method = "POST",
		.url = ep->url,
		.headers = headers,
		.body = envelope->s,
		.body_len = envelope->len,
		.ca_file = ep->ca,
		.timeout_ms = ep->timeout,
		.max_response = ANSWER_MAX,
		.on_done = on_done,
		.arg = ep,
	};

	for (size_t i = 0; i < HEADERS_MAX && ep->headers[i]; i++)
		headers[i + 1] = ep->headers[i];
	return http_client_start(ep->hooks->client, &ep->transfer, &q, err);
}

static void send_next(struct endpoint *ep)
{
	_cleanup_(str_deinit) struct str envelope = STR_INIT;
	struct err e = ERR_INIT;
	int64_t last = ep->taken;
	int r;

	if (ep->busy || ep->next_ms > clock_boot_ms())
		return;
	keep_bound(ep);
	r = gather(ep, &envelope, &last);
	if (r < 0) {
		log_err("notifications: cannot read events: %s", strerror(-r));
		return;
	}
	if (r == 0 && last == ep->taken)
		return;
	ep->busy = true;
	ep->sending = last;
	if (r == 0) { /* nothing that it wants */
		ep->taken = last;
		advance(ep, true);
	} else if (post(ep, &envelope, &e) < 0) {
		log_err("notifications: %s: %s", ep->name, e.text);
		ep->next_ms = clock_boot_ms() + BACKOFF_MAX_MS;
		ep->busy = false;
	}
}

void hooks_wake(struct hooks *h)
{
	for (size_t i = 0; i < h->to->n; i++)
		send_next(&h->to->v[i]);
}

void hooks_tick(struct hooks *h)
{
	hooks_wake(h);
}

int64_t hooks_waiting(const struct hooks *h)
{
	int64_t n = 0;

	if (!h->to->n ||
	    db_get(h->regd->db, &n, "SELECT count(*) FROM events", NULL) < 0)
		return 0;
	return n;
}

/* --- life --------------------------------------------------------------------------- */

struct endpoints *endpoints_free(struct endpoints *e)
{
	if (!e)
		return NULL;
	for (size_t i = 0; i < e->n; i++) {
		struct endpoint *ep = &e->v[i];

		http_transfer_cancel(ep->transfer);
		for (size_t k = 0; ep->headers && ep->headers[k]; k++)
			free(ep->headers[k]);
		free(ep->headers);
		free(ep->name);
		free(ep->url);
		free(ep->ca);
	}
	free(e);
	return NULL;
}

static int copy_headers(struct endpoint *ep, const struct conf_hook *from)
{
	char **words = conf_list_items(&from->headers, char *);

	ep->headers = calloc(from->headers.n + 1, sizeof(*ep->headers));
	if (!ep->headers)
		return -ENOMEM;
	for (size_t i = 0; i < from->headers.n; i++) {
		ep->headers[i] = strdup(words[i]);
		if (!ep->headers[i])
			return -ENOMEM;
	}
	return 0;
}

/* Where it stands: behind the events that were there before it was. */
static int find_taken(struct endpoint *ep)
{
	struct db *db = ep->hooks->regd->db;
	int r = db_get(
	    db, &ep->taken, "SELECT taken FROM hooks WHERE name = ?", "s", ep->name);

	ep->fresh = r == -ENOENT;
	/* Those that all have taken are gone, and their numbers are not given again. */
	if (ep->fresh)
		r = db_get(db, &ep->taken,
		    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence"
		    " WHERE name = 'events'",
		    NULL);
	return r;
}

static int copy_endpoint(
    struct endpoint *ep, struct hooks *h, const struct conf_hook *from)
{
	const int *events = conf_list_items(&from->events, int);
	int r = copy_headers(ep, from);

	ep->hooks = h;
	ep->name = strdup(from->name);
	ep->url = strdup(from->url);
	ep->ca = from->ca ? strdup(from->ca) : NULL;
	if (r < 0 || !ep->name || !ep->url || (from->ca && !ep->ca))
		return -ENOMEM;
	ep->timeout = from->timeout;
	ep->queue = from->queue;
	for (size_t i = 0; i < from->events.n; i++)
		ep->kinds |= 1u << events[i];
	return find_taken(ep);
}

int endpoints_new(
    struct endpoints **ret, struct hooks *h, const struct conf *conf, struct err *err)
{
	const struct conf_hook *from =
	    conf_list_items(&conf->notifications, struct conf_hook);
	size_t n = conf->notifications.n;
	_cleanup_(endpoints_freep) struct endpoints *e =
	    calloc(1, sizeof(*e) + n * sizeof(e->v[0]));
	int r = 0;

	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	e->n = n;
	for (size_t i = 0; i < n; i++) {
		r = copy_endpoint(&e->v[i], h, &from[i]);
		if (r == 0 && from[i].ca)
			r = cafile_check("notifications", from[i].ca, err);
		else if (r < 0)
			err_set(err, r, "notifications: %s", strerror(-r));
		if (r < 0)
			return r;
		e->kinds |= e->v[i].kinds;
	}

	*ret = TAKE(e);
	return 0;
}

void hooks_take(struct hooks *h, struct endpoints *e)
{
	/* What is being written of those before is not in the database yet. */
	for (size_t i = 0; i < e->n; i++) {
		const struct endpoint *before = find(h->to, e->v[i].name);

		if (before)
			e->v[i].taken = MAX(e->v[i].taken, before->taken);
	}
	endpoints_free(h->to);
	h->to = e;
	h->generation++;
	for (size_t i = 0; i < e->n; i++) {
		if (!e->v[i].fresh)
			continue;
		e->v[i].busy = true;
		advance(&e->v[i], true);
	}
}

int hooks_new(struct hooks **ret, struct regd *g, struct err *err)
{
	_cleanup_(hooks_freep) struct hooks *h = calloc(1, sizeof(*h));
	struct endpoints *e;
	int r;

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	h->regd = g;
	if (gethostname(h->instance, sizeof(h->instance) - 1) < 0)
		h->instance[0] = '\0';
	r = http_client_new(&h->client, g->loop, NULL);
	if (r < 0)
		return err_set(err, r, "cannot start: %s", strerror(-r));
	r = endpoints_new(&e, h, g->conf, err);
	if (r < 0)
		return r;
	hooks_take(h, e);

	*ret = TAKE(h);
	return 0;
}

struct hooks *hooks_free(struct hooks *h)
{
	if (!h)
		return NULL;
	endpoints_free(h->to);
	h->client = http_client_free(h->client);
	free(h);
	return NULL;
}
