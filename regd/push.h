/* What the endpoints of uploads share with mounting. */
#pragma once

#include "common/base.h"
#include "regd/name.h"

struct call;

/* An ordinary session, under the algorithm that the client announces: replied to. */
int push_start(struct call *c);
int push_created(struct call *c, const char *repo, const char *digest);
/* What keeps a push from being stored (-ENOSPC, -EDQUOT): true when it was that, and was
 * replied to. */
bool push_replied_full(struct call *c, int r);
/* Whether the repository holds the blob, whole as far as can be seen at once. */
bool push_holds(struct call *c, const char *repo, const struct oci_digest *d);

/* POST with ?mount=: what cannot be mounted becomes an ordinary session, whatever the
 * reason. */
int mount_start(struct call *c, const char *digest);
