/*
 * Template lines and patterns: the input is a pattern, a line feed, and a line with its
 * expressions; what compiles is matched and filled in for a few names.
 */
#include "common/base.h"
#include "dnsd/gotmpl.h"
#include "dnsd/name.h"
#include "dnsd/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
	const struct pattern *p;
	const char *text;
	size_t groups[32];
	unsigned n;
};

static bool get_match(void *arg, unsigned i, const char **text, size_t *n)
{
	struct found *f = arg;

	if (i >= f->n || f->groups[2 * i] > f->groups[2 * i + 1])
		return false;
	*text = f->text + f->groups[2 * i];
	*n = f->groups[2 * i + 1] - f->groups[2 * i];
	return true;
}

static bool get_group(void *arg, const char *name, const char **text, size_t *n)
{
	struct found *f = arg;
	int i = pattern_group(f->p, name);

	return i >= 0 && get_match(arg, (unsigned)i, text, n);
}

static void fill(const struct gotmpl *t, struct found *f)
{
	struct gotmpl_data d = { .name = f->text,
		.type = "A",
		.class = "IN",
		.zone = ".",
		.remote = "192.0.2.1",
		.question = f->text,
		.match = get_match,
		.group = get_group,
		.arg = f };
	char out[512];
	int n = gotmpl_render(t, &d, out, sizeof(out));

	if (n >= (int)sizeof(out) || (n >= 0 && strlen(out) != (size_t)n))
		abort();
}

static void try_name(const struct pattern *p, const struct gotmpl *t, const char *name)
{
	struct found f = { .p = p, .text = name };
	struct name_buf b;

	f.n = pattern_match(p, name, strlen(name), f.groups, ARRAY_SIZE(f.groups) / 2);
	/* Both ways must say the same. */
	if (name_parse(&b, name) == 0 && pattern_is_end(p) &&
	    pattern_match_end(p, &b) != (f.n > 0))
		abort();
	if (t)
		fill(t, &f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "apps.okd.example.com.",
		"a.apps.okd.example.com.", "xapps.okd.example.com.", "okd.example.com.",
		"." };
	char *text = calloc(1, size + 1), *line;
	struct pattern *p = NULL;
	struct gotmpl *t = NULL;

	memcpy(text, data, size);
	line = strchr(text, '\n');
	if (line)
		*line++ = '\0';
	if (line && gotmpl_new(&t, line, NULL) == 0)
		gotmpl_constant(t);
	if (pattern_new(&p, text, NULL) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			try_name(p, t, names[i]);
	pattern_free(p);
	gotmpl_free(t);
	free(text);
	return 0;
}
