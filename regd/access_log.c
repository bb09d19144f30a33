/* The access log: see access_log.h. */
#include "regd/access_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/http_req.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/reqlog.h"
#include "regd/name.h"
#include "regd/regd.h"

enum {
	LINE_MAX_LEN = 1024,
	ENTRY_MAX_LEN = 2560, /* the line with its fields */
	TARGET_MAX = 512,
	AGENT_MAX = 80,
	USER_MAX = 64,
};

/* Appends at most max bytes of s with everything odd made a dot; returns what it used.
 */
static size_t put_clean(char *to, const char *s, size_t max)
{
	size_t n = 0;

	for (; s && *s && n < max; s++, n++)
		to[n] = *s > ' ' && *s < 0x7f && *s != '"' ? *s : '.';
	return n;
}

static const char *agent_of(const struct http_log *l)
{
	return l->req ? http_req_header(l->req, "User-Agent") : NULL;
}

static char *put_line(char *p, const struct http_log *l, const char *user)
{
	p += sprintf(p, "%s ", net_ip_str(&l->peer));
	p += put_clean(p, *user ? user : "-", USER_MAX);
	*p++ = ' ';
	*p++ = '"';
	p += put_clean(p, l->method, 16);
	*p++ = ' ';
	p += put_clean(p, l->target, TARGET_MAX);
	p += sprintf(p, "\" %d %" PRIu64 " %" PRIu64 " %" PRIu64 "us \"", l->status,
	    l->received, l->sent, l->duration_us);
	p += put_clean(p, agent_of(l), AGENT_MAX);
	*p++ = '"';
	if (l->end != HTTP_END_DONE)
		p += sprintf(p, " %s", http_end_text(l->end));
	*p++ = '\n';
	return p;
}

static char *put_field(char *p, const char *name, const char *value, size_t max)
{
	if (!value || !*value)
		return p;
	p = stpcpy(p, name);
	p += put_clean(p, value, max);
	*p++ = '\n';
	return p;
}

/* What journalctl can search for, and the empty line that ends an entry. */
static char *put_fields(
    char *p, const struct http_log *l, const char *user, const char *repository)
{
	p += sprintf(
	    p, "OKD_CLIENT=%s\nOKD_STATUS=%d\n", net_ip_str(&l->peer), l->status);
	p = put_field(p, "OKD_USER=", user, USER_MAX);
	p = put_field(p, "OKD_METHOD=", l->method, 16);
	p = put_field(p, "OKD_TARGET=", l->target, TARGET_MAX);
	p = put_field(p, "OKD_REPOSITORY=", repository, NAME_MAX_LEN);
	p = put_field(p, "OKD_AGENT=", agent_of(l), AGENT_MAX);
	return p +
	    sprintf(p,
		"OKD_RECEIVED=%" PRIu64 "\nOKD_SENT=%" PRIu64
		"\nOKD_DURATION_US=%" PRIu64 "\n\n",
		l->received, l->sent, l->duration_us);
}

void access_log(
    struct regd *g, const struct http_log *l, const char *user, const char *repository)
{
	bool fields = log_is_journal();
	char *line, *p;

	if (!g->conf->access_log)
		return;
	line = reqlog_reserve(g->log_ring, fields ? ENTRY_MAX_LEN : LINE_MAX_LEN);
	if (!line)
		return;
	p = line;
	if (fields)
		p = stpcpy(p, "SYSLOG_IDENTIFIER=okd-regd\nPRIORITY=6\nMESSAGE=");
	p = put_line(p, l, user);
	if (fields)
		p = put_fields(p, l, user, repository);
	reqlog_commit(g->log_ring, (size_t)(p - line));
}
