/* Limits on replies: see rrl.h. */
#include "dnsd/rrl.h"

#include <errno.h>
#include <string.h>

#include "common/htable.h"

#define PLACES (1u << 16)
#define WINDOW_MS 1000

struct place {
	uint32_t sent, over;
	uint64_t since_ms;
};

struct rrl {
	struct place places[PLACES];
};

int rrl_new(struct rrl **ret)
{
	/* Pages that nobody is counted in take no memory. */
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct rrl *rrl_free(struct rrl *r)
{
	free(r);
	return NULL;
}

/* The client's network and what the reply is about. */
struct key {
	uint8_t net[16], family, kind;
	uint8_t name[DNS_NAME_MAX];
};

static void cut(uint8_t *to, const uint8_t *from, unsigned bytes, unsigned prefix)
{
	for (unsigned i = 0; i < bytes; i++, prefix -= MIN(prefix, 8u))
		to[i] =
		    prefix >= 8 ? from[i] : (uint8_t)(from[i] & (0xff00u >> prefix));
}

/* A flood of random names must not look like so many different questions, however many of
 * their labels are random: they are told by the name that answers for them all. */
static size_t put_name(uint8_t *to, const struct query *q)
{
	size_t off = q->source_at;

	if (q->rcode != DNS_NOERROR && q->rcode != DNS_NXDOMAIN)
		return 0;
	if (q->rcode == DNS_NXDOMAIN && !off && q->name.len > 1)
		off = q->name.wire[0] + 1u;
	memcpy(to, q->name.wire + off, q->name.len - off);
	return q->name.len - off;
}

static uint64_t hash_of(
    const struct rrl_settings *s, const struct sockaddr *peer, const struct query *q)
{
	struct net_ip ip = net_ip_from_sa(peer, NULL);
	struct key k = { .family = (uint8_t)ip.family };
	bool v4 = ip.family == 4;

	cut(k.net, ip.bytes, v4 ? 4 : 16, v4 ? s->prefix_v4 : s->prefix_v6);
	k.kind = (uint8_t)(q->rcode << 1 | (q->answers > 0));
	return htable_hash(&k, offsetof(struct key, name) + put_name(k.name, q));
}

enum rrl_verdict rrl_check(struct rrl *r, const struct rrl_settings *s,
    const struct sockaddr *peer, const struct query *q, uint64_t now_ms)
{
	struct place *p;

	if (q->cookie_valid || acl_allows(&s->exempt, peer))
		return RRL_SEND;
	p = &r->places[hash_of(s, peer, q) % PLACES];
	if (now_ms - p->since_ms >= WINDOW_MS)
		*p = (struct place){ .over = p->over, .since_ms = now_ms };
	if (p->sent < s->rate) {
		p->sent++;
		return RRL_SEND;
	}
	return s->slip && ++p->over % s->slip == 0 ? RRL_SLIP : RRL_DROP;
}
