/* Questions on their way to an upstream, and who waits for them: see forward.h. */
#include "dnsd/forward.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "dnsd/forward_impl.h"

#define TICK_MS 50
#define STALE_TTL 30        /* RFC 8767, 4 */
#define STALE_AFTER_MS 1800 /* who waits is served what is there: RFC 8767, 5 */

static uint64_t hash_of(const struct answer_question *q)
{
	return name_mix(name_hash(&q->name, 0),
	    2 * (q->type * 4ULL + q->dnssec + 2u * q->checking_disabled) + 1);
}

static struct question *question_find(
    struct forward *f, const struct answer_question *q)
{
	struct hnode *n = htable_first(&f->questions, hash_of(q));

	for (; n; n = htable_next(n)) {
		struct question *x = CONTAINER_OF(n, struct question, node);

		if (!x->probe && x->q.type == q->type && x->q.dnssec == q->dnssec &&
		    x->q.checking_disabled == q->checking_disabled &&
		    x->q.name.len == q->name.len &&
		    memcmp(x->q.name.wire, q->name.wire, q->name.len) == 0)
			return x;
	}
	return NULL;
}

void forward_start_tick(struct forward *f)
{
	struct timeval tv = ms_to_tv(TICK_MS);

	if (!event_pending(&f->tick, EV_TIMEOUT, NULL))
		event_add(&f->tick, &tv);
}

static void question_destroy(struct deferred *d)
{
	free(CONTAINER_OF(d, struct question, dead));
}

int question_new(
    struct question **ret, struct forward *f, const struct answer_question *q)
{
	struct question *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->dead.free = question_destroy;
	x->forward = f;
	x->fd = -1;
	x->q = *q;
	x->started_ms = loop_now_ms(f->loop);
	list_init(&x->attempt);
	list_init(&x->streamed);
	list_init(&x->waiters);
	list_init(&x->parts);
	if (htable_insert(&f->questions, &x->node, hash_of(q)) < 0) {
		free(x);
		return -ENOMEM;
	}
	counter_add(&f->stats->forward_waiting, 1);
	forward_start_tick(f);
	*ret = x;
	return 0;
}

void question_free(struct question *x)
{
	struct forward *f = x->forward;

	if (x->dead.pending)
		return;
	attempt_end(x);
	if (x->probe && x->upstream)
		x->upstream->probing = false;
	htable_remove(&f->questions, &x->node);
	counter_add(&f->stats->forward_waiting, (uint64_t)-1);
	loop_defer_free(f->loop, &x->dead);
}

/* --- who waits ---------------------------------------------------------- */

static void waiter_remove(struct forward_waiter *w)
{
	list_remove(&w->link);
	if (w->counted)
		TAKE(w->counted)->n_waiters--;
}

static void waiter_end(struct forward_waiter *w, const uint8_t *msg, size_t n)
{
	waiter_remove(w);
	w->reply(w, msg, n);
}

static void waiter_reply(
    struct forward *f, struct forward_waiter *w, const struct answer_aged *g)
{
	struct query_env env = {
		.tcp = w->tcp, .recursion = true, .rotate = f->settings->rotate
	};

	query_upstream(
	    &env, &w->q, w->head, f->out, w->tcp ? DNS_MESSAGE_MAX : QUERY_UDP_OUT, g);
	waiter_end(w, f->out, w->q.reply_len);
}

static void reply_all(struct question *x, const struct answer_aged *g)
{
	while (!list_empty(&x->waiters))
		waiter_reply(x->forward,
		    CONTAINER_OF(x->waiters.next, struct forward_waiter, link), g);
	while (!list_empty(&x->parts))
		glue_reply(x->parts.next, g);
}

static void reply_none(struct question *x)
{
	while (!list_empty(&x->waiters))
		waiter_end(CONTAINER_OF(x->waiters.next, struct forward_waiter, link),
		    NULL, 0);
	while (!list_empty(&x->parts))
		glue_reply(x->parts.next, &(struct answer_aged){ 0 });
}

void forward_forget(struct forward_waiter *w)
{
	waiter_remove(w);
	if (w->glue)
		glue_free(w->glue);
}

void forward_sift(
    struct forward *f, bool (*gone)(struct forward_waiter *w, void *arg), void *arg)
{
	htable_for_each (n, &f->questions) {
		struct question *x = CONTAINER_OF(n, struct question, node);

		list_for_each_safe (l, &x->waiters) {
			struct forward_waiter *w =
			    CONTAINER_OF(l, struct forward_waiter, link);

			if (gone(w, arg))
				waiter_end(w, NULL, 0);
		}
	}
	glue_sift(f, gone, arg);
}

