/* Requests and their bodies: see call.h. */
#include "regd/call.h"

#include <errno.h>

#include "common/http_reply.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/token.h"

int call_new(struct call **ret, struct regd *g, struct http_req *r)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->regd = g;
	c->req = r;
	c->method = http_req_method(r);
	list_init(&c->waiting);
	route_parse(http_req_path(r), &c->route);

	*ret = c;
	return 0;
}

struct call *call_free(struct call *c)
{
	if (!c)
		return NULL;
	list_remove(&c->waiting);
	str_deinit(&c->body);
	token_unref(c->token);
	free(c->user);
	free(c);
	return NULL;
}

static int too_large(struct http_req *r)
{
	return reply_oci(r, 413, "SIZE_INVALID", "that is more than is taken here");
}

static int on_data(struct http_req *r, void *arg, const void *p, size_t n)
{
	struct call *c = arg;

	c->received += n;
	if (c->received > c->max)
		return too_large(r);
	return c->sink->data(r, c->sink_arg, p, n);
}

static int on_end(struct http_req *r, void *arg)
{
	struct call *c = arg;

	if (!c->sink) {
		c->over = true;
		return 0;
	}
	return c->sink->end(r, c->sink_arg);
}

static void on_abort(struct http_req *r, void *arg)
{
	struct call *c = arg;

	if (c->sink && c->sink->abort)
		c->sink->abort(r, c->sink_arg);
}

static const struct http_sink call_sink = {
	.data = on_data,
	.end = on_end,
	.abort = on_abort,
};

int call_hold_body(struct call *c)
{
	if (!(c->method & (HTTP_POST | HTTP_PUT | HTTP_PATCH)))
		return 0;
	c->held = true;
	http_req_pause(c->req);
	return http_req_body(c->req, &call_sink, c, UINT64_MAX);
}

int call_body(struct call *c, const struct http_sink *sink, void *arg, uint64_t max)
{
	const struct http_head *h = http_req_head(c->req);

	if (h->has_length && h->content_length > max)
		return too_large(c->req);
	c->sink = sink;
	c->sink_arg = arg;
	c->max = max;
	if (!c->held)
		return http_req_body(c->req, &call_sink, c, UINT64_MAX);
	c->held = false;
	if (c->over)
		return sink->end(c->req, arg);
	http_req_resume(c->req);
	return 0;
}

static int gather_data(struct http_req *r, void *arg, const void *p, size_t n)
{
	struct call *c = arg;

	str_add(&c->body, p, n);
	return str_err(&c->body);
}

static int gather_end(struct http_req *r, void *arg)
{
	struct call *c = arg;

	return c->gathered(c, str_get(&c->body), c->body.len);
}

int call_gather(struct call *c, size_t max,
    int (*gathered)(struct call *c, const char *body, size_t n))
{
	static const struct http_sink sink = {
		.data = gather_data,
		.end = gather_end,
	};

	c->gathered = gathered;
	return call_body(c, &sink, c, max);
}
