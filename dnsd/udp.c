/*
 * UDP: see udp.h.
 *
 * Almost all that a query costs is the kernel's, so what counts is how often and how the
 * kernel is called.  A socket that is bound to an address answers from it by itself;
 * packet info, which costs a control message both ways, is for wildcard sockets.  Replies
 * of a batch that have one receiver and one size (forwarders ask from few sockets) go out
 * as segments of one message, which the kernel takes apart again: the receiver sees the
 * same datagrams.  DF is set and no path MTU believed (RFC 9715): a reply of 1232 bytes
 * fits wherever IPv6 does, and nobody can make us send fragments.
 */
#include "dnsd/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "dnsd/qlog.h"
#include "dnsd/wild.h"

/* So many batches for one socket before others have their turn. */
#define ROUNDS 8
/* A multiple of the cache line, with room for the largest reply. */
#define BUFFER 1280
#define CONTROL 64
#define SEGMENTS_MAX 60000 /* bytes of one message that is to be taken apart */

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

_Static_assert(BUFFER >= QUERY_UDP_OUT, "a reply fits its buffer");

union control {
	size_t align; /* as a struct cmsghdr is */
	uint8_t b[CONTROL];
};

/* Replies with one receiver and one size. */
struct group {
	uint8_t first, last, count; /* messages of the batch, linked by next */
	uint16_t len;
};

struct udp_batch {
	struct mmsghdr rx[UDP_BATCH], tx[UDP_BATCH];
	struct iovec iov[UDP_BATCH], tx_iov[UDP_BATCH];
	union net_sockaddr peer[UDP_BATCH];
	union control control[UDP_BATCH], tx_control[UDP_BATCH];
	struct group groups[UDP_BATCH];
	unsigned n_groups;
	uint64_t arrived_ns; /* when the batch was read */
	uint8_t next[UDP_BATCH];
	uint8_t latest[128]; /* group for a hash of port and size, from 1 */
	int fd;              /* whose messages these are */
	unsigned used;    /* entries of rx whose lengths are those of the last batch */
	bool wildcard;    /* what rx is prepared for */
	bool no_segments; /* the kernel or an interface did not take them */
	uint8_t buf[UDP_BATCH][BUFFER] __attribute__((aligned(64)));
};

int udp_batch_new(struct udp_batch **ret)
{
	struct udp_batch *b = aligned_alloc(64, (sizeof(*b) + 63) & ~(size_t)63);

	if (!b)
		return -ENOMEM;
	memset(b->rx, 0, sizeof(b->rx));
	memset(b->tx, 0, sizeof(b->tx));
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		b->iov[i] = (struct iovec){ b->buf[i], BUFFER };
		b->rx[i].msg_hdr.msg_name = &b->peer[i];
		b->rx[i].msg_hdr.msg_iov = &b->iov[i];
		b->rx[i].msg_hdr.msg_iovlen = 1;
	}
	b->used = UDP_BATCH;
	b->wildcard = b->no_segments = false;
	*ret = b;
	return 0;
}

struct udp_batch *udp_batch_free(struct udp_batch *b)
{
	free(b);
	return NULL;
}

static void set_probe(int fd, int family)
{
	static const int v4 = IP_PMTUDISC_PROBE, v6 = IPV6_PMTUDISC_PROBE;

	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

bool udp_prepare(int fd)
{
	static const int off = 0;
	union net_sockaddr sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, &sa.sa, &len) < 0)
		return true;
	set_probe(fd, sa.sa.sa_family);
	/* An IPv6 socket tells mapped IPv4 addresses in its own kind of packet info. */
	if (sa.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &off, sizeof(off));
	if (sa.sa.sa_family == AF_INET ? sa.in.sin_addr.s_addr == 0
				       : IN6_IS_ADDR_UNSPECIFIED(&sa.in6.sin6_addr))
		return true;
	if (sa.sa.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &off, sizeof(off));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &off, sizeof(off));
	return false;
}

/* Makes the control messages that came with a query fit for its reply: the same address of
 * ours, and the way that the routes say, but for link-local addresses. */
