/* What okd-ignd counts, and how it is shown. */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/metrics.h"
#include "ignd/node.h"

struct http_stats;
struct progress;
struct str;

struct stats {
	struct counter refused[REASONS]; /* by enum node_reason */
	struct counter bad_files;        /* .ign files that were not served: broken */
	struct counter bad_certificates; /* expired, or not yet valid */
	struct counter bad_versions;     /* the node reads another spec version */
	struct counter bad_images;       /* checksum or format is wrong */
	struct counter waits;            /* answers 503 altogether */
};

void stats_metrics(const struct stats *s, const struct http_stats *http,
    const struct progress *p, struct str *out);
void stats_status(const struct stats *s, const struct http_stats *http, json_t *obj);
