/* The pull ledger: see ledger.h. */
#include "regd/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cluster.h"
#include "common/htable.h"
#include "common/list.h"
#include "common/str.h"
#include "regd/meta.h"
#include "regd/name.h"
#include "regd/regd.h"
#include "regd/writer.h"

enum { PULLS_MAX = 16384, SAVE_MAX = 512 };

struct pull {
	struct hnode node, of_digest;
	struct list_link age; /* least recently pulled first */
	struct net_ip client;
	char digest[DIGEST_TEXT_MAX];
	char repository[NAME_MAX_LEN + 1];
	uint64_t count;
	int64_t first, last;
	bool dirty; /* the database does not know */
};

/* Rows on their way to the database. */
struct save {
	struct change change;
	struct ledger *ledger; /* NULL: it waits for nothing */
	size_t n;
	struct pull rows[];
};

struct ledger {
	struct htable table;
	struct htable
	    digests; /* the same by digest alone: a page asks for a thousand */
	struct list_link by_age;
	size_t n, n_dirty;
	bool saving;
	struct regd *regd;
};

static void forget(struct ledger *l, struct pull *p)
{
	htable_remove(&l->table, &p->node);
	htable_remove(&l->digests, &p->of_digest);
	list_remove(&p->age);
	l->n--;
	l->n_dirty -= p->dirty;
	free(p);
}

struct ledger *ledger_free(struct ledger *l)
{
	if (!l)
		return NULL;
	list_for_each_safe (it, &l->by_age)
		forget(l, CONTAINER_OF(it, struct pull, age));
	htable_deinit(&l->table);
	htable_deinit(&l->digests);
	free(l);
	return NULL;
}

static uint64_t digest_hash(const char *digest)
{
	return htable_hash(digest, strlen(digest));
}

/* The first, or next, of the pulls of a digest. */
static const struct pull *pull_of(struct hnode *n, const char *digest)
{
	for (; n; n = htable_next(n)) {
		const struct pull *p = CONTAINER_OF(n, struct pull, of_digest);

		if (str_eq(p->digest, digest))
			return p;
	}
	return NULL;
}

static const struct pull *first_of(const struct ledger *l, const char *digest)
{
	return pull_of(htable_first(&l->digests, digest_hash(digest)), digest);
}

static const struct pull *next_of(const struct pull *p)
{
	return pull_of(htable_next(&p->of_digest), p->digest);
}

/* What both sides of a comparison are hashed from. */
static uint64_t hash_of(
    const struct net_ip *client, const char *repository, const char *digest)
{
	return htable_hash(client, sizeof(*client)) ^ digest_hash(digest) * 3 ^
	    htable_hash(repository, strlen(repository)) * 5;
}

static struct pull *find(struct ledger *l, uint64_t hash, const struct net_ip *client,
    const char *repository, const char *digest)
{
	for (struct hnode *n = htable_first(&l->table, hash); n; n = htable_next(n)) {
		struct pull *p = CONTAINER_OF(n, struct pull, node);

		if (net_ip_eq(&p->client, client) && str_eq(p->digest, digest) &&
		    str_eq(p->repository, repository))
			return p;
	}
	return NULL;
}

/* The entry, made where there is none; NULL without memory. */
static struct pull *obtain(struct ledger *l, const struct net_ip *client,
    const char *repository, const char *digest, int64_t now)
{
	uint64_t hash = hash_of(client, repository, digest);
	struct pull *p = find(l, hash, client, repository, digest);

	if (p)
		return p;
	if (l->n >= PULLS_MAX)
		forget(l, CONTAINER_OF(list_first(&l->by_age), struct pull, age));
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->client = *client;
	snprintf(p->digest, sizeof(p->digest), "%s", digest);
	snprintf(p->repository, sizeof(p->repository), "%s", repository);
	p->first = now;
	if (htable_insert(&l->table, &p->node, hash) < 0) {
		free(p);
		return NULL;
	}
	if (htable_insert(&l->digests, &p->of_digest, digest_hash(digest)) < 0) {
		htable_remove(&l->table, &p->node);
		free(p);
		return NULL;
	}
	list_init(&p->age);
	list_append(&l->by_age, &p->age);
	l->n++;
	return p;
}

void ledger_pull(struct ledger *l, const struct net_ip *client, const char *repository,
    const char *digest, int64_t now)
{
	struct pull *p = obtain(l, client, repository, digest, now);

	if (!p)
		return;
	p->count++;
	p->last = now;
	l->n_dirty += !p->dirty;
	p->dirty = true;
	list_remove(&p->age);
	list_append(&l->by_age, &p->age);
}

/* --- on disk ---------------------------------------------------------------------- */

