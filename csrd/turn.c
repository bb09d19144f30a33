/* Whose turn it is: see turn.h.  A lock on a file, which ends with its process. */
#include "csrd/turn.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"

#define LOOK_MS 50

struct turn {
	int fd;
	struct event *look;
	void (*fn)(void *arg);
	void *arg;
};

static int try_lock(struct turn *t)
{
	return flock(t->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static void look_again(struct turn *t)
{
	const struct timeval tv = ms_to_tv(LOOK_MS);

	event_add(t->look, &tv);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct turn *t = arg;

	if (try_lock(t) == 0)
		t->fn(t->arg);
	else
		look_again(t);
}

int turn_take(struct turn *t, struct err *e)
{
	int r = try_lock(t);

	if (r == 0)
		return 1;
	if (r != -EWOULDBLOCK)
		return err_set(e, r, "cannot lock the state folder: %s", strerror(-r));
	log_info("waits until the process before it has carried out what it decided");
	look_again(t);
	return 0;
}

int turn_new(struct turn **ret, struct loop *l, const char *path,
    void (*mine)(void *arg), void *arg, struct err *e)
{
	_cleanup_(turn_freep) struct turn *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	t->fn = mine;
	t->arg = arg;
	t->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (t->fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	t->look = evtimer_new(loop_base(l), on_look, t);
	if (!t->look)
		return err_set(e, -ENOMEM, "out of memory");

	*ret = TAKE(t);
	return 0;
}

struct turn *turn_free(struct turn *t)
{
	if (!t)
		return NULL;
	if (t->look)
		event_free(t->look);
	fd_close(t->fd);
	free(t);
	return NULL;
}
