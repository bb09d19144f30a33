/* Configs of single nodes: what becomes of YAML, and where its faults are. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"
#include "ignd/fragment.h"

static const struct ignition role = { .major = 3, .minor = 1 };

static bool yaml_is(const char *yaml, const char *want)
{
	_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };
	struct err e = ERR_INIT;
	json_t *a = NULL, *b = json_loads(want, 0, NULL);
	bool ok = fragment_parse(&f, "w.yaml", yaml, strlen(yaml), &role, &e) == 0;

	a = ok ? json_loads(str_get(&f.json), 0, NULL) : NULL;
	ok = a && b && json_equal(a, b);
	if (!ok)
		printf("# %s %s\n", err_str(&e), str_get(&f.json));
	json_decref(a);
	json_decref(b);
	return ok;
}

#define V ",\"ignition\":{\"version\":\"3.1.0\"}}"

TEST(yaml_becomes_json)
{
	CHECK(yaml_is("a: 1", "{\"a\":1" V));
	CHECK(yaml_is("a: 0644\nb: 0o17", "{\"a\":420,\"b\":15" V));
	CHECK(yaml_is("a: '0644'\nb: \"true\"", "{\"a\":\"0644\",\"b\":\"true\"" V));
	CHECK(yaml_is("a: [true, false, null, ~, x, -5, 0]",
	    "{\"a\":[true,false,null,null,\"x\",-5,0]" V));
	CHECK(yaml_is("a: {b: []}", "{\"a\":{\"b\":[]}" V));
	CHECK(yaml_is("a: 99999999999999999999", "{\"a\":\"99999999999999999999\"" V));
	CHECK(yaml_is("a: 1.5", "{\"a\":\"1.5\"" V));
	CHECK(yaml_is(
	    "ignition: {version: 3.0.0}", "{\"ignition\":{\"version\":\"3.0.0\"}}"));
	CHECK(yaml_is("storage:\n"
		      "  files:\n"
		      "    - {path: /a, mode: 0644, user: {id: 10}}\n"
		      "    - path: /b\n"
		      "      contents: {source: 'data:,x'}\n"
		      "passwd: {users: [{name: \"true\", system: true}]}\n"
		      "systemd: ~\n",
	    "{\"storage\":{\"files\":[{\"path\":\"/"
	    "a\",\"mode\":420,\"user\":{\"id\":10}},"
	    "{\"path\":\"/b\",\"contents\":{\"source\":\"data:,x\"}}]},\"passwd\":{"
	    "\"users\":[{\"name\":\"true\",\"system\":true}]},\"systemd\":null" V));
}

TEST(faults_have_their_place)
{
	static const struct {
		const char *name, *text;
		unsigned line, column;
		const char *why;
	} all[] = {
		{ "w.yaml", "storage:\n  files:\n    - path: a\n", 3, 7,
		    "the path a is not absolute" },
		{ "w.yaml",
		    "# words\n\nsystemd: {}\npasswd:\n  users: []\nstorage:\n"
		    "  directories: [{path: /x}, {path: /y}]\n"
		    "  files:\n"
		    "  - path: /a\n"
		    "    user:\n"
		    "      name: core\n"
		    "    group: {}\n"
		    "  - path: /b\n"
		    "    contents:\n"
		    "      compression: bzip2\n"
		    "      source: data:,\n",
		    15, 7, "compression must be gzip" },
		{ "w.yaml",
		    "storage: {files: [{path: /a}, {path: /b},\n"
		    "                  {path: /a}]}\n",
		    2, 20, "/a is there twice" },
		{ "w.yaml", "storage:\n  files:\n    - path: /a\n    - mode: 0644\n", 4,
		    7, "storage.files[1] has no path" },
		{ "w.yaml", "systemd:\n  units:\n  - {enabled: true}\n", 3, 5,
		    "systemd.units[0] has no name" },
		{ "w.yaml", "storage: []\n", 1, 1, "storage must be an object" },
		{ "w.yaml", "x: 1\nignition:\n  version: 3.2.0\n", 3, 3,
		    "the role's config is of 3.1.0" },
		{ "w.yaml", "x: 1\nignition: {}\n", 2, 1,
		    "ignition.version is missing" },
		{ "w.yaml", "x: 1\nignition: {version: 7}\n", 2, 1,
		    "ignition.version is missing" },
		{ "w.yaml", "- a\n- b\n", 1, 1, "it must be a table" },
		{ "w.yaml", "just words\n", 1, 1, "it must be a table" },
		{ "w.yaml", "a: [\n", 2, 1, "" },
		{ "w.yaml", "a: 1\na: 2\n", 2, 1, "" },
		{ "w.ign", "{\"ignition\":\n {\"version\": \"3.2.0\"}}", 2, 3,
		    "the role's config is of 3.1.0" },
		{ "w.ign", "{\"ignition\":{\"version\":\"3.0.0\"},\n\"storage\":1}", 2,
		    1, "storage must be an object" },
		{ "w.ign", "", 0, 0, "it is empty" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };
		struct err e = ERR_INIT;
		bool good = fragment_parse(&f, all[i].name, all[i].text,
				strlen(all[i].text), &role, &e) == -EINVAL &&
		    e.line == all[i].line && e.column == all[i].column &&
		    strstr(e.text, all[i].why) && str_eq(e.file, all[i].name);

		if (!good)
			printf("# %zu: %s\n", i, err_str(&e));
		CHECK(good);
	}
}

TEST(warnings_too)
{
	static const char text[] =
	    "storage:\n  files: []\n\nstorge: {a: [1, 2]}\nsystemd: {}\n"
	    "passwords: []\n";
	_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };

	CHECK(fragment_parse(&f, "w.yaml", text, strlen(text), &role, NULL) == 0);
	CHECK(str_eq(str_get(&f.warnings),
	    "4:1: unknown key \"storge\" is passed over; did you mean \"storage\"?\n"
	    "6:1: unknown key \"passwords\" is passed over\n"));
}

/* --- a file that is written while it is read ---------------------------- */

