/*
 * Who may do what to which repository.  Pure.
 *
 * A pattern is a repository's name in which "*" stands for anything within a component
 * and "**" for anything at all.  Rights of all rules that fit a caller add up.
 */
#pragma once

#include "common/base.h"
#include "common/conf.h"

enum access {
	ACCESS_PULL = 1 << 0,
	ACCESS_PUSH = 1 << 1,
	ACCESS_DELETE = 1 << 2,
	ACCESS_ALL = ACCESS_PULL | ACCESS_PUSH | ACCESS_DELETE,
};

struct acl_rule {
	struct conf_list users; /* char *; "*" is every user, "anonymous" nobody */
	struct conf_list repositories; /* char *: patterns */
	struct conf_list allow;        /* int: 0 pull, 1 push, 2 delete */
};

bool acl_pattern_fits(const char *pattern, const char *repository);
/* The rights of user (NULL: anonymous) by a list of struct acl_rule. */
unsigned acl_rights(
    const struct conf_list *rules, const char *user, const char *repository);
