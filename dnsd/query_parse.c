/* Reading a query: see query_parse.h. */
#include "dnsd/query_parse.h"

#include "dnsd/cookie.h"

/* Steps over a name that may end in a pointer; 0 when it is broken. */
static size_t skip_name(const uint8_t *in, size_t n, size_t pos)
{
	size_t start = pos;

	while (pos < n && pos - start < DNS_NAME_MAX) {
		if (in[pos] == 0)
			return pos + 1;
		/* Names in the records of a query mean nothing to us, so that a pointer
		 * only has to be in one piece and point backwards. */
		if (in[pos] >= 0xc0)
			return n - pos >= 2 && (get16(in + pos) & 0x3fffu) < pos
			    ? pos + 2
			    : 0;
		if (in[pos] > DNS_LABEL_MAX)
			return 0;
		pos += in[pos] + 1u;
	}
	return 0;
}

/* A client's cookie alone, or with that of a server, which is ours if its length is. */
static bool parse_cookie(struct query *q, const uint8_t *p, size_t n)
{
	if (n != COOKIE_CLIENT_LEN && (n < 16 || n > 40))
		return false;
	memcpy(q->cookie, p, MIN(n, sizeof(q->cookie)));
	q->cookie_len = (uint8_t)n;
	return true;
}

static bool parse_options(struct query *q, const uint8_t *p, size_t n)
{
	while (n >= 4) {
		size_t len = 4u + get16(p + 2);

		/* Only the first cookie counts (RFC 7873, 5.2). */
		if (len > n ||
		    (get16(p) == OPTION_COOKIE && !q->cookie_len &&
			!parse_cookie(q, p + 4, len - 4)))
			return false;
		p += len;
		n -= len;
	}
	return n == 0;
}

/* Reads the OPT whose type field is at p, with n bytes of rdata. */
static bool parse_opt(struct query *q, const uint8_t *p, size_t n)
{
	if (q->edns)
		return false;
	q->edns = true;
	q->bufsize = get16(p + 2);
	q->udp_size = MIN(MAX(q->bufsize, DNS_UDP_PLAIN), DNS_UDP_MAX);
	q->edns_version = p[5];
	q->edns_do = get16(p + 6) & DNS_DO;
	return parse_options(q, p + 10, n);
}

/* The records behind the question: only OPT in the additional section matters, but all
 * must be whole. */
static bool parse_records(struct query *q, const uint8_t *in, size_t n)
{
	unsigned before = get16(in + 6) + get16(in + 8), all = before + get16(in + 10);
	size_t pos = q->question_end;

	for (unsigned i = 0; i < all; i++) {
		size_t type = skip_name(in, n, pos), rdlen;

		if (!type || n - type < 10)
			return false;
		rdlen = get16(in + type + 8);
		if (n - type - 10 < rdlen)
			return false;
		if (get16(in + type) == DNS_OPT &&
		    (i < before || in[pos] != 0 || !parse_opt(q, in + type, rdlen)))
			return false;
		pos = type + 10 + rdlen;
	}
	return true;
}

enum parsed query_parse(struct query *q, const uint8_t *in, size_t n)
{
	size_t len;

	q->type = q->class = 0;
	q->name.len = 0;
	q->question_end = DNS_HEADER;
	q->edns = q->edns_do = false;
	q->cookie_len = 0;
	q->cookie_valid = false;
	q->options_len = q->ederror_len = 0;
	q->source_at = 0;
	q->udp_size = q->bufsize = DNS_UDP_PLAIN;
	q->rcode = 0;
	q->chase_at = 0;
	q->n_targets = 0;
	q->reply_flags = q->answers = 0;
	q->reply_len = 0;
	if (n < DNS_HEADER)
		return PARSED_SILENT;
	q->id = get16(in);
	q->flags = get16(in + 2);
	if (q->flags & DNS_QR)
		return PARSED_SILENT;
	if (q->flags & DNS_OPCODE)
		return PARSED_NOTIMP;
	if (get16(in + 4) == 0)
		return parse_records(q, in, n) && q->cookie_len ? PARSED_COOKIE
								: PARSED_FORMERR;
	if (get16(in + 4) != 1)
		return PARSED_FORMERR;
	len = name_scan(in + DNS_HEADER, n - DNS_HEADER);
	if (!len || n - DNS_HEADER - len < 4)
		return PARSED_FORMERR;
	name_set(&q->name, in + DNS_HEADER, len);
	q->type = get16(in + DNS_HEADER + len);
	q->class = get16(in + DNS_HEADER + len + 2);
	q->question_end = DNS_HEADER + len + 4;
	if ((get16(in + 6) | get16(in + 8) | get16(in + 10)) &&
	    !parse_records(q, in, n))
		return PARSED_FORMERR;
	return PARSED;
}
