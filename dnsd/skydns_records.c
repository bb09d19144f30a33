/*
 * From SkyDNS's values to records, as CoreDNS makes them from a query: addresses become A
 * or AAAA, names CNAME (PTR below the reverse domains), any host an SRV whose weight is
 * its share of those of its priority, mail an MX, text a TXT.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "dnsd/skydns_impl.h"

#define DEFAULT_WEIGHT 100
#define TXT_PIECE 255

struct emit {
	const struct skydns *s;
	const struct name_buf *name;
	struct records *to;
	struct skydns_found *f;
};

static bool is_reverse(const struct name_buf *name)
{
	static const char *const zones[] = { "\7in-addr\4arpa", "\3ip6\4arpa" };

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		size_t n = strlen(zones[i]) + 1;

		if (name->len >= n &&
		    memcmp(name->wire + name->len - n, zones[i], n) == 0)
			return true;
	}
	return false;
}

/* A part of an address: 0 to 255, or a hexadecimal digit. */
static bool is_part(const struct skydns_node *n)
{
	for (unsigned i = 0; i < n->len; i++)
		if (!isxdigit((unsigned char)n->label[i]) ||
		    (n->len > 1 && !isdigit((unsigned char)n->label[i])))
			return false;
	return n->len >= 1 && n->len <= 3;
}

static void collect(struct skydns_found *f, const struct skydns_node *n, unsigned depth)
{
	if (n->value &&
	    (!n->value->type || depth == 0 || (depth == 1 && skydns_is_line(n)))) {
		f->nodes[f->n] = n;
		f->depth[f->n++] = depth;
	}
	list_for_each (l, &n->children) {
		const struct skydns_node *c =
		    CONTAINER_OF(l, struct skydns_node, sibling);

		if (!(f->reverse && is_part(c)))
			collect(f, c, depth + 1);
	}
}

/* What belongs to a name that is not united: its own, and lines, which stand before all
 * other children, the latest first: there may be a million of the others. */
static void collect_own(struct skydns_found *f, const struct skydns_node *n)
{
	const struct list_link *l = n->children.next;

	if (n->value) {
		f->nodes[f->n] = n;
		f->depth[f->n++] = 0;
	}
	while (l != &n->children &&
	    skydns_is_line(CONTAINER_OF(l, struct skydns_node, sibling)))
		l = l->next;
	for (l = l->prev; l != &n->children; l = l->prev) {
		const struct skydns_node *c =
		    CONTAINER_OF(l, struct skydns_node, sibling);

		if (c->value && f->n < SKYDNS_UNION) {
			f->nodes[f->n] = c;
			f->depth[f->n++] = 1;
		}
	}
}

/* The shortest key with a group decides; on disagreement among the shortest all count. */
static void group(struct skydns_found *f)
{
	const char *want = "";
	unsigned depth = UINT32_MAX;
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++)
		if (f->nodes[i]->value->group[0] && f->depth[i] < depth) {
			depth = f->depth[i];
			want = f->nodes[i]->value->group;
		}
	if (!*want)
		return;
	for (size_t i = 0; i < f->n; i++)
		if (f->depth[i] == depth && f->nodes[i]->value->group[0] &&
		    strcmp(f->nodes[i]->value->group, want) != 0)
			return;
	for (size_t i = 0; i < f->n; i++) {
		const char *g = f->nodes[i]->value->group;

		if (*g && strcmp(g, want) != 0)
			continue;
		f->depth[kept] = f->depth[i];
		f->nodes[kept++] = f->nodes[i];
	}
	f->n = kept;
}

static int add(struct emit *e, uint16_t type, uint32_t ttl, const void *rdata, size_t n)
{
	return records_add(e->to, e->s->rank, e->name, type, ttl, rdata, n);
}

static int add_address(struct emit *e, const struct skydns_value *v)
{
	bool v4 = v->ip.family == 4;

	return add(e, v4 ? DNS_A : DNS_AAAA, v->ttl, v->ip.bytes, v4 ? 4 : 16);
}

/* What an SRV or MX of a value points to: its host, or for an address the name of its own
 * key, less the labels to be stripped. */
static bool target(const struct skydns_node *n, struct name_buf *b)
{
	const struct skydns_value *v = n->value;
	size_t off = 0;

	if (!v->ip.family)
		return name_parse(b, v->host) == 0;
	if (!skydns_name(n, b))
		return false;
	if (v->targetstrip && v->targetstrip < name_labels(b->wire)) {
		for (unsigned i = 0; i < v->targetstrip; i++)
			off += b->wire[off] + 1u;
		memmove(b->wire, b->wire + off, b->len - off);
		name_set(b, b->wire, b->len - off);
	}
	return true;
}

static unsigned weight_of(const struct skydns_value *v)
{
	return v->weight ? v->weight : DEFAULT_WEIGHT;
}

/* The share in a hundred of a value among those of its priority, at least one. */
static unsigned share(const struct skydns_found *f, const struct skydns_value *v)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct skydns_value *o = f->nodes[i]->value;

		if (!o->type && o->priority == v->priority)
			sum += weight_of(o);
	}
	/* v is among them, so that the sum is at least its own weight. */
	return sum ? (unsigned)MAX(100 * weight_of(v) / sum, 1u) : 1;
}

