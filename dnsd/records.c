/* Collecting and merging records: see records.h. */
#include "dnsd/records.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/str.h"

#define FILE_MAX (1024UL << 20)
#define SAME_MAX \
	4096          /* records of an RRset among which repeated ones are looked for \
		       */
#define LINE_SHOWN 60 /* bytes of a line that are quoted in an error */

struct record {
	size_t bytes; /* offset in the heap: the owner's name, then rdata */
	uint32_t ttl;
	uint16_t type, rdata_len;
	uint8_t name_len, rank;
};

/* The RRsets of one name under construction. */
struct build {
	struct zone_rrset *sets;
	uint8_t *ranks;
	struct zone_rdata *rdata;
	size_t cap;
};

struct records {
	struct str heap;
	struct record *list;
	size_t n, cap;
	uint32_t max_ttl;
	struct build build; /* kept from name to name */
};

static void build_deinit(struct build *b)
{
	free(b->sets);
	free(b->ranks);
	free(b->rdata);
}

void records_limit_ttl(struct records *r, uint32_t max)
{
	r->max_ttl = max;
}

int records_new(struct records **ret)
{
	*ret = calloc(1, sizeof(struct records));
	if (!*ret)
		return -ENOMEM;
	(*ret)->max_ttl = UINT32_MAX;
	return 0;
}

struct records *records_free(struct records *r)
{
	if (!r)
		return NULL;
	str_deinit(&r->heap);
	build_deinit(&r->build);
	free(r->list);
	free(r);
	return NULL;
}

size_t records_count(const struct records *r)
{
	return r->n;
}

int records_add(struct records *r, enum records_rank rank, const struct name_buf *name,
    uint16_t type, uint32_t ttl, const void *rdata, size_t n)
{
	if (n > UINT16_MAX)
		return -E2BIG;
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		struct record *list = reallocarray(r->list, cap, sizeof(*list));

		if (!list)
			return -ENOMEM;
		r->list = list;
		r->cap = cap;
	}
	r->list[r->n] = (struct record){
		.bytes = r->heap.len,
		.ttl = ttl,
		.type = type,
		.rdata_len = (uint16_t)n,
		.name_len = (uint8_t)name->len,
		.rank = (uint8_t)rank,
	};
	str_add(&r->heap, name->wire, name->len);
	str_add(&r->heap, rdata, n);
	if (str_err(&r->heap) < 0)
		return -ENOMEM;
	r->n++;
	return 0;
}

static int bad_line(struct err *e, const char *line, const char *why)
{
	return err_set(e, -EINVAL, "\"%.*s\" is no record: %s", LINE_SHOWN, line, why);
}

static void rr_freep(ldns_rr **rr)
{
	ldns_rr_free(*rr);
}

static void rdf_freep(ldns_rdf **rdf)
{
	ldns_rdf_deep_free(*rdf);
}

static void buffer_freep(ldns_buffer **b)
{
	ldns_buffer_free(*b);
}

/* "name [ttl] [IN] A address": the usual line, read without ldns, which takes ten times
 * as long.  1 when it was one, 0 when ldns is to judge. */
static int add_plain(
    struct records *r, enum records_rank rank, const char *line, uint32_t ttl)
{
	char name[256], word[4][64];
	struct name_buf owner;
	struct net_ip ip;
	uint64_t t;
	int n, i = 0, w = 0, end = 0;

	n = sscanf(line, "%255s %63s %63s %63s %63s %n", name, word[0], word[1],
	    word[2], word[3], &end);
	if (n < 3 || (n == 5 && line[end]) || strpbrk(line, ";\"\\()$@") ||
	    line[0] == ' ' || line[0] == '\t' || !str_ends(name, "."))
		return 0;
	w = n - 1;
	if (str_to_u64(word[i], INT32_MAX, &t) == 0) {
		ttl = (uint32_t)t;
		i++;
	}
	if (str_eq(word[i], "IN"))
		i++;
	if (w - i != 2 || net_ip_parse(word[i + 1], &ip) < 0 ||
	    !str_eq(word[i], ip.family == 4 ? "A" : "AAAA") ||
	    name_parse(&owner, name) < 0)
		return 0;
	n = records_add(r, rank, &owner, ip.family == 4 ? DNS_A : DNS_AAAA, ttl,
	    ip.bytes, ip.family == 4 ? 4 : 16);
	return n < 0 ? n : 1;
}

