/* Reading a query off the wire (RFC 1035, 6891, 7873), for query.c. */
#pragma once

#include "dnsd/query.h"

#define OPTION_COOKIE 10

enum parsed {
	PARSED,
	PARSED_SILENT, /* no reply: too short, or itself a reply */
	PARSED_NOTIMP,
	PARSED_FORMERR,
	PARSED_COOKIE, /* it asks for nothing but a cookie (RFC 7873, 5.4) */
};

/* Fills q as far as the n bytes at in can be read. */
enum parsed query_parse(struct query *q, const uint8_t *in, size_t n);
