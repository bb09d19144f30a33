/*
 * What the replaced registry (distribution 2.8) counts of its HTTP interface, under its names
 * and with its labels, so that dashboards go on.  A table of handler, method and code, and
 * histograms: their size is fixed, whatever clients ask for.  Written by the loop alone.
 */
#pragma once

#include "common/metrics.h"
#include "regd/route.h"

struct http_log;

enum { API_HANDLERS = 8, API_METHODS = 8, API_CODES = 29 };

struct api_stats {
	unsigned in_flight[API_HANDLERS];
	struct counter requests[API_HANDLERS][API_METHODS][API_CODES];
	struct histogram seconds[API_HANDLERS][API_METHODS];
	struct histogram received[API_HANDLERS], sent[API_HANDLERS];
};

void api_stats_init(struct api_stats *a);
/* A request begins, and ends.  Those that are none of the interface (the page, tokens,
 * paths that name nothing) are not counted, as there. */
void api_stats_begin(struct api_stats *a, enum route_kind kind);
void api_stats_end(struct api_stats *a, enum route_kind kind);
/* One that has ended.  method is one of enum http_method. */
void api_stats_add(struct api_stats *a, enum route_kind kind, unsigned method,
    const struct http_log *l);
/* Series that nothing was counted in are left out, but for the gauges. */
void api_stats_print(const struct api_stats *a, struct str *out);