static int add_rr(struct records *r, enum records_rank rank, const char *line,
    ldns_rr *rr, struct err *e)
{
	_cleanup_(buffer_freep) ldns_buffer *b = ldns_buffer_new(512);
	const ldns_rdf *owner = ldns_rr_owner(rr);
	uint16_t type = (uint16_t)ldns_rr_get_type(rr);
	struct name_buf name;
	size_t len;

	if (!b)
		return err_set(e, -ENOMEM, "out of memory");
	len = name_scan(ldns_rdf_data(owner), ldns_rdf_size(owner));
	if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN)
		return bad_line(e, line, "its class is not IN");
	if (type == DNS_SOA || type == DNS_OPT || (type >= 128 && type <= 255) || !len)
		return bad_line(
		    e, line, "a record of this type cannot be written here");
	if (ldns_rr_rdata2buffer_wire(b, rr) != LDNS_STATUS_OK)
		return bad_line(e, line, "its data do not fit a message");
	name_set(&name, ldns_rdf_data(owner), len);
	return records_add(r, rank, &name, type, ldns_rr_ttl(rr), ldns_buffer_begin(b),
	    ldns_buffer_position(b));
}

int records_add_line(struct records *r, enum records_rank rank, const char *line,
    const char *origin, uint32_t default_ttl, struct err *e)
{
	_cleanup_(rdf_freep) ldns_rdf *at = NULL;
	_cleanup_(rr_freep) ldns_rr *rr = NULL;
	ldns_status s;
	int n = add_plain(r, rank, line, default_ttl);

	if (n != 0)
		return n < 0 ? err_set(e, n, "out of memory") : 0;
	at = ldns_dname_new_frm_str(origin);
	if (!at)
		return err_set(e, -EINVAL, "\"%s\" is no domain name", origin);
	if (line[0] == ' ' || line[0] == '\t')
		return bad_line(e, line, "it starts with a blank instead of a name");
	if (line[0] == '$')
		return bad_line(e, line, "$ORIGIN and the like are not known here");
	s = ldns_rr_new_frm_str(&rr, line, default_ttl, at, NULL);
	if (s != LDNS_STATUS_OK)
		return bad_line(e, line, ldns_get_errorstr_by_id(s));
	return add_rr(r, rank, line, rr, e);
}

/* The record of a line whose owner is the root. */
static ldns_rr *rr_of(const char *rest, const char *origin, uint32_t ttl)
{
	_cleanup_(rdf_freep) ldns_rdf *at = ldns_dname_new_frm_str(origin);
	_cleanup_(str_deinit) struct str line = STR_INIT;
	ldns_rr *rr = NULL;

	str_addf(&line, ". %s", rest);
	if (!at || str_err(&line) < 0 ||
	    ldns_rr_new_frm_str(&rr, str_get(&line), ttl, at, NULL) != LDNS_STATUS_OK)
		return NULL;
	return rr;
}

static void text_freep(char **p)
{
	free(*p);
}

int records_whole_rest(const char *rest, const char *origin, uint32_t default_ttl,
    struct str *out, struct err *e)
{
	_cleanup_(rr_freep) ldns_rr *whole = rr_of(rest, ".", default_ttl),
				    *below = rr_of(rest, origin, default_ttl);
	_cleanup_(text_freep) char *text = NULL;
	const char *from;

	/* Whoever takes the rest as it is says what is wrong with it. */
	if (!whole)
		return 0;
	if (!below)
		return bad_line(e, rest, "a name in it is too long");
	if (ldns_rr_compare(whole, below) == 0)
		return 0;
	text = ldns_rr2str(below);
	from = text ? strpbrk(text, " \t") : NULL;
	if (!from)
		return err_set(e, -ENOMEM, "out of memory");
	from += strspn(from, " \t");
	str_add(out, from, strcspn(from, "\n"));
	return str_err(out);
}

