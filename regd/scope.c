/* Grants of tokens: see scope.h. */
#include "regd/scope.h"

#include <errno.h>
#include <string.h>

#include "common/json.h"
#include "common/str.h"

static const struct action {
	const char *name;
	unsigned rights;
} actions[] = {
	{ "pull", ACCESS_PULL },
	{ "push", ACCESS_PUSH },
	{ "delete", ACCESS_DELETE },
	{ "*", ACCESS_ALL },
};

void scope_deinit(struct scope *s)
{
	free(s->grants);
	*s = (struct scope){ .grants = NULL };
}

unsigned scope_rights(const struct scope *s, const char *repository)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->grants[i].repository, repository))
			return s->grants[i].rights;
	return 0;
}

int scope_grant(struct scope *s, const char *repository, unsigned rights)
{
	struct grant *more;

	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->grants[i].repository, repository)) {
			s->grants[i].rights |= rights;
			return 0;
		}
	if (s->n == SCOPE_GRANTS_MAX)
		return -E2BIG;
	more = realloc(s->grants, (s->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->grants = more;
	more += s->n++;
	memcpy(more->repository, repository, strlen(repository) + 1);
	more->rights = rights;
	return 0;
}

static unsigned action_rights(const char *s, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strlen(actions[i].name) == n && memcmp(actions[i].name, s, n) == 0)
			return actions[i].rights;
	return 0;
}

/* The kind may carry a class: "repository(plugin)". */
static bool is_repository(const char *kind, size_t n)
{
	static const char word[] = "repository";
	const size_t len = sizeof(word) - 1;

	return n >= len && memcmp(kind, word, len) == 0 &&
	    (n == len || (kind[len] == '(' && kind[n - 1] == ')'));
}

static int grant_named(struct scope *s, const char *name, size_t n, unsigned rights)
{
	char repository[NAME_MAX_LEN + 1];

	if (!rights || n >= sizeof(repository) || !name_is_repository(name, n))
		return 0;
	memcpy(repository, name, n);
	repository[n] = '\0';
	return scope_grant(s, repository, rights);
}

/* kind:name:action,action */
static int parse_one(struct scope *s, const char *at, size_t n)
{
	const char *colon = memchr(at, ':', n), *last = memrchr(at, ':', n);
	const char *end = at + n, *word;
	unsigned rights = 0;

	if (!colon || colon == last)
		return 0;
	for (word = last + 1; word < end;) {
		const char *comma = memchr(word, ',', (size_t)(end - word));
		const char *stop = comma ? comma : end;

		rights |= action_rights(word, (size_t)(stop - word));
		word = stop + 1;
	}
	if (is_repository(at, (size_t)(colon - at)))
		return grant_named(s, colon + 1, (size_t)(last - colon - 1), rights);
	if (n >= 17 && memcmp(at, "registry:catalog:", 17) == 0)
		s->catalog = s->catalog || rights == ACCESS_ALL;
	return 0;
}

int scope_parse(struct scope *s, const char *text)
{
	int r = 0;

	while (*text && r == 0) {
		size_t n = strcspn(text, " ");

		r = parse_one(s, text, n);
		text += n;
		text += strspn(text, " ");
	}
	return r;
}

static int from_entry(struct scope *s, const json_t *entry)
{
	const char *type = json_str(entry, "type"), *name = json_str(entry, "name");
	const json_t *list = json_object_get(entry, "actions"), *v;
	unsigned rights = 0;
	size_t i;

	if (!type || !name || !json_is_array(list))
		return -EINVAL;
	json_array_foreach(list, i, v)
	{
		const char *word = json_string_value(v);

		if (!word)
			return -EINVAL;
		rights |= action_rights(word, strlen(word));
	}
	if (is_repository(type, strlen(type)))
		return grant_named(s, name, strlen(name), rights);
	if (str_eq(type, "registry") && str_eq(name, "catalog"))
		s->catalog = s->catalog || rights == ACCESS_ALL;
	return 0;
}

int scope_from_json(struct scope *s, const json_t *access)
{
	const json_t *entry;
	size_t i;
	int r = 0;

	if (!access || json_is_null(access))
		return 0;
	if (!json_is_array(access))
		return -EINVAL;
	json_array_foreach(access, i, entry)
	{
		r = from_entry(s, entry);
		if (r < 0)
			return r;
	}
	return 0;
}

static json_t *actions_json(unsigned rights)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (actions[i].rights != ACCESS_ALL && (rights & actions[i].rights))
			json_array_append_new(list, json_string(actions[i].name));
	return list;
}

json_t *scope_to_json(const struct scope *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list,
		    json_pack("{s:s,s:s,s:o}", "type", "repository", "name",
			s->grants[i].repository, "actions",
			actions_json(s->grants[i].rights)));
	if (s->catalog)
		json_array_append_new(list,
		    json_pack("{s:s,s:s,s:[s]}", "type", "registry", "name", "catalog",
			"actions", "*"));
	return list;
}

const char *scope_actions(unsigned rights)
{
	static const char *const words[] = { "", "pull", "push", "pull,push", "delete",
		"pull,delete", "push,delete", "pull,push,delete" };

	return words[rights & ACCESS_ALL];
}
