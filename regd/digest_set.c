/* Sets of digests: see digest_set.h. */
#include "regd/digest_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void digest_set_deinit(struct digest_set *s)
{
	free(s->items);
	*s = (struct digest_set)DIGEST_SET_INIT;
}

int digest_set_add(struct digest_set *s, const struct oci_digest *d)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct oci_digest *items = realloc(s->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		s->items = items;
		s->cap = cap;
	}
	s->items[s->n++] = *d;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(
	    ((const struct oci_digest *)a)->text, ((const struct oci_digest *)b)->text);
}

void digest_set_sort(struct digest_set *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->items, s->n, sizeof(*s->items), compare);
	for (size_t i = 0; i < s->n; i++)
		if (!n || compare(&s->items[n - 1], &s->items[i]) != 0)
			s->items[n++] = s->items[i];
	s->n = n;
}

static int compare_text(const void *key, const void *item)
{
	return strcmp(key, ((const struct oci_digest *)item)->text);
}

bool digest_set_has(const struct digest_set *s, const char *digest)
{
	return s->n &&
	    bsearch(digest, s->items, s->n, sizeof(*s->items), compare_text) != NULL;
}
