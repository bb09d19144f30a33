/* Reading upstream replies: see answer.h.  Everything that comes in is hostile. */
#include "dnsd/answer.h"

#include <errno.h>

#define RECORDS_MAX 4096
#define CHAIN_MAX 16
#define JUMPS_MAX 64

enum { DNS_DNAME = 39, DNS_RRSIG = 46, DNS_NSEC = 47, DNS_NSEC3 = 50 };

/* A record of the reply, by offsets. */
struct rr {
	uint16_t owner, type, rdata, rdlen;
	uint32_t ttl;
	bool authority;
	bool used; /* a DNAME, or its signature, that is in the answer already */
};

struct reader {
	const uint8_t *msg;
	size_t n;
	struct rr *list;
	size_t n_list;
};

/* The answer under construction. */
struct builder {
	const struct reader *r;
	const struct answer_question *q;
	const struct answer_limits *limits;
	uint8_t *body;
	size_t len, cap;
	struct answer_record *records;
	size_t n_records;
	struct {
		struct name_buf name;
		size_t at; /* in the body; SIZE_MAX for the question's name */
	} chain[CHAIN_MAX];
	unsigned n_chain;
	bool answered; /* by a record of the type that was asked for */
	uint32_t ttl;
};

/* Writes the name at offset off whole to wire: its length, and through next what follows
 * it in the message; 0 when it is broken.  Pointers only lead backwards. */
static size_t expand(
    const struct reader *r, size_t off, uint8_t wire[DNS_NAME_MAX], size_t *next)
{
	size_t len = 0, limit = off;
	bool jumped = false;

	for (unsigned jumps = 0; off < r->n;) {
		uint8_t c = r->msg[off];

		if (c >= 0xc0) {
			size_t to;

			if (r->n - off < 2 || ++jumps > JUMPS_MAX)
				return 0;
			to = get16(r->msg + off) & 0x3fffu;
			if (!jumped)
				*next = off + 2;
			if (to >= limit)
				return 0;
			jumped = true;
			limit = off = to;
			continue;
		}
		if (c > DNS_LABEL_MAX || len + c + 1 > DNS_NAME_MAX ||
		    r->n - off < c + 1u)
			return 0;
		memcpy(wire + len, r->msg + off, c + 1u);
		len += c + 1u;
		off += c + 1u;
		if (!c) {
			if (!jumped)
				*next = off;
			return len;
		}
	}
	return 0;
}

static bool read_name(const struct reader *r, size_t off, struct name_buf *b)
{
	uint8_t wire[DNS_NAME_MAX];
	size_t next, len = expand(r, off, wire, &next);

	if (len)
		name_set(b, wire, len);
	return len > 0;
}

enum answer_check answer_check(
    const uint8_t *msg, size_t n, const uint8_t *sent, size_t sent_len)
{
	size_t len = name_scan(sent + DNS_HEADER, sent_len - DNS_HEADER) + 4;

	if (n < DNS_HEADER || get16(msg) != get16(sent) || !(get16(msg + 2) & DNS_QR) ||
	    get16(msg + 2) & DNS_OPCODE)
		return ANSWER_WRONG;
	/* A server that cannot read a query may answer with a header alone. */
	if (get16(msg + 4) == 0 && (get16(msg + 2) & DNS_RCODE) != DNS_NOERROR &&
	    (get16(msg + 2) & DNS_RCODE) != DNS_NXDOMAIN)
		return ANSWER_OK;
	if (get16(msg + 4) != 1 || n < DNS_HEADER + len ||
	    !name_same(msg + DNS_HEADER, sent + DNS_HEADER, len - 4) ||
	    memcmp(msg + DNS_HEADER + len - 4, sent + DNS_HEADER + len - 4, 4) != 0)
		return ANSWER_WRONG;
	if (memcmp(msg + DNS_HEADER, sent + DNS_HEADER, len) != 0)
		return ANSWER_CASE;
	return get16(msg + 2) & DNS_TC ? ANSWER_TRUNCATED : ANSWER_OK;
}

