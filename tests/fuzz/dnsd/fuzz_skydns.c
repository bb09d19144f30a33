/*
 * SkyDNS's keys and values: whatever is put, the records of each name compile, and what is
 * taken away again is gone.  The input is a t and lines of a key, a blank and a value.
 */
#include <errno.h>

#include "common/base.h"
#include "dnsd/skydns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum skydns_place place(const struct name_buf *name, void *arg)
{
	return name->len <= 5 ? SKYDNS_ABOVE
	    : name->len <= 13 ? SKYDNS_APEX
			      : SKYDNS_BELOW;
}

static int on_name(const struct name_buf *name, void *arg)
{
	struct records *r;
	int k;

	if (records_new(&r) < 0)
		abort();
	k = skydns_records(arg, name, r);
	records_free(r);
	return k;
}

/* Lines of a key, a blank and a value. */
static void put_lines(struct skydns *s, const char *p, size_t n, bool take_away)
{
	while (n) {
		const char *end = memchr(p, '\n', n);
		size_t len = end ? (size_t)(end - p) : n;
		const char *blank = memchr(p, ' ', len);
		size_t key = blank ? (size_t)(blank - p) : len;
		struct err e = ERR_INIT;
		int r = skydns_put(s, p, key, blank && !take_away ? blank + 1 : NULL,
		    blank ? len - key - 1 : 0, 1, &e);

		if (r < 0 && r != -EINVAL)
			abort();
		p += MIN(len + 1, n);
		n -= MIN(len + 1, n);
	}
}

static void try_tree(const char *p, size_t n)
{
	struct skydns *s;

	if (skydns_new(&s, "/skydns", RECORDS_ETCD, place, NULL) < 0)
		abort();
	put_lines(s, p, n, false);
	if (skydns_changed(s, on_name, s) < 0)
		abort();
	skydns_settle(s);
	put_lines(s, p, n, true);
	if (skydns_count(s) != 0)
		abort();
	if (skydns_changed(s, on_name, s) < 0)
		abort();
	skydns_settle(s);
	skydns_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p;

	if (size < 1)
		return 0;
	p = malloc(size);
	memcpy(p, data + 1, size - 1);
	if (data[0] == 't')
		try_tree(p, size - 1);
	free(p);
	return 0;
}
