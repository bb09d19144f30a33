/*
 * Static files with conditions and ranges.  The order of judgement is RFC 9110 section
 * 13.2.2: method, then conditions, then Range under If-Range.
 */
#include "common/http_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/http_cond.h"

enum { RANGES_DEFAULT = 32, RANGES_MAX = 1024 };

struct http_parts *parts_free(struct http_parts *p)
{
	if (!p)
		return NULL;
	free(p->type_copy);
	free(p);
	return NULL;
}

static int part_head(const struct http_parts *p, unsigned i, char *buf, size_t size)
{
	const struct http_range *x = &p->ranges[i];

	return snprintf(buf, size,
	    "\r\n--%s\r\nContent-Type: %.300s\r\nContent-Range: bytes "
	    "%llu-%llu/%llu\r\n\r\n",
	    p->boundary, p->type, (unsigned long long)x->offset,
	    (unsigned long long)(x->offset + x->length - 1),
	    (unsigned long long)p->size);
}

static int part_tail(const struct http_parts *p, char *buf, size_t size)
{
	return snprintf(buf, size, "\r\n--%s--\r\n", p->boundary);
}

size_t parts_next(struct http_req *r, char *buf, size_t size)
{
	struct http_parts *p = r->parts;

	if (p->tail_sent)
		return 0;
	if (p->next == p->n) {
		p->tail_sent = true;
		return (size_t)part_tail(p, buf, size);
	}
	r->offset = p->base + p->ranges[p->next].offset;
	r->left = p->ranges[p->next].length;
	return (size_t)part_head(p, p->next++, buf, size);
}

static uint64_t parts_length(const struct http_parts *p)
{
	uint64_t total = 0;
	char buf[512];

	for (unsigned i = 0; i < p->n; i++)
		total +=
		    (uint64_t)part_head(p, i, buf, sizeof(buf)) + p->ranges[i].length;
	return total + (uint64_t)part_tail(p, buf, sizeof(buf));
}

static struct http_parts *parts_new(
    const struct http_range *ranges, unsigned n, uint64_t size, const char *type)
{
	struct http_parts *p = calloc(1, sizeof(*p) + n * sizeof(*ranges));
	uint64_t random = 0;

	if (!p)
		return NULL;
	p->type_copy = strdup(type);
	if (!p->type_copy || getrandom(&random, sizeof(random), 0) < 0)
		return parts_free(p);
	p->type = p->type_copy;
	p->size = size;
	p->n = n;
	memcpy(p->ranges, ranges, n * sizeof(*ranges));
	snprintf(
	    p->boundary, sizeof(p->boundary), "%020llu", (unsigned long long)random);
	return p;
}

/* "Name: value" CRLF without the cost of formats; this is on the path of small files.
 */
static void add_line(struct http_req *r, const char *name, const char *value)
{
	str_addz(&r->headers, name);
	str_addz(&r->headers, value);
	str_add(&r->headers, "\r\n", 2);
}

static char *put_hex(char *end, uint64_t v)
{
	do {
		*--end = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v);
	return end;
}

/* "mtime-size" in hex, in quotes, as nginx makes it; ends at the end of buf. */
static const char *etag_of(const struct stat *st, char buf[40])
{
	char *p = buf + 39;

	*p = '\0';
	*--p = '"';
	p = put_hex(p, (uint64_t)st->st_size);
	*--p = '-';
	p = put_hex(p, (uint64_t)st->st_mtim.tv_sec);
	*--p = '"';
	return p;
}

static void content_range(struct http_req *r, const struct http_range *x, uint64_t size)
{
	http_reply_header(r, "Content-Range", "bytes %llu-%llu/%llu",
	    (unsigned long long)x->offset,
	    (unsigned long long)(x->offset + x->length - 1), (unsigned long long)size);
}

