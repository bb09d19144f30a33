/* One line per session, byte for byte as HAProxy's `option tcplog` (configuration
 * manual, 8.2.2). */
#pragma once

#include "common/base.h"
#include "common/net.h"

enum { TCPLOG_MAX = 512, TCPLOG_FIELDS_MAX = 1280 };

struct tcplog {
	const struct net_ip *client;
	uint16_t port;
	int64_t accepted_ms;                     /* since 1970 */
	const char *frontend, *backend, *server; /* server NULL: <NOSRV> */
	int64_t wait_ms, connect_ms, total_ms;   /* -1: did not come to it */
	uint64_t bytes;                          /* to the client */
	char cause, state;                       /* the termination state, "--" */
	unsigned process, at_frontend, at_backend, at_server, retries;
	bool redispatched;
	unsigned server_queue, backend_queue;
};

/* Writes the line with its line feed; at most TCPLOG_MAX bytes for names of up to 63
 * bytes.  Returns its length. */
size_t tcplog_format(const struct tcplog *l, char buf[TCPLOG_MAX]);
/* The same as an entry for the journal (its native protocol): the line as MESSAGE, and
 * fields to select by; ends with an empty line. */
size_t tcplog_format_fields(const struct tcplog *l, char buf[TCPLOG_FIELDS_MAX]);
