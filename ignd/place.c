/* Places in JSON: see place.h. */
#include "ignd/place.h"

#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "common/str.h"

struct walk {
	const char *at, *end;
	const json_t *obj;
	const char *key;
	const char *found;
	bool exact; /* found is of that very name */
};

static void skip_blanks(struct walk *w)
{
	while (w->at < w->end && strchr(" \t\r\n", *w->at))
		w->at++;
}

static bool take(struct walk *w, char c)
{
	skip_blanks(w);
	if (w->at == w->end || *w->at != c)
		return false;
	w->at++;
	return true;
}

static void skip_string(struct walk *w)
{
	for (w->at++; w->at < w->end && *w->at != '"'; w->at++)
		w->at += *w->at == '\\';
	w->at = w->at < w->end ? w->at + 1 : w->end;
}

/* A key as the tree has it, the text's escapes undone; NULL when there is no memory. */
static char *key_between(const char *from, const char *to)
{
	_cleanup_(json_freep) json_t *v = NULL;

	if (to - from >= 2 && !memchr(from, '\\', (size_t)(to - from)))
		return strndup(from + 1, (size_t)(to - from) - 2);
	v = json_loadb(
	    from, (size_t)(to - from), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	return v ? strdup(json_string_value(v)) : NULL;
}

static void note_key(struct walk *w, const char *key, const char *from)
{
	bool exact = str_eq(key, w->key);

	if (!exact && (w->exact || strcasecmp(key, w->key) != 0))
		return;
	w->found = from;
	w->exact = exact;
}

static void walk_value(struct walk *w, const json_t *v);

static void walk_object(struct walk *w, const json_t *v)
{
	w->at++;
	while (!take(w, '}')) {
		_cleanup_(freep) char *key = NULL;
		const char *from = w->at;

		if (w->at == w->end || *w->at != '"')
			return;
		skip_string(w);
		key = key_between(from, w->at);
		if (!key || !take(w, ':'))
			return;
		if (w->key && v == w->obj)
			note_key(w, key, from);
		walk_value(w, json_object_get(v, key));
		take(w, ',');
	}
}

static void walk_list(struct walk *w, const json_t *v)
{
	w->at++;
	for (size_t i = 0; !take(w, ']'); i++) {
		const char *from = w->at;

		walk_value(w, json_array_get(v, i));
		take(w, ',');
		if (w->at == from)
			return;
	}
}

/* As deep as json_load_limited() lets a text be. */
static void walk_value(struct walk *w, const json_t *v)
{
	skip_blanks(w);
	if (w->at == w->end)
		return;
	if (v && v == w->obj && !w->key)
		w->found = w->at;
	if (*w->at == '{')
		walk_object(w, v);
	else if (*w->at == '[')
		walk_list(w, v);
	else if (*w->at == '"')
		skip_string(w);
	else
		while (w->at < w->end && !strchr(",]} \t\r\n", *w->at))
			w->at++;
}

struct place place_find(
    const json_t *root, const char *text, size_t n, const json_t *obj, const char *key)
{
	struct walk w = { .at = text, .end = text + n, .obj = obj, .key = key };
	struct place place = { 0 };

	walk_value(&w, root);
	if (!w.found)
		return place;
	place.line = place.column = 1;
	for (const char *p = text; p < w.found; p++) {
		place.column++;
		if (*p == '\n') {
			place.line++;
			place.column = 1;
		}
	}
	return place;
}
