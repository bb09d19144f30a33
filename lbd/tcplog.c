/* The log line of a session: see tcplog.h. */
#include "lbd/tcplog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* "23/Nov/2026:07:50:04" of local time, made once a second and thread. */
static const char *second_text(int64_t s)
{
	static _Thread_local char text[32];
	static _Thread_local int64_t last = -1;
	time_t t = (time_t)s;
	struct tm tm;

	if (s == last)
		return text;
	localtime_r(&t, &tm);
	/* The month's English name in every locale. */
	snprintf(text, sizeof(text), "%02d/%.3s/%04d:%02d:%02d:%02d", tm.tm_mday,
	    &"JanFebMarAprMayJunJulAugSepOctNovDec"[tm.tm_mon * 3],
	    (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
	last = s;
	return text;
}

size_t tcplog_format(const struct tcplog *l, char buf[TCPLOG_MAX])
{
	int n = snprintf(buf, TCPLOG_MAX,
	    "%s:%u [%s.%03d] %s %s/%s %" PRId64 "/%" PRId64 "/%" PRId64 " %" PRIu64
	    " %c%c %u/%u/%u/%u/%s%u %u/%u\n",
	    net_ip_str(l->client), l->port, second_text(l->accepted_ms / 1000),
	    (int)(l->accepted_ms % 1000), l->frontend, l->backend,
	    l->server ? l->server : "<NOSRV>", l->wait_ms, l->connect_ms, l->total_ms,
	    l->bytes, l->cause, l->state, l->process, l->at_frontend, l->at_backend,
	    l->at_server, l->redispatched ? "+" : "", l->retries, l->server_queue,
	    l->backend_queue);

	return (size_t)MIN(n, TCPLOG_MAX - 1);
}

size_t tcplog_format_fields(const struct tcplog *l, char buf[TCPLOG_FIELDS_MAX])
{
	static const char head[] = "SYSLOG_IDENTIFIER=okd-lbd\nPRIORITY=6\nMESSAGE=";
	size_t at = sizeof(head) - 1;
	int n;

	memcpy(buf, head, at);
	at += tcplog_format(l, buf + at);
	n = snprintf(buf + at, TCPLOG_FIELDS_MAX - at,
	    "OKD_CLIENT=%s\nOKD_CLIENT_PORT=%u\nOKD_FRONTEND=%s\nOKD_BACKEND=%s\n"
	    "OKD_SERVER=%s\nOKD_TERMINATION=%c%c\nOKD_DURATION_MS=%" PRId64
	    "\nOKD_BYTES=%" PRIu64 "\n\n",
	    net_ip_str(l->client), l->port, l->frontend, l->backend,
	    l->server ? l->server : "", l->cause, l->state, l->total_ms, l->bytes);
	return at + (size_t)MIN(n, (int)(TCPLOG_FIELDS_MAX - at) - 1);
}
