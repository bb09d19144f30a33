/*
 * A tar reader: see tar.h.  Its states go round: a header of 512 bytes, the data, and
 * the padding to the next multiple of 512.  Entries of kinds L and x speak about the
 * entry behind them.
 */
#include "regd/tar.h"

#include <errno.h>
#include <string.h>

enum { BLOCK = 512, META_MAX = 16 * 1024 };

enum kind {
	KIND_SKIP,
	KIND_WANTED,
	KIND_LONG_NAME, /* GNU "L" */
	KIND_PAX,       /* "x" */
};

struct tar {
	const struct tar_ops *ops;
	void *arg;
	char header[BLOCK];
	size_t have;      /* of the header */
	uint64_t left;    /* of the entry's data */
	unsigned padding; /* behind them */
	enum kind kind;
	char meta[META_MAX]; /* of an L or x entry */
	size_t meta_len;
	char name[TAR_NAME_MAX]; /* from an L or x entry; "" for none */
	bool too_long;           /* that one */
	bool has_size;
	uint64_t size; /* from an x entry */
};

int tar_new(struct tar **ret, const struct tar_ops *ops, void *arg)
{
	struct tar *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ops = ops;
	t->arg = arg;
	*ret = t;
	return 0;
}

struct tar *tar_free(struct tar *t)
{
	free(t);
	return NULL;
}

/* Octal digits, or base 256 where the first bit is set: -EBADMSG for anything else. */
static int number(const char *s, size_t n, uint64_t *ret)
{
	const unsigned char *p = (const unsigned char *)s;
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		for (v = p[0] & 0x7f, i = 1; i < n; i++) {
			if (v >> 55)
				return -EBADMSG;
			v = v << 8 | p[i];
		}
		*ret = v;
		return v >> 62 ? -EBADMSG : 0;
	}
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	*ret = v;
	return i == n || p[i] == '\0' || p[i] == ' ' ? 0 : -EBADMSG;
}

static bool checksum_fits(const char *h)
{
	uint64_t want, sum = 0;

	if (number(h + 148, 8, &want) < 0)
		return false;
	for (int i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)h[i];
	return sum == want;
}

/* The name in the header: prefix and name, where the prefix is ustar's. */
static void header_name(const char *h, char out[TAR_NAME_MAX])
{
	size_t n = 0;

	if (memcmp(h + 257, "ustar\0", 6) == 0 && h[345]) {
		n = strnlen(h + 345, 155);
		memcpy(out, h + 345, n);
		out[n++] = '/';
	}
	memcpy(out + n, h, strnlen(h, 100));
	out[n + strnlen(h, 100)] = '\0';
}

/* The name of the entry behind the one at hand. */
static void take_name(struct tar *t, const char *name, size_t n)
{
	t->too_long = n >= TAR_NAME_MAX;
	if (t->too_long || memchr(name, '\0', n))
		n = 0;
	memcpy(t->name, name, n);
	t->name[n] = '\0';
}

/* One "length key=value\n" of a pax header: the rest, or NULL at its end. */
static const char *pax_record(struct tar *t, const char *p, const char *end)
{
	const char *record = p, *eq;
	size_t len = 0;

	for (; p < end && *p >= '0' && *p <= '9' && len < META_MAX; p++)
		len = len * 10 + (size_t)(*p - '0');
	if (p == record || p >= end || *p != ' ' || len > (size_t)(end - record) ||
	    len < (size_t)(p - record) + 3 || record[len - 1] != '\n')
		return NULL;
	p++;
	eq = memchr(p, '=', (size_t)(record + len - p));
	if (eq && eq - p == 4 && memcmp(p, "path", 4) == 0) {
		take_name(t, eq + 1, (size_t)(record + len - 1 - (eq + 1)));
	} else if (eq && eq - p == 4 && memcmp(p, "size", 4) == 0) {
		t->size = 0;
		for (p = eq + 1; *p >= '0' && *p <= '9' && !(t->size >> 58); p++)
			t->size = t->size * 10 + (uint64_t)(*p - '0');
		t->has_size = true;
	}
	return record + len;
}

static void take_meta(struct tar *t)
{
	const char *p = t->meta, *end = t->meta + t->meta_len;

	if (t->kind == KIND_PAX) {
		while (p && p < end)
			p = pax_record(t, p, end);
	} else {
		take_name(t, t->meta, strnlen(t->meta, t->meta_len));
	}
}

static void begin_file(struct tar *t, uint64_t size)
{
	const char *name = t->name;

	while (name[0] == '.' && name[1] == '/')
		name += 2;
	t->kind =
	    !t->too_long && t->ops->entry(t->arg, name, size) ? KIND_WANTED : KIND_SKIP;
}

/* The header is complete. */
static int begin_entry(struct tar *t)
{
	static const char zeros[BLOCK];
	const char *h = t->header;
	char type = h[156];
	uint64_t size;

	t->have = 0;
	if (memcmp(h, zeros, BLOCK) == 0)
		return 0;
	if (!checksum_fits(h) || number(h + 124, 12, &size) < 0)
		return -EBADMSG;
	if (t->has_size && type != 'x')
		size = t->size;
	if (type != 'x')
		t->has_size = false;
	t->kind = KIND_SKIP;
	t->meta_len = 0;
	if (type == 'L' || type == 'x')
		t->kind = type == 'x' ? KIND_PAX : KIND_LONG_NAME;
	else if (!t->name[0])
		header_name(h, t->name);
	t->left = size;
	t->padding = (unsigned)(-size & (BLOCK - 1));
	if (type == '0' || type == '\0' || type == '7')
		begin_file(t, size);
	if (t->kind != KIND_PAX && t->kind != KIND_LONG_NAME) {
		t->name[0] = '\0';
		t->too_long = false;
	}
	return 0;
}

static int end_entry(struct tar *t)
{
	if (t->kind == KIND_WANTED) {
		t->kind = KIND_SKIP;
		return t->ops->end(t->arg);
	}
	if (t->kind != KIND_SKIP)
		take_meta(t);
	t->kind = KIND_SKIP;
	return 0;
}

static int take_data(struct tar *t, const char *p, size_t n)
{
	if (t->kind == KIND_WANTED)
		return t->ops->data(t->arg, p, n);
	if (t->kind != KIND_SKIP) {
		n = MIN(n, META_MAX - t->meta_len);
		memcpy(t->meta + t->meta_len, p, n);
		t->meta_len += n;
	}
	return 0;
}

int tar_feed(struct tar *t, const void *data, size_t len)
{
	const char *p = data, *end = p + len;
	int r = 0;

	while (r == 0 && p < end) {
		size_t n = (size_t)(end - p);

		if (t->left) {
			n = (size_t)MIN((uint64_t)n, t->left);
			r = take_data(t, p, n);
			t->left -= n;
			if (r == 0 && !t->left)
				r = end_entry(t);
		} else if (t->padding) {
			n = MIN(n, t->padding);
			t->padding -= (unsigned)n;
		} else {
			n = MIN(n, BLOCK - t->have);
			memcpy(t->header + t->have, p, n);
			t->have += n;
			if (t->have == BLOCK)
				r = begin_entry(t);
			if (r == 0 && t->have == 0 && !t->left)
				r = end_entry(t);
		}
		p += n;
	}
	return r;
}

uint64_t tar_skip(struct tar *t)
{
	uint64_t n = t->left + t->padding;

	if (t->kind != KIND_SKIP || t->have)
		return 0;
	t->left = 0;
	t->padding = 0;
	return n;
}