static void turn_control(struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *p = (struct in_pktinfo *)CMSG_DATA(c);

			p->ipi_ifindex = 0;
		} else if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *p = (struct in6_pktinfo *)CMSG_DATA(c);

			if (!IN6_IS_ADDR_LINKLOCAL(&p->ipi6_addr))
				p->ipi6_ifindex = 0;
		}
	}
}

/* No resolver asks from the ports of other services: a reply there starts a loop or
 * serves an attacker. */
static bool is_reflection(const union net_sockaddr *peer)
{
	/* Both families have the port in the same place. */
	uint16_t port = ntohs(peer->in.sin_port);

	return _unlikely_(port < 1024 && port != 53);
}

/* Who asked over UDP, and waits for an upstream or for a wildcard's names. */
struct udp_waiter {
	struct forward_waiter waiter;
	const struct server_env *env;
	int fd;
	union net_sockaddr peer;
	struct msghdr msg;
	size_t request_len;
	uint64_t arrived_ns;
	union control control;
};

/* What becomes of the reply: with RRL_SLIP it is another, in out. */
static __attribute__((noinline)) enum rrl_verdict limit(const struct server_env *env,
    const struct sockaddr *peer, struct query *q, const uint8_t *in, uint8_t *out)
{
	struct query_env qe = { .recursion = env->recursion };
	enum rrl_verdict v = rrl_check(
	    env->rrl, &env->settings->rrl, peer, q, clock_boot_ns() / 1000000);

	if (v == RRL_SLIP) {
		counter_add(&env->stats->rrl_slipped, 1);
		query_limit(&qe, q, in, out, QUERY_UDP_OUT);
	} else if (v == RRL_DROP) {
		counter_add(&env->stats->rrl_dropped, 1);
	}
	return v;
}

static void on_reply(struct forward_waiter *fw, const uint8_t *msg, size_t n)
{
	struct udp_waiter *w = CONTAINER_OF(fw, struct udp_waiter, waiter);
	struct iovec iov = { (void *)msg, n };
	const struct server_env *env = w->env;
	uint64_t ns = clock_boot_ns() - w->arrived_ns;
	uint8_t limited[QUERY_UDP_OUT];

	if (n && _unlikely_(env->settings->rrl.rate)) {
		enum rrl_verdict v = limit(env, &w->peer.sa, &fw->q, fw->head, limited);

		if (v == RRL_DROP)
			n = 0;
		else if (v == RRL_SLIP)
			iov = (struct iovec){ limited, fw->q.reply_len };
	}
	w->msg.msg_iov = &iov;
	w->msg.msg_iovlen = 1;
	if (n) {
		if (sendmsg(w->fd, &w->msg, MSG_DONTWAIT) < 0)
			counter_add(&env->stats->send_failed, 1);
		if (fw->q.reply_flags & DNS_TC)
			counter_add(&env->stats->truncated, 1);
		stats_reply(env->stats, &fw->q, STATS_UDP,
		    w->peer.sa.sa_family != AF_INET, w->request_len);
		stats_duration(env->stats, ns, 1);
		if (env->settings->log)
			qlog_reply(
			    env, &fw->q, STATS_UDP, &w->peer.sa, w->request_len, ns);
	}
	free(fw->head);
	free(w);
}

int udp_waiter_fd(const struct forward_waiter *w)
{
	return w->reply == on_reply ? CONTAINER_OF(w, struct udp_waiter, waiter)->fd
				    : -1;
}

/* False when it has to be answered at once: there is no memory, or too many wait. */
static bool wait_for_reply(struct udp_batch *b, unsigned i,
    const struct server_env *env, const struct query *q, bool wildcard)
{
	struct msghdr *rx = &b->rx[i].msg_hdr;
	struct udp_waiter *w = malloc(sizeof(*w));
	int r;

	if (!w)
		return false;
	w->env = env;
	w->fd = b->fd;
	w->peer = b->peer[i];
	w->request_len = b->rx[i].msg_len;
	w->arrived_ns = b->arrived_ns;
	w->waiter.reply = on_reply;
	w->msg =
	    (struct msghdr){ .msg_name = &w->peer, .msg_namelen = rx->msg_namelen };
	if (b->wildcard) {
		turn_control(rx);
		memcpy(&w->control, rx->msg_control, rx->msg_controllen);
		w->msg.msg_control = &w->control;
		w->msg.msg_controllen = rx->msg_controllen;
	}
	r = wildcard ? wild_wait(env->wild, &w->waiter, q, false, b->buf[i])
		     : forward_wait(env->forward, &w->waiter, q, false, b->buf[i]);
	if (r < 0)
		free(w);
	return r == 0;
}