/* --- the end of a question ---------------------------------------------- */

static void finish(struct question *x, struct answer *a)
{
	struct forward *f = x->forward;
	uint64_t arrived = loop_now_ms(f->loop);

	reply_all(x, &(struct answer_aged){ .answer = a });
	cache_put(f->cache, &x->q, a, arrived);
	counter_add(&f->stats->cache_entries,
	    cache_count(f->cache) - counter_get(&f->stats->cache_entries));
	counter_add(&f->stats->cache_bytes,
	    cache_bytes(f->cache) - counter_get(&f->stats->cache_bytes));
	question_free(x);
}

/* What is beyond its time, for want of something better (RFC 8767). */
static bool serve_stale(struct question *x)
{
	struct forward *f = x->forward;
	uint64_t now = loop_now_ms(f->loop);
	struct cache_entry *e = cache_find(f->cache, &x->q, now);

	if (!e)
		return false;
	e->retry_ms = now + f->settings->failure_ttl * 1000ULL;
	list_for_each (l, &x->waiters)
		counter_add(&f->stats->cache_stale, 1);
	reply_all(
	    x, &(struct answer_aged){ .answer = e->answer, .stale_ttl = STALE_TTL });
	return true;
}

static void question_fail(struct question *x, unsigned rcode)
{
	struct answer *a;

	if (x->probe)
		attempt_unanswered(x);
	if (x->probe || serve_stale(x)) {
		question_free(x);
		return;
	}
	if (answer_new_error(
		&a, x->q.name.len, rcode, x->forward->settings->failure_ttl) == 0) {
		finish(x, a);
		return;
	}
	reply_none(x);
	question_free(x);
}

void question_retry(struct question *x)
{
	if (x->probe)
		question_fail(x, DNS_SERVFAIL);
	else if (!attempt_next(x))
		question_fail(x, DNS_SERVFAIL);
}

/* An upstream that answers with an error may not be the last word. */
static bool others_left(const struct question *x)
{
	return x->tried != (1u << x->forward->n_upstreams) - 1;
}

/* An upstream that may not know EDNS is asked again without it; if that is no better it was
 * the question, and nobody else's are asked without.  True when it is asked. */
static bool blame_edns(struct question *x)
{
	struct upstream *u = x->upstream;
	bool had_opt = get16(x->sent + 10);

	if (had_opt && x->blamed != u) {
		x->blamed = u;
		u->no_edns = true;
		if (!attempt_again(x))
			question_retry(x);
		return true;
	}
	if (x->blamed == u)
		u->no_edns = false;
	return false;
}

static void count_reply(const struct question *x, unsigned rcode)
{
	stats_upstream_duration(x->forward->stats, x->upstream->index, rcode,
	    clock_boot_ns() - x->asked_ns);
}

void question_reply(struct question *x, uint8_t *msg, size_t n)
{
	const struct forward_settings *s = x->forward->settings;
	unsigned rcode = get16(msg + 2) & DNS_RCODE;
	struct answer *a;
	int r;

	if (x->probe) {
		question_free(x);
		return;
	}
	if (rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN) {
		count_reply(x, rcode);
		if ((rcode == DNS_FORMERR || rcode == DNS_NOTIMP) && !get16(msg + 10) &&
		    blame_edns(x))
			return;
		if (others_left(x))
			question_retry(x);
		else
			question_fail(x, rcode);
		return;
	}
	/* The case that was drawn is nobody else's business: other names of the reply may
	 * point into the question. */
	memcpy(msg + DNS_HEADER, x->q.name.wire, x->q.name.len);
	r = answer_new(&a, msg, n, &x->q, &s->limits);
	if (r == 0) {
		count_reply(x, rcode);
		finish(x, a);
	} else {
		attempt_failed(x);
	}
}

/* --- time --------------------------------------------------------------- */

static void question_tick(struct question *x, uint64_t now)
{
	const struct forward_settings *s = x->forward->settings;

	if (!x->stale && !x->probe && now - x->started_ms >= STALE_AFTER_MS)
		x->stale = serve_stale(x);
	if (!x->probe && now - x->started_ms >= s->timeout_ms) {
		counter_add(&x->forward->stats->forward_expired, 1);
		counter_add(&x->forward->stats->upstream_failed[x->upstream->index], 1);
		question_fail(x, DNS_SERVFAIL);
	} else if (now - x->attempt_ms >= MIN(s->attempt_ms, s->timeout_ms)) {
		attempt_failed(x);
	}
}