#define BODY 40000 /* several reads */

static int writing = -1; /* the file's descriptor */
static unsigned writes_left;

static void write_config(char fill)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	str_addz(&text, "{\"ignition\":{\"version\":\"3.1.0\"},\"pad\":\"");
	for (unsigned i = 0; i < BODY; i++)
		str_addc(&text, fill);
	str_addz(&text, "\"}");
	/* Each version has a length of its own, however coarse the file's times are. */
	for (unsigned i = 0; i < writes_left; i++)
		str_addc(&text, ' ');
	CHECK(pwrite(writing, text.s, text.len, 0) == (ssize_t)text.len);
	CHECK(ftruncate(writing, (off_t)text.len) == 0);
}

/* The C library's, but after a piece of the file somebody writes it anew. */
ssize_t read(int fd, void *buf, size_t n)
{
	ssize_t got = syscall(SYS_read, fd, buf, n);

	if (writes_left > 0 && got > 0) {
		writes_left--;
		write_config((char)('a' + writes_left % 26));
	}
	return got;
}

static int read_while_written(struct fragment *f, unsigned writes, struct err *e)
{
	const struct cluster_node node = { .name = (char[]){ "w" } };
	char dir[] = "/tmp/okd-fragment-XXXXXX";
	struct root root = { .fd = -1 };
	int r;

	CHECK(mkdtemp(dir) && root_init(&root, dir) == 0);
	writing = openat(root.fd, "w.ign", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(writing >= 0);
	writes_left = writes;
	write_config('z');
	r = fragment_read(f, &root, &node, ".ign", &role, e);
	writes_left = 0;
	writing = fd_close(writing);
	CHECK(unlinkat(root.fd, "w.ign", 0) == 0 && rmdir(dir) == 0);
	root_deinit(&root);
	return r;
}

TEST(halves_of_two_versions_are_not_joined)
{
	_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };
	_cleanup_(fragment_deinit) struct fragment none = { STR_INIT, STR_INIT };
	struct err e = ERR_INIT;

	CHECK(read_while_written(&f, 1, &e) == 0);
	CHECK(strspn(strchr(str_get(&f.json), 'p') + 6, "a") == BODY);
	CHECK(read_while_written(&none, 1000, &e) == -EBUSY);
	CHECK(str_eq(err_str(&e), "w.ign: it changes while it is read"));
}
