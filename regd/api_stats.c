/* Metrics of the HTTP interface: see api_stats.h. */
#include "regd/api_stats.h"

#include <stdio.h>

#include "common/http_server.h"

/* All handlers but the referrers' are the replaced registry's. */
static const struct {
	const char *name;
	enum route_kind kind;
} handlers[API_HANDLERS] = {
	{ "base", ROUTE_BASE },
	{ "blob", ROUTE_BLOB },
	{ "blob_upload", ROUTE_UPLOADS },
	{ "blob_upload_chunk", ROUTE_UPLOAD },
	{ "catalog", ROUTE_CATALOG },
	{ "manifest", ROUTE_MANIFEST },
	{ "tags", ROUTE_TAGS },
	{ "referrers", ROUTE_REFERRERS },
};

/* By the bits of enum http_method. */
static const char *const methods[API_METHODS] = { "get", "head", "post", "put", "patch",
	"delete", "options", "unknown" };

/* The most frequent ones first; 0 is any other, and that none was sent. */
static const int codes[API_CODES] = { 200, 201, 202, 404, 401, 206, 204, 304, 301, 302,
	307, 308, 400, 403, 405, 406, 408, 409, 412, 413, 416, 422, 429, 500, 502, 503,
	504, 507, 0 };

static const double second_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
	2.5, 5, 10, 25, 60 };
/* 1 KiB to 2 GiB. */
static const double size_bounds[] = { 0x1p10, 0x1p11, 0x1p12, 0x1p13, 0x1p14, 0x1p15,
	0x1p16, 0x1p17, 0x1p18, 0x1p19, 0x1p20, 0x1p21, 0x1p22, 0x1p23, 0x1p24, 0x1p25,
	0x1p26, 0x1p27, 0x1p28, 0x1p29, 0x1p30, 0x1p31 };

/* -1: none. */
static int handler_of(enum route_kind kind)
{
	for (int i = 0; i < API_HANDLERS; i++)
		if (handlers[i].kind == kind)
			return i;
	return -1;
}

static int code_of(int status)
{
	int i = 0;

	while (i < API_CODES - 1 && codes[i] != status)
		i++;
	return i;
}

static int method_of(unsigned method)
{
	int i = 0;

	while (i < API_METHODS - 1 && method != 1u << i)
		i++;
	return i;
}

static void init_sizes(struct histogram *h)
{
	histogram_init(h, size_bounds, ARRAY_SIZE(size_bounds));
	h->parts = 1;
}

void api_stats_init(struct api_stats *a)
{
	*a = (struct api_stats){ 0 };
	for (int h = 0; h < API_HANDLERS; h++) {
		for (int m = 0; m < API_METHODS; m++)
			histogram_init(&a->seconds[h][m], second_bounds,
			    ARRAY_SIZE(second_bounds));
		init_sizes(&a->received[h]);
		init_sizes(&a->sent[h]);
	}
}

void api_stats_begin(struct api_stats *a, enum route_kind kind)
{
	int h = handler_of(kind);

	if (h >= 0)
		a->in_flight[h]++;
}

void api_stats_end(struct api_stats *a, enum route_kind kind)
{
	int h = handler_of(kind);

	if (h >= 0)
		a->in_flight[h]--;
}

void api_stats_add(struct api_stats *a, enum route_kind kind, unsigned method,
    const struct http_log *l)
{
	int h = handler_of(kind), m = method_of(method);

	if (h < 0)
		return;
	counter_add(&a->requests[h][m][code_of(l->status)], 1);
	histogram_add(&a->seconds[h][m], (double)l->duration_us / 1e6);
	histogram_add(&a->received[h], (double)(l->head + l->received));
	histogram_add(&a->sent[h], (double)l->sent);
}

/* --- text --------------------------------------------------------------------- */

static bool happened(const struct histogram *h)
{
	for (size_t i = 0; i <= h->n; i++)
		if (counter_get(&h->buckets[i]))
			return true;
	return false;
}

/* The head of a family, before its first series. */
static void begin_family(struct str *out, bool *begun, const char *name,
    enum metric_type type, const char *help)
{
	if (!*begun)
		metric_family(out, name, type, help);
	*begun = true;
}

static void print_in_flight(const struct api_stats *a, struct str *out)
{
	const char *name = "registry_http_in_flight_requests";

	metric_family(out, name, METRIC_GAUGE, "The in-flight HTTP requests");
	for (int h = 0; h < API_HANDLERS; h++)
		metric_value(out, name, METRIC_LABELS("handler", handlers[h].name),
		    a->in_flight[h]);
}

/* Those of one handler and method. */
static void print_codes(
    const struct api_stats *a, struct str *out, int h, int m, bool *begun)
{
	const char *name = "registry_http_requests_total";

	for (int i = 0; i < API_CODES; i++) {
		uint64_t n = counter_get(&a->requests[h][m][i]);
		char code[16] = "other";

		if (!n)
			continue;
		if (codes[i])
			snprintf(code, sizeof(code), "%d", codes[i]);
		begin_family(out, begun, name, METRIC_COUNTER,
		    "Total number of HTTP requests made.");
		metric_value(out, name,
		    METRIC_LABELS("code", code, "handler", handlers[h].name, "method",
			methods[m]),
		    (double)n);
	}
}

static void print_requests(const struct api_stats *a, struct str *out)
{
	bool begun = false;

	for (int h = 0; h < API_HANDLERS; h++)
		for (int m = 0; m < API_METHODS; m++)
			print_codes(a, out, h, m, &begun);
}

static void print_seconds(const struct api_stats *a, struct str *out)
{
	const char *name = "registry_http_request_duration_seconds";
	bool begun = false;

	for (int h = 0; h < API_HANDLERS; h++)
		for (int m = 0; m < API_METHODS; m++) {
			if (!happened(&a->seconds[h][m]))
				continue;
			begin_family(out, &begun, name, METRIC_HISTOGRAM,
			    "The HTTP request latencies in seconds.");
			metric_histogram(out, name,
			    METRIC_LABELS(
				"handler", handlers[h].name, "method", methods[m]),
			    &a->seconds[h][m]);
		}
}

static void print_sizes(const struct histogram sizes[API_HANDLERS], struct str *out,
    const char *name, const char *help)
{
	bool begun = false;

	for (int h = 0; h < API_HANDLERS; h++) {
		if (!happened(&sizes[h]))
			continue;
		begin_family(out, &begun, name, METRIC_HISTOGRAM, help);
		metric_histogram(
		    out, name, METRIC_LABELS("handler", handlers[h].name), &sizes[h]);
	}
}

void api_stats_print(const struct api_stats *a, struct str *out)
{
	print_in_flight(a, out);
	print_requests(a, out);
	print_seconds(a, out);
	print_sizes(a->received, out, "registry_http_request_size_bytes",
	    "The HTTP request sizes in bytes.");
	print_sizes(a->sent, out, "registry_http_response_size_bytes",
	    "The HTTP response sizes in bytes.");
}
