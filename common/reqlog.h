/*
 * The request log: one line per request, written by a thread of its own, so that a slow
 * journal or terminal never holds up an answer.
 *
 * Each producing thread has a ring; when it is full, lines are dropped and counted. The
 * writer collects for a few milliseconds and writes many lines at once to stderr, which
 * is the journal under systemd.
 */
#pragma once

#include "common/base.h"

struct reqlog;
struct reqlog_ring;

int reqlog_new(struct reqlog **ret, int fd) _mustcheck_;
/* Writes what is queued, then ends the thread and frees the rings. */
struct reqlog *reqlog_free(struct reqlog *rl);
DEFINE_FREEP(reqlog)

#define REQLOG_JOURNAL "/run/systemd/journal/socket"
/*
 * Before there are rings: instead of lines, producers commit whole entries of the
 * journal's native protocol (lines KEY=value, then an empty line), and the writer sends
 * each to the socket at path.  Entries that cannot be sent are lost and counted.
 */
int reqlog_to_journal(struct reqlog *rl, const char *path) _mustcheck_;

/* A ring for one producing thread; size is rounded up to a power of two.  Rings live as
 * long as the log. */
int reqlog_ring_new(
    struct reqlog_ring **ret, struct reqlog *rl, size_t size) _mustcheck_;
/*
 * Room for a line of at most n bytes, or NULL when the ring is full (counted).  The
 * caller writes there and commits what it used, the final line feed included; nothing
 * is visible before.
 */
char *reqlog_reserve(struct reqlog_ring *r, size_t n);
void reqlog_commit(struct reqlog_ring *r, size_t n);
/* Lines dropped so far over all rings. */
uint64_t reqlog_dropped(struct reqlog *rl);
