/*
 * The least that giving out a file can cost: requests on kept connections, whatever they
 * say, are answered with a short head and the file by sendfile(), from one epoll loop.
 * The floor that a registry's pull is measured against.
 *
 *   sendloop FILE        prints the port that it listens on
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base.h"

struct client {
	int fd;
	off_t at; /* of the file; its size between replies */
};

static char head[128];
static size_t head_n;
static int file;
static off_t size;

static _noreturn_ void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(int poll, struct client *c, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(poll, op, c->fd, &e) < 0)
		die("epoll_ctl");
}

static void take(int poll, int listener)
{
	struct client *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c)
		die("calloc");
	c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (c->fd < 0)
		die("accept");
	c->at = size;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(poll, c, EPOLLIN, EPOLL_CTL_ADD);
}

static void drop(struct client *c)
{
	close(c->fd);
	free(c);
}

/* What the socket takes; then it waits for room, or for the next request. */
static void give(int poll, struct client *c, bool was_waiting)
{
	while (c->at < size) {
		ssize_t n = sendfile(c->fd, file, &c->at, (size_t)(size - c->at));

		if (n < 0 && errno == EAGAIN) {
			if (!was_waiting)
				watch(poll, c, EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		if (n <= 0) {
			drop(c);
			return;
		}
	}
	if (was_waiting)
		watch(poll, c, EPOLLIN, EPOLL_CTL_MOD);
}

static void answer(int poll, struct client *c)
{
	char request[4096];
	ssize_t n = read(c->fd, request, sizeof(request));

	if (n <= 0) {
		drop(c);
		return;
	}
	if (send(c->fd, head, head_n, MSG_MORE | MSG_NOSIGNAL) != (ssize_t)head_n) {
		drop(c);
		return;
	}
	c->at = 0;
	give(poll, c, false);
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	struct epoll_event events[64];
	struct client first;
	struct stat st;
	int poll = epoll_create1(0);

	signal(SIGPIPE, SIG_IGN); /* sendfile() knows no MSG_NOSIGNAL */

	file = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	if (file < 0 || fstat(file, &st) < 0)
		die("sendloop FILE");
	size = st.st_size;
	head_n = (size_t)snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)size);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	first.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(first.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(first.fd, 64) < 0 ||
	    getsockname(first.fd, (struct sockaddr *)&sa, &len) < 0)
		die("listen");
	printf("%d\n", ntohs(sa.sin_port));
	fflush(stdout);
	watch(poll, &first, EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		int n = epoll_wait(poll, events, ARRAY_SIZE(events), -1);

		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c == &first)
				take(poll, first.fd);
			else if (events[i].events & EPOLLOUT)
				give(poll, c, true);
			else
				answer(poll, c);
		}
	}
}
