/* The scalar types: text, numbers, times, sizes, addresses.  See conf.h. */
#include "common/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "common/net.h"
#include "common/utf8.h"

/*
 * Text
 */

static int string_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	char **to = out;
	const char *text;
	int r = conf_want_scalar(t, f, n, &text, e);

	if (r < 0)
		return r;
	*to = strdup(text);
	return *to ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static void string_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_print_string(*(char *const *)in, out);
}

static void string_deinit(const struct conf_type *t, void *in)
{
	freep(in);
}

static bool string_is_unset(const struct conf_type *t, const void *in)
{
	return !*(char *const *)in;
}

const struct conf_type conf_string = {
	.what = "text",
	.size = sizeof(char *),
	.parse = string_parse,
	.print = string_print,
	.deinit = string_deinit,
	.is_unset = string_is_unset,
};

/* As in 2024-01-31. */
static bool looks_like_date(const char *s)
{
	return strspn(s, "0123456789") == 4 && s[4] == '-' &&
	    isdigit((unsigned char)s[5]);
}

/* What some YAML reader would take for a number, those of YAML 1.1 included. */
static bool looks_like_number(const char *s)
{
	size_t n;

	s += *s == '-' || *s == '+';
	if (strcasecmp(s, ".inf") == 0 || strcasecmp(s, ".nan") == 0)
		return true;
	if (s[0] == '0' && s[1] && strchr("xXoObB", s[1]))
		return true;
	if (!isdigit((unsigned char)s[0]) &&
	    (s[0] != '.' || !isdigit((unsigned char)s[1])))
		return false;
	n = strspn(s, "0123456789_:");
	if (s[n] == '.')
		n += 1 + strspn(s + n + 1, "0123456789_");
	if (s[n] == 'e' || s[n] == 'E') {
		n++;
		n += s[n] == '-' || s[n] == '+';
		n += strspn(s + n, "0123456789");
	}
	return !s[n];
}

static bool looks_like_word(const char *s)
{
	static const char *const words[] = { "~", "null", "true", "false", "yes", "no",
		"on", "off", "y", "n", "=", "<<", NULL };

	for (size_t i = 0; words[i]; i++) {
		if (strcasecmp(s, words[i]) == 0)
			return true;
	}
	return false;
}

static bool must_escape(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
	    c == 0xfeff || c == 0xfffe || c == 0xffff;
}

/* Options such as -x and --x are fine; "- x" and "---" mean something. */
static bool begins_plainly(const char *s)
{
	if (s[0] == '-')
		s += s[1] == '-' ? 2 : 1;
	return isalnum((unsigned char)s[0]) || !strchr("-?:#&*!|>%@` ", s[0]);
}

static bool is_plain(const char *s, size_t n)
{
	return n && begins_plainly(s) && !looks_like_word(s) && !looks_like_number(s) &&
	    !looks_like_date(s) && s[n - 1] != ':' && s[n - 1] != ' ' &&
	    !strstr(s, ": ") && !strstr(s, " #") && !strpbrk(s, ",[]{}?\"'");
}

enum quoting {
	PLAIN,
	SINGLE, /* as it is, in '' */
	DOUBLE, /* with escapes, in "" */
};

static enum quoting choose_quoting(const char *s, size_t n)
{
	bool backslash = strpbrk(s, "\\\"");

	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = utf8_decode(s + i, n - i, &c);

		if (!len || must_escape(c))
			return DOUBLE;
		i += len;
	}
	return is_plain(s, n) ? PLAIN : backslash ? SINGLE : DOUBLE;
}

static void print_escaped(const char *s, size_t n, struct str *out)
{
	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = utf8_decode(s + i, n - i, &c);

		if (!len)
			str_addf(out, "\\x%02x", (unsigned char)s[i]);
		else if (c == '\n')
			str_addz(out, "\\n");
		else if (c == '\t')
			str_addz(out, "\\t");
		else if (must_escape(c))
			str_addf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
		else {
			if (c == '"' || c == '\\')
				str_addc(out, '\\');
			str_add(out, s + i, len);
		}
		i += MAX(len, 1u);
	}
}

void conf_print_string(const char *s, struct str *out)
{
	size_t n = strlen(s);
	enum quoting q = choose_quoting(s, n);

	if (q == PLAIN) {
		str_add(out, s, n);
	} else if (q == DOUBLE) {
		str_addc(out, '"');
		print_escaped(s, n, out);
		str_addc(out, '"');
	} else {
		str_addc(out, '\'');
		for (; *s; s++)
			str_add(out, *s == '\'' ? "''" : s, *s == '\'' ? 2 : 1);
		str_addc(out, '\'');
	}
}

