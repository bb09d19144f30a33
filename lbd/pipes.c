/* Pipes for splice: see pipes.h. */
#include "lbd/pipes.h"

#include <fcntl.h>
#include <unistd.h>

void pipes_init(struct pipes *p, unsigned max)
{
	*p = (struct pipes){ .max = max };
}

static void discard(struct pipes *p, struct pipe *pipe)
{
	close(pipe->fd[0]);
	close(pipe->fd[1]);
	free(pipe);
	p->n--;
}

void pipes_deinit(struct pipes *p)
{
	struct pipe *pipe;

	while ((pipe = p->idle)) {
		p->idle = pipe->next;
		p->n_idle--;
		discard(p, pipe);
	}
}

struct pipe *pipes_take(struct pipes *p)
{
	struct pipe *pipe = p->idle;

	if (pipe) {
		p->idle = pipe->next;
		p->n_idle--;
		return pipe;
	}
	if (p->n >= p->max)
		return NULL;
	pipe = calloc(1, sizeof(*pipe));
	if (!pipe || pipe2(pipe->fd, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(pipe);
		return NULL;
	}
	/* Beyond pipe-user-pages-soft it stays as small as it is, which works as well. */
	(void)fcntl(pipe->fd[0], F_SETPIPE_SZ, PIPE_BYTES);
	p->n++;
	return pipe;
}

void pipes_give(struct pipes *p, struct pipe *pipe)
{
	if (pipe->len || p->n_idle >= PIPES_IDLE_MAX) {
		discard(p, pipe);
		return;
	}
	pipe->next = p->idle;
	p->idle = pipe;
	p->n_idle++;
}
