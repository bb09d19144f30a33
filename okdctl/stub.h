/*
 * A stub resolver's side of DNS (RFC 1035): one question, asked of one server over UDP,
 * and over TCP when the answer was cut.  What comes back is texts, for comparing.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"
#include "okdctl/words.h"

enum stub_type { STUB_A = 1, STUB_PTR = 12, STUB_AAAA = 28, STUB_SRV = 33 };

struct stub_answer {
	int rcode;
	bool truncated;
	/* Addresses as texts, names in lower case without the final dot, SRV as
	 * "priority weight port target". */
	struct words records;
};

#define STUB_QUERY_MAX 300

/* A query with recursion desired: its length, or -EINVAL for a name that is none. */
int stub_query(uint8_t buf[STUB_QUERY_MAX], uint16_t id, const char *name,
    enum stub_type type) _mustcheck_;
/* Reads a reply to that query: 0, -EAGAIN for a reply to another one, -EBADMSG,
 * -ENOMEM. */
int stub_parse(const uint8_t *p, size_t n, const uint8_t *query, size_t query_len,
    struct stub_answer *ret) _mustcheck_;
void stub_answer_deinit(struct stub_answer *a);
/* Asks a server, three times within timeout_ms: 0, -ETIMEDOUT, -ECONNREFUSED, ... */
int stub_ask(const struct net_endpoint *server, const char *name, enum stub_type type,
    int timeout_ms, struct stub_answer *ret) _mustcheck_;
/* The same over TCP alone. */
int stub_ask_tcp(const struct net_endpoint *server, const char *name,
    enum stub_type type, int timeout_ms, struct stub_answer *ret) _mustcheck_;
/* "101.120.168.192.in-addr.arpa", or the ip6.arpa form. */
#define STUB_REVERSE_MAX 80
const char *stub_reverse(const struct net_ip *ip, char buf[STUB_REVERSE_MAX]);
/* NOERROR, NXDOMAIN, SERVFAIL, REFUSED, ... */
const char *stub_rcode(int rcode);
