/* The admin socket's own addresses: changing servers, the install, and waiting for it. */
#pragma once

#include "common/http_route.h"

struct lbd;
struct verbs;

extern const struct http_route lbd_routes[];

int verbs_new(struct verbs **ret, struct lbd *l) _mustcheck_;
struct verbs *verbs_free(struct verbs *v);
/* Answers those whose wait is over.  v may be NULL. */
void verbs_wake(struct verbs *v);
