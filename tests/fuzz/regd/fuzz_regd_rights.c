/* Rights by pattern: the answer is the one that the definition gives. */
#include <assert.h>
#include <string.h>

#include "regd/acl.h"
#include "regd/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATTERN_MAX = 16, NAME_LEN_MAX = 24 };

/* As the manual says it, and slow: "*" is anything within a component, "**" anything. */
static bool fits(const char *p, const char *s)
{
	if (p[0] == '*' && p[1] == '*')
		return fits(p + 2, s) || (*s && fits(p, s + 1));
	if (*p == '*')
		return fits(p + 1, s) || (*s && *s != '/' && fits(p, s + 1));
	return *p == *s && (!*p || fits(p + 1, s + 1));
}

static unsigned rights_of(char *pattern, const char *user, const char *repository)
{
	char *users[] = { "*" };
	int allow[] = { 0, 1 };
	struct acl_rule rule = {
		.users = { .items = users, .n = 1 },
		.repositories = { .items = &pattern, .n = 1 },
		.allow = { .items = allow, .n = 2 },
	};
	struct conf_list rules = { .items = &rule, .n = 1 };

	return acl_rights(&rules, user, repository);
}

/* A pattern, a line feed, a name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *lf = size ? memchr(data, '\n', size) : NULL;
	char pattern[PATTERN_MAX + 1] = "", name[NAME_LEN_MAX + 1] = "";
	size_t n = lf ? (size_t)(lf - data) : 0;
	bool is;

	if (!lf || n > PATTERN_MAX || size - n - 1 > NAME_LEN_MAX ||
	    memchr(data, 0, size))
		return 0;
	memcpy(pattern, data, n);
	memcpy(name, lf + 1, size - n - 1);
	is = acl_pattern_fits(pattern, name);
	assert(is == fits(pattern, name));
	assert(rights_of(pattern, "somebody", name) ==
	    (is ? ACCESS_PULL | ACCESS_PUSH : 0u));
	assert(rights_of(pattern, NULL, name) == 0);
	return 0;
}
