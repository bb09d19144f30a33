/*
 * An archive of oc-mirror, and the paths in it: whatever comes, what is found obeys the
 * grammar, lies in order, and is inside the file or cannot be read.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "regd/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ_MAX = 4096 };

static void judge(const struct scan *s, size_t size)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;
	enum scan_kind last = SCAN_BLOB;

	for (size_t i = 0; i < s->n; i++) {
		const struct scan_item *it = &s->items[i];
		struct oci_digest d;

		assert(it->kind >= last);
		last = it->kind;
		assert(name_is_repository(it->repository, strlen(it->repository)));
		assert(oci_digest_parse(&d, it->digest.text) == 0);
		assert((it->kind == SCAN_TAG) == (it->tag != NULL));
		assert(!it->tag || name_is_tag(it->tag));
		if (it->kind == SCAN_TAG)
			continue;
		assert(it->inside && it->offset <= size);
		str_reset(&out);
		if (scan_item_read(it, READ_MAX, &out) == 0)
			assert(out.len == it->size && it->size <= size - it->offset);
	}
}

/* The input as a file that has a name while it is looked at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(fd_closep) int fd = memfd_create("archive", MFD_CLOEXEC);
	_cleanup_(scan_freep) struct scan *s = calloc(1, sizeof(*s));
	struct err e = ERR_INIT;
	char path[64];

	assert(s && fd >= 0 && fd_write_all(fd, data, size) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert(archive_is(path));
	if (archive_scan(s, path, &e) == 0)
		judge(s, size);
	else
		assert(e.text[0]);
	return 0;
}
