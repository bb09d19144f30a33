/* Tar streams as Python and GNU tar write them: see the corpus of the fuzz target. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/fd.h"
#include "common/str.h"
#include "regd/tar.h"

static struct str names;
static uint64_t bytes;

static bool on_entry(void *arg, const char *name, uint64_t size)
{
	str_addf(&names, "%.3s%zu:%u ", name, strlen(name), (unsigned)size);
	return true;
}

static int on_data(void *arg, const void *p, size_t n)
{
	bytes += n;
	return 0;
}

static int on_end(void *arg)
{
	return 0;
}

static const struct tar_ops ops = { on_entry, on_data, on_end };

static void check(const char *file, const char *expected)
{
	struct str text = STR_INIT;
	char path[256];
	struct tar *t;

	str_reset(&names);
	bytes = 0;
	snprintf(path, sizeof(path), "tests/fuzz/corpus/regd_tar/%s", file);
	CHECK(file_read(path, 1 << 20, &text) == 0);
	CHECK(tar_new(&t, &ops, NULL) == 0);
	CHECK(tar_feed(t, text.s, text.len) == 0);
	if (!str_eq(str_get(&names), expected))
		printf("# %s: %s\n", file, str_get(&names));
	CHECK(str_eq(str_get(&names), expected));
	CHECK(bytes == 609);
	tar_free(t);
	str_deinit(&text);
}

TEST(ustar)
{
	check("ustar", "a1:4 b1:5 dir94:600 ");
}

TEST(long_names_of_gnu_tar)
{
	check("gnu", "a1:4 b1:5 dir204:600 ");
}

TEST(long_names_of_pax)
{
	check("pax", "a1:4 b1:5 dir204:600 ");
	str_deinit(&names);
}

/* A header of kind type with a body of size bytes behind it. */
static void header(char block[512], char type, const char *name, unsigned size)
{
	unsigned sum = 0;

	memset(block, 0, 512);
	strcpy(block, name);
	snprintf(block + 124, 12, "%011o", size);
	memset(block + 148, ' ', 8);
	block[156] = type;
	for (unsigned i = 0; i < 512; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
}

/* An entry whose name of n bytes stands in front of it, as kind type has it. */
static void named(struct tar *t, char type, unsigned n)
{
	char block[512], body[4096] = "";
	struct str record = STR_INIT;
	unsigned len = n + 1;

	if (type == 'x') {
		len = n + (unsigned)strlen("1234 path=\n");
		str_addf(&record, "%u path=", len);
		CHECK(record.len == strlen("1234 path="));
	}
	for (unsigned i = 0; i < n; i++)
		str_addc(&record, 'n');
	str_addc(&record, type == 'x' ? '\n' : '\0');
	memcpy(body, str_get(&record), record.len);
	header(block, type, "meta", len);
	CHECK(tar_feed(t, block, 512) == 0);
	CHECK(tar_feed(t, body, (len + 511) / 512 * 512) == 0);
	header(block, '0', "short", 0);
	CHECK(tar_feed(t, block, 512) == 0);
	header(block, '0', "next", 0);
	CHECK(tar_feed(t, block, 512) == 0);
	str_deinit(&record);
}

TEST(names_that_are_too_long_are_passed_over)
{
	static const char types[] = { 'L', 'x' };
	struct tar *t;

	for (size_t i = 0; i < sizeof(types); i++) {
		str_reset(&names);
		CHECK(tar_new(&t, &ops, NULL) == 0);
		named(t, types[i], TAR_NAME_MAX - 1);
		named(t, types[i], TAR_NAME_MAX);
		CHECK(str_eq(str_get(&names), "nnn1023:0 nex4:0 nex4:0 "));
		tar_free(t);
	}
	str_deinit(&names);
}

TEST(what_is_none)
{
	char block[512];
	struct tar *t;

	memset(block, 'x', sizeof(block));
	CHECK(tar_new(&t, &ops, NULL) == 0);
	CHECK(tar_feed(t, block, 100) == 0);
	CHECK(tar_feed(t, block, 412) == -EBADMSG);
	tar_free(t);
	memset(block, 0, sizeof(block));
	CHECK(tar_new(&t, &ops, NULL) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(tar_feed(t, block, sizeof(block)) == 0);
	tar_free(t);
}
