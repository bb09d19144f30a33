/* What the approver knows besides requests: Nodes, and install tickets of okd-ignd. */
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "csrd/approver.h"
#include "csrd/tell.h"

#define TICKETS_MS 5000
#define TICKETS_TIMEOUT_MS 5000
#define RATE_MS 60000

/* --- tickets ------------------------------------------------------------ */

/* An ignd that stops, or that cannot be looked at, is no reason to ask for less. */
bool inventory_needs_tickets(struct approver *a)
{
	const struct csrd_conf *c = a->conf;

	if (access(c->ignd_socket, F_OK) == 0 || errno != ENOENT)
		a->ignd_seen = true;
	if (c->require_ticket == TICKET_AUTO)
		return a->ignd_seen;
	return c->require_ticket == TICKET_YES;
}

static void on_tickets(struct http_transfer *t, int result, void *arg)
{
	struct approver *a = arg;
	struct str *body = http_transfer_body(t);
	const struct timeval again = ms_to_tv(TICKETS_MS);
	struct err e = ERR_INIT;

	a->asking = NULL;
	if (result < 0)
		err_set(&e, result, "%s", http_transfer_why(t));
	else if (result != 200)
		err_set(&e, -EPROTO, "okd-ignd answers with %d", result);
	else if (tickets_parse(&a->tickets, str_get(body), body->len, &e) == 0)
		a->ticket_trouble = false;
	if (e.text[0]) {
		a->tickets.known = false;
		if (!a->ticket_trouble)
			log_warning("no install tickets: %s", e.text);
		a->ticket_trouble = true;
	}
	approver_decide_all(a);
	if (!evtimer_pending(a->ask_timer, NULL) && !a->asking)
		event_add(a->ask_timer, &again);
}

void inventory_ask(struct approver *a)
{
	const struct timeval again = ms_to_tv(TICKETS_MS);
	struct err e = ERR_INIT;

	if (a->asking || a->closing)
		return;
	if (http_client_start(kube_client(a->kube), &a->asking,
		&(struct http_client_request){
		    .url = "http://localhost/v1/tickets",
		    .unix_socket = a->conf->ignd_socket,
		    .timeout_ms = TICKETS_TIMEOUT_MS,
		    .on_done = on_tickets,
		    .arg = a,
		},
		&e) < 0) {
		log_warning("no install tickets: %s", e.text);
		event_add(a->ask_timer, &again);
	}
}

static bool waits_for_ticket(const struct record *r)
{
	return r->state == RECORD_PENDING && r->csr &&
	    (r->decided ? r->reason == REASON_NO_TICKET : r->asked_tickets);
}

static void on_ask_timer(evutil_socket_t fd, short what, void *arg)
{
	struct approver *a = arg;

	list_for_each (it, &a->records) {
		if (waits_for_ticket(CONTAINER_OF(it, struct record, link))) {
			inventory_ask(a);
			return;
		}
	}
}

/* --- nodes that are to turn Ready --------------------------------------- */

static void wait_ready(struct approver *a, uint64_t ms)
{
	const struct timeval tv = ms_to_tv(ms + 1);

	if (!evtimer_pending(a->ready_timer, NULL))
		event_add(a->ready_timer, &tv);
}

static void on_ready_timer(evutil_socket_t fd, short what, void *arg)
{
	struct approver *a = arg;
	uint64_t now = loop_now_ms(a->loop), timeout = a->conf->ready_timeout;
	uint64_t next = UINT64_MAX;

	htable_for_each (it, &a->nodes.table) {
		struct node *n = CONTAINER_OF(it, struct node, hnode);

		if (!n->awaited_since)
			continue;
		if (now - n->awaited_since < timeout) {
			next = MIN(next, n->awaited_since + timeout - now);
			continue;
		}
		n->awaited_since = 0;
		tell_node_not_ready(n->name, timeout);
	}
	if (next != UINT64_MAX)
		wait_ready(a, next);
}

