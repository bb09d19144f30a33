/* HAProxy's command line: see cli.h. */
#include "lbd/cli.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/list.h"
#include "common/loop.h"
#include "lbd/command.h"
#include "lbd/lbd.h"

enum {
	LINE_MAX = 4096,
	CONNS_MAX = 16,
	TIMEOUT_S = 10,
	PAUSE_MS = 1000, /* without accepting, when it cannot be done */
};

struct conn {
	struct list_link link;
	struct cli *cli;
	struct deferred deferred;
	struct event *ev;
	int fd;
	char line[LINE_MAX];
	size_t n;
	struct str out;
	size_t sent;
};

struct cli {
	struct lbd *lbd;
	struct event *ev, *resume;
	int fd;
	char *path;
	ino_t inode; /* of the socket's name, so that a successor's is left alone */
	struct list_link conns;
	unsigned n_conns;
};

static void conn_free(struct deferred *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, deferred);

	if (c->ev)
		event_free(c->ev);
	fd_close(c->fd);
	str_deinit(&c->out);
	free(c);
}

static void conn_close(struct conn *c)
{
	if (c->deferred.pending)
		return;
	(void)event_del(c->ev);
	list_remove(&c->link);
	c->cli->n_conns--;
	loop_defer_free(c->cli->lbd->loop, &c->deferred);
}

static void on_conn(evutil_socket_t fd, short what, void *arg);

static void wait_for(struct conn *c, short what)
{
	struct timeval tv = { .tv_sec = TIMEOUT_S };

	(void)event_del(c->ev);
	(void)event_assign(
	    c->ev, loop_base(c->cli->lbd->loop), c->fd, what, on_conn, c);
	(void)event_add(c->ev, &tv);
}

static void write_answer(struct conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t n =
		    send(c->fd, c->out.s + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			wait_for(c, EV_WRITE);
			return;
		}
		if (n < 0)
			break;
		c->sent += (size_t)n;
	}
	conn_close(c);
}

static void read_line(struct conn *c)
{
	ssize_t n = recv(c->fd, c->line + c->n, sizeof(c->line) - 1 - c->n, 0);
	char *end;

	if (n < 0 && errno == EAGAIN) {
		wait_for(c, EV_READ);
		return;
	}
	c->n += n > 0 ? (size_t)n : 0;
	end = memchr(c->line, '\n', c->n);
	if (!end && n > 0 && c->n < sizeof(c->line) - 1) {
		wait_for(c, EV_READ);
		return;
	}
	/* A line without its end counts when nothing more comes. */
	if (!c->n || c->n == sizeof(c->line) - 1) {
		conn_close(c);
		return;
	}
	c->line[end ? (size_t)(end - c->line) : c->n] = '\0';
	command_run(c->cli->lbd, c->line, &c->out);
	write_answer(c);
}

static void on_conn(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	if (what & EV_TIMEOUT)
		conn_close(c);
	else if (what & EV_WRITE)
		write_answer(c);
	else
		read_line(c);
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct cli *cli = arg;
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct timeval pause = ms_to_tv(PAUSE_MS);
	struct conn *c;

	/* Readable without a connection: no descriptors, or the socket was shut down. */
	if (fd < 0 && errno != ECONNABORTED && errno != EINTR) {
		(void)event_del(cli->ev);
		(void)event_add(cli->resume, &pause);
	}
	if (fd < 0)
		return;
	c = cli->n_conns < CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (c)
		c->ev = event_new(loop_base(cli->lbd->loop), fd, EV_READ, on_conn, c);
	if (!c || !c->ev) {
		free(c);
		fd_close(fd);
		return;
	}
	c->cli = cli;
	c->fd = fd;
	c->deferred.free = conn_free;
	list_append(&cli->conns, &c->link);
	cli->n_conns++;
	wait_for(c, EV_READ);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct cli *cli = arg;

	(void)event_add(cli->ev, NULL);
}

/* Bound under another name and renamed, so that there is one at every moment. */
static int listen_at(struct cli *c)
{
	_cleanup_(str_deinit) struct str tmp = STR_INIT;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t old;
	int r;

	str_addf(&tmp, "%s.%d", c->path, getpid());
	if (str_err(&tmp) || tmp.len >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, tmp.s);
	unlink(tmp.s);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	old = umask(0177);
	r = bind(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r == 0 && (listen(c->fd, 16) < 0 || rename(tmp.s, c->path) < 0))
		r = -errno;
	if (r == 0 && stat(c->path, &st) == 0)
		c->inode = st.st_ino;
	return r;
}

int cli_new(struct cli **ret, struct lbd *l)
{
	struct cli *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->lbd = l;
	c->fd = -1;
	list_init(&c->conns);
	if (asprintf(&c->path, "%s/haproxy.sock", daemon_runtime_dir(l->d)) > 0)
		r = listen_at(c);
	if (r == 0) {
		c->ev = event_new(
		    loop_base(l->loop), c->fd, EV_READ | EV_PERSIST, on_accept, c);
		c->resume = evtimer_new(loop_base(l->loop), on_resume, c);
		r = c->ev && c->resume && event_add(c->ev, NULL) == 0 ? 0 : -ENOMEM;
	}
	if (r < 0) {
		cli_free(c);
		errno = -r;
		return r;
	}
	*ret = c;
	return 0;
}

struct cli *cli_free(struct cli *c)
{
	struct stat st;

	if (!c)
		return NULL;
	list_for_each_safe (it, &c->conns)
		conn_close(CONTAINER_OF(it, struct conn, link));
	if (c->ev)
		event_free(c->ev);
	if (c->resume)
		event_free(c->resume);
	if (c->inode && stat(c->path, &st) == 0 && st.st_ino == c->inode)
		unlink(c->path);
	fd_close(c->fd);
	free(c->path);
	free(c);
	return NULL;
}
