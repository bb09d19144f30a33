/*
 * Keeps N connections busy with one GET each at a time, for a while or for a count, and
 * prints how many replies of 200 were read whole, and their bytes:
 *
 *   httpload PORT PATH CONNECTIONS SECONDS [COUNT]
 *
 * Bodies are thrown away in the kernel, so that the load costs little.  With 0 seconds it
 * opens the connections, makes one request on each, says "ready" and waits for its stdin
 * to end: for measuring idle ones.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base.h"
#include "common/clock.h"
#include "common/str.h"

struct client {
	int fd;
	uint64_t left; /* bytes of the body to come; 0 between replies */
};

static char request[1024];
static size_t request_n;
static uint64_t replies, bytes;

static _noreturn_ void die(const char *what)
{
	perror(what);
	exit(1);
}

static void ask(struct client *c)
{
	if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
		die("send");
}

/* A reply's head, and what of the body came with it. */
static void read_head(struct client *c)
{
	static char buf[65536];
	ssize_t n = recv(c->fd, buf, sizeof(buf) - 1, 0);
	char *end, *length;
	uint64_t total;

	if (n <= 0)
		die("recv");
	buf[n] = '\0';
	end = strstr(buf, "\r\n\r\n");
	length = strstr(buf, "\r\nContent-Length: ");
	if (!end || !length || strncmp(buf, "HTTP/1.1 200 ", 13) != 0) {
		fprintf(stderr, "not a reply of 200: %s\n", buf);
		exit(1);
	}
	total = strtoull(length + 18, NULL, 10);
	bytes += total;
	c->left = total - (uint64_t)(n - (end + 4 - buf));
}

static void read_body(struct client *c)
{
	/* MSG_TRUNC on TCP: the bytes are dropped, not copied. */
	ssize_t n = recv(c->fd, NULL, (size_t)MIN(c->left, 16u << 20), MSG_TRUNC);

	if (n <= 0)
		die("recv");
	c->left -= (uint64_t)n;
}

static void connect_all(struct client *clients, int n, uint16_t port, int ep)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < n; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &clients[i] };

		clients[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (clients[i].fd < 0 ||
		    connect(clients[i].fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			die("connect");
		if (epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &ev) < 0)
			die("epoll_ctl");
	}
}

static void run(int ep, uint64_t until_ns, uint64_t count)
{
	struct epoll_event events[64];

	while (clock_boot_ns() < until_ns && replies < count) {
		int n = epoll_wait(ep, events, ARRAY_SIZE(events), 100);

		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c->left)
				read_body(c);
			else
				read_head(c);
			if (!c->left) {
				replies++;
				ask(c);
			}
		}
	}
}

/* One request after the other, so that the connections are all kept alive and idle. */
static void idle(struct client *clients, int n)
{
	char end;

	for (int i = 0; i < n; i++) {
		ask(&clients[i]);
		read_head(&clients[i]);
		while (clients[i].left)
			read_body(&clients[i]);
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &end, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), n;
	struct client *clients;
	double seconds;

	if (argc < 5)
		return 2;
	n = atoi(argv[3]);
	seconds = atof(argv[4]);
	clients = calloc((size_t)n, sizeof(*clients));
	if (!clients || ep < 0)
		return 1;
	request_n = (size_t)snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
	    "User-Agent: httpload\r\n\r\n",
	    argv[2]);
	connect_all(clients, n, (uint16_t)atoi(argv[1]), ep);
	if (seconds > 0) {
		for (int i = 0; i < n; i++)
			ask(&clients[i]);
		run(ep, clock_boot_ns() + (uint64_t)(seconds * 1e9),
		    argc > 5 ? strtoull(argv[5], NULL, 10) : UINT64_MAX);
		printf("%llu %llu\n", (unsigned long long)replies,
		    (unsigned long long)bytes);
	} else {
		idle(clients, n);
	}
	for (int i = 0; i < n; i++)
		close(clients[i].fd);
	free(clients);
	close(ep);
	return 0;
}
