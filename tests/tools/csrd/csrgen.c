/*
 * Makes certificate requests for the integration tests: arguments are key=value pairs
 * (see struct request_form), output is a JSON array of PEM texts.  count=N makes N; a
 * "%d" in cn or names becomes the number.
 */
#include <jansson.h>
#include <stdio.h>

#include "tests/unit/csrd/request.h"

static const struct {
	const char *key;
	size_t offset;
	enum { TEXT, NUMBER, FLAG } kind;
} options[] = {
#define OPTION(name, kind)                                       \
	{                                                        \
#name, offsetof(struct request_form, name), kind \
	}
	OPTION(key, TEXT),
	OPTION(bits, NUMBER),
	OPTION(cn, TEXT),
	OPTION(cn2, TEXT),
	OPTION(o, TEXT),
	OPTION(o2, TEXT),
	OPTION(ou, TEXT),
	OPTION(names, TEXT),
	OPTION(names2, TEXT),
	OPTION(usage, TEXT),
	OPTION(ca, FLAG),
	OPTION(challenge, FLAG),
	OPTION(tamper, FLAG),
	OPTION(coding, TEXT),
	OPTION(joined, FLAG),
	OPTION(requests, TEXT),
	OPTION(trailing, FLAG),
};

static int set_option(struct request_form *f, const char *arg)
{
	size_t n = strcspn(arg, "=");

	for (size_t i = 0; arg[n] && i < sizeof(options) / sizeof(options[0]); i++) {
		void *to = (char *)f + options[i].offset;

		if (strlen(options[i].key) != n || strncmp(arg, options[i].key, n) != 0)
			continue;
		if (options[i].kind == TEXT)
			*(const char **)to = arg + n + 1;
		else if (options[i].kind == NUMBER)
			*(unsigned *)to = (unsigned)atoi(arg + n + 1);
		else
			*(bool *)to = arg[n + 1] == '1';
		return 0;
	}
	return -1;
}

/* Each "%d" replaced; the result is the caller's. */
static char *numbered(const char *text, int i)
{
	char buf[512], *to = buf;

	if (!text)
		return NULL;
	for (; *text && to < buf + sizeof(buf) - 16; text++) {
		if (text[0] == '%' && text[1] == 'd') {
			to += sprintf(to, "%d", i);
			text++;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
	return strdup(buf);
}

int main(int argc, char *argv[])
{
	struct request_form f = { .o = "system:nodes" };
	json_t *all = json_array();
	int count = 1;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "count=", 6) == 0) {
			count = atoi(argv[i] + 6);
		} else if (set_option(&f, argv[i]) < 0) {
			fprintf(stderr, "csrgen: what is %s?\n", argv[i]);
			return 64;
		}
	}
	if (f.o && !*f.o)
		f.o = NULL;
	for (int i = 0; i < count; i++) {
		struct request_form one = f;
		char *cn = numbered(f.cn, i), *names = numbered(f.names, i), *pem;

		one.cn = cn;
		one.names = names;
		pem = request_make(&one);
		json_array_append_new(all, json_string(pem));
		free(pem);
		free(cn);
		free(names);
	}
	json_dumpf(all, stdout, JSON_COMPACT);
	json_decref(all);
	return 0;
}
