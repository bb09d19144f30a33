/* Rights by pattern: see acl.h. */
#include "regd/acl.h"

#include "common/str.h"

/*
 * Greedy with one point to come back to, as globs are matched in linear space.  A
 * single star never runs over a slash, so a double one is the only other way back.
 */
bool acl_pattern_fits(const char *p, const char *s)
{
	const char *star = NULL, *star_s = NULL, *deep = NULL, *deep_s = NULL;

	for (;;) {
		if (p[0] == '*' && p[1] == '*') {
			p += 2;
			deep = p;
			deep_s = s;
			star = NULL;
			continue;
		}
		if (*p == '*') {
			star = ++p;
			star_s = s;
			continue;
		}
		if (*p == *s && *s) {
			p++;
			s++;
			continue;
		}
		if (!*p && !*s)
			return true;
		if (star && *star_s && *star_s != '/') {
			p = star;
			s = ++star_s;
		} else if (deep && *deep_s) {
			star = NULL;
			p = deep;
			s = ++deep_s;
		} else {
			return false;
		}
	}
}

static bool rule_names(const struct acl_rule *rule, const char *user)
{
	char **names = conf_list_items(&rule->users, char *);

	for (size_t i = 0; i < rule->users.n; i++)
		if (user ? str_eq(names[i], "*") || str_eq(names[i], user)
			 : str_eq(names[i], "anonymous"))
			return true;
	return false;
}

static bool rule_covers(const struct acl_rule *rule, const char *repository)
{
	char **patterns = conf_list_items(&rule->repositories, char *);

	for (size_t i = 0; i < rule->repositories.n; i++)
		if (acl_pattern_fits(patterns[i], repository))
			return true;
	return false;
}

unsigned acl_rights(
    const struct conf_list *rules, const char *user, const char *repository)
{
	const struct acl_rule *rule = conf_list_items(rules, struct acl_rule);
	unsigned rights = 0;

	for (size_t i = 0; i < rules->n; i++, rule++) {
		const int *allow = conf_list_items(&rule->allow, int);

		if (!rule_names(rule, user) || !rule_covers(rule, repository))
			continue;
		for (size_t k = 0; k < rule->allow.n; k++)
			rights |= 1u << allow[k];
	}
	return rights;
}
