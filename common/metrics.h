/*
 * Counters and their text in Prometheus' exposition format (version 0.0.4).
 *
 * A counter is written by one thread and read by any: counter_add() is a plain load and
 * store for the writer, without a locked instruction.
 */
#pragma once

#include "common/base.h"
#include "common/str.h"

struct counter {
	uint64_t value;
};

static inline void counter_add(struct counter *c, uint64_t n)
{
	__atomic_store_n(&c->value, __atomic_load_n(&c->value, __ATOMIC_RELAXED) + n,
	    __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const struct counter *c)
{
	return __atomic_load_n(&c->value, __ATOMIC_RELAXED);
}

/* Cumulative buckets are made when printing: a sample touches one bucket, count and
 * sum. */
struct histogram {
	const double *bounds; /* ascending upper bounds, without +Inf */
	size_t n;
	struct counter buckets[24]; /* n + 1 in use */
	struct counter sum; /* of the samples, in parts of which parts are one */
	uint64_t
	    parts; /* a billion; 1 for samples so large that the sum would overflow */
};

void histogram_init(struct histogram *h, const double *bounds, size_t n);
void histogram_add(struct histogram *h, double sample);

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM,
};

/* Starts a family: HELP and TYPE lines.  name is the whole name. */
void metric_family(
    struct str *out, const char *name, enum metric_type type, const char *help);
/* One sample.  labels is a NULL-terminated list of names and values in turns, or NULL.
 */
void metric_value(
    struct str *out, const char *name, const char *const *labels, double v);
void metric_histogram(struct str *out, const char *name, const char *const *labels,
    const struct histogram *h);
#define METRIC_LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL, NULL })

/* A family of one sample without labels. */
void metric_single(struct str *out, const char *name, enum metric_type type,
    const char *help, double v);
/* process_* of this process: CPU, memory, descriptors. */
void metrics_process(struct str *out);
