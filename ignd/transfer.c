/* Files on their way: see transfer.h. */
#include "ignd/transfer.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_server.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/ratelimit.h"

enum {
	HOLD_MIN_MS = 1,
	HOLD_MAX_MS = 50,
	HOLD_LIMIT_MS = 60000, /* without any acknowledgement */
	PIECE_MIN = 16 * 1024, /* what a limited client waits for */
};

struct transfers {
	struct loop *loop;
	struct progress *progress;
	struct list_link list;
	struct ratelimit *client, *all;
	uint64_t client_rate, all_rate;
};

struct transfer {
	struct deferred deferred;
	struct list_link link;
	struct transfers *t;
	struct http_req *req;
	struct event timer;
	struct net_ip peer;
	char node[64]; /* "" for none */
	char path[PROGRESS_PATH_MAX];
	enum file_kind kind;
	uint64_t total, id, sent;
	bool begun, by_ignition;
	/* Holding the last byte back until the rest has arrived. */
	uint64_t hold_ms, hold_acked, hold_since;
};

int transfers_new(struct transfers **ret, struct loop *l, struct progress *p)
{
	struct transfers *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->loop = l;
	t->progress = p;
	list_init(&t->list);
	*ret = t;
	return 0;
}

struct transfers *transfers_free(struct transfers *t)
{
	if (!t)
		return NULL;
	ratelimit_free(t->client);
	ratelimit_free(t->all);
	free(t);
	return NULL;
}

/* --- bandwidth ---------------------------------------------------------- */

static int bucket(struct ratelimit **ret, uint64_t rate)
{
	uint64_t burst = MAX(rate / 4, (uint64_t)2 * PIECE_MIN);
	struct ratelimit_options o = { .rate = rate, .burst = burst };

	*ret = NULL;
	return rate ? ratelimit_new(ret, &o) : 0;
}

int transfers_limit(struct transfers *t, uint64_t per_client, uint64_t total)
{
	struct ratelimit *client, *all;
	int r;

	if (t->client_rate == per_client && t->all_rate == total)
		return 0;
	r = bucket(&client, per_client);
	if (r < 0)
		return r;
	r = bucket(&all, total);
	if (r < 0) {
		ratelimit_free(client);
		return r;
	}
	ratelimit_free(t->client);
	ratelimit_free(t->all);
	t->client = client;
	t->all = all;
	t->client_rate = per_client;
	t->all_rate = total;
	return 0;
}

bool transfers_limited(const struct transfers *t)
{
	return t->client || t->all;
}

static const struct net_ip everybody = { .family = 4 };

/* How many of want bytes may go; else 0, and *wait says when to ask again. */
static uint64_t allowance(struct transfer *tr, uint64_t want, uint64_t *wait)
{
	struct transfers *t = tr->t;
	uint64_t now = loop_now_ms(t->loop), n = want, least;

	if (t->client)
		n = MIN(n, ratelimit_available(t->client, &tr->peer, now));
	if (t->all)
		n = MIN(n, ratelimit_available(t->all, &everybody, now));
	least = MIN(want, (uint64_t)PIECE_MIN);
	if (n >= least)
		return n;
	*wait = 1;
	if (t->client)
		*wait = MAX(*wait, ratelimit_wait_ms(t->client, &tr->peer, least, now));
	if (t->all)
		*wait = MAX(*wait, ratelimit_wait_ms(t->all, &everybody, least, now));
	return 0;
}

static void spend(struct transfer *tr, uint64_t n)
{
	struct transfers *t = tr->t;
	uint64_t now = loop_now_ms(t->loop);

	if (t->client)
		ratelimit_take_upto(t->client, &tr->peer, n, now);
	if (t->all)
		ratelimit_take_upto(t->all, &everybody, n, now);
}

/* --- one transfer ------------------------------------------------------- */

static struct node_state *node_of(const struct transfer *tr)
{
	return tr->node[0] ? progress_find(tr->t->progress, tr->node) : NULL;
}

static void transfer_release(struct deferred *d)
{
	free(CONTAINER_OF(d, struct transfer, deferred));
}

