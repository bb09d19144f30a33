/* What a reply of ours gets from upstreams in addition to what is in it. */
#include "dnsd/query.h"

void query_targets(const struct query_env *env, struct query *q, uint8_t *out,
    size_t out_max, const struct answer_pair *pairs)
{
	size_t size = env->tcp ? DNS_MESSAGE_MAX : q->udp_size;
	size_t opt_len = q->edns ? DNS_OPT_LEN + (size_t)q->options_len : 0;
	unsigned turn = env->rotate ? q->id : 0;
	size_t max = MIN(out_max, size);
	struct answer_message m = { .msg = out,
		.len = q->reply_len,
		.max = max,
		.opt_len = opt_len,
		.turn = turn };

	for (unsigned i = 0; i < q->n_targets; i++)
		answer_add_addresses(&m, q->targets[i], &pairs[i]);
	q->reply_len = m.len;
}
