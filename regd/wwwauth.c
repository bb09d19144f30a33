/* Challenges of upstream registries: see wwwauth.h. */
#include "regd/wwwauth.h"

#include <stdio.h>
#include <strings.h>

#include "regd/reply.h"

/* The header as it is read. */
struct reader {
	const char *s;
};

static void skip(struct reader *r, const char *set)
{
	r->s += strspn(r->s, set);
}

/* A token of RFC 9110: 0 with its length, -1 for none. */
static int take_token(struct reader *r, const char **ret, size_t *n)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789!#$%&'*+-.^_`|~";

	*ret = r->s;
	*n = strspn(r->s, set);
	r->s += *n;
	return *n ? 0 : -1;
}

/* A quoted string or a token, into out; what does not fit is an error. */
static int take_value(struct reader *r, char *out, size_t size)
{
	const char *word;
	size_t n, at = 0;

	if (*r->s != '"') {
		if (take_token(r, &word, &n) < 0 || n >= size)
			return -1;
		memcpy(out, word, n);
		out[n] = '\0';
		return 0;
	}
	for (r->s++; *r->s != '"'; r->s++) {
		if (*r->s == '\\')
			r->s++;
		if (!*r->s || at + 1 >= size)
			return -1;
		out[at++] = *r->s;
	}
	r->s++;
	out[at] = '\0';
	return 0;
}

static bool is_word(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(s, word, n) == 0;
}

/* name=value of the challenge at hand: 1 taken, 0 when there is none, -1. */
static int take_param(struct reader *r, struct wwwauth *w)
{
	struct reader ahead = *r;
	char value[1024];
	const char *name;
	size_t n;

	if (take_token(&ahead, &name, &n) < 0)
		return 0;
	skip(&ahead, " \t");
	if (*ahead.s != '=')
		return 0; /* the next challenge's scheme */
	ahead.s++;
	skip(&ahead, " \t");
	if (take_value(&ahead, value, sizeof(value)) < 0)
		return -1;
	if (is_word(name, n, "realm"))
		snprintf(w->realm, sizeof(w->realm), "%s", value);
	else if (is_word(name, n, "service") &&
	    snprintf(w->service, sizeof(w->service), "%s", value) >=
		(int)sizeof(w->service))
		return -1;
	*r = ahead;
	return 1;
}

/* 0, or -1 for what is no challenge. */
static int take_challenge(struct reader *r, struct wwwauth *w)
{
	const char *scheme;
	size_t n;
	int more;

	*w = (struct wwwauth){ .kind = WWWAUTH_NONE };
	if (take_token(r, &scheme, &n) < 0)
		return -1;
	if (is_word(scheme, n, "Bearer"))
		w->kind = WWWAUTH_BEARER;
	else if (is_word(scheme, n, "Basic"))
		w->kind = WWWAUTH_BASIC;
	do {
		skip(r, " \t,");
		more = take_param(r, w);
	} while (more > 0);
	return more;
}

static bool is_usable(const struct wwwauth *w)
{
	if (w->kind != WWWAUTH_BEARER)
		return w->kind == WWWAUTH_BASIC;
	if (!str_starts(w->realm, "https://") && !str_starts(w->realm, "http://"))
		return false;
	for (const char *s = w->realm; *s; s++)
		if (*s <= ' ' || *s > '~' || *s == '#')
			return false;
	return true;
}

void wwwauth_parse(struct wwwauth *ret, const char *header)
{
	struct reader r = { header };
	struct wwwauth w;

	*ret = (struct wwwauth){ .kind = WWWAUTH_NONE };
	for (skip(&r, " \t,"); *r.s; skip(&r, " \t,")) {
		if (take_challenge(&r, &w) < 0)
			return;
		if (is_usable(&w) && w.kind > ret->kind)
			*ret = w;
	}
}

void wwwauth_url(const struct wwwauth *w, const char *scope, struct str *out)
{
	str_addz(out, w->realm);
	str_addc(out, strchr(w->realm, '?') ? '&' : '?');
	if (w->service[0]) {
		str_addz(out, "service=");
		reply_encode(out, w->service);
		str_addc(out, '&');
	}
	str_addz(out, "scope=");
	reply_encode(out, scope);
}
