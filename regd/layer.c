/* One file out of a layer: see layer.h. */
#include "regd/layer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "regd/tar.h"

enum { PIECE = 128 * 1024, FOUND = 1 };

struct search {
	const char *name;
	size_t max;
	struct str *out;
};

static bool on_entry(void *arg, const char *name, uint64_t size)
{
	struct search *s = arg;

	return str_eq(name, s->name);
}

static int on_data(void *arg, const void *p, size_t n)
{
	struct search *s = arg;

	if (s->out->len + n > s->max)
		return -EFBIG;
	str_add(s->out, p, n);
	return str_err(s->out);
}

static int on_end(void *arg)
{
	return FOUND;
}

/* Unpacks what is in z and feeds it on; *whole tells whether it ended with a member. */
static int feed_inflated(z_stream *z, struct tar *t, unsigned char *plain, bool *whole)
{
	int r = 0, zr = Z_OK;

	do {
		z->next_out = plain;
		z->avail_out = PIECE;
		zr = inflate(z, Z_NO_FLUSH);
		if (zr != Z_OK && zr != Z_STREAM_END && zr != Z_BUF_ERROR)
			return -EBADMSG;
		if (zr != Z_BUF_ERROR)
			*whole = zr == Z_STREAM_END;
		r = tar_feed(t, plain, PIECE - z->avail_out);
		/* A gzip file may have several members. */
		if (zr == Z_STREAM_END && inflateReset(z) != Z_OK)
			return -EBADMSG;
	} while (r == 0 && zr != Z_BUF_ERROR && (z->avail_in || !z->avail_out));
	return r;
}

/* The next piece of what is read; 0 at its end. */
static ssize_t read_piece(
    int fd, const struct store_part *part, uint64_t *at, unsigned char *in)
{
	ssize_t n = pread(fd, in, (size_t)MIN((uint64_t)PIECE, part->size - *at),
	    (off_t)(part->offset + *at));

	if (n < 0)
		return -errno;
	*at += (uint64_t)n;
	return n;
}

static int read_gzip(int fd, const struct store_part *part, struct tar *t,
    unsigned char *in, unsigned char *plain)
{
	z_stream z = { .next_in = in };
	bool whole = false;
	uint64_t at = 0;
	ssize_t n;
	int r = 0;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -ENOMEM;
	while (r == 0 && (n = read_piece(fd, part, &at, in)) != 0) {
		if (n < 0) {
			r = (int)n;
			break;
		}
		z.next_in = in;
		z.avail_in = (uInt)n;
		r = feed_inflated(&z, t, plain, &whole);
	}
	inflateEnd(&z);
	return r == 0 && !whole ? -EBADMSG : r;
}

static int read_plain(
    int fd, const struct store_part *part, struct tar *t, unsigned char *in)
{
	uint64_t at = 0;
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read_piece(fd, part, &at, in)) != 0) {
		if (n < 0)
			return (int)n;
		r = tar_feed(t, in, (size_t)n);
	}
	return r;
}

int layer_read_file(int fd, const struct store_part *part, const char *name, size_t max,
    struct str *out)
{
	static const struct tar_ops ops = {
		.entry = on_entry,
		.data = on_data,
		.end = on_end,
	};
	struct search s = { .name = name, .max = max, .out = out };
	_cleanup_(tar_freep) struct tar *t = NULL;
	_cleanup_(freep) unsigned char *in = malloc(PIECE);
	_cleanup_(freep) unsigned char *plain = malloc(PIECE);
	unsigned char magic[4] = { 0 };
	int r;

	if (!in || !plain)
		return -ENOMEM;
	r = tar_new(&t, &ops, &s);
	if (r < 0)
		return r;
	if (pread(fd, magic, sizeof(magic), (off_t)part->offset) < 0)
		return -errno;
	if (magic[0] == 0x1f && magic[1] == 0x8b)
		r = read_gzip(fd, part, t, in, plain);
	else if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
		return -ENOTSUP;
	else
		r = read_plain(fd, part, t, in);
	return r == FOUND ? 0 : r < 0 ? r : -ENOENT;
}
