/* What tokens claim: see token.h. */
#include "regd/token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/json.h"
#include "common/str.h"

struct token *token_ref(struct token *t)
{
	t->refs++;
	return t;
}

struct token *token_unref(struct token *t)
{
	if (!t || --t->refs)
		return NULL;
	scope_deinit(&t->scope);
	free(t);
	return NULL;
}

const char *token_issuer(const json_t *claims)
{
	return json_str(claims, "iss");
}

static bool is_wanted(const struct conf_list *audience, const char *word)
{
	char **items = conf_list_items(audience, char *);

	for (size_t i = 0; word && i < audience->n; i++)
		if (str_eq(items[i], word))
			return true;
	return false;
}

/* "aud" is one audience or a list of them. */
static bool audience_fits(const json_t *aud, const struct conf_list *audience)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(aud))
		return is_wanted(audience, json_string_value(aud));
	json_array_foreach(
	    aud, i, v) if (is_wanted(audience, json_string_value(v))) return true;
	return false;
}

/* A point in time (NumericDate), which may have a fraction. */
static int date(const json_t *claims, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(claims, key);
	double x = json_number_value(v);

	if (!v)
		return -ENOENT;
	if (!json_is_number(v) || !(x >= 0 && x < 1e12))
		return -EINVAL;
	*ret = (int64_t)x;
	return 0;
}

static int judge_dates(const json_t *claims, const struct token_demand *d,
    int64_t *expires, struct err *err)
{
	int64_t begins = 0;
	int r = date(claims, "exp", expires);

	if (r < 0)
		return err_set(err, -EINVAL, "it does not say when it ends");
	r = date(claims, "nbf", &begins);
	if (r == -EINVAL)
		return err_set(err, r, "\"nbf\" is no date");
	if (*expires + d->leeway <= d->now)
		return err_set(err, -ETIME, "it has expired");
	if (begins > d->now + d->leeway)
		return err_set(err, -ETIME, "it does not hold yet");
	return 0;
}

static int take_text(char *out, size_t size, const json_t *claims, const char *key)
{
	const json_t *v = json_object_get(claims, key);
	const char *text = json_string_value(v);

	out[0] = '\0';
	if (!v || json_is_null(v))
		return 0;
	if (!text || json_string_length(v) != strlen(text) ||
	    snprintf(out, size, "%s", text) >= (int)size)
		return -EINVAL;
	for (const char *s = text; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return -EINVAL; /* it goes to the log */
	return 0;
}

static int read_claims(struct token *t, const json_t *claims, struct err *err)
{
	int r = take_text(t->user, sizeof(t->user), claims, "sub");

	if (r == 0 && t->own)
		r = take_text(t->seal, sizeof(t->seal), claims, "seal");
	if (r < 0)
		return err_set(err, r, "its subject is no user's name");
	r = scope_from_json(&t->scope, json_object_get(claims, "access"));
	if (r == -ENOMEM)
		return err_set(err, r, "out of memory");
	return r < 0
	    ? err_set(err, -EINVAL, "\"access\" is no list of at most %d grants",
		  SCOPE_GRANTS_MAX)
	    : 0;
}

int token_judge(struct token **ret, const json_t *claims, const struct token_demand *d,
    struct err *err)
{
	_cleanup_(token_unrefp) struct token *t = NULL;
	const char *issuer = token_issuer(claims);
	int64_t expires = 0;
	int r;

	if (!issuer || !str_eq(issuer, d->issuer))
		return err_set(err, -EACCES, "another issuer made it");
	if (!audience_fits(json_object_get(claims, "aud"), d->audience))
		return err_set(err, -EACCES, "it is meant for another service");
	r = judge_dates(claims, d, &expires, err);
	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->refs = 1;
	t->own = d->own;
	t->expires = expires + d->leeway;
	r = read_claims(t, claims, err);
	if (r < 0)
		return r;

	*ret = TAKE(t);
	return 0;
}

json_t *token_claims(
    const struct token *t, const char *issuer, const char *audience, int64_t now)
{
	char id[2 * TOKEN_SEAL_SIZE + 1];
	uint8_t bytes[TOKEN_SEAL_SIZE];

	random_bytes(bytes, sizeof(bytes));
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:s,s:o}", "iss", issuer, "sub",
	    t->user, "aud", audience, "iat", (json_int_t)now, "nbf", (json_int_t)now,
	    "exp", (json_int_t)t->expires, "jti", hex_encode(bytes, sizeof(bytes), id),
	    "seal", t->seal, "access", scope_to_json(&t->scope));
}
