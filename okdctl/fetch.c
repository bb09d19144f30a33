/* One request, waited for: see fetch.h. */
#include "okdctl/fetch.h"

#include <errno.h>

#include "common/fd.h"
#include "common/loop.h"

struct fetch {
	struct loop *loop;
	struct str *body;
	struct err *err;
	int result;
	const char *header; /* wanted */
	struct str *value;
	/* streaming */
	int fd;
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	uint64_t done, total;
	int failed;
};

static void on_done(struct http_transfer *t, int result, void *arg)
{
	struct fetch *f = arg;
	struct str *body = http_transfer_body(t);

	f->result = result;
	if (result < 0)
		err_set(f->err, result, "%s", http_transfer_why(t));
	else if (f->body && body)
		str_add(f->body, str_get(body), body->len);
	if (result >= 0 && f->header && http_transfer_header(t, f->header))
		str_addz(f->value, http_transfer_header(t, f->header));
	loop_stop(f->loop);
}

static void on_head(struct http_transfer *t, void *arg)
{
	struct fetch *f = arg;
	const char *length = http_transfer_header(t, "Content-Length");

	if (!length || str_to_u64(length, UINT64_MAX, &f->total) < 0)
		f->total = 0;
}

static void on_data(struct http_transfer *t, const void *p, size_t n, void *arg)
{
	struct fetch *f = arg;

	/* The page of an error is no file. */
	if (http_transfer_status(t) != 200 || f->failed)
		return;
	f->failed = fd_write_all(f->fd, p, n);
	f->done += n;
	if (f->progress)
		f->progress(f->arg, f->done, f->total);
}

static int run(struct fetch *f, struct http_client_request *req)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	struct http_transfer *t;
	int r = loop_new(&loop);

	f->loop = loop;
	req->on_done = on_done;
	req->arg = f;
	if (r == 0)
		r = http_client_new(&client, loop, NULL);
	if (r == 0)
		r = http_client_start(client, &t, req, f->err);
	if (r == 0)
		r = loop_run(loop);
	if (r < 0 && f->err && !f->err->text[0])
		err_set(f->err, r, "%s: %s", req->url, strerror(-r));
	return r < 0 ? r : f->result;
}

int fetch(const struct http_client_request *req, struct str *body, struct err *err)
{
	struct http_client_request copy = *req;
	struct fetch f = { .body = body, .err = err, .fd = -1 };

	copy.on_head = NULL;
	copy.on_data = NULL;
	return run(&f, &copy);
}

int fetch_header(const struct http_client_request *req, const char *name,
    struct str *value, struct err *err)
{
	struct http_client_request copy = *req;
	struct fetch f = { .header = name, .value = value, .err = err, .fd = -1 };

	return run(&f, &copy);
}

int fetch_to(const struct http_client_request *req, int fd,
    void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
    struct err *err)
{
	struct http_client_request copy = *req;
	struct fetch f = { .err = err, .fd = fd, .progress = progress, .arg = arg };
	int r;

	copy.on_head = on_head;
	copy.on_data = on_data;
	r = run(&f, &copy);
	return f.failed < 0
	    ? err_set(err, f.failed, "cannot write: %s", strerror(-f.failed))
	    : r;
}
