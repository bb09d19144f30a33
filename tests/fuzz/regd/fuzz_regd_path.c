/* Paths, names and Content-Range: whatever comes, what is found obeys the grammar. */
#include <assert.h>
#include <string.h>

#include "common/str.h"
#include "regd/route.h"
#include "regd/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[1024];
	struct route r;
	uint64_t a, b;

	if (size >= sizeof(path) || memchr(data, 0, size))
		return 0;
	memcpy(path, data, size);
	path[size] = '\0';
	route_parse(path, &r);
	if (r.name[0])
		assert(name_is_repository(r.name, strlen(r.name)));
	assert(strlen(r.rest) < REST_MAX);
	assert(strchr(r.rest, '/') == NULL);
	if (span_parse(path, &a, &b) == 0)
		assert(a <= b);
	return 0;
}
