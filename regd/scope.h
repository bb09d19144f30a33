/*
 * What a token lets its bearer do: repositories and actions, as the token authentication
 * of the distribution project writes them, in "scope" parameters and in the claim
 * "access".  Pure.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "regd/acl.h"
#include "regd/name.h"

enum { SCOPE_GRANTS_MAX = 64 };

struct grant {
	char repository[NAME_MAX_LEN + 1];
	unsigned rights; /* enum access */
};

struct scope {
	struct grant *grants;
	size_t n;
	bool catalog; /* may list every repository that the user may pull */
};

void scope_deinit(struct scope *s);
unsigned scope_rights(const struct scope *s, const char *repository);
/* 0, -E2BIG beyond SCOPE_GRANTS_MAX, or -ENOMEM; rights of one repository add up. */
int scope_grant(struct scope *s, const char *repository, unsigned rights) _mustcheck_;
/*
 * Adds what text asks for: "repository:a/b:pull,push", several with blanks between.
 * Kinds, names and actions that are not known here are passed over.  Results as above.
 */
int scope_parse(struct scope *s, const char *text) _mustcheck_;
/* Adds a claim "access": the same, and -EINVAL for what is none. */
int scope_from_json(struct scope *s, const json_t *access) _mustcheck_;
/* The claim; NULL without memory. */
json_t *scope_to_json(const struct scope *s);
/* "pull,push,delete", or what there is of it. */
const char *scope_actions(unsigned rights);
