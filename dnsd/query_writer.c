/* Replies: see query_writer.h; and those that are whole by what others say. */
#include "dnsd/query_writer.h"

#include <string.h>

#include "dnsd/query_parse.h"

void writer_init(struct writer *w, const struct query_env *env, const struct query *q,
    const uint8_t *in, uint8_t *out, size_t out_max)
{
	w->out = out;
	w->pos = q->question_end;
	w->end = MIN(out_max, env->tcp ? (size_t)DNS_MESSAGE_MAX : q->udp_size);
	if (q->edns)
		w->end -= DNS_OPT_LEN + q->options_len;
	w->answers = w->authority = w->additional = 0;
	/* The client draws its IDs at random, so we need not. */
	w->turn = env->rotate ? q->id : 0;
	w->truncated = false;
	if (out != in)
		memcpy(out + DNS_HEADER, in + DNS_HEADER, q->question_end - DNS_HEADER);
}

/* Aside, as few replies have options. */
static __attribute__((noinline)) void put_options(const struct query *q, uint8_t *p)
{
	if (q->options_len > q->ederror_len) {
		put16(p, OPTION_COOKIE);
		put16(p + 2, COOKIE_LEN);
		memcpy(p + 4, q->cookie, COOKIE_LEN);
		p += COOKIE_OPTION_LEN;
	}
	if (q->ederror_len)
		memcpy(p, q->ederror, q->ederror_len);
}

void writer_finish(struct writer *w, const struct query_env *env, struct query *q,
    unsigned rcode, unsigned flags)
{
	uint8_t *h = w->out;

	if (w->truncated) {
		w->pos = q->question_end;
		w->answers = w->authority = w->additional = 0;
		flags |= DNS_TC;
	}
	if (q->edns) {
		uint8_t *p = w->out + w->pos;

		p[0] = 0;
		put16(p + 1, DNS_OPT);
		put16(p + 3, DNS_UDP_MAX);
		p[5] = (uint8_t)(rcode >> 4);
		p[6] = 0; /* our version */
		put16(p + 7, q->edns_do ? DNS_DO : 0);
		put16(p + 9, q->options_len);
		if (_unlikely_(q->options_len))
			put_options(q, p + DNS_OPT_LEN);
		w->pos += DNS_OPT_LEN + q->options_len;
		w->additional++;
	}
	put16(h, q->id);
	flags |=
	    DNS_QR | (q->flags & (DNS_OPCODE | DNS_RD | DNS_CD)) | (rcode & DNS_RCODE);
	flags |= env->recursion ? DNS_RA : 0;
	put16(h + 2, flags);
	put16(h + 4, q->question_end > DNS_HEADER);
	put16(h + 6, w->answers);
	put16(h + 8, w->authority);
	put16(h + 10, w->additional);
	q->rcode = (uint8_t)rcode;
	q->reply_flags = (uint16_t)flags;
	q->answers = (uint16_t)w->answers;
	q->reply_len = w->pos;
}

void query_error(const struct query_env *env, struct query *q, unsigned rcode,
    const uint8_t *in, uint8_t *out, size_t out_max)
{
	struct writer w;

	writer_init(&w, env, q, in, out, out_max);
	writer_finish(&w, env, q, rcode, 0);
}

void query_give_up(const struct query_env *env, struct query *q, const uint8_t *in,
    uint8_t *out, size_t out_max)
{
	q->chase_at = 0;
	if (!q->n_targets)
		query_error(env, q, DNS_SERVFAIL, in, out, out_max);
}

void query_limit(const struct query_env *env, struct query *q, const uint8_t *in,
    uint8_t *out, size_t out_max)
{
	bool cookie = q->options_len > q->ederror_len;
	struct writer w;

	writer_init(&w, env, q, in, out, out_max);
	w.truncated = !cookie;
	writer_finish(&w, env, q, cookie ? DNS_BADCOOKIE : DNS_NOERROR, 0);
}

/* AA is about the name that was asked for (RFC 1035, 4.1.1), which is ours when a chain began
 * here.  AD is about every record of the answer (RFC 4035, 3.2.3), so not with such a chain;
 * who gets it at all says RFC 6840, 5.7. */
static unsigned upstream_flags(const struct query *q, const struct answer *a)
{
	if (q->chase_at)
		return DNS_AA;
	return a->ad && (q->edns_do || q->flags & DNS_AD) ? DNS_AD : 0;
}

void query_upstream(const struct query_env *env, struct query *q, const uint8_t *in,
    uint8_t *out, size_t out_max, const struct answer_aged *g)
{
	const struct answer *a = g->answer;
	struct writer w;
	uint8_t *body;

	writer_init(&w, env, q, in, out, out_max);
	if (_unlikely_(q->chase_at)) {
		if (out != in)
			memcpy(out + q->question_end, in + q->question_end,
			    q->chase_end - q->question_end);
		w.pos = q->chase_end;
		w.answers = q->answers;
		w.truncated = w.pos > w.end || !answer_reaches(a, q->chase_at, w.pos);
	}
	body = w.truncated ? NULL : writer_reserve(&w, a->len);
	if (body && a->len) { /* an error has no records */
		answer_write(g, out, q->chase_at ? q->chase_at : DNS_HEADER,
		    (size_t)(body - out), w.turn);
		w.answers += a->n_answer;
		w.authority += a->n_authority;
	}
	if (a->rcode == DNS_NXDOMAIN && !q->chase_at)
		q->source_at = answer_denied_at(a);
	writer_finish(&w, env, q, a->rcode, upstream_flags(q, a));
}