int records_add_file(struct records *r, enum records_rank rank, const char *path,
    const char *origin, uint32_t default_ttl, struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct err why = ERR_INIT;
	char *line, *next;
	unsigned number = 0;
	int n;

	n = file_read(path, FILE_MAX, &text);
	if (n < 0)
		return err_set(e, n, "cannot read %s: %s", path, strerror(-n));
	if (text.len && strlen(text.s) != text.len)
		return err_set(e, -EINVAL, "%s holds a NUL byte: it is no text", path);
	for (line = text.s; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		if (line[strspn(line, " \t\r")] == '\0' ||
		    line[strspn(line, " \t")] == ';')
			continue;
		n = records_add_line(r, rank, line, origin, default_ttl, &why);
		if (n < 0)
			return err_at(e, n, path, number, 1, "%s", why.text);
	}
	return 0;
}

static const uint8_t *name_of(const struct records *r, const struct record *a)
{
	return (const uint8_t *)r->heap.s + a->bytes;
}

static const uint8_t *rdata_of(const struct records *r, const struct record *a)
{
	return name_of(r, a) + a->name_len;
}

static int by_name(
    const struct records *r, const struct record *a, const struct record *b)
{
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return memcmp(name_of(r, a), name_of(r, b), a->name_len);
}