void inventory_await(struct approver *a, struct node *n)
{
	n->awaited_since = loop_now_ms(a->loop);
	wait_ready(a, a->conf->ready_timeout);
}

static void on_rate_timer(evutil_socket_t fd, short what, void *arg)
{
	approver_decide_all(arg);
}

void inventory_await_rate(struct approver *a)
{
	const struct timeval tv = ms_to_tv(RATE_MS);

	if (!evtimer_pending(a->rate_timer, NULL))
		event_add(a->rate_timer, &tv);
}

int inventory_start(struct approver *a)
{
	a->ask_timer = evtimer_new(loop_base(a->loop), on_ask_timer, a);
	a->ready_timer = evtimer_new(loop_base(a->loop), on_ready_timer, a);
	a->rate_timer = evtimer_new(loop_base(a->loop), on_rate_timer, a);
	return a->ask_timer && a->ready_timer && a->rate_timer ? 0 : -ENOMEM;
}

void inventory_stop(struct approver *a)
{
	if (a->ask_timer)
		event_free(a->ask_timer);
	if (a->ready_timer)
		event_free(a->ready_timer);
	if (a->rate_timer)
		event_free(a->rate_timer);
	a->ask_timer = a->ready_timer = a->rate_timer = NULL;
}

/* --- following nodes ---------------------------------------------------- */

static void nodes_begin(void *arg)
{
	struct approver *a = arg;

	a->node_mark++;
}

static void turned_ready(struct approver *a, struct node *n)
{
	if (!n->awaited_since && !a->nodes_listed)
		return; /* it was so before us */
	n->awaited_since = 0;
	counter_add(&a->stats.nodes_ready, 1);
	tell_node_ready(n->name);
}

static void nodes_object(void *arg, json_t *object)
{
	struct approver *a = arg;
	const char *name = json_string_value(
	    json_object_get(json_object_get(object, "metadata"), "name"));
	const struct node *before = name ? nodes_find(&a->nodes, name) : NULL;
	bool existed = before && before->exists, was_ready = before && before->ready;
	int64_t now = clock_real_s();
	struct node *n;

	if (nodes_update(&a->nodes, object, a->node_mark, now, &n) < 0) {
		log_warning("the API server sent a Node that cannot be read");
		return;
	}
	if (n->ready && !was_ready)
		turned_ready(a, n);
	if (existed)
		return;
	audit_seen(a->audit, n->name, now);
	if (a->nodes.known)
		approver_decide_all(a);
}

static void node_lost(struct approver *a, struct node *n)
{
	int64_t now = clock_real_s();

	if (!n->exists)
		return;
	node_gone(n, now);
	audit_seen(a->audit, n->name, now);
}

static void nodes_deleted(void *arg, json_t *object)
{
	struct approver *a = arg;
	const char *name = json_string_value(
	    json_object_get(json_object_get(object, "metadata"), "name"));
	struct node *n = name ? nodes_find(&a->nodes, name) : NULL;

	if (!n)
		return;
	node_lost(a, n);
	approver_decide_all(a);
}

static void nodes_synced(void *arg)
{
	struct approver *a = arg;

	htable_for_each (it, &a->nodes.table) {
		struct node *n = CONTAINER_OF(it, struct node, hnode);

		if (n->exists && n->mark != a->node_mark)
			node_lost(a, n);
	}
	a->nodes_listed = true;
}

static void nodes_live(void *arg, bool live)
{
	struct approver *a = arg;

	a->nodes.known = live;
	if (!live)
		return;
	notify_status("following the requests of %s", kube_server(a->kube));
	approver_decide_all(a);
}

const struct follow_ops inventory_nodes = {
	.kind = "NodeList",
	.begin = nodes_begin,
	.object = nodes_object,
	.deleted = nodes_deleted,
	.synced = nodes_synced,
	.live = nodes_live,
};
