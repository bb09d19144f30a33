/*
 * A query off the wire: no byte outside the message is read, none outside the buffer is
 * written, a reply parses and answers what was asked.  The first byte of the input
 * chooses the environment.
 */
/* Before ldns, which makes a bool of its own otherwise. */
#include <stdbool.h>

#include <ldns/ldns.h>

#include "dnsd/cookie.h"
#include "dnsd/query.h"
#include "dnsd/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const lines[] = {
	"okd.example.com. NS ns.okd.example.com.",
	"ns A 10.0.0.1",
	"api A 10.0.0.1",
	"api AAAA fd00::1",
	"*.apps A 10.0.0.1",
	"_s._tcp SRV 0 10 2380 api",
	"_s._tcp SRV 0 10 2380 ns",
	"c CNAME d",
	"d CNAME api",
	"*.c2 CNAME x.c2",
	"m MX 1 api",
	"t TXT \"text\"",
	". A 10.0.0.1",
	NULL,
};

static struct zone *make_zone(void)
{
	struct zone_soa soa = { .ttl = 30 };
	struct zone_edit *e;
	struct name_buf apex;
	struct records *r;

	if (zone_edit_new(&e, NULL) < 0 || records_new(&r) < 0 ||
	    name_parse(&apex, "okd.example.com") < 0 ||
	    name_parse(&soa.mname, "ns.okd.example.com") < 0 ||
	    name_parse(&soa.rname, "h.okd.example.com") < 0 ||
	    zone_edit_apex(e, &apex, &soa) < 0)
		abort();
	for (const char *const *l = lines; *l; l++)
		if (records_add_line(
			r, RECORDS_STATIC, *l, "okd.example.com.", 60, NULL) < 0)
			abort();
	if (records_build(r, e, NULL) < 0)
		abort();
	records_free(r);
	return zone_edit_commit(e, 1);
}

static void check_reply(
    const struct query *q, const uint8_t *in, const uint8_t *out, size_t max)
{
	ldns_pkt *pkt = NULL;

	if (q->reply_len < DNS_HEADER || q->reply_len > max)
		abort();
	if (memcmp(in, out, 2) != 0 || !(get16(out + 2) & DNS_QR))
		abort();
	if (get16(out + 4) &&
	    memcmp(in + DNS_HEADER, out + DNS_HEADER, q->question_end - DNS_HEADER) !=
		0)
		abort();
	if (ldns_wire2pkt(&pkt, out, q->reply_len) != LDNS_STATUS_OK)
		abort();
	ldns_pkt_free(pkt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cookie_key key = { "sixteen bytes..." };
	static const struct sockaddr_in peer = { .sin_family = AF_INET };
	static struct zone *zone;
	struct query_env env;
	enum query_outcome o;
	uint8_t *in, *out;
	struct query q;
	size_t max;

	if (!zone)
		zone = make_zone();
	if (size < 1 || size > DNS_MESSAGE_MAX)
		return 0;
	env = (struct query_env){
		.zone = zone,
		.tcp = data[0] & 1,
		.refuse = data[0] & 2,
		.recursion = data[0] & 4,
		.wildcards = data[0] & 8,
		.cookies = data[0] & 16 ? &key : NULL,
		.peer = (const struct sockaddr *)&peer,
	};
	max = env.tcp ? DNS_MESSAGE_MAX : QUERY_UDP_OUT;
	in = malloc(size - 1 ? size - 1 : 1);
	out = malloc(max);
	memcpy(in, data + 1, size - 1);
	o = query_answer(&env, &q, in, size - 1, out, max);
	if (o == QUERY_WILDCARD)
		o = query_wildcard(&env, &q, NULL, in, out, max);
	if (o == QUERY_ANSWERED && data[0] & 32)
		query_limit(&env, &q, in, out, max);
	if (o == QUERY_FORWARD)
		query_error(&env, &q, DNS_REFUSED, in, out, max);
	if (o != QUERY_SILENT)
		check_reply(&q, in, out, max);
	free(in);
	free(out);
	return 0;
}