/* Lists the records of the answer and authority sections. */
static int read_records(struct reader *r, size_t off)
{
	unsigned answers = get16(r->msg + 6), all = answers + get16(r->msg + 8);
	uint8_t wire[DNS_NAME_MAX];

	if (all > RECORDS_MAX)
		return -EBADMSG;
	r->list = calloc(all + 1, sizeof(*r->list));
	if (!r->list)
		return -ENOMEM;
	for (; r->n_list < all; r->n_list++) {
		struct rr *rr = &r->list[r->n_list];
		size_t at = 0;

		if (!expand(r, off, wire, &at) || r->n - at < 10)
			return -EBADMSG;
		*rr = (struct rr){ .owner = (uint16_t)off,
			.type = get16(r->msg + at),
			.ttl = get32(r->msg + at + 4),
			.rdata = (uint16_t)(at + 10),
			.rdlen = get16(r->msg + at + 8),
			.authority = r->n_list >= answers };
		/* RFC 2181, 8: a TTL with the top bit counts as zero. */
		if (rr->ttl > INT32_MAX)
			rr->ttl = 0;
		if (get16(r->msg + at + 2) != DNS_IN)
			rr->type = 0;
		if (r->n - at - 10 < rr->rdlen)
			return -EBADMSG;
		off = at + 10 + rr->rdlen;
	}
	return 0;
}

static bool put(struct builder *b, const void *p, size_t n)
{
	if (n > b->cap - b->len)
		return false;
	memcpy(b->body + b->len, p, n);
	b->len += n;
	return true;
}

static bool ends_with(
    const struct name_buf *name, const struct name_buf *end, size_t *off)
{
	for (*off = 0; name->len - *off > end->len; *off += name->wire[*off] + 1u)
		;
	return name->len - *off == end->len &&
	    memcmp(name->wire + *off, end->wire, end->len) == 0;
}

static size_t body_start(const struct builder *b)
{
	return DNS_HEADER + b->q->name.len + 4u;
}

/* An owner: a pointer to the question or to a CNAME's target where one ends with it. */
static bool put_owner(
    struct builder *b, const struct name_buf *owner, uint16_t *pointer)
{
	*pointer = ANSWER_NO_POINTER;
	for (unsigned i = 0; i < b->n_chain && owner->len > 1; i++) {
		size_t off, at;
		uint8_t p[2];

		if (!ends_with(&b->chain[i].name, owner, &off))
			continue;
		at = b->chain[i].at == SIZE_MAX ? DNS_HEADER + off
						: body_start(b) + b->chain[i].at + off;
		if (at > 0x3fff)
			continue;
		*pointer = (uint16_t)b->len;
		put16(p, 0xc000 | (unsigned)at);
		return put(b, p, 2);
	}
	return put(b, owner->wire, owner->len);
}

/* How the rdata of a type begins: bytes, then names, which may be compressed. */
static void layout(uint16_t type, unsigned *bytes, unsigned *names)
{
	*bytes = *names = 0;
	switch (type) {
	case DNS_NS:
	case 3: /* MD, MF, MB, MG, MR */
	case 4:
	case DNS_CNAME:
	case 7:
	case 8:
	case 9:
	case DNS_PTR:
	case DNS_DNAME:
		*names = 1;
		break;
	case DNS_SOA:
	case 14: /* MINFO */
	case 17: /* RP */
		*names = 2;
		break;
	case DNS_MX:
	case 18: /* AFSDB */
	case 21: /* RT */
	case 36: /* KX */
		*bytes = 2;
		*names = 1;
		break;
	case 26: /* PX */
		*bytes = 2;
		*names = 2;
		break;
	case DNS_SRV:
		*bytes = 6;
		*names = 1;
		break;
	}
}

/* An address has the length of its type (RFC 1035, 3.4.1; RFC 3596, 2.2), on which their
 * taking turns rests. */
static bool fits_type(const struct rr *rr)
{
	return rr->type == DNS_A ? rr->rdlen == 4
				 : rr->type != DNS_AAAA || rr->rdlen == 16;
}

