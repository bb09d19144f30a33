/* Plain JSON: see json_plain.h. */
#include "dnsd/json_plain.h"

#define DIGITS_MAX 18

/* Whether c comes next, blanks aside. */
static bool comes(struct json_plain *j, char c)
{
	while (j->p < j->end &&
	    (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
	return j->p < j->end && *j->p == c;
}

static bool take(struct json_plain *j, char c)
{
	if (!comes(j, c))
		return false;
	j->p++;
	return true;
}

static bool take_string(struct json_plain *j, struct json_plain_span *ret)
{
	const char *p;

	if (!take(j, '"'))
		return false;
	for (p = j->p; p < j->end && *p != '"'; p++)
		if (*p < ' ' || *p > '~' || *p == '\\')
			return false;
	if (p == j->end)
		return false;
	*ret = (struct json_plain_span){ j->p, (size_t)(p - j->p), JSON_PLAIN_STRING };
	j->p = p + 1;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take_integer(struct json_plain *j, struct json_plain_span *ret)
{
	const char *from = j->p, *p = from, *digits;

	if (p < j->end && *p == '-')
		p++;
	for (digits = p; p < j->end && is_digit(*p); p++)
		;
	if (p == digits || p - digits > DIGITS_MAX ||
	    (*digits == '0' && p - digits > 1))
		return false;
	if (p < j->end && (*p == '.' || *p == 'e' || *p == 'E'))
		return false;
	*ret = (struct json_plain_span){ from, (size_t)(p - from), JSON_PLAIN_INTEGER };
	j->p = p;
	return true;
}

bool json_plain_scalar(struct json_plain *j, struct json_plain_span *ret)
{
	static const struct {
		const char *text;
		enum json_plain_kind kind;
	} words[] = {
		{ "true", JSON_PLAIN_TRUE },
		{ "false", JSON_PLAIN_FALSE },
		{ "null", JSON_PLAIN_NULL },
	};

	if (comes(j, '"'))
		return take_string(j, ret);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i].text);

		if ((size_t)(j->end - j->p) < n || memcmp(j->p, words[i].text, n) != 0)
			continue;
		*ret = (struct json_plain_span){ j->p, n, words[i].kind };
		j->p += n;
		return true;
	}
	return take_integer(j, ret);
}

bool json_plain_object(struct json_plain *j,
    bool (*member)(struct json_plain *j, const struct json_plain_span *key, void *arg),
    void *arg)
{
	struct json_plain_span key;

	if (!take(j, '{'))
		return false;
	if (take(j, '}'))
		return true;
	do {
		if (!take_string(j, &key) || !take(j, ':') || !member(j, &key, arg))
			return false;
	} while (take(j, ','));
	return take(j, '}');
}

bool json_plain_array(
    struct json_plain *j, bool (*item)(struct json_plain *j, void *arg), void *arg)
{
	if (!take(j, '['))
		return false;
	if (take(j, ']'))
		return true;
	do {
		if (!item(j, arg))
			return false;
	} while (take(j, ','));
	return take(j, ']');
}

bool json_plain_end(struct json_plain *j)
{
	return !comes(j, '\0') && j->p == j->end;
}
