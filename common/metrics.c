/* Metrics: see metrics.h. */
#include "common/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

void histogram_init(struct histogram *h, const double *bounds, size_t n)
{
	assert(n < ARRAY_SIZE(h->buckets));
	*h = (struct histogram){ .bounds = bounds, .n = n, .parts = 1000000000 };
}

void histogram_add(struct histogram *h, double sample)
{
	size_t i = 0;

	while (i < h->n && sample > h->bounds[i])
		i++;
	counter_add(&h->buckets[i], 1);
	counter_add(&h->sum, (uint64_t)(sample * (double)h->parts));
}

void metric_family(
    struct str *out, const char *name, enum metric_type type, const char *help)
{
	static const char *const words[] = { "counter", "gauge", "histogram" };

	str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, words[type]);
}

/* Label values escape backslash, quote and line feed; nothing else. */
static void add_label_value(struct str *out, const char *v)
{
	for (; *v; v++) {
		if (*v == '\\' || *v == '"')
			str_addc(out, '\\');
		if (*v == '\n')
			str_addz(out, "\\n");
		else
			str_addc(out, *v);
	}
}

static void add_labels(struct str *out, const char *const *labels, const char *le)
{
	const char *sep = "{";

	for (; labels && labels[0]; labels += 2) {
		str_addf(out, "%s%s=\"", sep, labels[0]);
		add_label_value(out, labels[1] ? labels[1] : "");
		str_addc(out, '"');
		sep = ",";
	}
	if (le) {
		str_addf(out, "%sle=\"%s\"", sep, le);
		sep = ",";
	}
	if (*sep == ',')
		str_addc(out, '}');
}

static void add_number(struct str *out, double v)
{
	if (isnan(v))
		str_addz(out, " NaN\n");
	else if (v == floor(v) && fabs(v) < 1e15)
		str_addf(out, " %.0f\n", v);
	else
		str_addf(out, " %.9g\n", v);
}

void metric_value(
    struct str *out, const char *name, const char *const *labels, double v)
{
	str_addz(out, name);
	add_labels(out, labels, NULL);
	add_number(out, v);
}

/* A bucket's bound, spelled as Prometheus' own libraries do, because queries compare it as
 * a text: no digit too many, and an exponent from a million on. */
static void format_bound(double v, char out[32])
{
	int digits = 0;

	if (v < 1e6) {
		snprintf(out, 32, "%g", v);
		return;
	}
	do
		snprintf(out, 32, "%.*e", digits, v);
	while (strtod(out, NULL) != v && ++digits < 17);
}

void metric_histogram(struct str *out, const char *name, const char *const *labels,
    const struct histogram *h)
{
	uint64_t total = 0;

	for (size_t i = 0; i <= h->n; i++) {
		char le[32] = "+Inf";

		total += counter_get(&h->buckets[i]);
		if (i < h->n)
			format_bound(h->bounds[i], le);
		str_addf(out, "%s_bucket", name);
		add_labels(out, labels, le);
		str_addf(out, " %" PRIu64 "\n", total);
	}
	str_addf(out, "%s_sum", name);
	add_labels(out, labels, NULL);
	add_number(out, (double)counter_get(&h->sum) / (double)h->parts);
	str_addf(out, "%s_count", name);
	add_labels(out, labels, NULL);
	str_addf(out, " %" PRIu64 "\n", total);
}

void metric_single(struct str *out, const char *name, enum metric_type type,
    const char *help, double v)
{
	metric_family(out, name, type, help);
	metric_value(out, name, NULL, v);
}

static double open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = -3; /* ".", ".." and the descriptor of the walk itself */

	if (!d)
		return NAN;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static double resident_bytes(void)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	unsigned long pages;

	if (file_read("/proc/self/statm", 4096, &s) < 0 ||
	    sscanf(str_get(&s), "%*u %lu", &pages) != 1)
		return NAN;
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

void metrics_process(struct str *out)
{
	struct rlimit lim = { 0 };

	getrlimit(RLIMIT_NOFILE, &lim);
	metric_single(out, "process_cpu_seconds_total", METRIC_COUNTER,
	    "User and system CPU time.", cpu_seconds());
	metric_single(out, "process_resident_memory_bytes", METRIC_GAUGE,
	    "Resident memory.", resident_bytes());
	metric_single(
	    out, "process_open_fds", METRIC_GAUGE, "Open descriptors.", open_fds());
	metric_single(out, "process_max_fds", METRIC_GAUGE,
	    "Limit on open descriptors.", (double)lim.rlim_cur);
}
