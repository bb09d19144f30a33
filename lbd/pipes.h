/* Kernel pipes for splice(2), kept for reuse while they are empty.  One pool per
 * thread. */
#pragma once

#include "common/base.h"

/* The more bytes one call moves, the fewer of the kernel's costs for a segment and a
 * wake-up there are in each: 1 MiB costs a quarter less a byte than 256 KiB. */
enum { PIPE_BYTES = 1024 * 1024, PIPES_IDLE_MAX = 16 };

struct pipe {
	struct pipe *next;
	int fd[2];
	size_t len; /* bytes inside */
};

struct pipes {
	struct pipe *idle;
	unsigned n_idle, n, max;
};

/* At most max pipes at a time. */
void pipes_init(struct pipes *p, unsigned max);
/* Closes the idle ones; the pool may be used on. */
void pipes_deinit(struct pipes *p);
/* NULL when there is none to be had: then bytes are copied. */
struct pipe *pipes_take(struct pipes *p);
/* A pipe that is not empty is closed. */
void pipes_give(struct pipes *p, struct pipe *pipe);
