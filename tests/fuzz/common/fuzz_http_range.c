/* Range, dates and entity tags: the first byte chooses the size, the rest is the header. */
#include <stdlib.h>
#include <string.h>

#include "common/http_cond.h"
#include "common/http_range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_RANGES = 8 };

static void check_ranges(const char *value, uint64_t size)
{
	struct http_range r[MAX_RANGES];
	uint64_t total = 0;
	unsigned n = 0;
	int v = http_range_parse(value, size, r, MAX_RANGES, &n);

	if (v != 200 && v != 206 && v != 416)
		abort();
	if (n > MAX_RANGES || (v == 206 && n == 0))
		abort();
	for (unsigned i = 0; v == 206 && i < n; i++) {
		if (!r[i].length || r[i].offset >= size ||
		    r[i].length > size - r[i].offset)
			abort();
		total += r[i].length;
	}
	if (total > size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sizes[] = { 0, 1, 12, 1 << 20, INT64_MAX };
	char *value, date[HTTP_DATE_MAX];
	int64_t t, again;

	if (size == 0)
		return 0;
	value = malloc(size);
	memcpy(value, data + 1, size - 1);
	value[size - 1] = '\0';
	check_ranges(value, sizes[data[0] % 5]);
	if (http_date_parse(value, &t) == 0 &&
	    (http_date_parse(http_date_format(t, date), &again) < 0 || again != t))
		abort();
	http_etag_matches(value, "\"a\"", data[0] & 1);
	http_etag_matches("\"a\", W/\"b\"", value, data[0] & 1);
	free(value);
	return 0;
}
