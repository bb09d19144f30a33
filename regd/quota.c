/* Quotas: see quota.h. */
#include "regd/quota.h"

#include <string.h>

#include "regd/acl.h"
#include "regd/regd.h"

static bool fits(const struct quota *q, const char *repository)
{
	char **patterns = conf_list_items(&q->repositories, char *);

	for (size_t i = 0; i < q->repositories.n; i++)
		if (acl_pattern_fits(patterns[i], repository))
			return true;
	return false;
}

void quota_limits(
    const struct conf *conf, const char *repository, struct meta_limits *ret)
{
	const struct quota *q = conf_list_items(&conf->quotas, struct quota);

	*ret = (struct meta_limits){
		.repo = UINT64_MAX,
		.total = conf->storage.quota ? conf->storage.quota : UINT64_MAX,
	};
	for (size_t i = 0; i < conf->quotas.n; i++)
		if (fits(&q[i], repository))
			ret->repo = MIN(ret->repo, q[i].size);
}

bool quota_pattern_is_sane(const char *pattern)
{
	return *pattern &&
	    !pattern[strspn(pattern, "abcdefghijklmnopqrstuvwxyz0123456789._-/*")];
}

static uint64_t left(uint64_t limit, int64_t used)
{
	return limit > (uint64_t)MAX(used, 0) ? limit - (uint64_t)MAX(used, 0) : 0;
}

uint64_t quota_room(struct regd *g, const char *repository)
{
	uint64_t room = UINT64_MAX;
	struct meta_limits l;
	int64_t used;

	/* What cannot be read now is judged by the writer. */
	quota_limits(g->conf, repository, &l);
	if (l.repo != UINT64_MAX && meta_bytes(g->db, repository, true, &used) == 0)
		room = left(l.repo, used);
	if (l.total != UINT64_MAX && meta_bytes(g->db, NULL, true, &used) == 0)
		room = MIN(room, left(l.total, used));
	return room;
}

json_t *quota_total(struct regd *g)
{
	int64_t used = 0;

	if (!g->conf->storage.quota || meta_bytes(g->db, NULL, false, &used) < 0)
		return NULL;
	return json_pack("{s:I,s:I}", "limit", (json_int_t)g->conf->storage.quota,
	    "used", (json_int_t)used);
}

/* The largest repositories first, until every rule has met one that it fits. */
struct search {
	const struct quota *quotas;
	size_t n, open;
	json_t *list;
};

static bool look(void *arg, const char *repository, int64_t bytes)
{
	struct search *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		json_t *obj = json_array_get(s->list, i);

		if (json_object_get(obj, "fullest") || !fits(&s->quotas[i], repository))
			continue;
		json_object_set_new(obj, "fullest",
		    json_pack("{s:s,s:I}", "repository", repository, "bytes",
			(json_int_t)bytes));
		s->open--;
	}
	return s->open > 0;
}

json_t *quota_list(struct regd *g)
{
	struct search s = {
		.quotas = conf_list_items(&g->conf->quotas, struct quota),
		.n = g->conf->quotas.n,
		.open = g->conf->quotas.n,
		.list = json_array(),
	};

	for (size_t i = 0; i < s.n; i++) {
		char **pattern = conf_list_items(&s.quotas[i].repositories, char *);
		json_t *patterns = json_array();

		for (size_t k = 0; k < s.quotas[i].repositories.n; k++)
			json_array_append_new(patterns, json_string(pattern[k]));
		json_array_append_new(s.list,
		    json_pack("{s:o,s:I}", "repositories", patterns, "limit",
			(json_int_t)s.quotas[i].size));
	}
	if (s.n)
		(void)!meta_largest(g->db, look, &s);
	return s.list;
}
