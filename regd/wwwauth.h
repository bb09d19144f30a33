/*
 * What an upstream registry wants to see before it answers: its WWW-Authenticate header
 * (RFC 9110, section 11.6.1; the Bearer parameters of the distribution project).  Pure.
 */
#pragma once

#include "common/base.h"
#include "common/str.h"

enum wwwauth_kind { WWWAUTH_NONE, WWWAUTH_BASIC, WWWAUTH_BEARER };

struct wwwauth {
	enum wwwauth_kind kind;
	char realm[1024]; /* Bearer: the URL that gives tokens out, http: or https: */
	char service[256];
};

/* The best of the challenges in a header: Bearer, else Basic; WWWAUTH_NONE when there is
 * neither, or when it is malformed. */
void wwwauth_parse(struct wwwauth *ret, const char *header);
/* Appends the URL that a token for scope is asked from. */
void wwwauth_url(const struct wwwauth *w, const char *scope, struct str *out);
