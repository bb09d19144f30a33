/* Counting connections by address: see tcp_limit.h. */
#include "dnsd/tcp_limit.h"

#include <errno.h>
#include <pthread.h>

#include "common/htable.h"

struct entry {
	struct hnode node;
	struct net_ip ip;
	unsigned n;
};

struct tcp_limit {
	pthread_mutex_t lock;
	unsigned clients, per_address, n;
	struct htable table; /* struct entry, one for each address with connections */
};

int tcp_limit_new(struct tcp_limit **ret)
{
	struct tcp_limit *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	htable_init(&t->table);
	*ret = t;
	return 0;
}

struct tcp_limit *tcp_limit_free(struct tcp_limit *t)
{
	if (!t)
		return NULL;
	htable_for_each (node, &t->table)
		free(CONTAINER_OF(node, struct entry, node));
	htable_deinit(&t->table);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

void tcp_limit_set(struct tcp_limit *t, unsigned clients, unsigned per_address)
{
	pthread_mutex_lock(&t->lock);
	t->clients = clients;
	t->per_address = per_address;
	pthread_mutex_unlock(&t->lock);
}

static struct entry *find(struct tcp_limit *t, const struct net_ip *ip, uint64_t hash)
{
	struct hnode *n;

	for (n = htable_first(&t->table, hash); n; n = htable_next(n)) {
		struct entry *e = CONTAINER_OF(n, struct entry, node);

		if (net_ip_eq(&e->ip, ip))
			return e;
	}
	return NULL;
}

static enum tcp_limit_result enter(struct tcp_limit *t, const struct net_ip *ip)
{
	uint64_t hash = htable_hash(ip, sizeof(*ip));
	struct entry *e = find(t, ip, hash);

	if (e && e->n >= t->per_address)
		return TCP_LIMIT_ADDRESS;
	if (t->n >= t->clients)
		return TCP_LIMIT_CLIENTS;
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return TCP_LIMIT_CLIENTS;
		e->ip = *ip;
		if (htable_insert(&t->table, &e->node, hash) < 0) {
			free(e);
			return TCP_LIMIT_CLIENTS;
		}
	}
	e->n++;
	t->n++;
	return TCP_LIMIT_OK;
}

enum tcp_limit_result tcp_limit_enter(struct tcp_limit *t, const struct net_ip *ip)
{
	enum tcp_limit_result r;

	pthread_mutex_lock(&t->lock);
	r = enter(t, ip);
	pthread_mutex_unlock(&t->lock);
	return r;
}

void tcp_limit_leave(struct tcp_limit *t, const struct net_ip *ip)
{
	uint64_t hash = htable_hash(ip, sizeof(*ip));
	struct entry *e;

	pthread_mutex_lock(&t->lock);
	e = find(t, ip, hash);
	t->n--;
	if (--e->n == 0) {
		htable_remove(&t->table, &e->node);
		free(e);
	}
	pthread_mutex_unlock(&t->lock);
}