static int add_srv(struct emit *e, const struct skydns_node *n)
{
	const struct skydns_value *v = n->value;
	uint8_t rdata[6 + DNS_NAME_MAX];
	struct name_buf to;

	if (v->port < 0 || !target(n, &to))
		return 0;
	put16(rdata, v->priority);
	put16(rdata + 2, share(e->f, v));
	put16(rdata + 4, (unsigned)v->port);
	memcpy(rdata + 6, to.wire, to.len);
	return add(e, DNS_SRV, v->ttl, rdata, 6u + to.len);
}

static int add_mx(struct emit *e, const struct skydns_node *n)
{
	const struct skydns_value *v = n->value;
	uint8_t rdata[2 + DNS_NAME_MAX];
	struct name_buf to;

	if (!v->mail || !target(n, &to))
		return 0;
	put16(rdata, v->priority);
	memcpy(rdata + 2, to.wire, to.len);
	return add(e, DNS_MX, v->ttl, rdata, 2u + to.len);
}

static int add_txt(struct emit *e, const struct skydns_value *v)
{
	size_t n = strlen(v->text), at = 0;
	uint8_t *rdata, *p;
	int r;

	if (!n)
		return 0;
	p = rdata = malloc(n + n / TXT_PIECE + 1);
	if (!rdata)
		return -ENOMEM;
	while (at < n) {
		size_t piece = MIN(n - at, (size_t)TXT_PIECE);

		*p++ = (uint8_t)piece;
		memcpy(p, v->text + at, piece);
		p += piece;
		at += piece;
	}
	r = add(e, DNS_TXT, v->ttl, rdata, (size_t)(p - rdata));
	free(rdata);
	/* More text than a record holds counts as none. */
	return r == -E2BIG ? 0 : r;
}

