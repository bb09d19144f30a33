/*
 * Asking one upstream, over UDP with a socket of its own for each attempt, or over the
 * upstream's stream: TLS, replies that were truncated, and questions about which too
 * many wrong replies came, which is what a forger's attempt looks like (RFC 5452, 9.3).
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "dnsd/forward_impl.h"

#define WRONG_MAX 8   /* replies to one attempt that fit not */
#define CASE_MISSES 3 /* after which an upstream is asked in lower case */
#define BIND_TRIES 4  /* random ports tried before the kernel chooses */
#define READ_BATCH 8
#define PROBE_MS 500
#define ATTEMPTS_MAX 16 /* for one question */

uint64_t forward_random(struct forward *f)
{
	uint64_t v;

	if (f->n_random < sizeof(v)) {
		random_bytes(f->random, sizeof(f->random));
		f->n_random = sizeof(f->random);
	}
	f->n_random -= sizeof(v);
	memcpy(&v, f->random + f->n_random, sizeof(v));
	memset(f->random + f->n_random, 0, sizeof(v));
	return v;
}

static bool is_letter(uint8_t c)
{
	return c >= 'a' && c <= 'z';
}

/* The message, with a new ID and the letters' case drawn anew. */
static void compose(struct question *x)
{
	const struct upstream *u = x->upstream;
	uint8_t *p = x->sent + DNS_HEADER;
	size_t len = x->q.name.len;
	uint64_t bits = 0;

	memset(x->sent, 0, DNS_HEADER);
	put16(x->sent, (unsigned)forward_random(x->forward) & 0xffff);
	put16(x->sent + 2, DNS_RD | (x->q.checking_disabled ? DNS_CD : 0));
	put16(x->sent + 4, 1);
	memcpy(p, x->q.name.wire, len);
	for (size_t i = 0;
	     i < len && x->forward->settings->random_case && !u->plain_case;
	     i++, bits >>= 1) {
		if (i % 64 == 0)
			bits = forward_random(x->forward);
		if (bits & 1 && is_letter(p[i]))
			p[i] = (uint8_t)(p[i] - 'a' + 'A');
	}
	p += len;
	put16(p, x->q.type);
	put16(p + 2, DNS_IN);
	p += 4;
	if (!u->no_edns) {
		memset(p, 0, DNS_OPT_LEN);
		put16(p + 1, DNS_OPT);
		put16(p + 3, DNS_UDP_MAX);
		put16(p + 7, x->q.dnssec ? DNS_DO : 0);
		p += DNS_OPT_LEN;
		put16(x->sent + 10, 1);
	}
	x->sent_len = (uint16_t)(p - x->sent);
}

static void upstream_well(struct upstream *u)
{
	u->fails = 0;
	if (!u->down)
		return;
	u->down = false;
	counter_add(&u->forward->stats->upstream_down[u->index], (uint64_t)-1);
	log_info("upstream %s answers again", net_endpoint_str(&u->server->at));
}

static void upstream_ill(struct upstream *u)
{
	counter_add(&u->forward->stats->upstream_failed[u->index], 1);
	if (++u->fails <= u->forward->settings->max_fails || u->down)
		return;
	u->down = true;
	counter_add(&u->forward->stats->upstream_down[u->index], 1);
	log_warning("upstream %s does not answer: it is avoided until it does",
	    net_endpoint_str(&u->server->at));
}

void attempt_end(struct question *x)
{
	if (x->fd >= 0) {
		event_del(&x->ev);
		x->fd = fd_close(x->fd);
	}
	list_remove(&x->streamed);
	list_remove(&x->attempt);
}

static void case_missed(struct upstream *u)
{
	if (++u->case_misses >= CASE_MISSES)
		u->plain_case = true;
}

void attempt_failed(struct question *x)
{
	struct upstream *u = x->upstream;

	attempt_end(x);
	/* It has no TCP to be asked again over. */
	if (x->miscased)
		case_missed(u);
	if (!x->probe)
		upstream_ill(u);
	else
		attempt_probe_failed(x);
	question_retry(x);
}

/* --- over a stream ------------------------------------------------------ */

static bool send_streamed(struct question *x)
{
	struct upstream *u = x->upstream;

	attempt_end(x);
	compose(x);
	if (!u->stream || stream_send(u->stream, x->sent, x->sent_len) < 0)
		return false;
	list_append(&u->streamed, &x->streamed);
	x->attempt_ms = loop_now_ms(x->forward->loop);
	list_append(&x->forward->attempts, &x->attempt);
	return true;
}

