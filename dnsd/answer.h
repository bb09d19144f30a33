/*
 * What an upstream said, scrubbed: the records that answer the question, along its chain
 * of CNAMEs, or the SOA that says that there are none (RFC 2308); DNSSEC's records, and the
 * DNAMEs that CNAMEs follow from, where they were asked for.  Whatever else a reply holds is
 * dropped, so that nothing gets into the cache that was not asked for.
 *
 * The records are kept as they go out behind a question.  Owners are compressed against
 * the question and the targets of CNAMEs before them, names in rdata are whole.
 */
#pragma once

#include "common/base.h"
#include "dnsd/name.h"

struct answer_question {
	struct name_buf name;
	uint16_t type;
	bool dnssec; /* DO */
	bool checking_disabled;
};

/* In seconds. */
struct answer_limits {
	uint32_t positive, negative; /* TTLs are cut to these */
	uint32_t min; /* what counts as less, 0 included, counts as this */
};

/* Where in the body a record's TTL is, and the pointer at the end of its owner. */
struct answer_record {
	uint16_t ttl, pointer;
};
#define ANSWER_NO_POINTER UINT16_MAX

struct answer {
	uint8_t rcode;
	bool ad;
	uint16_t qname_len;
	uint16_t n_answer, n_authority; /* records */
	uint32_t ttl;                   /* seconds it may be kept; 0: not at all */
	uint32_t len;                   /* bytes of body */
	/* Addresses or mail servers at the answer's end that may take turns: where, how
	 * many, and how long each; 0: of different lengths, up to the body's end. */
	uint16_t turn_at, turn_n, turn_size;
	uint8_t *body;
	struct answer_record records[];
};

enum answer_check {
	ANSWER_OK,
	ANSWER_TRUNCATED, /* to be asked for over TCP */
	ANSWER_CASE,      /* right, but for the case of the question's letters */
	ANSWER_WRONG,     /* not to this query: keep waiting */
};

/* Compares a reply's head with a query sent: ID, question with its case. */
enum answer_check answer_check(
    const uint8_t *msg, size_t n, const uint8_t *sent, size_t sent_len);
/* One allocation, body included.  0, -EBADMSG for a reply that cannot be read or makes no
 * sense, -ENOMEM.  msg passed answer_check(). */
int answer_new(struct answer **ret, const uint8_t *msg, size_t n,
    const struct answer_question *q, const struct answer_limits *limits) _mustcheck_;
struct answer *answer_free(struct answer *a);
DEFINE_FREEP(answer)
struct answer *answer_copy(const struct answer *a); /* NULL without memory */
size_t answer_size(const struct answer *a);         /* bytes of memory */
/* Where in the question's name the zone begins whose SOA denies it; 0 where none does. */
uint8_t answer_denied_at(const struct answer *a);
/* A failure of our own making. */
int answer_new_error(
    struct answer **ret, size_t qname_len, unsigned rcode, uint32_t ttl) _mustcheck_;
