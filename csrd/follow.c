/*
 * List and watch: see follow.h.
 *
 * States: stopped -> listing (one transfer per page) -> watching (one transfer, from
 * resourceVersion on) and, between any two transfers, waiting for the timer.  A watch
 * that ends is taken up at once when it lived for a second, else after a pause that
 * grows.  Only 410, in either of its forms, throws the position away.
 */
#include "csrd/follow.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#include "common/digest.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/str.h"
#include "csrd/answer.h"
#include "csrd/kube.h"
#include "csrd/watch.h"

#define PAGE 200
#define PAGE_MAX ((size_t)8 << 20)
#define LIST_TIMEOUT_MS 60000
#define WATCH_MIN_S 240
#define WATCH_SPREAD_S 120
#define WATCH_IDLE_MS 90000 /* the server sends a bookmark about once a minute */
#define WATCH_SHORT_MS 1000
#define SOON_FAILURES 1u
#define BODY_MAX ((size_t)64 << 10)

struct follow {
	struct loop *loop;
	struct kube *kube;
	const char *what;
	const struct follow_ops *ops;
	void *arg;

	char *path;
	char *version; /* where the watch goes on; NULL: a list is due */
	char *next;    /* the list's continue token; NULL: from the beginning */
	unsigned page; /* objects in a page */
	struct http_transfer *transfer;
	struct event *timer;
	unsigned failures;
	bool running, live, list_due;

	struct watch watch;
	struct str body; /* of a watch that was refused */
	bool expired;    /* the watch's stream said 410 */
	uint64_t watch_since, heard_at;
	struct err trouble;
	struct follow_stats stats;
};

static void advance(struct follow *f);

static void set_live(struct follow *f, bool live)
{
	if (f->live == live)
		return;
	f->live = live;
	f->ops->live(f->arg, live);
}

static void wait_ms(struct follow *f, uint64_t ms)
{
	struct timeval tv = ms_to_tv(ms);

	event_add(f->timer, &tv);
}

static void failed(struct follow *f, const struct err *e, unsigned seconds)
{
	uint64_t ms = MAX(kube_backoff(f->failures), seconds * 1000ull);

	f->failures++;
	set_live(f, false);
	if (!str_eq(f->trouble.text, e->text)) {
		f->trouble = *e;
		log_warning("cannot follow %s: %s", f->what, e->text);
		notify_status("cannot follow %s: %s", f->what, e->text);
	}
	wait_ms(f, ms);
}

static void succeeded(struct follow *f)
{
	f->heard_at = loop_now_ms(f->loop);
	f->failures = 0;
	if (!f->trouble.text[0])
		return;
	f->trouble = (struct err)ERR_INIT;
	log_info("following %s again", f->what);
}

/* --- list --------------------------------------------------------------- */

static void forget_position(struct follow *f)
{
	free(TAKE(f->version));
	free(TAKE(f->next));
}

