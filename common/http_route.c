/* Dispatch by a table: see http_route.h. */
#include "common/http_route.h"

#include <string.h>

#include "common/http_reply.h"
#include "common/str.h"

const char *http_route_rest(const char *route_path, const char *path)
{
	size_t n = strlen(route_path);

	if (n < 2 || route_path[n - 1] != '*' || strncmp(path, route_path, n - 1) != 0)
		return NULL;
	return path + n - 1;
}

int http_route(struct http_req *r, const struct http_route *table, void *arg)
{
	const char *path = http_req_path(r);
	unsigned method = http_req_method(r), allowed = 0;

	for (const struct http_route *t = table; t->path; t++) {
		unsigned methods = t->methods;

		if (str_eq(path, "*")) { /* OPTIONS for the server as a whole */
			allowed |= methods;
			continue;
		}
		if (!str_eq(t->path, path) && !http_route_rest(t->path, path))
			continue;
		if (methods & HTTP_GET)
			methods |= HTTP_HEAD;
		if (methods & method)
			return t->handler(r, arg);
		allowed |= methods;
	}
	if (!allowed)
		return 404;
	http_reply_not_allowed(r, allowed);
	return 0;
}
