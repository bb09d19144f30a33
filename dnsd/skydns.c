/* The tree of SkyDNS's keys: see skydns.h. */
#include "dnsd/skydns.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "common/htable.h"
#include "common/str.h"
#include "dnsd/skydns_impl.h"

#define DEPTH_MAX 128

int skydns_new(struct skydns **ret, const char *path, enum records_rank rank,
    enum skydns_place (*place)(const struct name_buf *name, void *arg), void *arg)
{
	_cleanup_(skydns_freep) struct skydns *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	name_init();
	htable_init(&s->nodes);
	list_init(&s->changed);
	list_init(&s->root.children);
	list_init(&s->root.sibling);
	list_init(&s->root.changed);
	s->rank = rank;
	s->place = place;
	s->arg = arg;
	s->path = strdup(path);
	s->found = malloc(sizeof(*s->found));
	if (!s->path || !s->found)
		return -ENOMEM;
	/* Without the last slash; keys have it. */
	for (size_t n = strlen(s->path); n && s->path[n - 1] == '/'; n--)
		s->path[n - 1] = '\0';
	*ret = TAKE(s);
	return 0;
}

static void node_free(struct skydns *s, struct skydns_node *n)
{
	list_remove(&n->sibling);
	list_remove(&n->changed);
	htable_remove(&s->nodes, &n->node);
	free(n->value);
	free(n);
}

struct skydns *skydns_free(struct skydns *s)
{
	if (!s)
		return NULL;
	htable_for_each (h, &s->nodes) {
		struct skydns_node *n = CONTAINER_OF(h, struct skydns_node, node);

		htable_remove(&s->nodes, &n->node);
		free(n->value);
		free(n);
	}
	htable_deinit(&s->nodes);
	free(s->root.value);
	free(s->zones);
	free(s->found);
	free(s->path);
	free(s);
	return NULL;
}

static uint64_t hash_of(const struct skydns_node *parent, const char *label, size_t n)
{
	char key[sizeof(parent) + DNS_LABEL_MAX];

	memcpy(key, &parent, sizeof(parent));
	memcpy(key + sizeof(parent), label, n);
	return htable_hash(key, sizeof(parent) + n);
}

struct skydns_node *skydns_child(const struct skydns *s,
    const struct skydns_node *parent, const char *label, size_t n)
{
	struct hnode *h = htable_first(&s->nodes, hash_of(parent, label, n));

	for (; h; h = htable_next(h)) {
		struct skydns_node *c = CONTAINER_OF(h, struct skydns_node, node);

		if (c->parent == parent && c->len == n &&
		    memcmp(c->label, label, n) == 0)
			return c;
	}
	return NULL;
}

/* A node of zone file lines, which is no name of its own. */
bool skydns_is_line(const struct skydns_node *n)
{
	return n->len && n->label[0] == '=';
}

static struct skydns_node *child_new(
    struct skydns *s, struct skydns_node *parent, const char *label, size_t n)
{
	struct skydns_node *c = calloc(1, sizeof(*c) + n);

	if (!c)
		return NULL;
	c->parent = parent;
	c->len = (uint8_t)n;
	memcpy(c->label, label, n);
	list_init(&c->children);
	list_init(&c->changed);
	list_init(&c->sibling);
	if (htable_insert(&s->nodes, &c->node, hash_of(parent, label, n)) < 0) {
		free(c);
		return NULL;
	}
	/* Lines stand first, where they are found without the others. */
	if (skydns_is_line(c))
		list_prepend(&parent->children, &c->sibling);
	else
		list_append(&parent->children, &c->sibling);
	return c;
}

bool skydns_name(const struct skydns_node *n, struct name_buf *b)
{
	uint8_t wire[DNS_NAME_MAX];
	size_t len = 0;

	for (; n->parent; n = n->parent) {
		if (!n->len || skydns_is_line(n) || len + n->len + 2 > DNS_NAME_MAX)
			return false;
		wire[len++] = n->len;
		memcpy(wire + len, n->label, n->len);
		len += n->len;
	}
	wire[len++] = 0;
	name_set(b, wire, len);
	return true;
}

static void touch(struct skydns *s, struct skydns_node *n)
{
	if (list_empty(&n->changed))
		list_append(&s->changed, &n->changed);
}

/* The node and all above it; the number of values changes by delta. */
static void touch_up(struct skydns *s, struct skydns_node *n, int delta)
{
	for (; n; n = n->parent) {
		n->n_values += (uint32_t)delta;
		touch(s, n);
	}
}

static int bad_key(struct err *e, const char *why)
{
	return err_set(e, -EINVAL, "the key %s", why);
}

/* The labels of a key behind the path, in its order.  The number, or -EINVAL. */
static int split(const struct skydns *s, const char *key, size_t len,
    const char **labels, size_t *lens, struct err *e)
{
	size_t path = strlen(s->path), i = path + 1;
	int n = 0;

	if (len <= path || memcmp(key, s->path, path) != 0 || key[path] != '/')
		return bad_key(e, "is not below the path");
	for (;;) {
		const char *slash = i < len ? memchr(key + i, '/', len - i) : NULL;
		size_t end = slash ? (size_t)(slash - key) : len;

		if (n == DEPTH_MAX)
			return bad_key(e, "has too many labels");
		if (end - i > DNS_LABEL_MAX)
			return bad_key(e, "has a label of more than 63 bytes");
		if (end == i && slash)
			return bad_key(e, "has an empty label");
		for (size_t k = i; k < end; k++)
			if (isupper((unsigned char)key[k]))
				return bad_key(
				    e, "has capital letters, which no question finds");
		labels[n] = key + i;
		lens[n++] = end - i;
		if (!slash)
			return n;
		i = end + 1;
	}
}

