/* The head of a reply, and the handler's ways to answer: see http_reply.h. */
#include "common/http_reply.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/http_conn.h"
#include "common/utf8.h"

bool reply_begin(struct http_req *r, int status)
{
	if (r->status || r->ended)
		return false;
	r->status = status;
	r->body_on = false;
	if (r->c->server->draining)
		r->close = true;
	/* Who replies to the last of a body has seen all of it. */
	if (!r->bad && !r->head.chunked && !r->c->body_left)
		r->c->body_done = true;
	/* Whether a client that was not told to go on sends its body is not known, so
	 * that nothing can follow on this connection; and a body too long to drop ends
	 * it. */
	if (!r->c->body_done && !r->bad) {
		bool invited = r->c->state == CONN_BODY;

		if (r->head.expect_continue && !invited)
			r->close = true;
		if (!r->head.chunked && r->c->body_left > r->c->server->opt.drop_bytes)
			r->close = true;
	}
	r->c->state = CONN_SEND;
	return true;
}

/* The head is put together in the server's buffer by plain copying; lengths are bounded
 * before (HEADERS_MAX and the options). */

static char *put(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

static char *putz(char *p, const char *s)
{
	return put(p, s, strlen(s));
}

static char *put_u64(char *p, uint64_t v)
{
	char digits[20], *d = digits + sizeof(digits);

	do {
		*--d = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return put(p, d, (size_t)(digits + sizeof(digits) - d));
}

static char *put_framing(char *p, struct http_req *r, int64_t length)
{
	if (r->chunked)
		p = putz(p, "Transfer-Encoding: chunked\r\n");
	else if (length >= 0) {
		p = putz(p, "Content-Length: ");
		p = put_u64(p, (uint64_t)length);
		p = putz(p, "\r\n");
	}
	if (r->close)
		p = putz(p, "Connection: close\r\n");
	else if (r->head.minor == 0)
		p = putz(p, "Connection: keep-alive\r\n");
	return p;
}

static char *put_head(struct http_req *r, char *p, const char *type, int64_t length)
{
	struct http_server *s = r->c->server;

	p = putz(p, "HTTP/1.1 ");
	p = put_u64(p, (uint64_t)r->status);
	p = put(p, " ", 1);
	p = putz(p, http_status_text(r->status));
	p = putz(p, "\r\n");
	if (r->bare) {
		p = put(p, r->headers.len ? r->headers.s : "", r->headers.len);
		return put(p, "\r\n", 2);
	}
	p = putz(p, server_date(s));
	p = putz(p, s->server_line);
	if (type) {
		p = putz(p, "Content-Type: ");
		p = putz(p, type);
		p = putz(p, "\r\n");
	}
	p = put_framing(p, r, length);
	p = put(p, r->headers.len ? r->headers.s : "", r->headers.len);
	return put(p, "\r\n", 2);
}

void http_reply_bare(struct http_req *r)
{
	r->bare = true;
}

/* A small body is copied behind the head: a file's, and memory that will not last. */
static size_t inline_copy(struct http_req *r, char *p)
{
	ssize_t n;

	if (r->borrowed) {
		memcpy(p, r->mem, (size_t)r->left);
		r->mem = NULL;
		return (size_t)r->left;
	}
	if (r->source != SOURCE_FILE || r->parts || r->flow.pace || r->left > PIECE)
		return 0;
	n = pread(r->fd, p, (size_t)r->left, (off_t)r->offset);
	return n == (ssize_t)r->left ? (size_t)n : 0;
}

/* Memory: its place when it goes out together with the head. */
static struct iovec inline_memory(struct http_req *r)
{
	size_t n = r->left > BURST ? BURST : (size_t)r->left;

	if (r->source != SOURCE_MEMORY || r->borrowed || r->flow.pace || !n ||
	    (r->c->tls && n > PIECE))
		return (struct iovec){ NULL, 0 };
	return (struct iovec){ (void *)r->mem, n };
}

/* Accounts for w bytes that were written of a head of head_n and a body behind it. */
static bool head_sent(struct http_req *r, struct iovec *iov, size_t head_n, size_t w)
{
	struct http_conn *c = r->c;
	size_t body_n = iov[0].iov_len - head_n + iov[1].iov_len;
	size_t total = head_n + body_n, kept = 0, body;

	if (w < total) {
		/* The head and the copied part of the body have no other home; memory
		 * has. */
		if (w < iov[0].iov_len || c->tls) {
			int n = c->tls ? 2 : 1;

			if (conn_save_out(c, iov, n, w) < 0) {
				conn_close(c, HTTP_END_ABORT, "out of memory");
				return false;
			}
			kept = (c->tls ? total : iov[0].iov_len) - w;
		}
		conn_want_write(c, true);
		if (c->req != r)
			return false;
	}
	body = w + kept > head_n ? w + kept - head_n : 0;
	r->left -= body;
	r->offset += body;
	r->mem += r->mem ? body : 0;
	r->sent += body;
	c->server->stats.sent += body;
	if (body && r->flow.progress)
		r->flow.progress(r, r->flow_arg, r->sent);
	return c->req == r;
}

/* Sends the head, with what of the body fits, and goes on with the rest. */
void reply_head(struct http_req *r, const char *type, int64_t length)
{
	struct http_conn *c = r->c;
	char *p = c->server->out;
	struct iovec iov[2];
	size_t head_n;
	ssize_t w;

	if (r->head.method == HTTP_HEAD || r->status == 304 || r->status == 204) {
		r->source = SOURCE_END;
		r->left = 0;
	}
	if (r->headers.err || r->headers.len > HEADERS_MAX ||
	    (type && strlen(type) > TYPE_MAX)) {
		conn_close(c, HTTP_END_ABORT, "headers of the reply are too large");
		return;
	}
	p = put_head(r, p, type, length);
	head_n = (size_t)(p - c->server->out);
	p += r->left ? inline_copy(r, p) : 0;
	iov[0] = (struct iovec){ c->server->out, (size_t)(p - c->server->out) };
	iov[1] = inline_memory(r);
	/* Behind a 100 that is still on its way. */
	w = c->out_len ? 0
		       : conn_write(c, iov, iov[1].iov_len ? 2 : 1,
			     r->left > iov[0].iov_len - head_n + iov[1].iov_len);
	if (w < 0) {
		conn_close(c, HTTP_END_CLIENT, "connection reset by client");
		return;
	}
	if (!head_sent(r, iov, head_n, (size_t)w))
		return;
	if (!c->wr_on)
		conn_pump(c);
}

/* Bodies from memory */

void http_reply_owned(struct http_req *r, int status, const char *type,
    const void *body, size_t n, void (*dispose)(void *owner), void *owner)
{
	if (!reply_begin(r, status)) {
		if (dispose)
			dispose(owner);
		return;
	}
	r->source = SOURCE_MEMORY;
	r->mem = body;
	r->left = n;
	r->dispose = dispose;
	r->owner = owner;
	reply_head(r, type, (int64_t)n);
}

void http_reply(
    struct http_req *r, int status, const char *type, const void *body, size_t n)
{
	void *copy;

	if (n <= PIECE && !r->flow.pace) {
		if (!reply_begin(r, status))
			return;
		r->source = SOURCE_MEMORY;
		r->mem = body;
		r->left = n;
		r->borrowed = true;
		reply_head(r, type, (int64_t)n);
		return;
	}
	copy = r->status || r->ended ? NULL : malloc(n);
	if (!copy) {
		http_abort(r, "out of memory");
		return;
	}
	memcpy(copy, body, n);
	http_reply_owned(r, status, type, copy, n, free, copy);
}

void http_reply_str(struct http_req *r, int status, const char *type, struct str *s)
{
	/* As http_reply_error() would make it, which takes memory. */
	static const char none[] = "{\"error\":{\"code\":\"Internal Server Error\","
				   "\"message\":\"out of memory\"}}\n";
	size_t n = s->len;
	char *text;

	if (str_err(s)) {
		str_deinit(s);
		http_reply(r, 500, "application/json", none, sizeof(none) - 1);
		return;
	}
	text = str_take(s);
	http_reply_owned(r, status, type, text, n, free, text);
}

void http_reply_empty(struct http_req *r, int status)
{
	if (!reply_begin(r, status))
		return;
	r->source = SOURCE_END;
	reply_head(r, NULL, status == 204 || status == 304 ? -1 : 0);
}

/* Headers */

void http_reply_header(struct http_req *r, const char *name, const char *fmt, ...)
{
	struct str *h = &r->headers;
	size_t at;
	va_list ap;

	if (r->status)
		return;
	str_addz(h, name);
	str_add(h, ": ", 2);
	at = h->len;
	va_start(ap, fmt);
	str_vaddf(h, fmt, ap);
	va_end(ap);
	for (; !h->err && at < h->len; at++)
		if ((unsigned char)h->s[at] < ' ' || h->s[at] == 0x7f)
			h->s[at] = ' ';
	str_add(h, "\r\n", 2);
}

/* Errors */

/* What is not UTF-8 (a file's name may be anything) becomes question marks. */
static void json_string(struct str *s, const char *z)
{
	const char *end = z + strlen(z);
	uint32_t c;
	size_t n;

	str_addc(s, '"');
	for (; z < end; z += n ? n : 1) {
		n = utf8_decode(z, (size_t)(end - z), &c);
		if (!n)
			str_addc(s, '?');
		else if (c < ' ')
			str_addf(s, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			str_addf(s, "\\%c", (char)c);
		else
			str_add(s, z, n);
	}
	str_addc(s, '"');
}

static void error_body(
    struct http_req *r, int status, const char *code, const struct err *err)
{
	struct str s = STR_INIT;

	str_addz(&s, "{\"error\":{\"code\":");
	json_string(&s, code ? code : http_status_text(status));
	str_addz(&s, ",\"message\":");
	json_string(&s, err->text);
	if (err->file[0]) {
		str_addz(&s, ",\"file\":");
		json_string(&s, err->file);
	}
	if (err->line)
		str_addf(&s, ",\"line\":%u", err->line);
	if (err->column)
		str_addf(&s, ",\"column\":%u", err->column);
	str_addz(&s, "}}\n");
	http_reply_str(r, status, "application/json", &s);
}

void http_reply_error(
    struct http_req *r, int status, const char *code, const char *fmt, ...)
{
	struct err err = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	error_body(r, status, code, &err);
}

void http_reply_err(
    struct http_req *r, int status, const char *code, const struct err *err)
{
	error_body(r, status, code, err);
}

void http_reply_not_allowed(struct http_req *r, unsigned methods)
{
	if (methods & HTTP_GET)
		methods |= HTTP_HEAD;
	methods |= HTTP_OPTIONS;
	http_reply_header(r, "Allow", "%s", http_methods_str(methods));
	if (r->head.method == HTTP_OPTIONS)
		http_reply_empty(r, 204);
	else
		http_reply_error(
		    r, 405, NULL, "%s is not allowed here", r->head.method_name);
}

void reply_refuse(struct http_req *r, int status)
{
	r->bad = true;
	r->close = true;
	r->c->rest = true;
	r->c->body_done = false;
	http_reply_error(r, status, NULL, "%s", http_status_text(status));
}

void http_reply_result(struct http_req *r, int result)
{
	if (!result || r->status || r->ended)
		return;
	if (fd_is_shortage(result))
		result = 503;
	else if (result < 400)
		result = 500;
	http_reply_error(r, result, NULL, "%s", http_status_text(result));
}

/* Files and generated bodies */

void http_reply_file(struct http_req *r, int status, const char *type, int fd,
    uint64_t offset, uint64_t length, unsigned flags)
{
	struct stat st;

	if (!reply_begin(r, status)) {
		if (!(flags & HTTP_FILE_KEEP_FD))
			fd_close(fd);
		return;
	}
	r->source = SOURCE_FILE;
	r->fd = fd;
	r->file_flags = flags;
	r->offset = offset;
	r->left = length;
	if ((flags & HTTP_FILE_STABLE) && fstat(fd, &st) == 0)
		r->mtime = st.st_mtim;
	reply_head(r, type, (int64_t)length);
}

void http_reply_stream(struct http_req *r, int status, const char *type, int64_t length,
    ssize_t (*pull)(struct http_req *r, void *arg, char *buf, size_t n), void *arg)
{
	if (!reply_begin(r, status))
		return;
	r->source = SOURCE_STREAM;
	r->pull = pull;
	r->pull_arg = arg;
	r->left = length > 0 ? (uint64_t)length : 0;
	r->chunked = length < 0 && r->head.minor > 0;
	r->until_close = length < 0 && r->head.minor == 0;
	if (r->until_close)
		r->close = true;
	reply_head(r, type, length);
}

void http_reply_resume(struct http_req *r)
{
	struct http_conn *c = r->c;

	if (r->ended)
		return;
	r->resumed = true;
	if (!r->waiting || c->pumping)
		return;
	if (c->timer == TIMER_PROGRESS)
		conn_progress(c);
	conn_pump(c);
}

void http_reply_flow(struct http_req *r, const struct http_flow *flow, void *arg)
{
	r->flow = *flow;
	r->flow_arg = arg;
}

uint64_t http_reply_sent(const struct http_req *r)
{
	return r->sent;
}

uint64_t http_reply_acked(const struct http_req *r)
{
	uint64_t queued = r->c->out_len;
	int n = 0;

	if (r->c->fd >= 0 && ioctl(r->c->fd, SIOCOUTQ, &n) == 0)
		queued += (uint64_t)n;
	return r->sent > queued ? r->sent - queued : 0;
}

int http_reply_status(const struct http_req *r)
{
	return r->status;
}