/* The length of the reply to message i, which is in its buffer then; 0 for none. */
static size_t answer(struct udp_batch *b, unsigned i, const struct server_env *env)
{
	struct query_env qe = { .zone = env->zone,
		.templates = env->settings->templates,
		.stats = env->stats,
		.peer = &b->peer[i].sa,
		.cookies = env->cookies,
		.recursion = env->recursion,
		.wildcards = env->wild != NULL,
		.rotate = env->settings->rotate };
	size_t n = b->rx[i].msg_len;
	enum query_outcome o;
	struct query q;

	if (is_reflection(&b->peer[i])) {
		counter_add(&env->stats->reflected, 1);
		return 0;
	}
	qe.refuse = !acl_allows(&env->settings->acl, &b->peer[i].sa);
	o = query_answer(&qe, &q, b->buf[i], n, b->buf[i], BUFFER);
	if (_unlikely_(o == QUERY_SILENT)) {
		counter_add(&env->stats->silent, 1);
		return 0;
	}
	if (_unlikely_(o == QUERY_WILDCARD) ||
	    (o == QUERY_FORWARD &&
		forward_try(env->forward, &qe, &q, b->buf[i], b->buf[i], BUFFER) ==
		    FORWARD_WAIT)) {
		if (wait_for_reply(b, i, env, &q, o == QUERY_WILDCARD))
			return 0;
		/* Silence would have the client wait, and ask nobody else meanwhile. */
		query_give_up(&qe, &q, b->buf[i], b->buf[i], BUFFER);
	}
	if (_unlikely_(env->settings->rrl.rate) &&
	    limit(env, &b->peer[i].sa, &q, b->buf[i], b->buf[i]) == RRL_DROP)
		return 0;
	if (_unlikely_(qe.refuse))
		counter_add(&env->stats->not_allowed, 1);
	if (_unlikely_(b->buf[i][2] & DNS_TC >> 8))
		counter_add(&env->stats->truncated, 1);
	stats_reply(env->stats, &q, STATS_UDP, b->peer[i].sa.sa_family != AF_INET, n);
	if (_unlikely_(env->settings->log))
		qlog_reply(env, &q, STATS_UDP, &b->peer[i].sa, n,
		    clock_boot_ns() - b->arrived_ns);
	return q.reply_len;
}

/* Puts the reply of len bytes to message i into a group. */
static void group_add(struct udp_batch *b, unsigned i, size_t len)
{
	uint16_t port = ntohs(b->peer[i].in.sin_port);
	unsigned hash = (port ^ port >> 6 ^ (unsigned)len * 5) % sizeof(b->latest);
	uint8_t *slot = &b->latest[hash];
	socklen_t n = b->rx[i].msg_hdr.msg_namelen;
	struct group *g = *slot ? &b->groups[*slot - 1] : NULL;

	if (g && g->len == len && !b->wildcard && !b->no_segments &&
	    (g->count + 1u) * len <= SEGMENTS_MAX &&
	    n == b->rx[g->first].msg_hdr.msg_namelen &&
	    memcmp(&b->peer[i], &b->peer[g->first], n) == 0) {
		b->next[g->last] = (uint8_t)i;
		g->last = (uint8_t)i;
		g->count++;
		return;
	}
	b->groups[b->n_groups++] =
	    (struct group){ (uint8_t)i, (uint8_t)i, 1, (uint16_t)len };
	*slot = (uint8_t)b->n_groups;
}

