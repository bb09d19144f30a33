/* okdctl import, and what the importers share: see import.h. */
#include "okdctl/import.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/fd.h"
#include "okdctl/okdctl.h"
#include "okdctl/out.h"
#include "okdctl/term.h"

#define TEXT_MAX ((size_t)16 << 20)

void import_note(struct import *in, unsigned line, const char *fmt, ...)
{
	size_t from = in->notes->len;
	va_list ap;

	str_addf(in->notes, "%s:%u: ", in->name, line);
	va_start(ap, fmt);
	str_vaddf(in->notes, fmt, ap);
	va_end(ap);
	if (in->notes->len > from)
		term_clean(in->notes->s + from); /* keys of etcd hold anything */
	str_addc(in->notes, '\n');
}

void import_yaml_word(struct str *out, const char *s)
{
	conf_print_string(s, out);
}

/* --- lines -------------------------------------------------------------- */

struct lexer {
	enum import_syntax syntax;
	const char *at, *end; /* of the line */
	bool cut;
};

/* Settings are ASCII; anything else could not stand in YAML as it is. */
static char plain(char c)
{
	return c >= ' ' && c <= '~' ? c : '?';
}

/* The rest of a quoted piece, whose opening quote was read. */
static void quoted(struct lexer *l, char quote, struct str *word)
{
	while (l->at < l->end && *l->at != quote) {
		bool escapes = l->syntax == SYNTAX_CADDY
		    ? l->at + 1 < l->end && l->at[1] == quote
		    : quote == '"';

		if (*l->at == '\\' && escapes && l->at + 1 < l->end)
			l->at++;
		str_addc(word, plain(*l->at++));
	}
	l->at += l->at < l->end;
}

static void next_word(struct lexer *l, struct str *word)
{
	bool haproxy = l->syntax == SYNTAX_HAPROXY;

	l->cut = false;
	if (!haproxy && *l->at == '"') {
		l->at++;
		quoted(l, '"', word);
		return;
	}
	while (l->at < l->end && !isspace((unsigned char)*l->at)) {
		char c = *l->at;

		if ((haproxy && c == '#') || (unsigned char)c >= 0x80)
			return;
		l->at++;
		l->cut =
		    c == '\\' && (l->at == l->end || isspace((unsigned char)*l->at));
		if (haproxy && (c == '"' || c == '\''))
			quoted(l, c, word);
		else if (haproxy && c == '\\' && l->at < l->end)
			str_addc(word, plain(*l->at++));
		else
			str_addc(word, plain(c));
	}
}

static bool is_remark(char c)
{
	return c == '#' || (unsigned char)c >= 0x80;
}

static int read_words(
    struct import *in, struct lexer *l, unsigned line, struct words *w)
{
	int r = 0;

	for (;;) {
		_cleanup_(str_deinit) struct str word = STR_INIT;

		while (l->at < l->end && isspace((unsigned char)*l->at))
			l->at++;
		if (r < 0 || l->at == l->end)
			return r;
		if (is_remark(*l->at)) {
			if (*l->at != '#' && w->n)
				import_note(in, line,
				    "what follows \"%s\" is taken for a remark",
				    w->v[w->n - 1]);
			return 0;
		}
		next_word(l, &word);
		r = str_err(&word) ? -ENOMEM : words_add(w, str_get(&word));
	}
}

bool import_line(struct import *in, enum import_syntax syntax, const char **at,
    unsigned *line, struct words *w, bool *cut)
{
	const char *end = in->text + in->n, *nl;
	struct lexer l = { .syntax = syntax };

	words_deinit(w);
	*cut = false;
	if (*at >= end)
		return false;
	nl = memchr(*at, '\n', (size_t)(end - *at));
	l.at = *at;
	l.end = nl ? nl : end;
	*at = nl ? nl + 1 : end;
	++*line;
	if (read_words(in, &l, *line, w) < 0)
		in->notes->err = -ENOMEM;
	*cut = l.cut;
	return true;
}

/* --- durations ---------------------------------------------------------- */

int import_duration(const char *s, uint64_t unit, struct str *out)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = { { "us", 0 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 } };
	char digits[16];
	size_t n = strspn(s, "0123456789");
	uint64_t v;

	if (n == 0 || n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (str_to_u64(digits, 1000000000, &v) < 0)
		return -EINVAL;
	for (size_t i = 0; s[n] && i <= ARRAY_SIZE(units); i++) {
		if (i == ARRAY_SIZE(units))
			return -EINVAL;
		unit = units[i].ms;
		if (str_eq(s + n, units[i].suffix))
			break;
	}
	v = unit ? v * unit : (v + 999) / 1000;
	if (v % 1000 == 0)
		str_addf(out, "%llus", (unsigned long long)(v / 1000));
	else
		str_addf(out, "%llums", (unsigned long long)v);
	return 0;
}

/* --- the command -------------------------------------------------------- */

static const struct {
	const char *name;
	int (*convert)(struct import *in);
} kinds[] = {
	{ "corefile", import_corefile },
	{ "haproxy", import_haproxy },
	{ "nginx", import_nginx },
	{ "etcd", import_etcd },
};

static int read_input(const char *path, struct str *text)
{
	int r = str_eq(path, "-") ? fd_read_all(STDIN_FILENO, TEXT_MAX, text)
				  : file_read(path, TEXT_MAX, text);

	if (r == -EFBIG)
		return cli_fail(EXIT_FAILED, "%s is larger than 16 MiB", path);
	return r < 0
	    ? cli_fail(cli_status_of(r), "cannot read %s: %s", path, strerror(-r))
	    : 0;
}

/* The configuration as text, and the notes one by one. */
static int print_json(const char *out, const char *at)
{
	json_t *notes = json_array();

	while (*at) {
		size_t n = strcspn(at, "\n");

		json_array_append_new(notes, json_stringn(at, n));
		at += n;
		at += *at == '\n';
	}
	return out_json_take(
	    json_pack("{s:s, s:o}", "configuration", out, "notes", notes));
}

int import_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str text = STR_INIT, out = STR_INIT,
					 notes = STR_INIT;
	struct err e = ERR_INIT;
	struct import in = {
		.name = c->args[1], .out = &out, .notes = &notes, .err = &e
	};
	size_t i = 0;
	int r;

	while (i < ARRAY_SIZE(kinds) && !str_eq(kinds[i].name, c->args[0]))
		i++;
	if (i == ARRAY_SIZE(kinds))
		return cli_fail(EXIT_USAGE,
		    "\"%s\" cannot be imported; corefile, haproxy, nginx and etcd can",
		    c->args[0]);
	r = read_input(c->args[1], &text);
	if (r)
		return r;
	in.text = str_get(&text);
	in.n = text.len;
	r = kinds[i].convert(&in);
	if (r == 0 && (str_err(&out) || str_err(&notes)))
		r = err_set(&e, -ENOMEM, "out of memory");
	if (r == 0 && c->json)
		return print_json(str_get(&out), str_get(&notes));
	fputs(str_get(&notes), stderr);
	if (r < 0)
		return cli_fail_err(cli_status_of(r), &e);
	fputs(str_get(&out), stdout);
	return 0;
}
