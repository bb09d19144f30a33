/* The text that Prometheus reads. */
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "common/metrics.h"

TEST(values_and_labels_are_escaped)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;

	metric_family(&s, "x_total", METRIC_COUNTER, "Things.");
	metric_value(&s, "x_total", METRIC_LABELS("a", "q\"b\\s\n", "b", NULL), 3);
	metric_value(&s, "x_total", NULL, 0.25);
	metric_value(&s, "x_total", NULL, NAN);
	CHECK(str_eq(str_get(&s),
	    "# HELP x_total Things.\n# TYPE x_total counter\n"
	    "x_total{a=\"q\\\"b\\\\s\\n\",b=\"\"} 3\nx_total 0.25\nx_total NaN\n"));
}

TEST(histogram_is_cumulative)
{
	static const double bounds[] = { 0.5, 1 };
	_cleanup_(str_deinit) struct str s = STR_INIT;
	struct histogram a;

	histogram_init(&a, bounds, 2);
	histogram_add(&a, 0.5);
	histogram_add(&a, 7);
	histogram_add(&a, 0.75);
	metric_histogram(&s, "h", METRIC_LABELS("z", "."), &a);
	CHECK(str_eq(str_get(&s),
	    "h_bucket{z=\".\",le=\"0.5\"} 1\nh_bucket{z=\".\",le=\"1\"} 2\n"
	    "h_bucket{z=\".\",le=\"+Inf\"} 3\nh_sum{z=\".\"} 8.25\nh_count{z=\".\"} "
	    "3\n"));
}

TEST(a_histogram_of_large_samples)
{
	static const double bounds[] = { 1e9 };
	_cleanup_(str_deinit) struct str s = STR_INIT;
	struct histogram a;

	histogram_init(&a, bounds, 1);
	a.parts = 1;
	histogram_add(&a, 3e10);
	histogram_add(&a, 5);
	metric_histogram(&s, "h", NULL, &a);
	CHECK(str_eq(str_get(&s),
	    "h_bucket{le=\"1e+09\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
	    "h_sum 30000000005\nh_count 2\n"));
}

/* As Prometheus' library for Go has them. */
TEST(bounds_are_spelled_in_full)
{
	static const double bounds[] = { 0.005, 25, 524288, 1e6, 1048576, 2147483648 };
	_cleanup_(str_deinit) struct str s = STR_INIT;
	struct histogram a;

	histogram_init(&a, bounds, ARRAY_SIZE(bounds));
	metric_histogram(&s, "h", NULL, &a);
	CHECK(str_starts(str_get(&s),
	    "h_bucket{le=\"0.005\"} 0\nh_bucket{le=\"25\"} 0\n"
	    "h_bucket{le=\"524288\"} 0\nh_bucket{le=\"1e+06\"} 0\n"
	    "h_bucket{le=\"1.048576e+06\"} 0\nh_bucket{le=\"2.147483648e+09\"} 0\n"
	    "h_bucket{le=\"+Inf\"} 0\n"));
}

TEST(process_metrics_have_values)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;

	metrics_process(&s);
	CHECK(strstr(str_get(&s), "\nprocess_resident_memory_bytes ") != NULL);
	CHECK(strstr(str_get(&s), "NaN") == NULL);
}
