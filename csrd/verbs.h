/* The admin socket's verbs under /v1/: see okd-csrd(8). */
#pragma once

#include "common/base.h"

struct approver;
struct http_req;
struct verbs;

int verbs_new(struct verbs **ret, struct approver *a) _mustcheck_;
/* Before the approver is freed: nothing is asked of it any more.  Takes NULL. */
void verbs_stop(struct verbs *v);
/* After it: whoever still waits is let go of. */
struct verbs *verbs_free(struct verbs *v);
int verbs_handle(struct verbs *v, struct http_req *r);
