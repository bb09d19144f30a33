/* Strings: see str.h. */
#include "common/str.h"

#include <errno.h>
#include <stdio.h>

void str_deinit(struct str *s)
{
	free(s->s);
	*s = (struct str)STR_INIT;
}

void str_reset(struct str *s)
{
	s->len = 0;
	s->err = 0;
	if (s->s)
		s->s[0] = '\0';
}

char *str_reserve(struct str *s, size_t n)
{
	size_t need = s->len + n + 1, cap = MAX(s->cap, 64u);
	char *p;

	if (s->err)
		return NULL;
	/* Half of the address space: no sum below can overflow. */
	if (n >= SIZE_MAX / 2 - s->len - 1) {
		s->err = -ENOMEM;
		return NULL;
	}
	if (need <= s->cap)
		return s->s + s->len;
	while (cap < need)
		cap += cap / 2;
	p = realloc(s->s, cap);
	if (!p) {
		s->err = -ENOMEM;
		return NULL;
	}
	s->s = p;
	s->cap = cap;
	return s->s + s->len;
}

void str_commit(struct str *s, size_t n)
{
	s->len += n;
	s->s[s->len] = '\0';
}

void str_add(struct str *s, const void *p, size_t n)
{
	char *to = str_reserve(s, n);

	if (!to)
		return;
	if (n)
		memcpy(to, p, n);
	str_commit(s, n);
}

void str_addz(struct str *s, const char *z)
{
	str_add(s, z, strlen(z));
}

void str_addc(struct str *s, char c)
{
	str_add(s, &c, 1);
}

void str_vaddf(struct str *s, const char *fmt, va_list ap)
{
	va_list again;
	char *to;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 && !s->err)
		s->err = -ENOMEM;
	to = n < 0 ? NULL : str_reserve(s, (size_t)n);
	if (!to)
		return;
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	str_commit(s, (size_t)n);
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(s, fmt, ap);
	va_end(ap);
}

int str_err(const struct str *s)
{
	return s->err;
}

const char *str_get(const struct str *s)
{
	return s->s && s->len ? s->s : "";
}

char *str_take(struct str *s)
{
	char *p;

	str_add(s, "", 0);
	if (s->err)
		return NULL;
	p = TAKE(s->s);
	str_deinit(s);
	return p;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

int str_to_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b; a word
 * too long to be a keyword counts as far away. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { LONGEST = 63 };
	size_t la = strlen(a), lb = strlen(b), rows[3][LONGEST + 1];

	if (la > LONGEST || lb > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3];
		const size_t *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			row[j] = MIN(above[j], row[j - 1]) + 1;
			row[j] = MIN(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], above2[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *str_nearest(const char *s, const char *const *list)
{
	const char *best = NULL;
	size_t best_distance = 3;

	for (; *list; list++) {
		size_t d = edit_distance(s, *list);

		if (d < best_distance && d * 2 < strlen(*list)) {
			best_distance = d;
			best = *list;
		}
	}
	return best;
}

bool str_eq_secret(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}