/*
 * Booleans
 */

static int bool_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on",
		NULL };
	const char *text;
	int r = conf_want_scalar(t, f, n, &text, e);

	if (r < 0)
		return r;
	for (int i = 0; words[i]; i++) {
		if (strcasecmp(words[i], text) != 0)
			continue;
		if (!conf_is_plain(n))
			return conf_field_err(f, n, e,
			    "\"%s\" in quotes is text; write %s without them", text,
			    words[i]);
		*(bool *)out = i % 2;
		return 0;
	}
	return conf_field_err(
	    f, n, e, "\"%s\" is neither true nor false", conf_show(text));
}

static void bool_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	str_addz(out, *(const bool *)in ? "true" : "false");
}

const struct conf_type conf_bool = {
	.what = "true or false",
	.size = sizeof(bool),
	.parse = bool_parse,
	.print = bool_print,
};

/*
 * Numbers, alone or with a unit
 */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = {
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "TiB", (uint64_t)1 << 40 },
	{ "GiB", (uint64_t)1 << 30 },
	{ "MiB", (uint64_t)1 << 20 },
	{ "KiB", (uint64_t)1 << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static int check_range(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, uint64_t v, struct err *e)
{
	_cleanup_(str_deinit) struct str bound = STR_INIT;
	bool small = f && v < f->min, large = f && f->max && v > f->max;

	if (!small && !large)
		return 0;
	t->print(t, small ? &f->min : &f->max, 0, &bound);
	return conf_field_err(f, n, e, "%s is too %s; it must be at %s %s",
	    conf_scalar(n), small ? "small" : "large", small ? "least" : "most",
	    str_get(&bound));
}

/* Splits "30s" into 30 and "s": 0, -EINVAL, or -ERANGE. */
static int split_number(const char *text, uint64_t *ret, const char **unit)
{
	size_t n = strspn(text, "0123456789");
	char digits[24];

	*unit = text + n;
	if (!n || (n > 1 && text[0] == '0'))
		return -EINVAL;
	if (n >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, text, n);
	digits[n] = '\0';
	return str_to_u64(digits, UINT64_MAX, ret);
}

static int too_large(
    const struct conf_field *f, const struct conf_node *n, struct err *e)
{
	return conf_field_err(
	    f, n, e, "%s is too large for a 64-bit number", conf_show(conf_scalar(n)));
}

static int uint_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *text, *rest, *example = t->aux;
	uint64_t v;
	int r = conf_want_scalar(t, f, n, &text, e);

	if (r < 0)
		return r;
	if (t == &conf_uint_auto && str_eq(text, "auto"))
		return 0;
	r = split_number(text, &v, &rest);
	if (r == -ERANGE && !*rest)
		return too_large(f, n, e);
	if (r < 0 || *rest)
		return conf_field_err(
		    f, n, e, "\"%s\" is no number; write %s", conf_show(text), example);
	r = check_range(t, f, n, v, e);
	if (r == 0)
		*(uint64_t *)out = v;
	return r;
}

static void uint_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	uint64_t v = *(const uint64_t *)in;

	if (t == &conf_uint_auto && !v)
		str_addz(out, "auto");
	else
		str_addf(out, "%" PRIu64, v);
}

const struct conf_type conf_uint = {
	.what = "a number such as 10",
	.size = sizeof(uint64_t),
	.parse = uint_parse,
	.print = uint_print,
	.aux = "decimal digits such as 10",
};

const struct conf_type conf_uint_auto = {
	.what = "a number such as 2, or auto",
	.size = sizeof(uint64_t),
	.parse = uint_parse,
	.print = uint_print,
	.aux = "decimal digits such as 2, or auto",
};

static int unit_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const struct unit *u = t->aux;
	const char *text, *name;
	uint64_t v;
	int r = conf_want_scalar(t, f, n, &text, e), split;

	if (r < 0)
		return r;
	split = split_number(text, &v, &name);
	while (u->name && !str_eq(u->name, name))
		u++;
	if (split == -EINVAL || (!u->name && !str_eq(text, "0")))
		return conf_field_err(f, n, e, "\"%s\" is no %s", conf_show(text),
		    t == &conf_size ? "size; write 512, 64KiB, 64MiB or 1GiB"
				    : "duration; write 500ms, 30s, 5m, 1h or 7d");
	if (split < 0 || (u->name && __builtin_mul_overflow(v, u->factor, &v)))
		return too_large(f, n, e);
	r = check_range(t, f, n, v, e);
	if (r == 0)
		*(uint64_t *)out = v;
	return r;
}