static void check_drained(struct forward *f)
{
	if (!f->drained || f->n_glued)
		return;
	htable_for_each (n, &f->questions) {
		struct question *x = CONTAINER_OF(n, struct question, node);

		if (!list_empty(&x->waiters))
			return;
	}
	TAKE(f->drained)(f->drained_arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct forward *f = arg;
	struct timeval tv = ms_to_tv(TICK_MS);
	uint64_t now = loop_now_ms(f->loop);
	bool down = false;

	/* By the attempt's time; what is asked again goes to the end. */
	list_for_each_safe (l, &f->attempts) {
		struct question *x = CONTAINER_OF(l, struct question, attempt);

		if (now - x->attempt_ms <
		    MIN(f->settings->attempt_ms, (uint64_t)TICK_MS))
			break;
		question_tick(x, now);
	}
	glue_tick(f, now);
	attempt_probe(f);
	check_drained(f);
	for (size_t i = 0; i < f->n_upstreams; i++)
		down |= f->upstreams[i].down;
	if (f->questions.n || f->n_glued || down || f->drained)
		event_add(&f->tick, &tv);
}

void forward_drain(struct forward *f, void (*done)(void *arg), void *arg)
{
	struct timeval tv = ms_to_tv(TICK_MS);

	f->drained = done;
	f->drained_arg = arg;
	check_drained(f);
	if (f->drained)
		event_add(&f->tick, &tv);
}

/* --- asking ------------------------------------------------------------- */

static void set_question(
    struct answer_question *x, const struct query *q, const uint8_t *start)
{
	const uint8_t *name = start + q->chase_at;

	if (q->chase_at)
		name_set(&x->name, name, name_scan(name, q->chase_end - q->chase_at));
	else
		x->name = q->name;
	x->type = q->type;
	x->dnssec = q->edns_do;
	x->checking_disabled = q->flags & DNS_CD;
}

static bool is_excepted(const struct forward_settings *s, const struct name_buf *name)
{
	for (size_t i = 0; i < s->n_except; i++) {
		const struct name_buf *z = &s->except[i];
		size_t off = 0;

		while (name->len - off > z->len)
			off += name->wire[off] + 1u;
		if (name->len - off == z->len &&
		    memcmp(name->wire + off, z->wire, z->len) == 0)
			return true;
	}
	return false;
}

/* Asks for what is popular and about to end, so that nobody has to wait for it. */
static void prefetch(struct forward *f, struct cache_entry *e,
    const struct answer_question *aq, uint64_t now)
{
	const struct forward_settings *s = f->settings;
	struct question *x;

	e->asked = now - e->asked_ms > s->prefetch_gap_ms ? 1 : e->asked + 1;
	e->asked_ms = now;
	if (e->asked < s->prefetch_often || now < e->retry_ms ||
	    (e->expires_ms - now) * 100 >
		(e->expires_ms - e->stored_ms) * s->prefetch_percent ||
	    f->questions.n >= s->max_concurrent || question_find(f, aq))
		return;
	if (question_new(&x, f, aq) < 0)
		return;
	counter_add(&f->stats->cache_prefetch, 1);
	if (!attempt_next(x))
		question_free(x);
}

/* What may be answered with, in found. */
static struct cache_entry *look_up(struct forward *f, const struct answer_question *aq,
    uint64_t now, struct answer_aged *found)
{
	struct cache_entry *e = cache_find(f->cache, aq, now);
	bool stale;

	if (!e)
		return NULL;
	stale = now >= e->expires_ms;
	if (stale && now >= e->retry_ms)
		return NULL;
	*found = (struct answer_aged){ e->answer,
		(uint32_t)((now - e->stored_ms) / 1000), stale ? STALE_TTL : 0 };
	return e;
}

bool forward_known(
    struct forward *f, const struct answer_question *aq, struct answer_aged *found)
{
	return look_up(f, aq, loop_now_ms(f->loop), found) != NULL;
}

bool forward_cached(
    struct forward *f, const struct answer_question *aq, struct answer_aged *found)
{
	uint64_t now = loop_now_ms(f->loop);
	struct cache_entry *e = look_up(f, aq, now, found);

	if (!e)
		return false;
	if (found->stale_ttl)
		counter_add(&f->stats->cache_stale, 1);
	counter_add(&f->stats->cache_hits[e->answer->n_answer == 0], 1);
	if (f->settings->prefetch_often && !found->stale_ttl)
		prefetch(f, e, aq, now);
	return true;
}

bool forward_may_ask(struct forward *f, const struct answer_question *aq)
{
	if (is_excepted(f->settings, &aq->name))
		return false;
	if (f->n_waiters < (size_t)f->settings->max_concurrent * FORWARD_WAITERS &&
	    (f->questions.n < f->settings->max_concurrent || question_find(f, aq)))
		return true;
	counter_add(&f->stats->forward_rejected, 1);
	return false;
}

static bool any_is_well(const struct forward *f)
{
	uint32_t looping =
	    __atomic_load_n(&f->settings->loop->looping, __ATOMIC_RELAXED);

	for (size_t i = 0; i < f->n_upstreams; i++)
		if (!f->upstreams[i].down && !(looping >> i & 1))
			return true;
	return false;
}

bool forward_may_ask_aside(struct forward *f, const struct answer_question *aq)
{
	const struct question *x;

	if (is_excepted(f->settings, &aq->name))
		return false;
	x = question_find(f, aq);
	if (x)
		return loop_now_ms(f->loop) - x->started_ms < f->settings->attempt_ms;
	return 2 * f->questions.n < f->settings->max_concurrent && any_is_well(f);
}

/* Our own question about a server comes back to us: it asks us, or asks somebody who does. */
static bool is_looping(struct forward *f, const struct name_buf *name)
{
	struct forward_loop *loop = f->settings->loop;

	for (unsigned i = 0; i < f->n_upstreams; i++) {
		struct name_buf own;
		uint32_t before;

		attempt_loop_name(f, i, &own);
		if (own.len != name->len || memcmp(own.wire, name->wire, own.len) != 0)
			continue;
		before = __atomic_fetch_or(&loop->looping, 1u << i, __ATOMIC_RELAXED);
		if (!(before >> i & 1))
			log_err(
			    "upstream %s asks this server in turn: a forwarding loop; "
			    "it is not asked any more",
			    net_endpoint_str(&f->settings->servers[i].at));
		return true;
	}
	return false;
}

enum forward_result forward_try(struct forward *f, const struct query_env *env,
    struct query *q, const uint8_t *in, uint8_t *out, size_t out_max)
{
	static const struct answer nothing = { .rcode = DNS_NOERROR };
	struct answer_question aq;
	struct answer_aged found;

	if (q->n_targets)
		return glue_try(f, env, q, out, out_max);
	if (!f->n_upstreams) {
		query_error(env, q, DNS_REFUSED, in, out, out_max);
		return FORWARD_ANSWERED;
	}
	in = query_begun(q, in, out);
	set_question(&aq, q, in);
	if (forward_cached(f, &aq, &found)) {
		query_upstream(env, q, in, out, out_max, &found);
		return FORWARD_ANSWERED;
	}
	counter_add(&f->stats->cache_misses, 1);
	if (_unlikely_(aq.type == DNS_HINFO) && is_looping(f, &aq.name)) {
		query_error(env, q, DNS_REFUSED, in, out, out_max);
		return FORWARD_ANSWERED;
	}
	/* What is ours is said all the same: the alias, as without RD. */
	if (q->chase_at && is_excepted(f->settings, &aq.name)) {
		query_upstream(env, q, in, out, out_max,
		    &(struct answer_aged){ .answer = &nothing });
		return FORWARD_ANSWERED;
	}
	if (!(q->flags & DNS_RD) || !forward_may_ask(f, &aq)) {
		q->chase_at = 0;
		query_error(env, q, DNS_REFUSED, in, out, out_max);
		return FORWARD_ANSWERED;
	}
	return FORWARD_WAIT;
}

static int waiter_init(
    struct forward_waiter *w, const struct query *q, bool tcp, const uint8_t *start)
{
	size_t n = q->question_end;

	if (q->n_targets)
		n = q->reply_len;
	else if (q->chase_at)
		n = q->chase_end;
	w->head = malloc(n);
	if (!w->head)
		return -ENOMEM;
	memcpy(w->head, start, n);
	w->q = *q;
	w->tcp = tcp;
	w->glue = NULL;
	w->counted = NULL;
	list_init(&w->link);
	return 0;
}

int question_ask(
    struct question **ret, struct forward *f, const struct answer_question *aq)
{
	struct question *x = question_find(f, aq);
	int r;

	if (x)
		counter_add(&f->stats->forward_merged, 1);
	else {
		r = question_new(&x, f, aq);
		if (r < 0)
			return r;
	}
	/* When nobody can be asked at all, the next tick says so, to all who have come until
	 * then. */
	if (!x->attempts && list_empty(&x->attempt) && !attempt_next(x)) {
		x->upstream = &f->upstreams[0];
		x->started_ms -= MIN(x->started_ms, f->settings->timeout_ms);
		list_append(&f->attempts, &x->attempt);
	}
	*ret = x;
	return 0;
}

int forward_wait(struct forward *f, struct forward_waiter *w, const struct query *q,
    bool tcp, const uint8_t *start)
{
	struct answer_question aq;
	struct question *x;
	int r = waiter_init(w, q, tcp, start);

	if (r < 0)
		return r;
	if (q->n_targets) {
		r = glue_wait(f, w);
	} else {
		set_question(&aq, q, start);
		r = question_ask(&x, f, &aq);
		if (r == 0) {
			list_append(&x->waiters, &w->link);
			w->counted = f;
			f->n_waiters++;
		}
	}
	if (r < 0) {
		free(w->head);
		w->head = NULL;
	}
	return r;
}

bool forward_active(const struct forward *f)
{
	return f->n_upstreams > 0;
}

/* --- life --------------------------------------------------------------- */

int forward_new(struct forward **ret, struct loop *l, struct stats *stats)
{
	_cleanup_(forward_freep) struct forward *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->loop = l;
	f->stats = stats;
	htable_init(&f->questions);
	list_init(&f->attempts);
	list_init(&f->glued);
	evtimer_assign(&f->tick, loop_base(l), on_tick, f);
	f->out = malloc(DNS_MESSAGE_MAX);
	if (!f->out)
		return -ENOMEM;
	r = cache_new(&f->cache);
	if (r < 0)
		return r;
	*ret = TAKE(f);
	return 0;
}

static void drop_all(struct forward *f)
{
	glue_drop(f);
	htable_for_each (n, &f->questions) {
		struct question *x = CONTAINER_OF(n, struct question, node);

		reply_none(x);
		question_free(x);
	}
}

struct forward *forward_free(struct forward *f)
{
	if (!f)
		return NULL;
	event_del(&f->tick);
	drop_all(f);
	for (size_t i = 0; i < f->n_upstreams; i++)
		upstream_deinit(&f->upstreams[i]);
	htable_deinit(&f->questions);
	f->cache = cache_free(f->cache);
	free(f->out);
	free(f);
	return NULL;
}

static bool same_servers(
    const struct forward_settings *a, const struct forward_settings *b)
{
	return a->n_servers == b->n_servers && a->tls == b->tls &&
	    memcmp(a->servers, b->servers, a->n_servers * sizeof(a->servers[0])) == 0;
}

static const struct forward_server *server_at(
    const struct forward_settings *s, size_t i)
{
	return s && i < s->n_servers ? &s->servers[i] : NULL;
}

/* Counted is by place: what was counted for one server is not another's. */
static void forget_counts(struct forward *f, const struct forward_settings *next)
{
	for (unsigned i = 0; i < FORWARD_SERVERS; i++) {
		const struct forward_server *a = server_at(f->settings, i),
					    *b = server_at(next, i);

		if (!a || !b || memcmp(a, b, sizeof(*a)) != 0)
			stats_forget_upstream(f->stats, i);
	}
}

/* What is on its way starts anew with other upstreams. */
static void ask_anew(struct forward *f)
{
	htable_for_each (n, &f->questions) {
		struct question *x = CONTAINER_OF(n, struct question, node);

		attempt_end(x);
		x->attempts = 0;
		x->tried = 0;
		x->upstream = x->blamed = NULL;
		if (x->probe)
			question_free(x);
	}
	htable_for_each (m, &f->questions) {
		struct question *x = CONTAINER_OF(m, struct question, node);

		if (!attempt_next(x)) {
			x->upstream = &f->upstreams[0];
			x->started_ms = 0;
			list_append(&f->attempts, &x->attempt);
		}
	}
}

void forward_configure(struct forward *f, const struct forward_settings *s)
{
	bool same = f->settings && same_servers(f->settings, s);

	if (same) {
		for (size_t i = 0; i < s->n_servers; i++)
			f->upstreams[i].server = &s->servers[i];
	} else {
		for (size_t i = 0; i < f->n_upstreams; i++)
			upstream_deinit(&f->upstreams[i]);
		cache_clear(f->cache);
		forget_counts(f, s);
	}
	f->settings = s;
	cache_limit(f->cache, s->cache_bytes, s->stale_ms);
	if (same) {
		attempt_find_loops(f);
		return;
	}
	f->n_upstreams = s->n_servers;
	for (unsigned i = 0; i < s->n_servers; i++)
		upstream_init(&f->upstreams[i], f, i);
	ask_anew(f);
	attempt_find_loops(f);
}

void forward_clear_cache(struct forward *f)
{
	cache_clear(f->cache);
}
