/*
 * What frontends with bounds on client addresses know of these, for whoever asks:
 * HAProxy's "show table".
 */
#pragma once

#include "common/str.h"
#include "lbd/snapshot.h"

struct workers;

/* Whether the frontend keeps a table. */
bool table_exists(const struct snap_frontend *f);
/* "# table: NAME, ..." and, with entries, a line for each address that has connections
 * open, in order; i is the frontend's place in the snapshot. */
void table_show(struct workers *ws, const struct snapshot *snap, size_t i, bool entries,
    struct str *out);