static bool same(const struct name_buf *a, const struct name_buf *b)
{
	return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

/* A host that is a name: PTR in the reverse domains, else the alias, of which a name can
 * have one, and which does not lead to the name itself. */
static int add_name(struct emit *e, const struct skydns_value *v, bool *alias)
{
	struct name_buf to;
	int r = 0;

	if (name_parse(&to, v->host) < 0)
		return 0;
	if (e->f->reverse)
		return add(e, DNS_PTR, v->ttl, to.wire, to.len);
	if (!v->port)
		r = add(e, DNS_PTR, v->ttl, to.wire, to.len);
	if (r < 0 || *alias || same(&to, e->name))
		return r;
	*alias = true;
	return add(e, DNS_CNAME, v->ttl, to.wire, to.len);
}

static int add_value(struct emit *e, const struct skydns_node *n, bool *alias)
{
	const struct skydns_value *v = n->value;
	int r = 0;

	if (v->type)
		return add(e, v->type, v->ttl, v->data, v->rdlen);
	if (v->ip.family)
		r = add_address(e, v);
	else if (v->host[0])
		r = add_name(e, v, alias);
	if (r == 0 && (v->ip.family || v->host[0]) && !e->f->reverse)
		r = add_srv(e, n);
	if (r == 0)
		r = add_mx(e, n);
	return r < 0 ? r : add_txt(e, v);
}

static const struct skydns_node *node_of(
    const struct skydns *s, const struct name_buf *name)
{
	uint8_t starts[DNS_NAME_MAX / 2 + 1];
	const struct skydns_node *at = &s->root;
	unsigned n = 0;

	for (size_t i = 0; name->wire[i]; i += name->wire[i] + 1u)
		starts[n++] = (uint8_t)i;
	while (at && n-- > 0)
		at = skydns_child(s, at, (const char *)name->wire + starts[n] + 1,
		    name->wire[starts[n]]);
	return at;
}

/* What is below a label of dns.<zone>, for a zone's apex. */
static void collect_dns(struct skydns_found *f, const struct skydns *s,
    const struct skydns_node *apex, const char *label)
{
	const struct skydns_node *dns = skydns_child(s, apex, "dns", 3);
	const struct skydns_node *n =
	    dns ? skydns_child(s, dns, label, strlen(label)) : NULL;

	if (n && f->n + n->n_values <= SKYDNS_UNION)
		collect(f, n, 0);
}

/* The zone's name servers: addresses below ns.dns.<zone>, under the names of their keys,
 * whose own records are the glue. */
static int add_ns(struct emit *e, const struct skydns_node *apex)
{
	struct skydns_found *f = e->f;
	struct name_buf to;
	int r = 0;

	f->n = 0;
	collect_dns(f, e->s, apex, "ns");
	for (size_t i = 0; r == 0 && i < f->n; i++) {
		const struct skydns_value *v = f->nodes[i]->value;

		if (!v->type && v->ip.family && target(f->nodes[i], &to))
			r = add(e, DNS_NS, v->ttl, to.wire, to.len);
	}
	return r;
}

/* Of a name and a zone: whether the one ends with the other. */
static bool ends_with(const struct name_buf *name, const struct name_buf *zone)
{
	size_t off = 0;

	while (name->len - off > zone->len)
		off += name->wire[off] + 1u;
	return name->len - off == zone->len &&
	    memcmp(name->wire + off, zone->wire, zone->len) == 0;
}

static enum skydns_place place_of(const struct skydns *s, const struct name_buf *name)
{
	enum skydns_place p = s->place(name, s->arg);

	for (size_t i = 0; p != SKYDNS_APEX && i < s->n_zones; i++)
		if (same(name, &s->zones[i]))
			p = SKYDNS_APEX;
		else if (ends_with(&s->zones[i], name))
			p = SKYDNS_ABOVE;
	return p;
}

static bool is_served(const struct skydns *s, const struct name_buf *name)
{
	for (size_t i = 0; i < s->n_zones; i++)
		if (ends_with(name, &s->zones[i]))
			return true;
	return !s->n_zones;
}

static bool is_any(const uint8_t *label)
{
	return (label[0] == 1 && label[1] == '*') ||
	    (label[0] == 3 && memcmp(label + 1, "any", 3) == 0);
}

/* The labels of a name from the right, as a key has them. */
struct labels {
	const uint8_t *at[DNS_NAME_MAX / 2 + 1];
	unsigned n;
};

/* What is below n and fits the labels from i on, as far as there is room. */
static void collect_wild(struct skydns_found *f, const struct skydns_node *n,
    const struct labels *l, unsigned i)
{
	if (i == l->n) {
		if (f->n + n->n_values <= SKYDNS_UNION)
			collect(f, n, 0);
		return;
	}
	list_for_each (k, &n->children) {
		const struct skydns_node *c =
		    CONTAINER_OF(k, struct skydns_node, sibling);

		if (!skydns_is_line(c) &&
		    (is_any(l->at[i]) ||
			(c->len == l->at[i][0] &&
			    memcmp(c->label, l->at[i] + 1, c->len) == 0)))
			collect_wild(f, c, l, i + 1);
	}
}

/* Nobody gets a zone's whole tree: below the labels up to i there is no apex, or they are
 * one and a label to their left says what is looked for. */
static bool may_search(const struct skydns *s, const struct labels *l, unsigned i)
{
	struct name_buf above = { .len = 1 };
	enum skydns_place p;

	if (i)
		name_set(&above, l->at[i - 1], name_scan(l->at[i - 1], DNS_NAME_MAX));
	p = place_of(s, &above);
	while (i < l->n && is_any(l->at[i]))
		i++;
	return p == SKYDNS_BELOW || (p == SKYDNS_APEX && i < l->n);
}

int skydns_wildcard(
    const struct skydns *s, const struct name_buf *name, struct records *to)
{
	struct emit e = { .s = s, .name = name, .to = to };
	const struct skydns_node *at = &s->root;
	struct labels l = { .n = 0 };
	uint8_t starts[DNS_NAME_MAX / 2 + 1];
	unsigned n = 0, i = 0;
	bool alias = false;
	struct skydns_found *f;
	int r = 0;

	if (s->hidden || !is_served(s, name))
		return 0;
	for (size_t k = 0; name->wire[k]; k += name->wire[k] + 1u)
		starts[n++] = (uint8_t)k;
	while (n-- > 0)
		l.at[l.n++] = name->wire + starts[n];
	for (; at && i < l.n && !is_any(l.at[i]); i++)
		at = skydns_child(s, at, (const char *)l.at[i] + 1, l.at[i][0]);
	/* What is more than can be told is not searched either. */
	if (!at || at->n_values > SKYDNS_SEARCHED || !may_search(s, &l, i))
		return 0;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->reverse = is_reverse(name);
	e.f = f;
	collect_wild(f, at, &l, i);
	group(f);
	for (size_t k = 0; r == 0 && k < f->n; k++)
		r = add_value(&e, f->nodes[k], &alias);
	free(f);
	return r;
}

int skydns_records(
    const struct skydns *s, const struct name_buf *name, struct records *to)
{
	const struct skydns_node *n =
	    name == s->at_hand.name ? s->at_hand.node : node_of(s, name);
	struct skydns_found *f = s->found;
	struct emit e = { .s = s, .name = name, .to = to };
	enum skydns_place place;
	bool alias = false;
	int r = 0;

	if (!n || !n->n_values || s->hidden || !is_served(s, name))
		return 0;
	f->n = 0;
	f->reverse = is_reverse(name);
	e.f = f;
	place = place_of(s, name);
	if (place == SKYDNS_BELOW && n->n_values <= SKYDNS_UNION)
		collect(f, n, 0);
	else
		collect_own(f, n);
	if (place == SKYDNS_APEX)
		collect_dns(f, s, n, "apex");
	group(f);
	for (size_t i = 0; r == 0 && i < f->n; i++)
		r = add_value(&e, f->nodes[i], &alias);
	if (r == 0 && place == SKYDNS_APEX)
		r = add_ns(&e, n);
	return r;
}
