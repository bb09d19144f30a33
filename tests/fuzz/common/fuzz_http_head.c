/*
 * Request heads: found, parsed in place, moved, and asked for all they say.  What was
 * accepted must hold what the header promises, and be found alike when it comes in two
 * pieces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/http.h"
#include "common/http_cond.h"
#include "common/http_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(e)                  \
	do {                     \
		if (!(e))        \
			abort(); \
	} while (0)

static void check_path(const struct http_head *h)
{
	size_t n = strlen(h->target) + 1;
	char *path = malloc(n), value[16];
	const char *query = NULL;
	ssize_t len;

	if (h->target[0] == '/') {
		len = http_path_decode(h->target, path, n, &query);
		MUST(len != -ENOSPC);
		if (len >= 0) {
			MUST(len == (ssize_t)strlen(path) && path[0] == '/');
			MUST(!strstr(path, "//") && !strstr(path, "/../") &&
			    !strstr(path, "/./"));
		}
		MUST(http_query_get(query, "a", value, sizeof(value)) <
		    (ssize_t)sizeof(value));
	}
	free(path);
}

static void check_accepted(struct http_head *h, char *buf, size_t n)
{
	static const struct http_validator v = { "\"e\"", 784111777 };
	char *copy = malloc(n);

	MUST(!(h->chunked && h->has_length));
	MUST(h->minor == 0 || h->host);
	memcpy(copy, buf, n);
	http_head_moved(h, buf, copy);
	for (unsigned i = 0; i < h->n_headers; i++) {
		MUST(h->headers[i].name >= copy && h->headers[i].name < copy + n);
		MUST(h->headers[i].value + strlen(h->headers[i].value) < copy + n);
		MUST(http_head_get(h, h->headers[i].name));
		http_list_has(h->headers[i].value, "close");
	}
	check_path(h);
	http_cond_judge(h, &v);
	http_cond_range(h, &v);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	char *buf = malloc(size ? size : 1);
	size_t scanned = 0, half = 0;
	ssize_t n, again;

	memcpy(buf, data, size);
	n = http_head_find(buf, size, &scanned);
	again = http_head_find(buf, size / 2, &half);
	if (again == -EAGAIN)
		again = http_head_find(buf, size, &half);
	MUST(n == again);
	if (n > 0 && http_head_parse(&h, buf, (size_t)n, HTTP_TARGET_DEFAULT) == 0)
		check_accepted(&h, buf, (size_t)n);
	free(buf);
	return 0;
}