/* Name, type, rank, then as they came. */
static int compare(const void *pa, const void *pb, void *arg)
{
	const struct record *a = pa, *b = pb;
	int c = by_name(arg, a, b);

	if (c)
		return c;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

static int build_room(struct build *b, size_t n)
{
	if (n <= b->cap)
		return 0;
	n = MAX(n, 16u);
	build_deinit(b);
	b->sets = calloc(n, sizeof(*b->sets));
	b->ranks = calloc(n, 1);
	b->rdata = calloc(n, sizeof(*b->rdata));
	b->cap = b->sets && b->ranks && b->rdata ? n : 0;
	return b->cap ? 0 : -ENOMEM;
}

static bool has_rdata(const struct zone_rrset *s, const struct zone_rdata *d)
{
	for (size_t i = 0; i < MIN(s->n, (size_t)SAME_MAX); i++)
		if (s->rdata[i].n == d->n && memcmp(s->rdata[i].p, d->p, d->n) == 0)
			return true;
	return false;
}

static bool is_skydns(uint8_t rank)
{
	return rank == RECORDS_STORE || rank == RECORDS_ETCD;
}

/* The sorted records a[0..n) are of one name: fills b's sets and returns their number.
 * What others keep for us is not ours to refuse: of too many, the first count. */
static size_t merge(
    const struct records *r, const struct record *a, size_t n, struct build *b)
{
	struct zone_rdata *free_rdata = b->rdata;
	size_t n_sets = 0, size = 0;

	for (size_t i = 0; i < n; i++) {
		struct zone_rdata d = { rdata_of(r, &a[i]), a[i].rdata_len };
		struct zone_rrset *s = n_sets ? &b->sets[n_sets - 1] : NULL;

		if (!s || s->type != a[i].type) {
			uint32_t ttl = MIN(a[i].ttl, r->max_ttl);

			s = &b->sets[n_sets];
			*s = (struct zone_rrset){ a[i].type, ttl, 0, free_rdata };
			b->ranks[n_sets++] = a[i].rank;
			size = 0;
		}
		if (a[i].rank != b->ranks[n_sets - 1] || has_rdata(s, &d))
			continue;
		if (is_skydns(a[i].rank) &&
		    size + ZONE_RECORD_HEAD + d.n > ZONE_SET_MAX)
			continue;
		size += ZONE_RECORD_HEAD + d.n;
		*free_rdata++ = d;
		s->n++;
		s->ttl = MIN(s->ttl, a[i].ttl);
	}
	return n_sets;
}

/* A CNAME stands alone (RFC 2181, 10.1): the better rank decides which of the two goes.
 * SkyDNS's values are several things at once: there the alias stands for what else is
 * asked, and the first of several counts. */
static int settle_cname(
    struct build *b, size_t *n_sets, const uint8_t *name, struct err *e)
{
	size_t c = 0, kept = 0;
	uint8_t best = UINT8_MAX, rank;

	while (c < *n_sets && b->sets[c].type != DNS_CNAME)
		c++;
	if (c == *n_sets)
		return 0;
	rank = b->ranks[c];
	for (size_t i = 0; i < *n_sets; i++)
		if (i != c)
			best = MIN(best, b->ranks[i]);
	if (is_skydns(rank))
		b->sets[c].n = 1;
	else if (b->sets[c].n > 1)
		return err_set(
		    e, -EINVAL, "%s has more than one CNAME", name_str(name));
	else if (best == rank)
		return err_set(
		    e, -EINVAL, "%s has a CNAME and other records", name_str(name));
	for (size_t i = 0; i < *n_sets; i++)
		if (i == c ? rank <= best : best < rank || b->ranks[i] == rank)
			b->sets[kept++] = b->sets[i];
	*n_sets = kept;
	return 0;
}

int records_build(struct records *r, struct zone_edit *zone, struct err *e)
{
	struct build *b = &r->build;
	struct name_buf name;
	size_t from, to, n_sets;
	int n;

	if (r->n)
		qsort_r(r->list, r->n, sizeof(*r->list), compare, r);
	for (from = 0; from < r->n; from = to) {
		struct record *a = &r->list[from];

		for (to = from + 1; to < r->n && by_name(r, a, &r->list[to]) == 0;)
			to++;
		if (build_room(b, to - from) < 0)
			return err_set(e, -ENOMEM, "out of memory");
		n_sets = merge(r, a, to - from, b);
		name_set(&name, name_of(r, a), a->name_len);
		n = settle_cname(b, &n_sets, name.wire, e);
		if (n < 0)
			return n;
		n = zone_edit_put(zone, &name, b->sets, n_sets);
		if (n == -E2BIG)
			return err_set(e, n, "the records of %s do not fit a message",
			    name_str(name.wire));
		if (n < 0)
			return err_set(e, n, "cannot add %s: %s", name_str(name.wire),
			    strerror(-n));
	}
	return 0;
}

bool records_get(const struct records *r, size_t i, struct records_one *one)
{
	const struct record *a = &r->list[i];

	if (i >= r->n)
		return false;
	*one = (struct records_one){ a->ttl, a->type, a->rdata_len, rdata_of(r, a) };
	return true;
}

/* The first record whose name is not before the one given, in the order of compare(). */
static size_t lower_bound(const struct records *r, const struct name_buf *name)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct record *a = &r->list[mid];
		int c = a->name_len != name->len
		    ? (a->name_len < name->len ? -1 : 1)
		    : memcmp(name_of(r, a), name->wire, name->len);

		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int records_copy(
    struct records *r, const struct records *from, const struct name_buf *name)
{
	int e = 0;

	for (size_t i = lower_bound(from, name); e == 0 && i < from->n; i++) {
		const struct record *a = &from->list[i];

		if (a->name_len != name->len ||
		    memcmp(name_of(from, a), name->wire, name->len) != 0)
			break;
		e = records_add(
		    r, a->rank, name, a->type, a->ttl, rdata_of(from, a), a->rdata_len);
	}
	return e;
}

void records_reset(struct records *r)
{
	r->n = 0;
	str_reset(&r->heap);
}

int records_names(const struct records *r,
    int (*fn)(const struct name_buf *name, void *arg), void *arg)
{
	struct name_buf name;
	int e = 0;

	for (size_t i = 0; e == 0 && i < r->n; i++) {
		const struct record *a = &r->list[i];

		if (i && by_name(r, a, a - 1) == 0)
			continue;
		name_set(&name, name_of(r, a), a->name_len);
		e = fn(&name, arg);
	}
	return e;
}
