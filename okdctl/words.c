/* A growing list of strings: see words.h. */
#include "okdctl/words.h"

#include <errno.h>
#include <string.h>

int words_add_n(struct words *w, const char *s, size_t n)
{
	char **v = reallocarray(w->v, w->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	w->v = v;
	v[w->n] = strndup(s, n);
	if (!v[w->n])
		return -ENOMEM;
	w->n++;
	return 0;
}

int words_add(struct words *w, const char *s)
{
	return words_add_n(w, s, strlen(s));
}

int words_split(struct words *w, const char *text)
{
	for (text += strspn(text, " \t\r\n"); *text;) {
		size_t n = strcspn(text, " \t\r\n");
		int r = words_add_n(w, text, n);

		if (r < 0)
			return r;
		text += n;
		text += strspn(text, " \t\r\n");
	}
	return 0;
}

bool words_has(const struct words *w, const char *s)
{
	for (size_t i = 0; i < w->n; i++) {
		if (strcmp(w->v[i], s) == 0)
			return true;
	}
	return false;
}

void words_deinit(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){ 0 };
}
