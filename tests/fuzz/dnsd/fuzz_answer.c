/*
 * An upstream's reply: no byte outside of it is read, and what is made of it is a message
 * whose records are whole, at its own place and behind a chain.  (What is in them is the
 * upstream's affair.)
 */
#include "dnsd/answer.h"
#include "dnsd/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Steps over a name, whose pointers lead backwards to whole names. */
static size_t skip_name(const uint8_t *p, size_t n, size_t at)
{
	size_t next = 0;

	for (unsigned steps = 0; steps < 256 && at < n; steps++) {
		if (p[at] >= 0xc0) {
			size_t to = at + 1 < n ? get16(p + at) & 0x3fffu : n;

			next = next ? next : at + 2;
			if (to >= at)
				abort();
			at = to;
		} else if (p[at] == 0) {
			return next ? next : at + 1;
		} else {
			at += p[at] + 1u;
		}
	}
	abort();
}

static void check_message(const uint8_t *p, size_t n)
{
	size_t at = skip_name(p, n, DNS_HEADER) + 4;
	unsigned records = get16(p + 6) + get16(p + 8) + get16(p + 10);

	while (records--) {
		at = skip_name(p, n, at);
		if (at + 10 > n || at + 10 + get16(p + at + 8) > n)
			abort();
		at += 10u + get16(p + at + 8);
	}
	if (at != n)
		abort();
}

static void check(const struct answer *a, const struct answer_question *aq, bool chased)
{
	static uint8_t out[DNS_MESSAGE_MAX];
	struct query_env env = { .tcp = true, .recursion = true, .rotate = true };
	struct query q = {
		.id = 1, .name = aq->name, .type = aq->type, .class = DNS_IN
	};
	size_t at = DNS_HEADER;

	memset(out, 0, DNS_HEADER);
	if (chased) {
		/* a. CNAME name */
		static const uint8_t alias[] = { 1, 'a', 0, 0, 1, 0, 1, 0xc0, 12, 0, 5,
			0, 1, 0, 0, 0, 60, 0 };

		memcpy(out + at, alias, sizeof(alias));
		out[at + sizeof(alias)] = (uint8_t)aq->name.len;
		q.question_end = at + 7;
		q.chase_at = at + sizeof(alias) + 1;
		q.chase_end = q.chase_at + aq->name.len;
		q.answers = 1;
		at = q.chase_at;
	} else {
		q.question_end = at + aq->name.len + 4u;
		put16(out + q.question_end - 4, aq->type);
		put16(out + q.question_end - 2, DNS_IN);
	}
	memcpy(out + at, aq->name.wire, aq->name.len);
	query_upstream(
	    &env, &q, out, out, sizeof(out), &(struct answer_aged){ a, 1, 0 });
	if (q.reply_len > sizeof(out))
		abort();
	check_message(out, q.reply_len);
}

/* As the addresses of a target of a reply, where pointers lead to its own place. */
static void check_target(const struct answer *a, const struct answer_question *aq)
{
	/* a. SRV 0 0 0 name, and OPT */
	static const uint8_t srv[] = { 1, 'a', 0, 0, 33, 0, 1, 0xc0, 12, 0, 33, 0, 1, 0,
		0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t opt[DNS_OPT_LEN] = { 0, 0, DNS_OPT };
	static uint8_t out[DNS_MESSAGE_MAX];
	struct answer_message m = {
		.msg = out, .max = sizeof(out), .opt_len = sizeof(opt), .turn = 1
	};
	struct answer_pair pair = { { { a, 1, 0 }, { a, 0, 30 } } };
	size_t target = DNS_HEADER + sizeof(srv);

	memset(out, 0, DNS_HEADER);
	out[5] = out[7] = out[11] = 1;
	memcpy(out + DNS_HEADER, srv, sizeof(srv));
	put16(out + target - 8, 6u + aq->name.len);
	memcpy(out + target, aq->name.wire, aq->name.len);
	memcpy(out + target + aq->name.len, opt, sizeof(opt));
	m.len = target + aq->name.len + sizeof(opt);
	answer_add_addresses(&m, target, &pair);
	if (m.len > sizeof(out))
		abort();
	check_message(out, m.len);
}

/* The first byte: DO, and whether the question is made the reply's own. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct answer_limits limits = { 3600, 1800, 0 };
	struct answer_question q = { 0 };
	struct answer *a;
	uint8_t *msg;
	size_t len;

	if (size < 1 + DNS_HEADER || size > DNS_MESSAGE_MAX)
		return 0;
	msg = malloc(size - 1);
	memcpy(msg, data + 1, size - 1);
	len = name_scan(msg + DNS_HEADER, size - 1 - DNS_HEADER);
	if (len && size - 1 - DNS_HEADER - len >= 4) {
		name_set(&q.name, msg + DNS_HEADER, len);
		q.type = get16(msg + DNS_HEADER + len);
		q.dnssec = data[0] & 1;
		if (answer_check(msg, size - 1, msg, DNS_HEADER + len + 4) ==
			ANSWER_OK &&
		    get16(msg + 4) == 1 &&
		    answer_new(&a, msg, size - 1, &q, &limits) == 0) {
			check(a, &q, false);
			check(a, &q, true);
			check_target(a, &q);
			answer_free(a);
		}
	}
	free(msg);
	return 0;
}