/* The node of a key, made when it is missing and wanted. */
static struct skydns_node *find(
    struct skydns *s, const char *const *labels, const size_t *lens, int n, bool make)
{
	struct skydns_node *at = &s->root;

	for (int i = 0; at && i < n; i++) {
		struct skydns_node *c = skydns_child(s, at, labels[i], lens[i]);

		if (!c && make) {
			c = child_new(s, at, labels[i], lens[i]);
			/* On the list, so that it goes again when nothing comes of it. */
			if (c)
				touch(s, c);
		}
		at = c;
	}
	return at;
}

static bool same_value(const struct skydns_value *a, const struct skydns_value *b)
{
	return a->ttl == b->ttl && a->port == b->port && a->priority == b->priority &&
	    a->weight == b->weight && a->targetstrip == b->targetstrip &&
	    a->mail == b->mail && a->type == b->type && a->rdlen == b->rdlen &&
	    net_ip_eq(&a->ip, &b->ip) && str_eq(a->host, b->host) &&
	    str_eq(a->text, b->text) && str_eq(a->group, b->group) &&
	    memcmp(a->data, b->data, a->rdlen) == 0;
}

/* Takes v.  A list tells mostly what is known: then no name is compiled again. */
static void set_value(struct skydns *s, struct skydns_node *n, struct skydns_value *v)
{
	int delta = (v != NULL) - (n->value != NULL);

	if (!v && !n->value)
		return;
	if (v && n->value && same_value(v, n->value)) {
		free(v);
		return;
	}
	free(n->value);
	n->value = v;
	s->n_values += (size_t)delta;
	touch_up(s, n, delta);
}

int skydns_put(struct skydns *s, const char *key, size_t key_len, const char *text,
    size_t n, uint32_t generation, struct err *e)
{
	const char *labels[DEPTH_MAX];
	size_t lens[DEPTH_MAX];
	struct skydns_value *v = NULL;
	int count = split(s, key, key_len, labels, lens, e), r = 0;
	struct skydns_node *at;

	if (count < 0)
		return count;
	if (text)
		r = skydns_value_new(&v, text, n, e);
	if (r == -ENOMEM)
		return r;
	at = find(s, labels, lens, count, v != NULL);
	if (!at) {
		free(v);
		return v ? -ENOMEM : r;
	}
	at->generation = generation;
	set_value(s, at, v);
	return r;
}

int skydns_check(const struct skydns *s, const char *key, size_t key_len,
    const char *text, size_t n, struct err *e)
{
	const char *labels[DEPTH_MAX];
	size_t lens[DEPTH_MAX];
	struct skydns_value *v = NULL;
	int r = split(s, key, key_len, labels, lens, e);

	if (r < 0 || !text)
		return MIN(r, 0);
	r = skydns_value_new(&v, text, n, e);
	free(v);
	return r;
}

void skydns_limit_ttl(struct skydns *s, const char *key, size_t key_len, uint32_t max)
{
	const char *labels[DEPTH_MAX];
	size_t lens[DEPTH_MAX];
	int n = split(s, key, key_len, labels, lens, NULL);
	struct skydns_node *at = n < 0 ? NULL : find(s, labels, lens, n, false);

	if (!at || !at->value || at->value->ttl <= max)
		return;
	at->value->ttl = max;
	touch_up(s, at, 0);
}

const char *skydns_path(const struct skydns *s)
{
	return s->path;
}

size_t skydns_prune(struct skydns *s, uint32_t generation)
{
	size_t gone = 0;

	htable_for_each (h, &s->nodes) {
		struct skydns_node *n = CONTAINER_OF(h, struct skydns_node, node);

		if (!n->value || n->generation == generation)
			continue;
		set_value(s, n, NULL);
		gone++;
	}
	return gone;
}

size_t skydns_count(const struct skydns *s)
{
	return s->n_values;
}

bool skydns_has_changes(const struct skydns *s)
{
	return !list_empty(&s->changed);
}

void skydns_touch_all(struct skydns *s)
{
	htable_for_each (h, &s->nodes)
		touch(s, CONTAINER_OF(h, struct skydns_node, node));
	touch(s, &s->root);
}

int skydns_changed(
    struct skydns *s, int (*fn)(const struct name_buf *name, void *arg), void *arg)
{
	struct name_buf b;
	int r = 0;

	s->at_hand.name = &b;
	list_for_each (l, &s->changed) {
		struct skydns_node *n = CONTAINER_OF(l, struct skydns_node, changed);

		s->at_hand.node = n;
		if (skydns_name(n, &b))
			r = fn(&b, arg);
		if (r < 0)
			break;
	}
	s->at_hand.name = NULL;
	return r;
}

void skydns_settle(struct skydns *s)
{
	/* A parent that is left without children comes behind them. */
	while (!list_empty(&s->changed)) {
		struct skydns_node *n =
		    CONTAINER_OF(s->changed.next, struct skydns_node, changed);

		list_remove(&n->changed);
		if (n->parent && !n->value && list_empty(&n->children)) {
			touch(s, n->parent);
			node_free(s, n);
		}
	}
}

struct name_buf *skydns_set_zones(struct skydns *s, struct name_buf *zones, size_t n)
{
	struct name_buf *old = s->zones;

	s->zones = zones;
	s->n_zones = n;
	return old;
}

void skydns_hide(struct skydns *s, bool hidden)
{
	s->hidden = hidden;
}
