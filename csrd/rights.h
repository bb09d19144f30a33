/*
 * What the daemon's credentials allow: asked of the API server by
 * SelfSubjectAccessReview (authorization.k8s.io/v1), and what to give it instead.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/str.h"

struct kube;
struct rights;

int rights_new(struct rights **ret, struct kube *kube) _mustcheck_;
struct rights *rights_free(struct rights *r);
/* Asks for all that is needed; logs one sentence with what is missing. */
void rights_check(struct rights *r);
void rights_forget(struct rights *r);
/* {"checked":true,"missing":["..."]} */
json_t *rights_to_json(const struct rights *r);

/* packaging/okd-csrd-rbac.yaml, for --print-rbac. */
extern const char rights_manifest[];