static void on_stream_message(void *arg, uint8_t *msg, size_t n)
{
	struct upstream *u = arg;

	list_for_each_safe (l, &u->streamed) {
		struct question *x = CONTAINER_OF(l, struct question, streamed);
		enum answer_check c = answer_check(msg, n, x->sent, x->sent_len);

		if (c == ANSWER_WRONG)
			continue;
		/* Over a connection nobody forges: the case may be anything, and what
		 * is marked as cut off is all there is. */
		if (c == ANSWER_CASE)
			case_missed(u);
		attempt_end(x);
		upstream_well(u);
		question_reply(x, msg, n);
		return;
	}
	counter_add(&u->forward->stats->forward_wrong, 1);
}

static void on_stream_closed(void *arg, const char *why)
{
	struct upstream *u = arg;
	struct list_link failed;

	log_debug("upstream %s: %s", net_endpoint_str(&u->server->at), why);
	list_init(&failed);
	/* Those that are asked anew come behind these. */
	while (!list_empty(&u->streamed)) {
		struct list_link *l = u->streamed.next;

		list_remove(l);
		list_append(&failed, l);
	}
	while (!list_empty(&failed))
		attempt_failed(CONTAINER_OF(failed.next, struct question, streamed));
}

static const struct stream_ops stream_ops = {
	.message = on_stream_message,
	.closed = on_stream_closed,
};

/* --- over UDP ----------------------------------------------------------- */

static void take_reply(struct question *x, uint8_t *msg, size_t n)
{
	struct upstream *u = x->upstream;

	switch (answer_check(msg, n, x->sent, x->sent_len)) {
	case ANSWER_OK:
		attempt_end(x);
		upstream_well(u);
		question_reply(x, msg, n);
		return;
	case ANSWER_TRUNCATED:
		upstream_well(u);
		counter_add(&u->forward->stats->forward_truncated, 1);
		if (!send_streamed(x))
			attempt_failed(x);
		return;
	case ANSWER_CASE:
		x->miscased = true;
		break;
	case ANSWER_WRONG:
		counter_add(&u->forward->stats->forward_wrong, 1);
		if (++x->wrong < WRONG_MAX)
			return;
		break;
	}
	/* Suspicious: asked again in a way that cannot be forged from aside. */
	if (!send_streamed(x))
		attempt_failed(x);
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct question *x = arg;
	uint8_t *buf = x->forward->out;

	for (int i = 0; i < READ_BATCH && x->fd == fd; i++) {
		ssize_t n = recv(fd, buf, DNS_MESSAGE_MAX, MSG_DONTWAIT);

		if (n >= 0)
			take_reply(x, buf, (size_t)n);
		else if (errno == EAGAIN || errno == EINTR)
			return;
		else
			attempt_failed(x);
	}
}

/* A socket with a port that nobody can guess. */
static int open_socket(struct forward *f, const struct forward_server *s)
{
	union net_sockaddr own = { 0 }, to;
	socklen_t len = net_endpoint_to_sa(&s->at, &to);
	int fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	own.sa.sa_family = to.sa.sa_family;
	for (int i = 0; i < BIND_TRIES; i++) {
		/* Both families have the port in the same place. */
		own.in.sin_port =
		    htons((uint16_t)(1024 + forward_random(f) % (65536 - 1024)));
		if (bind(fd, &own.sa, len) == 0)
			break;
	}
	if (connect(fd, &to.sa, len) < 0) {
		int r = -errno;

		fd_close(fd);
		return r;
	}
	return fd;
}

static bool send_udp(struct question *x)
{
	struct forward *f = x->forward;
	int fd = open_socket(f, x->upstream->server);

	if (fd < 0)
		return false;
	compose(x);
	event_assign(&x->ev, loop_base(f->loop), fd, EV_READ | EV_PERSIST, on_udp, x);
	if (send(fd, x->sent, x->sent_len, MSG_DONTWAIT) < 0 ||
	    event_add(&x->ev, NULL) < 0) {
		fd_close(fd);
		return false;
	}
	x->fd = fd;
	x->wrong = 0;
	x->attempt_ms = loop_now_ms(f->loop);
	list_append(&f->attempts, &x->attempt);
	return true;
}

/* --- whom to ask -------------------------------------------------------- */

/* The one of rank i among n by the policy. */
static unsigned order(struct forward *f, unsigned i, unsigned first)
{
	return f->settings->policy == FORWARD_SEQUENTIAL
	    ? i
	    : (first + i) % (unsigned)f->n_upstreams;
}

/* The next to ask: one that is well and was not tried, then one that was not tried, then
 * any that is well, then any. */
static struct upstream *pick(struct question *x)
{
	struct forward *f = x->forward;
	struct upstream *best = NULL;
	uint32_t looping =
	    __atomic_load_n(&f->settings->loop->looping, __ATOMIC_RELAXED);
	unsigned best_cost = 4, first = 0;