static void answer_all(struct udp_batch *b, unsigned n, const struct server_env *env)
{
	unsigned replies = 0;

	b->arrived_ns = clock_boot_ns();
	b->n_groups = 0;
	memset(b->latest, 0, sizeof(b->latest));
	for (unsigned i = 0; i < n; i++) {
		size_t len = answer(b, i, env);

		if (len) {
			group_add(b, i, len);
			replies++;
		}
	}
	stats_duration(env->stats, clock_boot_ns() - b->arrived_ns, replies);
}

static void set_segment(struct msghdr *m, union control *control, uint16_t len)
{
	struct cmsghdr *c;

	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(sizeof(len));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(len));
	memcpy(CMSG_DATA(c), &len, sizeof(len));
}

/* Turns the groups into messages to send. */
static void compose(struct udp_batch *b)
{
	struct iovec *iov = b->tx_iov;

	for (unsigned k = 0; k < b->n_groups; k++) {
		const struct group *g = &b->groups[k];
		struct msghdr *rx = &b->rx[g->first].msg_hdr, *tx = &b->tx[k].msg_hdr;
		unsigned i = g->first;

		*tx = (struct msghdr){ .msg_name = rx->msg_name,
			.msg_namelen = rx->msg_namelen,
			.msg_iov = iov,
			.msg_iovlen = g->count };
		for (unsigned left = g->count; left; left--, i = b->next[i])
			*iov++ = (struct iovec){ b->buf[i], g->len };
		if (g->count > 1) {
			set_segment(tx, &b->tx_control[k], g->len);
		} else if (b->wildcard) {
			turn_control(rx);
			tx->msg_control = rx->msg_control;
			tx->msg_controllen = rx->msg_controllen;
		}
	}
}

/* Sends the replies of a group that was refused as one message. */
static void send_apart(struct udp_batch *b, int fd, unsigned k, struct stats *stats)
{
	struct msghdr *m = &b->tx[k].msg_hdr;
	size_t left = m->msg_iovlen;

	m->msg_control = NULL;
	m->msg_controllen = 0;
	m->msg_iovlen = 1;
	for (; left; left--, m->msg_iov++)
		if (sendmsg(fd, m, MSG_DONTWAIT) < 0)
			counter_add(&stats->send_failed, 1);
}

/* A reply that the kernel refuses (no route back, a full queue) is that client's loss. */
static void send_all(struct udp_batch *b, int fd, struct stats *stats)
{
	unsigned k = 0;

	while (k < b->n_groups) {
		int r = sendmmsg(fd, b->tx + k, b->n_groups - k, MSG_DONTWAIT);

		if (r > 0) {
			k += (unsigned)r;
		} else if (b->groups[k].count > 1 && errno != EAGAIN &&
		    errno != EINTR) {
			b->no_segments = true;
			send_apart(b, fd, k++, stats);
		} else if (errno != EINTR) {
			counter_add(&stats->send_failed, b->groups[k++].count);
		}
	}
}

/* Tells the kernel again how much room there is. */
static void prepare(struct udp_batch *b, bool wildcard)
{
	unsigned n = wildcard == b->wildcard ? b->used : UDP_BATCH;

	for (unsigned i = 0; i < n; i++) {
		struct msghdr *m = &b->rx[i].msg_hdr;

		b->iov[i].iov_len = BUFFER;
		m->msg_namelen = sizeof(b->peer[i]);
		m->msg_control = wildcard ? &b->control[i] : NULL;
		m->msg_controllen = wildcard ? sizeof(b->control[i]) : 0;
	}
	b->wildcard = wildcard;
	b->used = 0;
}

bool udp_serve(struct udp_batch *b, int fd, bool wildcard, const struct server_env *env)
{
	int n = UDP_BATCH;

	b->fd = fd;
	for (int round = 0; n == UDP_BATCH && round < ROUNDS; round++) {
		prepare(b, wildcard);
		n = recvmmsg(fd, b->rx, UDP_BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			return round > 0;
		b->used = (unsigned)n;
		answer_all(b, (unsigned)n, env);
		compose(b);
		send_all(b, fd, env->stats);
	}
	return true;
}