/* In the largest unit that leaves a whole number. */
static void unit_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	const struct unit *u = t->aux;
	uint64_t v = *(const uint64_t *)in;

	if (!v) {
		str_addz(out, t == &conf_size ? "0" : "0s");
		return;
	}
	while (v % u->factor)
		u++;
	str_addf(out, "%" PRIu64 "%s", v / u->factor, u->name);
}

const struct conf_type conf_duration = {
	.what = "a duration such as 30s or 5m",
	.size = sizeof(uint64_t),
	.parse = unit_parse,
	.print = unit_print,
	.aux = time_units,
};

const struct conf_type conf_size = {
	.what = "a size such as 64KiB or 1GiB",
	.size = sizeof(uint64_t),
	.parse = unit_parse,
	.print = unit_print,
	.aux = size_units,
};

/*
 * Addresses
 */

static int ip_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *text;
	int r = conf_want_scalar(t, f, n, &text, e);

	if (r < 0 || net_ip_parse(text, out) == 0)
		return r;
	return conf_field_err(f, n, e,
	    "\"%s\" is no IP address; write one such as 192.168.120.101 or 2001:db8::1",
	    conf_show(text));
}

static void ip_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_print_string(net_ip_str((const struct net_ip *)in), out);
}

static bool ip_is_unset(const struct conf_type *t, const void *in)
{
	return !((const struct net_ip *)in)->family;
}

const struct conf_type conf_ip = {
	.what = "an IP address such as 192.168.120.101",
	.size = sizeof(struct net_ip),
	.parse = ip_parse,
	.print = ip_print,
	.is_unset = ip_is_unset,
};

static int cidr_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	struct net_cidr c = { 0 };
	const char *text;
	int r = conf_want_scalar(t, f, n, &text, e);

	if (r < 0)
		return r;
	r = net_cidr_parse(text, &c);
	if (r == -ERANGE)
		return conf_field_err(f, n, e,
		    "%s has bits set beyond its prefix; the network is %s",
		    conf_show(text), net_cidr_str(&c));
	if (r < 0)
		return conf_field_err(f, n, e,
		    "\"%s\" is no network; write one such as 192.168.120.0/24",
		    conf_show(text));
	*(struct net_cidr *)out = c;
	return 0;
}

static void cidr_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_print_string(net_cidr_str((const struct net_cidr *)in), out);
}

static bool cidr_is_unset(const struct conf_type *t, const void *in)
{
	return !((const struct net_cidr *)in)->ip.family;
}

const struct conf_type conf_cidr = {
	.what = "a network such as 192.168.120.0/24",
	.size = sizeof(struct net_cidr),
	.parse = cidr_parse,
	.print = cidr_print,
	.is_unset = cidr_is_unset,
};

static int endpoint_parse(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	struct net_endpoint ep, *to = out;
	const char *text;
	bool bare6;
	int r = conf_want_scalar(t, f, n, &text, e);

	if (r < 0)
		return r;
	if (net_endpoint_parse(text, 0, &ep) == 0) {
		/* By member: padding stays zero. */
		to->ip = ep.ip;
		to->port = ep.port;
		return 0;
	}
	bare6 = strchr(text, ':') && text[0] != '[';
	if (net_endpoint_parse(text, 1, &ep) == 0)
		return conf_field_err(f, n, e, "\"%s\" lacks a port; write %s%s%s:PORT",
		    text, bare6 ? "[" : "", text, bare6 ? "]" : "");
	return conf_field_err(f, n, e,
	    "\"%s\" is no address with a port; write one such as 127.0.0.1:53, "
	    "[::1]:53 or "
	    ":5000",
	    conf_show(text));
}

static void endpoint_print(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	conf_print_string(net_endpoint_str((const struct net_endpoint *)in), out);
}

const struct conf_type conf_endpoint = {
	.what = "an address with a port, such as 127.0.0.1:53",
	.size = sizeof(struct net_endpoint),
	.parse = endpoint_parse,
	.print = endpoint_print,
};
