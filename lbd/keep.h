/* What people set by hand (see override.h), from one process to the next: a file in the
 * run-time folder, so that it ends with the service. */
#pragma once

#include "common/base.h"

struct lbd;

/* After a change by hand, and of the file. */
void keep_save(const struct lbd *l);
/* At the start, before the workers hear of the servers.  True when one has another
 * address than the file gives it. */
bool keep_load(struct lbd *l);
