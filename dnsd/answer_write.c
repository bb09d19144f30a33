/* Answers of upstreams in our messages: see answer_write.h. */
#include "dnsd/answer_write.h"

void answer_copy_turned(uint8_t *to, const uint8_t *from, size_t n, unsigned first)
{
	size_t at = 0;

	while (first--)
		at += 12u + get16(from + at + 10);
	memcpy(to, from + at, n - at);
	memcpy(to + n - at, from, at);
}

/* Where the names lie in a message that the records of a body may point to. */
struct place {
	size_t base, start; /* the name that was asked for, the body */
};

/* What an owner points to there. */
static size_t pointed_to(
    const struct answer *a, const uint8_t *pointer, struct place to)
{
	size_t at = get16(pointer) & 0x3fffu,
	       old_start = DNS_HEADER + a->qname_len + 4u;

	return at < old_start ? at - DNS_HEADER + to.base : at - old_start + to.start;
}

bool answer_reaches(const struct answer *a, size_t base, size_t start)
{
	unsigned n = start + a->len > 0x3fff ? a->n_answer + a->n_authority : 0;

	for (unsigned i = 0; i < n; i++) {
		uint16_t p = a->records[i].pointer;

		if (p != ANSWER_NO_POINTER &&
		    pointed_to(a, a->body + p, (struct place){ base, start }) > 0x3fff)
			return false;
	}
	return true;
}

/* Counts TTLs down, and moves owners' pointers to where the message has the names.  Records
 * before the first are not there. */
static void settle(
    uint8_t *body, const struct answer_aged *g, struct place to, unsigned first)
{
	const struct answer *a = g->answer;
	unsigned n = a->n_answer + a->n_authority;

	for (unsigned i = first; i < n; i++) {
		const struct answer_record *r = &a->records[i];
		uint32_t ttl = get32(body + r->ttl);

		if (g->stale_ttl)
			ttl = g->stale_ttl;
		else
			ttl = ttl > g->age ? ttl - g->age : 0;
		put32(body + r->ttl, ttl);
		if (_likely_(to.base == DNS_HEADER) || r->pointer == ANSWER_NO_POINTER)
			continue;
		put16(body + r->pointer,
		    0xc000 | (unsigned)pointed_to(a, body + r->pointer, to));
	}
}

/* Copies the body from offset skip on to p. */
static void copy(uint8_t *p, const struct answer *a, size_t skip, unsigned turn)
{
	memcpy(p, a->body + skip, a->len - skip);
	if (a->turn_n > 1 && a->turn_size && turn % a->turn_n)
		answer_copy_turned(p + a->turn_at - skip, a->body + a->turn_at,
		    (size_t)a->turn_n * a->turn_size, turn % a->turn_n);
}

static void reverse(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		uint8_t b = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = b;
	}
}

/* Has the record of number first be the first, where they differ in length: in place, once
 * it is not needed any more where each of them is. */
static void turn_in_place(uint8_t *p, size_t n, unsigned first)
{
	size_t at = 0;

	while (first--)
		at += 12u + get16(p + at + 10);
	reverse(p, at);
	reverse(p + at, n - at);
	reverse(p, n);
}

void answer_write(
    const struct answer_aged *g, uint8_t *msg, size_t base, size_t start, unsigned turn)
{
	const struct answer *a = g->answer;
	uint8_t *body = msg + start;

	copy(body, a, 0, turn);
	settle(body, g, (struct place){ base, start }, 0);
	if (_unlikely_(a->turn_n > 1 && !a->turn_size) && turn % a->turn_n)
		turn_in_place(body + a->turn_at, a->len - a->turn_at, turn % a->turn_n);
}

bool answer_has_addresses(const struct answer *a)
{
	return a->rcode == DNS_NOERROR && a->turn_n && !a->n_authority;
}

/* The CNAMEs before the addresses. */
static unsigned chain_length(const struct answer *a)
{
	return (unsigned)a->n_answer - a->turn_n;
}

/* Whether the CNAMEs that two answers to questions about one name begin with are the same,
 * but for their TTLs. */
static bool same_chain(const struct answer *a, const struct answer *b)
{
	size_t from = 0;

	if (a->turn_at != b->turn_at || chain_length(a) != chain_length(b))
		return false;
	for (unsigned i = 0; i < chain_length(a); i++) {
		size_t ttl = a->records[i].ttl;

		if (ttl != b->records[i].ttl ||
		    memcmp(a->body + from, b->body + from, ttl - from) != 0)
			return false;
		from = ttl + 4;
	}
	return from == a->turn_at ||
	    memcmp(a->body + from, b->body + from, a->turn_at - from) == 0;
}

/* Room for n bytes before OPT; NULL when there is none, or pointers do not reach as far. */
static uint8_t *reserve(struct answer_message *m, size_t n)
{
	uint8_t *p = m->msg + m->len - m->opt_len;

	if (n > m->max - m->len || m->len - m->opt_len + n > 0x3fff)
		return NULL;
	memmove(p + n, p, m->opt_len);
	m->len += n;
	return p;
}

/* False when nothing was added.  chain is the offset of the CNAMEs that are there already;
 * 0: none are. */
static bool add(
    struct answer_message *m, const struct answer_aged *g, size_t target, size_t chain)
{
	const struct answer *a = g->answer;
	unsigned first = chain ? chain_length(a) : 0;
	size_t skip = chain ? a->turn_at : 0;
	uint8_t *p = reserve(m, a->len - skip);
	struct place to = { target, chain };

	if (!p)
		return false;
	if (!chain)
		to.start = (size_t)(p - m->msg);
	copy(p, a, skip, m->turn);
	settle(p - skip, g, to, first);
	put16(m->msg + 10, get16(m->msg + 10) + a->n_answer - first);
	return true;
}

void answer_add_addresses(
    struct answer_message *m, size_t target, const struct answer_pair *pair)
{
	const struct answer_aged *a = pair->kinds;
	size_t start = m->len - m->opt_len;
	bool has[2];

	for (unsigned i = 0; i < 2; i++)
		has[i] = a[i].answer && answer_has_addresses(a[i].answer);
	if (has[0])
		has[0] = add(m, &a[0], target, 0);
	/* CNAMEs of two kinds for one name would be none. */
	if (has[1] && (!has[0] || same_chain(a[0].answer, a[1].answer)))
		add(m, &a[1], target, has[0] ? start : 0);
}