static int save_apply(struct change *c, struct db *db)
{
	struct save *s = CONTAINER_OF(c, struct save, change);
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		const struct pull *p = &s->rows[i];
		struct meta_pull row = {
			.client = net_ip_str(&p->client),
			.repository = p->repository,
			.digest = p->digest,
			.count = (int64_t)p->count,
			.first = p->first,
			.last = p->last,
		};

		r = meta_pull_put(db, &row);
	}
	return r < 0 ? r : meta_pulls_keep(db, PULLS_MAX);
}

/* What could not be written is lost at the next start; pulls go on. */
static void save_done(struct change *c)
{
	struct save *s = CONTAINER_OF(c, struct save, change);

	if (s->ledger)
		s->ledger->saving = false;
	free(s);
}

/* Posts up to SAVE_MAX rows that the database does not know, the latest ones first. */
static void save_some(struct ledger *l, bool last)
{
	size_t max = MIN(l->n_dirty, (size_t)SAVE_MAX);
	struct save *s = calloc(1, sizeof(*s) + max * sizeof(s->rows[0]));

	if (!s)
		return;
	s->ledger = last ? NULL : l;
	for (struct list_link *it = l->by_age.prev; it != &l->by_age && s->n < max;
	     it = it->prev) {
		struct pull *p = CONTAINER_OF(it, struct pull, age);

		if (!p->dirty)
			continue;
		p->dirty = false;
		l->n_dirty--;
		s->rows[s->n++] = *p;
	}
	s->change.dispensable = true;
	s->change.apply = save_apply;
	s->change.done = save_done;
	l->saving = !last;
	writer_post(l->regd->writer, &s->change);
}

void ledger_tick(struct ledger *l)
{
	if (l->n_dirty && !l->saving)
		save_some(l, false);
}

void ledger_save(struct ledger *l)
{
	while (l->n_dirty) {
		size_t before = l->n_dirty;

		save_some(l, true);
		if (l->n_dirty == before)
			return;
	}
}

static void load_one(void *arg, const struct meta_pull *row)
{
	struct ledger *l = arg;
	struct net_ip ip;
	struct pull *p;

	if (net_ip_parse(row->client, &ip) < 0 ||
	    strlen(row->digest) >= DIGEST_TEXT_MAX ||
	    strlen(row->repository) > NAME_MAX_LEN)
		return;
	p = obtain(l, &ip, row->repository, row->digest, row->first);
	if (!p)
		return;
	p->count = (uint64_t)row->count;
	p->last = row->last;
}

int ledger_new(struct ledger **ret, struct regd *g)
{
	_cleanup_(ledger_freep) struct ledger *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->regd = g;
	htable_init(&l->table);
	htable_init(&l->digests);
	list_init(&l->by_age);
	r = meta_pulls(g->db, load_one, l);
	if (r < 0)
		return r;
	*ret = TAKE(l);
	return 0;
}

/* --- for people ------------------------------------------------------------------- */

static const char *node_name(const struct cluster *c, const struct net_ip *ip)
{
	const struct cluster_node *node = c ? cluster_node_by_ip(c, ip) : NULL;

	return node ? node->name : NULL;
}

json_t *ledger_list(
    const struct ledger *l, const struct cluster *cluster, const char *digest)
{
	json_t *list = json_array();

	list_for_each (it, &l->by_age) {
		const struct pull *p = CONTAINER_OF(it, struct pull, age);

		if (digest && !str_eq(digest, p->digest))
			continue;
		json_array_append_new(list,
		    json_pack("{s:s,s:s?,s:s,s:s,s:I,s:I,s:I}", "client",
			net_ip_str(&p->client), "node", node_name(cluster, &p->client),
			"repository", p->repository, "digest", p->digest, "pulls",
			(json_int_t)p->count, "first", (json_int_t)p->first, "last",
			(json_int_t)p->last));
	}
	return list;
}

int64_t ledger_last(const struct ledger *l, const char *digest)
{
	int64_t last = 0;

	for (const struct pull *p = first_of(l, digest); p; p = next_of(p))
		last = MAX(last, p->last);
	return last;
}

static bool has_pulled(
    const struct ledger *l, const struct cluster_node *node, const char *digest)
{
	const struct net_ip *ip = conf_list_items(&node->addresses, struct net_ip);

	for (const struct pull *p = first_of(l, digest); p; p = next_of(p))
		for (size_t i = 0; i < node->addresses.n; i++)
			if (net_ip_eq(&ip[i], &p->client))
				return true;
	return false;
}

json_t *ledger_lacking(
    const struct ledger *l, const struct cluster *cluster, const char *digest)
{
	json_t *list = json_array();

	for (size_t i = 0; cluster && i < cluster_n_nodes(cluster); i++) {
		const struct cluster_node *node = cluster_node_at(cluster, i);

		if (!has_pulled(l, node, digest))
			json_array_append_new(list, json_string(node->name));
	}
	return list;
}
