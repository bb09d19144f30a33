/*
 * From upstreams' answers to the messages that they go out in: TTLs are counted down,
 * owners point to where the message has the name that was asked for.
 */
#pragma once

#include "common/base.h"
#include "dnsd/answer.h"

/* An answer as the cache gives it. */
struct answer_aged {
	const struct answer *answer; /* NULL: none */
	uint32_t age;                /* seconds */
	uint32_t stale_ttl;          /* unless it is 0, it stands for each TTL */
};

/* What there is of a name's A and AAAA records. */
struct answer_pair {
	struct answer_aged kinds[2];
};

/* Copies n bytes of records, whose owners are pointers, so that the one of number first is
 * the first. */
void answer_copy_turned(uint8_t *to, const uint8_t *from, size_t n, unsigned first);
/*
 * Writes the body to offset start of msg, where there is room for it.  base is the offset
 * of the name that was asked for; addresses begin with that of number turn.
 */
void answer_write(const struct answer_aged *g, uint8_t *msg, size_t base, size_t start,
    unsigned turn);

/* Whether it can be written there: what owners point to must not be beyond the reach of a
 * pointer (RFC 1035, 4.1.4). */
bool answer_reaches(const struct answer *a, size_t base, size_t start);

/* A reply that is whole, to which addresses of its records' targets are added. */
struct answer_message {
	uint8_t *msg;
	size_t len, max;
	size_t opt_len; /* bytes of OPT, the last record; 0 without */
	unsigned turn;
};

/*
 * Adds what upstreams said of the A and the AAAA records of the name at offset target: the
 * addresses, behind the CNAMEs that lead to them.  Of what does not fit nothing is added
 * (RFC 2181, 9).
 */
void answer_add_addresses(
    struct answer_message *m, size_t target, const struct answer_pair *pair);
/* Whether there is something to add in an answer. */
bool answer_has_addresses(const struct answer *a);
