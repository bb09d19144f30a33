/* Entries of the query log in the journal. */
#include "tests/unit/test.h"

#include <netinet/in.h>

#include "tests/unit/dnsd/dns.h"

#include "dnsd/qlog.h"

static const struct sockaddr_in peer = {
	.sin_family = AF_INET, .sin_port = 0x3930, .sin_addr = { 0x0100007f }
};

static struct query query(const char *qname, uint16_t type, unsigned rcode)
{
	return (struct query){ .name = name(qname),
		.type = type,
		.class = DNS_IN,
		.id = 7,
		.rcode = rcode,
		.bufsize = 1232,
		.reply_flags = DNS_QR,
		.reply_len = 64 };
}

TEST(fields)
{
	struct query q = query("api.okd.example.com.", DNS_A, DNS_NOERROR);
	char entry[QLOG_ENTRY_MAX + 1] = "";
	size_t n = qlog_format_entry(
	    entry, &q, STATS_UDP, (const struct sockaddr *)&peer, 56, 1751929);

	CHECK(n == strlen(entry));
	CHECK(str_eq(entry,
	    "SYSLOG_IDENTIFIER=okd-dnsd\nPRIORITY=6\n"
	    "MESSAGE=[INFO] 127.0.0.1:12345 - 7 \"A IN api.okd.example.com. udp 56 "
	    "false "
	    "1232\" NOERROR qr 64 0.001751929s\n"
	    "OKD_CLIENT=127.0.0.1\nOKD_NAME=api.okd.example.com.\nOKD_TYPE=A\n"
	    "OKD_RCODE=NOERROR\nOKD_PROTOCOL=udp\n\n"));
}

/* A name cannot end a field and begin another, and the longest fits. */
TEST(hostile_names)
{
	struct query q = query(".", 65280, 23);
	char entry[QLOG_ENTRY_MAX + 1] = "";
	uint8_t wire[DNS_NAME_MAX];
	size_t at = 0, n;

	while (at + 64 < sizeof(wire)) {
		size_t len = MIN(63u, sizeof(wire) - at - 2);

		wire[at] = (uint8_t)len;
		memset(wire + at + 1, '\n', len);
		at += len + 1;
	}
	wire[at++] = 0;
	name_set(&q.name, wire, at);
	n = qlog_format_entry(
	    entry, &q, STATS_TCP, (const struct sockaddr *)&peer, 56, UINT64_MAX);
	CHECK(n == strlen(entry) && n <= QLOG_ENTRY_MAX);
	CHECK(strstr(entry, "\n\n") == entry + n - 2);
	CHECK(strstr(entry, "\nOKD_TYPE=TYPE65280\n"));
}
