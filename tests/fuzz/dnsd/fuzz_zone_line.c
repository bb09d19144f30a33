/*
 * Lines of a zone file: each is a record or an error with a sentence, and what is a record
 * compiles into a zone, where its name is found.
 */
#include <errno.h>

#include "common/base.h"
#include "dnsd/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_name(const struct name_buf *name, void *arg)
{
	if (!zone_find(arg, name, 0))
		abort();
	return 0;
}

static void compile(struct records *r)
{
	struct zone_edit *edit;
	struct err e = ERR_INIT;
	struct zone *z;
	int k;

	if (zone_edit_new(&edit, NULL) < 0)
		abort();
	k = records_build(r, edit, &e);
	if (k < 0) {
		if (!e.text[0] || (k != -EINVAL && k != -E2BIG))
			abort();
		zone_edit_free(edit);
		return;
	}
	z = zone_edit_commit(edit, 1);
	records_names(r, on_name, z);
	zone_free(z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), *line, *next;
	struct records *r;

	memcpy(text, data, size);
	if (records_new(&r) < 0)
		abort();
	for (line = text; line; line = next) {
		struct err e = ERR_INIT;
		size_t before = records_count(r);
		int k;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		k = records_add_line(
		    r, RECORDS_STATIC, line, "okd.example.com.", 60, &e);
		if (k < 0 ? !e.text[0] || records_count(r) != before
			  : records_count(r) != before + 1)
			abort();
	}
	compile(r);
	records_free(r);
	free(text);
	return 0;
}
