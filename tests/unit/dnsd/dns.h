/* Zones from text, queries from arguments, replies as one line of text. */
#pragma once

/* Before ldns, which makes a bool of its own otherwise. */
#include <stdbool.h>

#include <ldns/ldns.h>

#include "common/str.h"
#include "dnsd/query.h"
#include "dnsd/records.h"

#define ORIGIN "okd.example.com."

static __attribute__((unused)) struct name_buf name(const char *text)
{
	struct name_buf b;

	if (name_parse(&b, text) < 0)
		abort();
	return b;
}

static struct zone_soa soa_of(const char *mname, const char *rname)
{
	struct zone_soa s = {
		.ttl = 30, .serial = 1, .refresh = 2, .retry = 3, .expire = 4
	};

	s.mname = name(mname);
	s.rname = name(rname);
	return s;
}

/* A zone with the apexes (NULL-terminated) and lines given. */
static __attribute__((unused)) struct zone *zone_of(
    const char *const *apexes, const char *const *lines)
{
	struct zone_soa soa = soa_of("ns." ORIGIN, "hostmaster." ORIGIN);
	struct err e = ERR_INIT;
	struct zone_edit *edit;
	struct records *r;
	int n = 0;

	if (zone_edit_new(&edit, NULL) < 0 || records_new(&r) < 0)
		abort();
	for (; *apexes; apexes++)
		if (zone_edit_apex(edit, (struct name_buf[]){ name(*apexes) }, &soa) <
		    0)
			abort();
	for (; *lines && n == 0; lines++)
		n = records_add_line(r, RECORDS_STATIC, *lines, ORIGIN, 60, &e);
	if (n == 0)
		n = records_build(r, edit, &e);
	if (n < 0) {
		printf("# %s\n", e.text);
		abort();
	}
	records_free(r);
	return zone_edit_commit(edit, 7);
}

struct message {
	size_t n;
	uint8_t b[DNS_MESSAGE_MAX];
};

static __attribute__((unused)) void add_bytes(
    struct message *m, const void *p, size_t n)
{
	memcpy(m->b + m->n, p, n);
	m->n += n;
}

/* ID 0x1234, one question. */
static __attribute__((unused)) void ask(
    struct message *m, const char *qname, uint16_t type, uint16_t flags)
{
	ldns_rdf *wire = ldns_dname_new_frm_str(qname);
	uint8_t tail[4];

	memset(m->b, 0, DNS_HEADER);
	m->n = DNS_HEADER;
	put16(m->b, 0x1234);
	put16(m->b + 2, flags);
	put16(m->b + 4, 1);
	add_bytes(m, ldns_rdf_data(wire), ldns_rdf_size(wire));
	ldns_rdf_deep_free(wire);
	put16(tail, type);
	put16(tail + 2, DNS_IN);
	add_bytes(m, tail, 4);
}

/* flags: OPT's 32 bits of TTL. */
static __attribute__((unused)) void add_opt(
    struct message *m, uint16_t size, uint32_t flags, const void *options, size_t n)
{
	uint8_t opt[DNS_OPT_LEN] = { 0, 0, DNS_OPT };

	put16(opt + 3, size);
	put32(opt + 5, flags);
	put16(opt + 9, n);
	add_bytes(m, opt, sizeof(opt));
	add_bytes(m, options ? options : "", n);
	put16(m->b + 10, get16(m->b + 10) + 1u);
}

static void add_section(struct str *s, ldns_rr_list *list, char mark)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		char *t = ldns_rr2str(ldns_rr_list_rr(list, i));

		str_addf(s, " %c ", mark);
		for (char *c = t; *c && *c != '\n'; c++)
			str_addc(s, *c == '\t' ? ' ' : *c);
		free(t);
	}
}

/* "RCODE flags = answer + authority * additional; opt ...", or "silence", "forward",
 * "broken" when the reply does not parse or leaves bytes over. */
static __attribute__((unused)) char *reply_to(
    const struct query_env *env, const struct message *m)
{
	static uint8_t out[DNS_MESSAGE_MAX];
	static const char *const flag_names[] = { "qr", "aa", "tc", "rd", "ra", "z",
		"ad", "cd" };
	static const uint16_t flag_bits[] = { DNS_QR, DNS_AA, DNS_TC, DNS_RD, DNS_RA,
		0x40, DNS_AD, DNS_CD };
	/* A copy of the exact size, so that ASan sees a byte read beyond it. */
	uint8_t *in = memcpy(malloc(m->n ? m->n : 1), m->b, m->n);
	size_t max = env->tcp ? sizeof(out) : QUERY_UDP_OUT;
	struct str s = STR_INIT;
	ldns_lookup_table *rcode;
	enum query_outcome o;
	ldns_pkt *pkt = NULL;
	struct query q;
	uint16_t flags;
	char *text;

	o = query_answer(env, &q, in, m->n, out, max);
	free(in);
	if (o != QUERY_ANSWERED)
		return strdup(o == QUERY_SILENT ? "silence" : "forward");
	if (q.reply_len > max || get16(out) != get16(m->b) ||
	    ldns_wire2pkt(&pkt, out, q.reply_len) != LDNS_STATUS_OK ||
	    (q.reply_len > DNS_HEADER && ldns_pkt_size(pkt) != q.reply_len))
		return strdup("broken");
	rcode = ldns_lookup_by_id(ldns_rcodes, ldns_pkt_get_rcode(pkt));
	str_addz(&s, rcode->name);
	flags = get16(out + 2);
	for (size_t i = 0; i < ARRAY_SIZE(flag_bits); i++)
		if (flags & flag_bits[i])
			str_addf(&s, " %s", flag_names[i]);
	if (flags & DNS_OPCODE)
		str_addf(&s, " opcode %u", (flags & DNS_OPCODE) >> 11);
	if (!get16(out + 4))
		str_addz(&s, " no question");
	add_section(&s, ldns_pkt_answer(pkt), '=');
	add_section(&s, ldns_pkt_authority(pkt), '+');
	add_section(&s, ldns_pkt_additional(pkt), '*');
	if (ldns_pkt_edns(pkt))
		str_addf(&s, "; opt %u v%u x%u%s%s", ldns_pkt_edns_udp_size(pkt),
		    ldns_pkt_edns_version(pkt), ldns_pkt_edns_extended_rcode(pkt),
		    ldns_pkt_edns_do(pkt) ? " do" : "",
		    ldns_pkt_edns_data(pkt) ? " data" : "");
	ldns_pkt_free(pkt);
	text = str_take(&s);
	return text;
}
