/*
 * The request log: see accesslog.h.  The target's query is left out, because a node's
 * token stands there.
 */
#include "ignd/accesslog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/http_server.h"
#include "common/log.h"
#include "common/reqlog.h"

#define EVENT_NOT_TRUSTED "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b17"

enum { LINE_MAX_BYTES = 1024, RING_BYTES = 256 * 1024 };

struct accesslog {
	struct reqlog *log;
	struct reqlog_ring *ring;
};

int accesslog_new(struct accesslog **ret)
{
	_cleanup_(accesslog_freep) struct accesslog *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	r = reqlog_new(&a->log, STDERR_FILENO);
	if (r == 0)
		r = reqlog_ring_new(&a->ring, a->log, RING_BYTES);
	if (r < 0)
		return r;
	*ret = TAKE(a);
	return 0;
}

struct accesslog *accesslog_free(struct accesslog *a)
{
	if (!a)
		return NULL;
	reqlog_free(a->log);
	free(a);
	return NULL;
}

/* A word of the client's, harmless in a line; at most max bytes. */
static char *put_word(char *to, const char *s, size_t max)
{
	size_t i = 0;

	for (; s[i] && s[i] != '?' && i < max; i++)
		*to++ = s[i] > ' ' && s[i] < 0x7f && s[i] != '"' ? s[i] : '?';
	if (s[i] && s[i] != '?')
		*to++ = '*';
	return to;
}

void accesslog_add(struct accesslog *a, const struct http_log *l, enum log_class class,
    const char *node)
{
	char *line, *p;

	if (class == LOG_CLASS_NONE || (class == LOG_CLASS_ERROR && l->status < 400))
		return;
	line = reqlog_reserve(a->ring, LINE_MAX_BYTES);
	if (!line)
		return;
	p = line + snprintf(line, 128, "%s %s \"", net_ip_str(&l->peer), node);
	p = put_word(p, l->method, 16);
	*p++ = ' ';
	p = put_word(p, l->target, 600);
	p += snprintf(p, 160, "\" %d %" PRIu64 " %" PRIu64 ".%06" PRIu64 " %s\n",
	    l->status, l->sent, l->duration_us / 1000000, l->duration_us % 1000000,
	    http_end_text(l->end));
	reqlog_commit(a->ring, (size_t)(p - line));
}

uint64_t accesslog_dropped(struct accesslog *a)
{
	return reqlog_dropped(a->log);
}

void accesslog_refusal(
    const struct http_refusal *f, const char *node, const char *certificate)
{
	bool distrust = f->fault == TLS_FAULT_DISTRUST;
	char text[HTTP_REFUSAL_MAX];

	log_with(distrust ? LOG_WARNING : LOG_INFO,
	    LOG_FIELDS("MESSAGE_ID", distrust ? EVENT_NOT_TRUSTED : NULL, "OKD_CLIENT",
		net_ip_str(&f->peer), "OKD_NODE", node, "OKD_FILE", certificate),
	    "%s%s%s%s%s%s", node ? "node " : "", node ? node : "", node ? ": " : "",
	    http_refusal_text(f, text),
	    distrust ? ": it has to trust the authority of " : "",
	    distrust ? certificate : "");
}
