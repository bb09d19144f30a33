/* The tar reader: the same entries come out however the stream is cut into pieces. */
#include <assert.h>
#include <string.h>

#include "common/htable.h"
#include "regd/tar.h"

struct seen {
	uint64_t hash, entries, bytes, ended;
};

static bool on_entry(void *arg, const char *name, uint64_t size)
{
	struct seen *s = arg;

	assert(strlen(name) < TAR_NAME_MAX);
	s->hash ^= htable_hash(name, strlen(name)) + size;
	s->entries++;
	return size % 2 == 0;
}

static int on_data(void *arg, const void *p, size_t n)
{
	struct seen *s = arg;

	s->bytes += n;
	return 0;
}

static int on_end(void *arg)
{
	struct seen *s = arg;

	s->ended++;
	return s->ended == 100 ? 7 : 0;
}

static int feed(struct seen *s, const uint8_t *data, size_t size, size_t piece)
{
	static const struct tar_ops ops = { on_entry, on_data, on_end };
	struct tar *t;
	int r;

	r = tar_new(&t, &ops, s);
	for (size_t i = 0; r == 0 && i < size; i += piece)
		r = tar_feed(t, data + i, size - i < piece ? size - i : piece);
	tar_free(t);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = { 0 }, pieces = { 0 };
	int r = feed(&whole, data, size, size ? size : 1);

	assert(feed(&pieces, data, size, 7) == r);
	assert(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	return 0;
}