/* Rdata with its names whole, behind its length. */
static int put_rdata(struct builder *b, const struct rr *rr)
{
	size_t start = b->len, at = rr->rdata, end = at + rr->rdlen;
	unsigned bytes, names;

	layout(rr->type, &bytes, &names);
	if (!fits_type(rr) || rr->rdlen < bytes || !put(b, "\0", 2) ||
	    !put(b, b->r->msg + at, bytes))
		return -EBADMSG;
	at += bytes;
	while (names--) {
		uint8_t wire[DNS_NAME_MAX];
		size_t len = expand(b->r, at, wire, &at);

		if (!len || at > end || !put(b, wire, len))
			return -EBADMSG;
	}
	/* An alias is a name and nothing else. */
	if ((rr->type == DNS_CNAME && at != end) || !put(b, b->r->msg + at, end - at))
		return -EBADMSG;
	put16(b->body + start, (unsigned)(b->len - start - 2));
	return 0;
}

static int put_record(struct builder *b, const struct rr *rr, uint32_t ttl)
{
	struct answer_record *rec = &b->records[b->n_records++];
	struct name_buf owner;
	uint8_t head[8];

	if (!read_name(b->r, rr->owner, &owner) || !put_owner(b, &owner, &rec->pointer))
		return -EBADMSG;
	put16(head, rr->type);
	put16(head + 2, DNS_IN);
	put32(head + 4, ttl);
	rec->ttl = (uint16_t)(b->len + 4);
	b->ttl = MIN(b->ttl, ttl);
	if (!put(b, head, sizeof(head)))
		return -EBADMSG;
	return put_rdata(b, rr);
}

static bool owned_by(
    const struct builder *b, const struct rr *rr, const struct name_buf *n)
{
	struct name_buf owner;

	return read_name(b->r, rr->owner, &owner) && owner.len == n->len &&
	    memcmp(owner.wire, n->wire, n->len) == 0;
}

static uint16_t covered(const struct builder *b, const struct rr *rr)
{
	return rr->rdlen >= 2 ? get16(b->r->msg + rr->rdata) : 0;
}

static bool wanted(const struct builder *b, const struct rr *rr)
{
	uint16_t type = rr->type;

	if (type == DNS_RRSIG && b->q->type != DNS_RRSIG && b->q->type != DNS_ANY) {
		if (!b->q->dnssec)
			return false;
		type = covered(b, rr);
	}
	return type &&
	    (type == b->q->type || type == DNS_CNAME || b->q->type == DNS_ANY);
}

static uint32_t positive_ttl(const struct builder *b, uint32_t ttl)
{
	return MIN(MAX(ttl, b->limits->min), b->limits->positive);
}

/* The DNAMEs that the chain's last name is below, with their signatures: a CNAME that follows
 * from one is not signed itself (RFC 6672, 5.3.1). */
static int put_dnames(struct builder *b, uint16_t *n_answer)
{
	const struct name_buf *name = &b->chain[b->n_chain - 1].name;
	struct name_buf owner;
	size_t off;
	int r = 0;

	for (size_t i = 0; r == 0 && b->q->dnssec && i < b->r->n_list; i++) {
		struct rr *rr = &b->r->list[i];
		uint16_t type = rr->type == DNS_RRSIG ? covered(b, rr) : rr->type;

		if (rr->authority || rr->used || type != DNS_DNAME ||
		    !read_name(b->r, rr->owner, &owner) || owner.len == name->len ||
		    !ends_with(name, &owner, &off))
			continue;
		rr->used = true;
		r = put_record(b, rr, positive_ttl(b, rr->ttl));
		(*n_answer)++;
	}
	return r;
}

