/* A table of methods and paths, so that a service need not write its own dispatch. */
#pragma once

#include "common/base.h"
#include "common/http_req.h"

struct http_route {
	unsigned methods; /* set of enum http_method; HTTP_GET serves HEAD too */
	const char
	    *path; /* "/status"; a trailing "*" makes it a prefix: "/v1/nodes/" "*" */
	int (*handler)(struct http_req *r, void *arg); /* as http_service.request */
};

/*
 * Finds the first route that fits and returns what its handler does.  A path that only
 * other methods fit gets 405 with Allow (or OPTIONS its answer), an unknown one 404.
 * The table ends with a NULL path.
 */
int http_route(struct http_req *r, const struct http_route *table, void *arg);
/* What the trailing "*" of the route stood for, when path fits it; else NULL. */
const char *http_route_rest(const char *route_path, const char *path);