static void wake_in(struct transfer *tr, uint64_t ms)
{
	struct timeval tv = ms_to_tv(ms);

	if (event_add(&tr->timer, &tv) < 0)
		http_abort(tr->req, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct transfer *tr = arg;

	http_reply_resume(tr->req);
}

/* Looks again soon, and less often the longer it takes. */
static size_t hold(struct transfer *tr, uint64_t acked)
{
	uint64_t now = loop_now_ms(tr->t->loop);

	if (acked != tr->hold_acked || !tr->hold_since) {
		tr->hold_acked = acked;
		tr->hold_since = now;
	}
	if (now - tr->hold_since > HOLD_LIMIT_MS) {
		http_abort(tr->req, "client acknowledges nothing");
		return 0;
	}
	tr->hold_ms =
	    tr->hold_ms ? MIN(tr->hold_ms * 2, (uint64_t)HOLD_MAX_MS) : HOLD_MIN_MS;
	wake_in(tr, tr->hold_ms);
	return 0;
}

/* The first bytes of a whole file: from here on it counts. */
static void begin(struct transfer *tr)
{
	struct node_state *n = node_of(tr);

	tr->begun = true;
	if (n && http_reply_status(tr->req) == 200)
		tr->id =
		    progress_begin(tr->t->progress, n, tr->kind, tr->path, tr->total);
}

static bool holds_last_byte(const struct transfer *tr)
{
	return tr->id && tr->total > 1;
}

static size_t on_pace(struct http_req *r, void *arg, size_t want)
{
	struct transfer *tr = arg;
	uint64_t sent = http_reply_sent(r), n = want, wait = 0, acked;

	if (!tr->begun)
		begin(tr);
	if (holds_last_byte(tr) && sent + n >= tr->total) {
		if (sent < tr->total - 1) {
			n = tr->total - 1 - sent;
		} else {
			acked = http_reply_acked(r);
			if (acked < tr->total - 1)
				return hold(tr, acked);
			n = 1;
		}
	}
	if (!transfers_limited(tr->t))
		return (size_t)n;
	n = allowance(tr, n, &wait);
	if (!n)
		wake_in(tr, MIN(wait, (uint64_t)1000));
	return (size_t)n;
}

static void on_progress(struct http_req *r, void *arg, uint64_t sent)
{
	struct transfer *tr = arg;

	if (transfers_limited(tr->t))
		spend(tr, sent - tr->sent);
	tr->sent = sent;
}

static void report_end(struct transfer *tr, struct http_req *r, enum http_end end)
{
	struct node_state *n = node_of(tr);
	char address[NET_IP_MAX];
	struct progress_end e = {
		.kind = tr->kind,
		.id = tr->id,
		.complete = end == HTTP_END_DONE && tr->sent == tr->total,
		.by_ignition = tr->by_ignition,
		.address = net_ip_format(&tr->peer, address),
		.why = http_end_text(end),
	};

	if (!n)
		return;
	if (tr->kind == FILE_SIGNATURE && http_reply_status(r))
		progress_signature(tr->t->progress, n, http_reply_status(r));
	if (!tr->id)
		return;
	e.acked = http_reply_acked(r);
	progress_end(tr->t->progress, n, &e);
}

static void on_end(struct http_req *r, void *arg, enum http_end end)
{
	struct transfer *tr = arg;

	event_del(&tr->timer);
	list_remove(&tr->link);
	report_end(tr, r, end);
	loop_defer_free(tr->t->loop, &tr->deferred);
}

int transfer_follow(
    struct transfers *t, struct http_req *r, const struct transfer_info *info)
{
	static const struct http_flow flow = { on_progress, on_pace };
	struct transfer *tr = calloc(1, sizeof(*tr));
	const char *agent = http_req_header(r, "user-agent");

	if (!tr)
		return -ENOMEM;
	tr->deferred.free = transfer_release;
	tr->t = t;
	tr->req = r;
	tr->peer = http_req_peer(r, NULL);
	tr->kind = info->kind;
	tr->total = info->total;
	tr->by_ignition = agent && str_starts(agent, "Ignition/");
	snprintf(tr->node, sizeof(tr->node), "%s", info->node ? info->node : "");
	snprintf(tr->path, sizeof(tr->path), "%s", info->path);
	event_assign(&tr->timer, loop_base(t->loop), -1, 0, on_timer, tr);
	list_append(&t->list, &tr->link);
	http_req_on_end(r, on_end, tr);
	http_reply_flow(r, &flow, tr);
	return 0;
}

bool transfers_poll(struct transfers *t)
{
	bool any = false;

	list_for_each (it, &t->list) {
		struct transfer *tr = CONTAINER_OF(it, struct transfer, link);
		struct node_state *n = node_of(tr);

		if (!n || !tr->id)
			continue;
		progress_move(n, tr->kind, tr->id, http_reply_acked(tr->req));
		any = true;
	}
	return any;
}

bool transfers_any(const struct transfers *t)
{
	return !list_empty(&t->list);
}

void transfers_cut(struct transfers *t)
{
	list_for_each_safe (it, &t->list) {
		struct transfer *tr = CONTAINER_OF(it, struct transfer, link);
		const struct node_state *n = node_of(tr);

		if (n && tr->kind == FILE_IGNITION && n->window.mode == WINDOW_CLOSED)
			http_abort(tr->req, "the node's window was closed");
	}
}