/* The records of the chain's last name.  1 when one of them is a CNAME to go on at. */
static int put_link(struct builder *b, uint16_t *n_answer)
{
	struct name_buf name = b->chain[b->n_chain - 1].name;
	bool on = false;
	int r = put_dnames(b, n_answer);

	if (r < 0)
		return r;
	for (size_t i = 0; i < b->r->n_list; i++) {
		const struct rr *rr = &b->r->list[i];

		if (rr->authority || rr->used || !wanted(b, rr) ||
		    !owned_by(b, rr, &name))
			continue;
		/* One CNAME for a name, the first. */
		if (rr->type == DNS_CNAME && on)
			continue;
		r = put_record(b, rr, positive_ttl(b, rr->ttl));
		if (r < 0)
			return r;
		(*n_answer)++;
		b->answered |= rr->type == b->q->type || b->q->type == DNS_ANY;
		if (rr->type != DNS_CNAME || b->q->type == DNS_CNAME ||
		    b->q->type == DNS_ANY)
			continue;
		if (b->n_chain == CHAIN_MAX || !read_name(b->r, rr->rdata, &name))
			return -EBADMSG;
		/* Behind the TTL and the length. */
		b->chain[b->n_chain].at = b->records[b->n_records - 1].ttl + 6u;
		b->chain[b->n_chain].name = name;
		name = b->chain[b->n_chain - 1].name;
		on = true;
	}
	b->n_chain += on;
	return on;
}

/* A chain that comes back to a name it had answers nothing. */
static bool is_loop(const struct builder *b)
{
	const struct name_buf *last = &b->chain[b->n_chain - 1].name;

	for (unsigned i = 0; i + 1 < b->n_chain; i++)
		if (b->chain[i].name.len == last->len &&
		    memcmp(b->chain[i].name.wire, last->wire, last->len) == 0)
			return true;
	return false;
}

static int put_answers(struct builder *b, uint16_t *n_answer)
{
	int r;

	b->chain[0].name = b->q->name;
	b->chain[0].at = SIZE_MAX;
	b->n_chain = 1;
	do {
		r = put_link(b, n_answer);
		if (r > 0 && is_loop(b))
			return -EBADMSG;
	} while (r > 0);
	return r;
}

/* The SOA of a negative answer; its TTL is the negative one (RFC 2308, 5). */
static int put_soa(struct builder *b, const struct rr *rr, bool *found)
{
	const struct name_buf *last = &b->chain[b->n_chain - 1].name;
	uint8_t wire[DNS_NAME_MAX];
	struct name_buf owner;
	size_t at = rr->rdata, off;
	uint32_t ttl;

	if (*found || !read_name(b->r, rr->owner, &owner) ||
	    !ends_with(last, &owner, &off))
		return 0;
	if (!expand(b->r, at, wire, &at) || !expand(b->r, at, wire, &at) ||
	    at + 20 != (size_t)rr->rdata + rr->rdlen)
		return -EBADMSG;
	ttl = MIN(rr->ttl, get32(b->r->msg + at + 16));
	*found = true;
	return put_record(b, rr, MIN(MAX(ttl, b->limits->min), b->limits->negative));
}

static int put_authority(struct builder *b, bool *soa)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->r->n_list; i++) {
		const struct rr *rr = &b->r->list[i];
		bool proof = rr->type == DNS_NSEC || rr->type == DNS_NSEC3 ||
		    rr->type == DNS_RRSIG;

		if (!rr->authority)
			continue;
		if (rr->type == DNS_SOA)
			r = put_soa(b, rr, soa);
		else if (proof && b->q->dnssec)
			r = put_record(b, rr, positive_ttl(b, rr->ttl));
	}
	return r;
}

static uint16_t type_at(const struct answer *a, unsigned i)
{
	return get16(a->body + a->records[i].ttl - 4);
}

/* The last records of the answer that are addresses or mail servers with the same owner. */
static void find_turns(struct answer *a)
{
	unsigned n = a->n_answer;
	uint16_t type = n ? type_at(a, n - 1) : 0;

	if (type != DNS_A && type != DNS_AAAA && (type != DNS_MX || a->n_authority))
		return;
	/* One whose owner is a pointer begins with it, six bytes before the TTL. */
	for (; n && type_at(a, n - 1) == type &&
	     a->records[n - 1].ttl == a->records[n - 1].pointer + 6;
	     n--)
		a->turn_n++;
	if (!a->turn_n)
		return;
	a->turn_at = a->records[n].pointer;
	a->turn_size = type == DNS_A ? 16 : type == DNS_AAAA ? 28 : 0;
}

