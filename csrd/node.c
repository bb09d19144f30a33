/* What is known about nodes by name: see node.h. */
#include "csrd/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "csrd/csr.h"

void nodes_init(struct nodes *ns)
{
	*ns = (struct nodes){ .known = false };
	htable_init(&ns->table);
}

static void node_free(struct node *n)
{
	free(n->name);
	free(n->key_csr);
	free(n);
}

void nodes_deinit(struct nodes *ns)
{
	htable_for_each (it, &ns->table) {
		struct node *n = CONTAINER_OF(it, struct node, hnode);

		htable_remove(&ns->table, it);
		node_free(n);
	}
	htable_deinit(&ns->table);
}

struct node *nodes_find(const struct nodes *ns, const char *name)
{
	struct hnode *it = htable_first(&ns->table, htable_hash(name, strlen(name)));

	for (; it; it = htable_next(it)) {
		struct node *n = CONTAINER_OF(it, struct node, hnode);

		if (str_eq(n->name, name))
			return n;
	}
	return NULL;
}

int nodes_get(struct nodes *ns, const char *name, struct node **ret)
{
	struct node *n = nodes_find(ns, name);

	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return -ENOMEM;
		n->name = strdup(name);
		if (!n->name ||
		    htable_insert(
			&ns->table, &n->hnode, htable_hash(name, strlen(name))) < 0) {
			node_free(n);
			return -ENOMEM;
		}
	}
	*ret = n;
	return 0;
}

static void read_addresses(struct node *n, const json_t *status)
{
	const json_t *list = json_object_get(status, "addresses"), *item;
	size_t i;

	n->n_addresses = 0;
	json_array_foreach(list, i, item)
	{
		const char *type = json_string_value(json_object_get(item, "type"));
		const char *text = json_string_value(json_object_get(item, "address"));

		if (!type || !text || n->n_addresses == NODE_ADDRESSES)
			continue;
		if ((str_eq(type, "InternalIP") || str_eq(type, "ExternalIP")) &&
		    net_ip_parse(text, &n->addresses[n->n_addresses]) == 0)
			n->n_addresses++;
	}
}

/* The condition Ready; NULL without one. */
static const json_t *find_ready(const json_t *status)
{
	const json_t *list = json_object_get(status, "conditions"), *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *type = json_string_value(json_object_get(item, "type"));

		if (type && str_eq(type, "Ready"))
			return item;
	}
	return NULL;
}

static int64_t time_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? MAX(csr_time_parse(text), 0) : 0;
}

static void read_ready(struct node *n, const json_t *object)
{
	const json_t *ready = find_ready(json_object_get(object, "status"));
	const char *value = json_string_value(json_object_get(ready, "status"));

	n->ready = value && str_eq(value, "True");
	n->since = n->ready
	    ? time_of(ready, "lastTransitionTime")
	    : time_of(json_object_get(object, "metadata"), "creationTimestamp");
}

int nodes_update(struct nodes *ns, const json_t *object, uint64_t mark, int64_t now,
    struct node **ret)
{
	const json_t *status = json_object_get(object, "status");
	const char *name = json_string_value(
	    json_object_get(json_object_get(object, "metadata"), "name"));
	struct node *n;
	int r;

	if (!name || !*name)
		return -EBADMSG;
	r = nodes_get(ns, name, &n);
	if (r < 0)
		return r;
	n->exists = true;
	read_ready(n, object);
	n->mark = mark;
	n->seen_at = now;
	read_addresses(n, status);
	*ret = n;
	return 0;
}

void node_gone(struct node *n, int64_t now)
{
	if (n->exists)
		n->seen_at = now;
	n->exists = n->ready = false;
	n->n_addresses = 0;
}

/* Until the Node was there: another installation may come with the same key. */
static bool is_held_by(const struct node *n, const uint8_t *key)
{
	return n->has_key && n->approved_at >= n->seen_at &&
	    memcmp(n->key, key, sizeof(n->key)) == 0;
}

int node_approved(struct node *n, const uint8_t *key, const char *csr, int64_t at)
{
	struct node_approvals *l = key ? &n->first : &n->own;

	/* The clock was ahead when the Node was seen: that was before all the same. */
	if (key && !n->exists)
		n->seen_at = MIN(n->seen_at, at);
	if (key && is_held_by(n, key)) {
		n->n_holders++;
		n->approved_at = at;
	} else if (key) {
		char *copy = strdup(csr);

		if (!copy)
			return -ENOMEM;
		free(n->key_csr);
		n->key_csr = copy;
		memcpy(n->key, key, sizeof(n->key));
		n->has_key = true;
		n->n_holders = 1;
		n->approved_at = at;
	}
	l->at[l->n++ % NODE_APPROVALS] = at;
	return 0;
}

void node_approval_failed(struct node *n, const uint8_t *key)
{
	struct node_approvals *l = key ? &n->first : &n->own;

	/* Of several under way the last one is taken off: their times are the same. */
	if (l->n)
		l->n--;
	if (key && is_held_by(n, key) && --n->n_holders == 0)
		n->has_key = false;
}

unsigned node_approvals_within(
    const struct node_approvals *l, int64_t now, int64_t seconds)
{
	unsigned count = 0;

	for (unsigned i = 0; i < MIN(l->n, (unsigned)NODE_APPROVALS); i++)
		count += l->at[i] > now - seconds && l->at[i] <= now + seconds;
	return count;
}
