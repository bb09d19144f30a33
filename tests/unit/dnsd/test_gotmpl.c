/* Go's template notation, as lines of templates use it. */
#include <string.h>

#include "tests/unit/test.h"

#include "dnsd/gotmpl.h"

static bool get_match(void *arg, unsigned i, const char **text, size_t *n)
{
	static const char *const groups[] = { "ip-3-ff", "3", "ff" };

	if (i >= ARRAY_SIZE(groups))
		return false;
	*text = groups[i];
	*n = strlen(groups[i]);
	return true;
}

static bool get_group(void *arg, const char *name, const char **text, size_t *n)
{
	return strcmp(name, "a") == 0 ? get_match(arg, 1, text, n)
	    : strcmp(name, "b") == 0  ? get_match(arg, 2, text, n)
				      : false;
}

static const struct gotmpl_data data = { .name = "ip-3-ff.example.net.",
	.type = "A",
	.class = "IN",
	.zone = "example.net.",
	.remote = "192.0.2.1",
	.question = "IP-3-ff.Example.net.",
	.id = 7,
	.qtype = 1,
	.qclass = 1,
	.match = get_match,
	.group = get_group };

/* What a line becomes; "bad" for one that does not compile, "fails" for one that makes
 * nothing. */
static bool becomes(const char *line, const char *want)
{
	_cleanup_(gotmpl_freep) struct gotmpl *t = NULL;
	struct err e = ERR_INIT;
	char got[256] = "bad";
	int n;

	if (gotmpl_new(&t, line, &e) == 0) {
		n = gotmpl_render(t, &data, got, sizeof(got));
		if (n < 0)
			strcpy(got, "fails");
		else if ((size_t)n != strlen(got))
			return false;
	} else if (!e.text[0]) {
		return false;
	}
	if (strcmp(got, want) != 0)
		printf("# %s: got %s, want %s\n", line, got, want);
	return strcmp(got, want) == 0;
}

TEST(fields)
{
	CHECK(becomes("plain", "plain"));
	CHECK(
	    becomes("{{ .Name }} 60 IN {{.Type}} x", "ip-3-ff.example.net. 60 IN A x"));
	CHECK(becomes(
	    "{{ .Class }} {{ .Zone }} {{ .Remote }}", "IN example.net. 192.0.2.1"));
	CHECK(
	    becomes("{{ .Question.Name }} {{ .Question.Qtype }} {{ .Question.Qclass }} "
		    "{{ .Message.Id }}",
		"IP-3-ff.Example.net. 1 1 7"));
	CHECK(becomes("a {{- .Type -}} b", "aAb"));
	CHECK(becomes("a{{/* nothing */}}b", "ab"));
}

TEST(groups_and_numbers)
{
	CHECK(becomes("{{ .Group.a }}.{{ index .Group \"b\" }}", "3.ff"));
	CHECK(becomes("{{ index .Match 0 }}/{{ index .Match 2 }}", "ip-3-ff/ff"));
	CHECK(becomes("{{ parseInt .Group.b 16 32 }}", "255"));
	CHECK(becomes("{{ parseInt (index .Match 2) 16 32 }}", "255"));
	CHECK(becomes("{{ parseInt .Group.b 10 32 }}", "fails"));
	CHECK(becomes("{{ parseInt .Group.b 16 8 }}", "fails"));
	CHECK(becomes("{{ index .Match 3 }}", "fails"));
}

TEST(what_is_no_template)
{
	static const char *const lines[] = { "{{", "{{ }}", "{{ .Nam }}", "{{ .Name",
		"{{ .Group }}", "{{ index .Match }}", "{{ index .Match x }}",
		"{{ parseInt .Group.a }}", "{{ (.Name }}", "{{ range .X }}" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		CHECK(becomes(lines[i], "bad"));
}

TEST(constants)
{
	_cleanup_(gotmpl_freep) struct gotmpl *a = NULL, *b = NULL;

	CHECK(gotmpl_new(&a, "{{ .Name }} 60 IN A 10.0.0.1", NULL) == 0);
	CHECK(strcmp(gotmpl_constant(a), " 60 IN A 10.0.0.1") == 0);
	CHECK(gotmpl_new(&b, "x{{ .Name }} 60 IN A 10.0.0.1", NULL) == 0);
	CHECK(!gotmpl_constant(b));
}

TEST(room)
{
	_cleanup_(gotmpl_freep) struct gotmpl *t = NULL;
	char buf[32];

	CHECK(gotmpl_new(&t, "{{ .Name }}{{ .Name }}", NULL) == 0);
	CHECK(gotmpl_render(t, &data, buf, sizeof(buf)) < 0);
	CHECK(gotmpl_render(t, &data, buf, 0) < 0);
}