	if (f->settings->policy == FORWARD_RANDOM && f->n_upstreams > 1)
		first = (unsigned)(forward_random(f) % f->n_upstreams);
	else if (f->settings->policy == FORWARD_ROUND_ROBIN)
		first = x->attempts ? f->turn : f->turn++;
	for (unsigned i = 0; i < f->n_upstreams; i++) {
		struct upstream *u = &f->upstreams[order(f, i, first)];
		unsigned cost = 2 * (x->tried >> u->index & 1) + u->down;

		if (cost < best_cost && !(looping >> u->index & 1)) {
			best = u;
			best_cost = cost;
		}
	}
	return best;
}

static bool send_to(struct question *x, struct upstream *u)
{
	x->upstream = u;
	x->miscased = false;
	x->tried |= 1u << u->index;
	x->attempts++;
	x->asked_ns = clock_boot_ns();
	if (!x->probe)
		counter_add(&x->forward->stats->upstream_requests[u->index], 1);
	return u->server->tls ? send_streamed(x) : send_udp(x);
}

bool attempt_next(struct question *x)
{
	while (x->attempts < ATTEMPTS_MAX) {
		struct upstream *u = pick(x);
		bool again = u && x->tried >> u->index & 1;

		/* One that is down is picked when all are. */
		if (!x->attempts && (!u || u->down))
			counter_add(&x->forward->stats->forward_broken, 1);
		/* Whoever refused at once is not asked in a circle. */
		if (!u || (again && x->attempts > 2 * x->forward->n_upstreams + 6))
			return false;
		if (send_to(x, u))
			return true;
		upstream_ill(u);
	}
	return false;
}

bool attempt_again(struct question *x)
{
	return send_to(x, x->upstream);
}

/* --- health ------------------------------------------------------------- */

/* What finds loops says nothing of an upstream's health. */
void attempt_probe_failed(const struct question *x)
{
	if (x->q.type == DNS_NS)
		counter_add(
		    &x->forward->stats->upstream_probe_failed[x->upstream->index], 1);
}

/* A question that nobody waits for. */
static void probe(struct upstream *u, const struct answer_question *q)
{
	struct question *x;

	if (question_new(&x, u->forward, q) < 0)
		return;
	x->probe = true;
	u->probing = true;
	if (!send_to(x, u)) {
		attempt_probe_failed(x);
		u->probing = false;
		attempt_unanswered(x);
		question_free(x);
	}
}

void attempt_unanswered(const struct question *x)
{
	if (x->q.type == DNS_HINFO && x->upstream)
		__atomic_fetch_and(&x->forward->settings->loop->asked,
		    ~(1u << x->upstream->index), __ATOMIC_RELAXED);
}

void attempt_loop_name(const struct forward *f, unsigned i, struct name_buf *name)
{
	const struct forward_loop *loop = f->settings->loop;
	uint8_t wire[DNS_NAME_MAX];

	wire[0] = 2 * sizeof(loop->token) + 2;
	hex_encode(loop->token, sizeof(loop->token), (char *)wire + 1);
	wire[wire[0] - 1] = (uint8_t)('a' + i);
	wire[wire[0]] = 'x';
	wire[wire[0] + 1] = 0;
	name_set(name, wire, wire[0] + 2u);
}

void attempt_find_loops(struct forward *f)
{
	for (unsigned i = 0; f->settings->find_loops && i < f->n_upstreams; i++) {
		struct answer_question q = { .type = DNS_HINFO };
		uint32_t before = __atomic_fetch_or(
		    &f->settings->loop->asked, 1u << i, __ATOMIC_RELAXED);

		if (before >> i & 1)
			continue;
		attempt_loop_name(f, i, &q.name);
		probe(&f->upstreams[i], &q);
	}
}

void attempt_probe(struct forward *f)
{
	uint64_t now = loop_now_ms(f->loop);
	bool any = false;

	for (size_t i = 0; i < f->n_upstreams; i++) {
		struct answer_question q = { .type = DNS_NS };
		struct upstream *u = &f->upstreams[i];

		q.name.len = 1;
		if (!u->down || u->probing || now - u->probe_ms < PROBE_MS)
			continue;
		u->probe_ms = now;
		probe(u, &q);
		any = true;
	}
	/* One that was not there when it was asked, or is silent because it asks us. */
	if (any)
		attempt_find_loops(f);
}

void upstream_init(struct upstream *u, struct forward *f, unsigned index)
{
	const struct forward_server *s = &f->settings->servers[index];

	*u = (struct upstream){ .forward = f, .server = s, .index = index };
	list_init(&u->streamed);
	/* Without a stream it is UDP alone. */
	if (stream_new(&u->stream, f->loop, &s->at, s->tls ? f->settings->tls : NULL,
		s->name[0] ? s->name : NULL, &stream_ops, u) < 0)
		u->stream = NULL;
}

void upstream_deinit(struct upstream *u)
{
	if (u->down)
		counter_add(&u->forward->stats->upstream_down[u->index], (uint64_t)-1);
	u->stream = stream_free(u->stream);
}