static int answer_make(
    struct answer **ret, const struct builder *b, const struct answer *head)
{
	size_t list = b->n_records * sizeof(struct answer_record);
	struct answer *a = malloc(sizeof(*a) + list + b->len);

	if (!a)
		return -ENOMEM;
	*a = *head;
	a->len = (uint32_t)b->len;
	a->body = (uint8_t *)a->records + list;
	memcpy(a->records, b->records, list);
	memcpy(a->body, b->body, b->len);
	find_turns(a);
	*ret = a;
	return 0;
}

static int build(struct answer **ret, struct builder *b)
{
	uint16_t flags = get16(b->r->msg + 2);
	struct answer head = { .rcode = flags & DNS_RCODE,
		.ad = flags & DNS_AD,
		.qname_len = b->q->name.len };
	bool soa = false, positive;
	int r = put_answers(b, &head.n_answer);

	positive = b->answered && head.rcode == DNS_NOERROR;
	/* The chain may end at a CNAME without more: then nothing says how long that
	 * holds, unless an SOA does. */
	if (r == 0 && (!positive || b->q->dnssec))
		r = put_authority(b, &soa);
	if (r < 0)
		return r;
	head.n_authority = (uint16_t)(b->n_records - head.n_answer);
	head.ttl = positive || soa ? b->ttl : 0;
	return answer_make(ret, b, &head);
}

int answer_new(struct answer **ret, const uint8_t *msg, size_t n,
    const struct answer_question *q, const struct answer_limits *limits)
{
	struct reader r = { msg, n, NULL, 0 };
	struct builder b = { .r = &r, .q = q, .limits = limits, .ttl = UINT32_MAX };
	unsigned rcode = get16(msg + 2) & DNS_RCODE;
	int e;

	if (rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN)
		return answer_new_error(ret, q->name.len, rcode, 0);
	e = read_records(&r, DNS_HEADER + q->name.len + 4u);
	if (e == 0) {
		b.cap = DNS_MESSAGE_MAX - body_start(&b) - DNS_OPT_LEN;
		b.body = malloc(b.cap);
		b.records = calloc(2 * r.n_list + CHAIN_MAX, sizeof(*b.records));
		e = b.body && b.records ? build(ret, &b) : -ENOMEM;
	}
	free(b.body);
	free(b.records);
	free(r.list);
	return e;
}

struct answer *answer_free(struct answer *a)
{
	free(a);
	return NULL;
}

struct answer *answer_copy(const struct answer *a)
{
	size_t n = answer_size(a);
	struct answer *c = malloc(n);

	if (!c)
		return NULL;
	memcpy(c, a, n);
	c->body = (uint8_t *)c + (a->body - (const uint8_t *)a);
	return c;
}

size_t answer_size(const struct answer *a)
{
	return sizeof(*a) + a->len +
	    (a->n_answer + (size_t)a->n_authority) * sizeof(a->records[0]);
}

uint8_t answer_denied_at(const struct answer *a)
{
	unsigned n = a->n_answer;

	for (; n < (unsigned)a->n_answer + a->n_authority; n++) {
		const struct answer_record *r = &a->records[n];
		unsigned at;

		if (type_at(a, n) != DNS_SOA || r->pointer == ANSWER_NO_POINTER)
			continue;
		at = get16(a->body + r->pointer) & 0x3fffu;
		/* Behind the question stands the target of an alias. */
		return at < DNS_HEADER + (unsigned)a->qname_len
		    ? (uint8_t)(at - DNS_HEADER)
		    : 0;
	}
	return 0;
}

int answer_new_error(
    struct answer **ret, size_t qname_len, unsigned rcode, uint32_t ttl)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->body = (uint8_t *)a->records;
	a->rcode = (uint8_t)rcode;
	a->qname_len = (uint16_t)qname_len;
	a->ttl = ttl;
	*ret = a;
	return 0;
}
