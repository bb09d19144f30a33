/*
 * The query log: one line for each reply, in CoreDNS's format
 *
 *   [INFO] 192.168.120.104:39070 - 25674 "A IN api.okd.example.com. udp 56 false 1232"
 *   NOERROR qr,aa,rd 64 0.001751929s
 *
 * (on one line): client, ID, question, protocol, size of the query, DO, the size that the
 * client takes, rcode, flags, size of the reply, duration.
 */
#pragma once

#include <sys/socket.h>

#include "common/base.h"
#include "dnsd/query.h"
#include "dnsd/server.h"

/* CoreDNS's classes of replies: a set of these is what is logged. */
enum qlog_class {
	QLOG_SUCCESS = 1 << 0,
	QLOG_DENIAL = 1 << 1, /* no such name, or no such type */
	QLOG_ERROR = 1 << 2,
};

enum qlog_class qlog_classify(const struct query *q);
/* Writes the line, which takes at most QLOG_LINE_MAX bytes, and returns its length. */
#define QLOG_LINE_MAX (NAME_TEXT_MAX + 256)
size_t qlog_format(char *line, const struct query *q, enum stats_proto proto,
    const struct sockaddr *peer, size_t request_len, uint64_t ns);
/* The same as an entry of the journal (common/reqlog.h): the line as its MESSAGE, and
 * OKD_CLIENT, OKD_NAME, OKD_TYPE, OKD_RCODE, OKD_PROTOCOL. */
#define QLOG_ENTRY_MAX (QLOG_LINE_MAX + NAME_TEXT_MAX + 256)
size_t qlog_format_entry(char *entry, const struct query *q, enum stats_proto proto,
    const struct sockaddr *peer, size_t request_len, uint64_t ns);
/* Logs a reply if its class is among the settings' ones. */
void qlog_reply(const struct server_env *env, const struct query *q,
    enum stats_proto proto, const struct sockaddr *peer, size_t request_len,
    uint64_t ns);