static int take_page(struct follow *f, struct str *body, struct err *e)
{
	json_t *doc = answer_parse(body), *meta, *items;
	const char *kind, *version, *next;
	size_t i;

	kind = json_string_value(json_object_get(doc, "kind"));
	meta = json_object_get(doc, "metadata");
	items = json_object_get(doc, "items");
	version = json_string_value(json_object_get(meta, "resourceVersion"));
	next = json_string_value(json_object_get(meta, "continue"));
	if (!kind || !str_eq(kind, f->ops->kind) || !version ||
	    (items && !json_is_array(items) && !json_is_null(items))) {
		json_decref(doc);
		return err_set(e, -EPROTO, "the answer is no %s", f->ops->kind);
	}
	if (!f->next)
		f->ops->begin(f->arg);
	for (i = 0; i < json_array_size(items); i++)
		f->ops->object(f->arg, json_array_get(items, i));
	forget_position(f);
	if (next && *next)
		f->next = strdup(next);
	else
		f->version = strdup(version);
	json_decref(doc);
	return f->next || f->version ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static void on_page(struct http_transfer *t, int result, void *arg)
{
	struct follow *f = arg;
	struct str *body = http_transfer_body(t);
	struct err e = ERR_INIT;

	f->transfer = NULL;
	kube_count(f->kube, result);
	if (result == -EFBIG && f->page > 1) {
		/* Large objects: smaller pages, from the beginning. */
		f->page = MAX(f->page / 4, 1u);
		forget_position(f);
		advance(f);
		return;
	}
	if (result == 410) {
		f->stats.expired++;
		forget_position(f);
	}
	if (result == 200 && take_page(f, body, &e) == 0) {
		succeeded(f);
		if (f->version) {
			f->page = PAGE;
			f->stats.lists++;
			f->ops->synced(f->arg);
		}
		if (f->running && !f->transfer)
			advance(f);
		return;
	}
	if (!e.text[0])
		kube_explain(t, result, str_get(body), body->len, &e);
	failed(f, &e, kube_retry_after(t));
}

static int start_list(struct follow *f, struct err *e)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	f->list_due = false;
	str_addf(&path, "%s?limit=%u", f->path, f->page);
	if (f->next) {
		str_addz(&path, "&continue=");
		kube_escape(&path, f->next);
	}
	if (str_err(&path) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return kube_start(f->kube, &f->transfer,
	    &(struct kube_request){
		.path = str_get(&path),
		.timeout_ms = LIST_TIMEOUT_MS,
		.max_response = PAGE_MAX,
		.on_done = on_page,
		.arg = f,
	    },
	    e);
}

/* --- watch -------------------------------------------------------------- */

static int set_version(struct follow *f, const char *version)
{
	char *copy;

	if (!version || (f->version && str_eq(f->version, version)))
		return 0;
	copy = strdup(version);
	if (!copy)
		return -ENOMEM;
	free(f->version);
	f->version = copy;
	return 0;
}

static int on_error_event(struct follow *f, const struct watch_event *ev)
{
	struct err e = ERR_INIT;

	if (ev->code == 410) {
		f->stats.expired++;
		f->expired = true;
		return -ESTALE;
	}
	err_set(&e, -EPROTO, "the watch says %d: %s", ev->code, ev->message);
	f->trouble = e;
	return -EPROTO;
}

static int on_event(const struct watch_event *ev, void *arg)
{
	struct follow *f = arg;

	switch (ev->type) {
	case WATCH_ERROR:
		return on_error_event(f, ev);
	case WATCH_OVERSIZE:
		/* No kubelet's: it stays undecided, and the list will pass it over. */
		f->stats.oversize++;
		log_warning(
		    "an object among %s is too large and is left alone", f->what);
		return 0;
	case WATCH_BOOKMARK:
		f->stats.bookmarks++;
		break;
	case WATCH_DELETED:
		f->stats.events++;
		f->ops->deleted(f->arg, ev->object);
		break;
	default:
		f->stats.events++;
		f->ops->object(f->arg, ev->object);
	}
	f->failures = 0;
	return set_version(f, ev->version);
}

static void on_watch_head(struct http_transfer *t, void *arg)
{
	struct follow *f = arg;

	if (http_transfer_status(t) != 200)
		return;
	f->heard_at = loop_now_ms(f->loop);
	f->watch_since = f->heard_at;
	/* It answers: should it end early, the next attempt comes soon. */
	f->failures = MIN(f->failures, SOON_FAILURES);
	set_live(f, true);
}

static void on_watch_done(struct http_transfer *t, int result, void *arg);

static void on_watch_data(struct http_transfer *t, const void *p, size_t n, void *arg)
{
	struct follow *f = arg;
	struct err e = ERR_INIT;

	if (http_transfer_status(t) != 200) {
		if (f->body.len + n <= BODY_MAX)
			str_add(&f->body, p, n);
		return;
	}
	f->heard_at = loop_now_ms(f->loop);
	if (watch_feed(&f->watch, p, n, on_event, f, &e) == 0 || !f->transfer)
		return;
	/* An error in the stream, or a stream that makes no sense: the rest of it does
	 * not matter. */
	f->transfer = http_transfer_cancel(f->transfer);
	if (f->expired) {
		forget_position(f);
		set_live(f, false);
		advance(f);
		return;
	}
	if (!e.text[0])
		e = f->trouble;
	f->trouble = (struct err)ERR_INIT;
	failed(f, &e, 0);
}

static void on_watch_done(struct http_transfer *t, int result, void *arg)
{
	struct follow *f = arg;
	uint64_t now = loop_now_ms(f->loop);
	struct err e = ERR_INIT;
	bool lived = f->watch_since && now - f->watch_since >= WATCH_SHORT_MS;

	f->transfer = NULL;
	kube_count(f->kube, result);
	if (result == 410) {
		f->stats.expired++;
		forget_position(f);
	}
	if (lived && (result == 200 || result < 0)) {
		/* The usual end after some minutes, or a cut: on from the same place.
		 * What is known counts until the next attempt fails. */
		succeeded(f);
		advance(f);
		return;
	}
	kube_explain(t, result, str_get(&f->body), f->body.len, &e);
	if (result == 200)
		err_set(&e, -EPROTO, "the watch ends as soon as it begins");
	failed(f, &e, kube_retry_after(t));
}

static int start_watch(struct follow *f, struct err *e)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	uint32_t dice;
	unsigned seconds;

	random_bytes(&dice, sizeof(dice));
	seconds = WATCH_MIN_S + dice % WATCH_SPREAD_S;
	str_addf(&path,
	    "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%u"
	    "&resourceVersion=",
	    f->path, seconds);
	kube_escape(&path, f->version);
	if (str_err(&path) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	watch_deinit(&f->watch);
	watch_init(&f->watch);
	str_reset(&f->body);
	f->expired = false;
	f->watch_since = 0;
	f->stats.watches++;
	return kube_start(f->kube, &f->transfer,
	    &(struct kube_request){
		.path = str_get(&path),
		.timeout_ms = (seconds + 30) * 1000ull,
		.idle_timeout_ms = WATCH_IDLE_MS,
		.on_head = on_watch_head,
		.on_data = on_watch_data,
		.on_done = on_watch_done,
		.arg = f,
	    },
	    e);
}

/* --- life --------------------------------------------------------------- */

/* The next transfer, whichever is due. */
static void advance(struct follow *f)
{
	struct err e = ERR_INIT;
	int r;

	if (!f->running || f->transfer)
		return;
	event_del(f->timer);
	if (f->list_due)
		forget_position(f);
	r = f->version ? start_watch(f, &e) : start_list(f, &e);
	if (r < 0)
		failed(f, &e, 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	advance(arg);
}

int follow_new(struct follow **ret, struct loop *l, struct kube *kube, const char *what,
    const struct follow_ops *ops, void *arg)
{
	_cleanup_(follow_freep) struct follow *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->loop = l;
	f->kube = kube;
	f->what = what;
	f->ops = ops;
	f->arg = arg;
	f->page = PAGE;
	watch_init(&f->watch);
	f->timer = evtimer_new(loop_base(l), on_timer, f);
	if (!f->timer)
		return -ENOMEM;

	*ret = TAKE(f);
	return 0;
}

struct follow *follow_free(struct follow *f)
{
	if (!f)
		return NULL;
	http_transfer_cancel(f->transfer);
	if (f->timer)
		event_free(f->timer);
	watch_deinit(&f->watch);
	str_deinit(&f->body);
	forget_position(f);
	free(f->path);
	free(f);
	return NULL;
}

int follow_start(struct follow *f, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	follow_stop(f);
	free(f->path);
	f->path = copy;
	f->running = true;
	advance(f);
	return 0;
}

void follow_stop(struct follow *f)
{
	f->running = false;
	f->transfer = http_transfer_cancel(f->transfer);
	event_del(f->timer);
	forget_position(f);
	f->failures = 0;
	f->trouble = (struct err)ERR_INIT;
	set_live(f, false);
}

void follow_again(struct follow *f)
{
	if (!f->running)
		return;
	f->list_due = true;
	f->transfer = http_transfer_cancel(f->transfer);
	advance(f);
}

bool follow_is_live(const struct follow *f)
{
	return f->live;
}

const char *follow_trouble(const struct follow *f)
{
	return f->trouble.text;
}

uint64_t follow_heard_at(const struct follow *f)
{
	return f->heard_at;
}

const struct follow_stats *follow_stats(const struct follow *f)
{
	return &f->stats;
}