/* The Range header's verdict: 200, 206 or 416 (RFC 9110 section 14.2: GET alone). */
static int static_ranges(struct http_req *r, const struct http_static *s,
    const struct http_validator *v, uint64_t size, struct http_range *ranges,
    unsigned *n)
{
	unsigned max =
	    s->max_ranges ? MIN(s->max_ranges, (unsigned)RANGES_MAX) : RANGES_DEFAULT;
	const char *range = http_head_get(&r->head, "range");

	if (!range || r->head.method != HTTP_GET || (s->flags & HTTP_FILE_NO_RANGES) ||
	    !http_cond_range(&r->head, v))
		return 200;
	return http_range_parse(range, size, ranges, max, n);
}

/* Several ranges: the file's source, with heads between its pieces. */
static void reply_parts(struct http_req *r, const struct http_static *s,
    const struct stat *st, const struct http_range *file, const char *type,
    const struct http_range *ranges, unsigned n)
{
	char multipart[64];

	if (!reply_begin(r, 206))
		return;
	r->source = SOURCE_FILE;
	r->fd = s->fd;
	r->file_flags = s->flags;
	r->mtime = st->st_mtim;
	r->parts = parts_new(ranges, n, file->length, type);
	if (!r->parts) {
		conn_close(r->c, HTTP_END_ABORT, "out of memory");
		return;
	}
	r->parts->base = file->offset;
	snprintf(multipart, sizeof(multipart), "multipart/byteranges; boundary=%s",
	    r->parts->boundary);
	reply_head(r, multipart, (int64_t)parts_length(r->parts));
}

static void reply_found(struct http_req *r, const struct http_static *s,
    const struct stat *st, const struct http_validator *v)
{
	const char *type = s->type ? s->type : http_mime(s->name ? s->name : r->path);
	struct http_range ranges[RANGES_MAX], file = { 0, (uint64_t)st->st_size },
					      whole;
	unsigned n = 0;
	int status;

	if (s->flags & HTTP_FILE_PART)
		file = (struct http_range){ s->offset, s->size };
	whole = (struct http_range){ 0, file.length };
	status = static_ranges(r, s, v, file.length, ranges, &n);

	if (status == 416) {
		if (!(s->flags & HTTP_FILE_KEEP_FD))
			fd_close(s->fd);
		http_reply_header(r, "Content-Range", "bytes */%llu",
		    (unsigned long long)file.length);
		http_reply_error(r, 416, NULL, "no byte of that range is in the file");
		return;
	}
	if (status == 200 && !(s->flags & HTTP_FILE_NO_RANGES))
		add_line(r, "Accept-Ranges: ", "bytes");
	if (status == 206 && n > 1) {
		reply_parts(r, s, st, &file, type, ranges, n);
		return;
	}
	if (status == 206) {
		whole = ranges[0];
		content_range(r, &whole, file.length);
	}
	http_reply_file(
	    r, status, type, s->fd, file.offset + whole.offset, whole.length, s->flags);
}

void http_reply_static(struct http_req *r, const struct http_static *s)
{
	_cleanup_(fd_closep) int owned = s->flags & HTTP_FILE_KEEP_FD ? -1 : s->fd;
	struct http_validator v = { .etag = s->etag };
	char etag[40], date[HTTP_DATE_MAX];
	struct stat st;
	int status;

	if (!(r->head.method & (HTTP_GET | HTTP_HEAD))) {
		http_reply_not_allowed(r, HTTP_GET);
		return;
	}
	if (s->fd < 0 || fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		http_reply_error(r, 404, NULL, "%s", http_status_text(404));
		return;
	}
	if (!v.etag)
		v.etag = etag_of(&st, etag);
	v.modified = st.st_mtim.tv_sec;
	status = http_cond_judge(&r->head, &v);
	if (status == 412) {
		http_reply_error(r, 412, NULL, "%s", http_status_text(412));
		return;
	}
	add_line(r, "Last-Modified: ", http_date_format(v.modified, date));
	add_line(r, "ETag: ", v.etag);
	if (status == 304) {
		http_reply_empty(r, 304);
		return;
	}
	owned = -1; /* the reply's from here */
	reply_found(r, s, &st, &v);
}
