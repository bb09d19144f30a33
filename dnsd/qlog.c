/* The query log: see qlog.h.  Written by hand, because printf would cost more than the
 * answer. */
#include "dnsd/qlog.h"

#include <string.h>

#include "common/log.h"
#include "common/net.h"
#include "common/reqlog.h"

enum qlog_class qlog_classify(const struct query *q)
{
	if (q->rcode == DNS_NXDOMAIN)
		return QLOG_DENIAL;
	if (q->rcode != DNS_NOERROR)
		return QLOG_ERROR;
	return q->answers || q->reply_flags & DNS_TC ? QLOG_SUCCESS : QLOG_DENIAL;
}

static char *put_text(char *o, const char *s)
{
	size_t n = strlen(s);

	memcpy(o, s, n);
	return o + n;
}

static char *put_number(char *o, uint64_t v)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*o++ = digits[--n];
	return o;
}

static char *put_named(char *o, const char *name, const char *prefix, unsigned number)
{
	return name ? put_text(o, name) : put_number(put_text(o, prefix), number);
}

static char *put_peer(char *o, const struct sockaddr *sa)
{
	char text[NET_IP_MAX];
	struct net_ip ip;
	uint16_t port;

	ip = net_ip_from_sa(sa, &port);
	if (ip.family == 4) {
		for (int i = 0; i < 4; i++) {
			o = put_number(o, ip.bytes[i]);
			*o++ = i < 3 ? '.' : ':';
		}
		return put_number(o, port);
	}
	*o++ = '[';
	o = put_text(put_text(o, net_ip_format(&ip, text)), "]:");
	return put_number(o, port);
}

static char *put_flags(char *o, unsigned flags)
{
	static const struct {
		uint16_t bit;
		char name[4];
	} names[] = { { DNS_QR, "qr" }, { DNS_AA, "aa" }, { DNS_TC, "tc" },
		{ DNS_RD, "rd" }, { DNS_RA, "ra" }, { DNS_AD, "ad" },
		{ DNS_CD, "cd" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].bit) {
			if (i)
				*o++ = ',';
			o = put_text(o, names[i].name);
		}
	return o;
}

/* Seconds with nine digits behind the point. */
static char *put_duration(char *o, uint64_t ns)
{
	o = put_number(o, ns / 1000000000);
	*o++ = '.';
	ns %= 1000000000;
	for (int i = 8; i >= 0; i--, ns /= 10)
		o[i] = (char)('0' + ns % 10);
	return put_text(o + 9, "s");
}

static char *put_question(char *o, const struct query *q)
{
	char name[NAME_TEXT_MAX];

	o = put_named(o, stats_type_name(q->type), "TYPE", q->type);
	*o++ = ' ';
	o = put_named(o, q->class == DNS_IN ? "IN" : NULL, "CLASS", q->class);
	*o++ = ' ';
	return put_text(o, q->name.len ? name_format(q->name.wire, name) : ".");
}

size_t qlog_format(char *line, const struct query *q, enum stats_proto proto,
    const struct sockaddr *peer, size_t request_len, uint64_t ns)
{
	bool tcp = proto == STATS_TCP;
	char *o = put_peer(put_text(line, "[INFO] "), peer);

	o = put_number(put_text(o, " - "), q->id);
	o = put_question(put_text(o, " \""), q);
	o = put_number(put_text(o, tcp ? " tcp " : " udp "), request_len);
	o = put_text(o, q->edns_do ? " true " : " false ");
	o = put_number(o, tcp ? DNS_MESSAGE_MAX : q->bufsize);
	o = put_named(
	    put_text(o, "\" "), stats_rcode_name(q->rcode), "RCODE", q->rcode);
	*o++ = ' ';
	o = put_flags(o, q->reply_flags);
	*o++ = ' ';
	o = put_number(o, q->reply_len);
	*o++ = ' ';
	o = put_duration(o, ns);
	*o++ = '\n';
	return (size_t)(o - line);
}

static char *put_field(char *o, const char *name, const char *value)
{
	o = put_text(put_text(o, name), value);
	*o++ = '\n';
	return o;
}

size_t qlog_format_entry(char *entry, const struct query *q, enum stats_proto proto,
    const struct sockaddr *peer, size_t request_len, uint64_t ns)
{
	static const char head[] = "SYSLOG_IDENTIFIER=okd-dnsd\nPRIORITY=6\nMESSAGE=";
	char name[NAME_TEXT_MAX], ip[NET_IP_MAX], *o = put_text(entry, head);
	uint16_t port;
	struct net_ip client = net_ip_from_sa(peer, &port);

	o += qlog_format(o, q, proto, peer, request_len, ns);
	o = put_field(o, "OKD_CLIENT=", net_ip_format(&client, ip));
	o = put_field(
	    o, "OKD_NAME=", q->name.len ? name_format(q->name.wire, name) : ".");
	o = put_text(o, "OKD_TYPE=");
	o = put_named(o, stats_type_name(q->type), "TYPE", q->type);
	o = put_text(o, "\nOKD_RCODE=");
	o = put_named(o, stats_rcode_name(q->rcode), "RCODE", q->rcode);
	o = put_text(
	    o, proto == STATS_TCP ? "\nOKD_PROTOCOL=tcp" : "\nOKD_PROTOCOL=udp");
	o = put_text(o, "\n\n");
	return (size_t)(o - entry);
}

void qlog_reply(const struct server_env *env, const struct query *q,
    enum stats_proto proto, const struct sockaddr *peer, size_t request_len,
    uint64_t ns)
{
	bool fields = log_is_journal();
	char *line;
	size_t n;

	if (!(env->settings->log & qlog_classify(q)))
		return;
	line = reqlog_reserve(env->log, fields ? QLOG_ENTRY_MAX : QLOG_LINE_MAX);
	if (!line)
		return;
	n = fields ? qlog_format_entry(line, q, proto, peer, request_len, ns)
		   : qlog_format(line, q, proto, peer, request_len, ns);
	reqlog_commit(env->log, n);
}
