/* Names, tags and digests: see name.h. */
#include "regd/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The length of a separator at s: one dot, one or two underscores, any hyphens. */
static size_t separator(const char *s, size_t n)
{
	size_t len = 0;

	if (*s == '.')
		return 1;
	while (len < n && s[len] == *s && (*s == '-' || (*s == '_' && len < 2)))
		len++;
	return len;
}

static bool is_component(const char *s, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t from = i;

		while (i < n && is_alnum(s[i]))
			i++;
		if (i == from)
			return false;
		if (i == n)
			return true;
		i += separator(s + i, n - i);
	}
}

bool name_is_repository(const char *s, size_t n)
{
	const char *end = s + n;

	if (n == 0 || n > NAME_MAX_LEN)
		return false;
	for (;;) {
		const char *slash = memchr(s, '/', (size_t)(end - s));
		const char *stop = slash ? slash : end;

		if (!is_component(s, (size_t)(stop - s)))
			return false;
		if (!slash)
			return true;
		s = slash + 1;
	}
}

bool name_is_tag(const char *s)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t n = strlen(s);

	if (n == 0 || n > TAG_MAX_LEN || !strchr(word, *s))
		return false;
	for (; *s; s++)
		if (!strchr(word, *s) && *s != '.' && *s != '-')
			return false;
	return true;
}

bool name_looks_like_digest(const char *s)
{
	return strchr(s, ':') != NULL;
}

int oci_digest_parse(struct oci_digest *ret, const char *s)
{
	const char *colon = strchr(s, ':');
	uint8_t bytes[DIGEST_MAX];
	size_t size;

	if (!colon || colon == s || !colon[1])
		return -EINVAL;
	if (digest_alg_parse(s, (size_t)(colon - s), &ret->alg) < 0)
		return -ENOTSUP;
	size = digest_size(ret->alg);
	if (hex_decode(colon + 1, strlen(colon + 1), bytes, size) < 0)
		return -EINVAL;
	memcpy(ret->text, s, strlen(s) + 1);
	return 0;
}

void oci_digest_set(struct oci_digest *d, enum digest_alg alg, const uint8_t *bytes)
{
	int n = snprintf(d->text, sizeof(d->text), "%s:", digest_name(alg));

	d->alg = alg;
	hex_encode(bytes, digest_size(alg), d->text + n);
}

const char *oci_digest_hex(const struct oci_digest *d)
{
	return strchr(d->text, ':') + 1;
}

bool oci_digest_matches(const struct oci_digest *d, const void *p, size_t n)
{
	struct oci_digest is = { .alg = d->alg };
	uint8_t bytes[DIGEST_MAX];

	digest_of(d->alg, p, n, bytes);
	oci_digest_set(&is, d->alg, bytes);
	return strcmp(is.text, d->text) == 0;
}
