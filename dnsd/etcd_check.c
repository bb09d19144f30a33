/*
 * How far a cluster is that is watched: its revision, and its keys once in a while and when
 * the watch has not told of what there is.  See etcd.h.
 *
 * A host that is gone is found by the kernel, on the connections.  A check is for a member
 * that cannot do its work though its host answers (stopped, without a majority, behind a
 * proxy that holds it back), which matters as long as keys change; in quiet times there are
 * fewer.
 */
#include <event2/event.h>

#include "common/log.h"
#include "common/loop.h"
#include "dnsd/etcd_impl.h"
#include "dnsd/etcd_reply.h"

#define CHECK_MS 1000
#define QUIET_CHECK_MS 3000
#define QUIET_AFTER_MS 20000
#define COMPARE_MS 5000
#define COMPARE_QUIET_MS 60000
#define COMPARE_SOON_MS 200
#define SAVE_MS 60000
#define COMPARE_MAX 10000 /* keys up to which newer ones are looked for */

static void check_in(struct etcd *e, unsigned ms)
{
	struct timeval tv = ms_to_tv(ms);

	event_add(&e->check, &tv);
}

static void check_next(struct etcd *e)
{
	uint64_t quiet = loop_now_ms(e->loop) - e->stirred_ms;

	check_in(e, quiet < QUIET_AFTER_MS ? CHECK_MS : QUIET_CHECK_MS);
}

/* Whether the next check is to compare: once in a while, and when the cluster has come
 * further while the watch is silent, which may be other keys. */
static bool should_compare(const struct etcd *e, const struct etcd_reply *p)
{
	uint64_t since = loop_now_ms(e->loop) - e->compared_ms;
	bool many = etcd_count_keys(e) > COMPARE_MAX;

	if (p->revision > e->revision && e->n_events == e->check_events)
		return !many || since >= COMPARE_MS;
	return since >= COMPARE_QUIET_MS;
}

static void list_again(struct etcd *e)
{
	etcd_stop(e);
	e->stale = true;
	etcd_list(e);
}

/* The watch knows less than the cluster, and nothing came of it while that was asked.  It
 * may be slow or dead: another one goes on from the last event.  If that does not help
 * there is a gap. */
static void take_behind(struct etcd *e)
{
	if (e->behind++ == 0) {
		log_info("etcd: the watch is behind: another takes its place");
		e->watch = http_transfer_cancel(e->watch);
		etcd_watch(e);
		return;
	}
	log_warning("etcd: the watch missed something: all keys are listed again");
	list_again(e);
}

static void take_compared(struct etcd *e, const struct etcd_reply *p)
{
	bool other = p->n_kvs || (size_t)p->count != etcd_count_keys(e);

	e->compare = false;
	e->compared_ms = loop_now_ms(e->loop);
	if (other && e->n_events == e->check_events) {
		take_behind(e);
		return;
	}
	/* What came meanwhile says nothing about what was asked. */
	if (!other) {
		e->behind = 0;
		e->good_ms = e->compared_ms;
		/* What else there was up to here were keys of others. */
		if (e->n_events == e->check_events && !e->compared_many)
			e->revision = MAX(e->revision, p->revision);
	}
	check_next(e);
}

/* What shows that it is not the cluster that was known; NULL: it is.  A restored one may
 * have come further than the one before it, but its term began anew. */
static const char *differs(const struct etcd *e, const struct etcd_reply *p)
{
	if (p->cluster_id != e->cluster_id)
		return "this is another cluster";
	/* The watch goes on telling while the check is on its way. */
	if (p->revision < e->check_revision)
		return "its revision went back";
	return p->term < e->term ? "its term went back" : NULL;
}

static void take_check(struct etcd *e, const struct etcd_reply *p)
{
	const char *why;

	if (!e->watch && (e->stale || !e->revision)) {
		etcd_list(e);
		return;
	}
	why = differs(e, p);
	if (why) {
		log_warning("etcd: %s: all keys are listed again", why);
		list_again(e);
		return;
	}
	e->term = p->term;
	if (!e->watch) {
		etcd_watch(e);
		return;
	}
	if (e->comparing) {
		take_compared(e, p);
		return;
	}
	/* The disk had no room, say: perhaps it has now. */
	if ((e->unsaved || kvfile_is_behind(e->file)) &&
	    loop_now_ms(e->loop) - e->listed_ms >= SAVE_MS) {
		log_info("etcd: the last good state is written anew");
		list_again(e);
		return;
	}
	if (p->revision <= e->revision && !e->behind)
		e->good_ms = loop_now_ms(e->loop);
	e->compare = should_compare(e, p);
	if (e->compare)
		check_in(e, COMPARE_SOON_MS);
	else
		check_next(e);
}

static void on_check(struct http_transfer *t, int result, void *arg)
{
	etcd_take_range(arg, t, result, take_check);
}

/* Keys that are newer than what we know, or among many the number of all. */
static int compare_body(struct etcd *e, struct str *body)
{
	bool many = etcd_count_keys(e) > COMPARE_MAX;
	int r = etcd_request_range(body, e->now.prefix, strlen(e->now.prefix),
	    e->now.prefix, 0, many ? 0 : 1, many);

	e->compared_many = many;
	if (r < 0 || many)
		return r;
	body->s[--body->len] = '\0';
	str_addf(body, ",\"min_mod_revision\":\"%lld\"}", (long long)e->revision + 1);
	return str_err(body);
}

void etcd_check(struct etcd *e)
{
	struct http_client_request rq = { .on_done = on_check,
		.timeout_ms = CHECK_TIMEOUT_MS };
	_cleanup_(str_deinit) struct str body = STR_INIT;
	int r;

	e->comparing = e->compare && e->watch;
	e->check_revision = e->revision;
	e->check_events = e->n_events;
	r = e->comparing ? compare_body(e, &body)
			 : etcd_request_revision(&body, e->now.prefix);
	if (r == 0)
		r = etcd_request(e, &e->request, "/kv/range", &body, &rq);
	if (r < 0)
		etcd_fail(e, "cannot ask how far it is");
}

void etcd_on_check_timer(evutil_socket_t fd, short what, void *arg)
{
	struct etcd *e = arg;

	/* One that is under way sets the timer at its end. */
	if (!e->request)
		etcd_check(e);
}

void etcd_check_soon(struct etcd *e)
{
	check_in(e, CHECK_MS);
}

void etcd_check_created(struct etcd *e)
{
	e->compare = e->behind > 0;
	check_in(e, e->compare ? COMPARE_SOON_MS : CHECK_MS);
}
