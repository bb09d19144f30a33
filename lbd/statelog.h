/*
 * The lines that tell of a server's state, as HAProxy writes them, so that what greps for
 * them goes on finding them.
 */
#pragma once

#include "lbd/override.h"
#include "lbd/snapshot.h"

/* Its checks, or somebody in their stead, have said so. */
void statelog_change(
    const struct snap_backend *b, const struct snap_server *s, bool up);
/* before: the set of enum server_admin that it had. */
void statelog_by_hand(const struct snap_backend *b, const struct snap_server *s,
    enum override_state state, unsigned before);
