/*
 * Reads every blob again now and then, at a bounded rate, and compares it with its
 * name.  What is wrong is answered with 404 from then on, so that a client that pushes
 * sends it again, and shows in status and metrics.
 */
#pragma once

#include "common/base.h"

struct regd;
struct scrub;

int scrub_new(struct scrub **ret, struct regd *g) _mustcheck_;
/* Ends the thread, in the middle of a blob if need be; what it sent home may still come.
 */
void scrub_stop(struct scrub *s);
struct scrub *scrub_free(struct scrub *s);
DEFINE_FREEP(scrub)
/* Starts on the next blob when one is due. */
void scrub_tick(struct scrub *s);
