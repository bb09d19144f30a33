/*
 * The least that taking a push can cost: one connection at a time, each request's body
 * of known length is received, hashed with SHA-256 and written to a file of its own,
 * which is synced; then 201.  The floor that a registry's push is measured against.
 *
 *   recvloop FILE        prints the port that it listens on, writes FILE.0, FILE.1, ...
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base.h"
#include "common/digest.h"

static char buf[1024 * 1024];

static _noreturn_ void die(const char *what)
{
	perror(what);
	exit(1);
}

static void write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w <= 0)
			die("write");
		p += w;
		n -= (size_t)w;
	}
}

static void take(struct digest *d, int file, size_t n)
{
	digest_update(d, buf, n);
	write_all(file, buf, n);
}

/* A file that was not there: one that is emptied first would cost its old pages. */
static int next_file(const char *path)
{
	static unsigned int n;
	char name[PATH_MAX];
	int fd;

	snprintf(name, sizeof(name), "%s.%u", path, n++);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		die(name);
	return fd;
}

/* One request with its body: false at the end of the connection. */
static bool serve(int fd, const char *path)
{
	static const char reply[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
	uint8_t out[DIGEST_MAX];
	struct digest *d;
	size_t have = 0, body;
	char *end, *length;
	ssize_t n;
	int file;

	do {
		n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
		if (n <= 0)
			return false;
		have += (size_t)n;
		buf[have] = '\0';
		end = strstr(buf, "\r\n\r\n");
	} while (!end);
	length = strcasestr(buf, "\r\nContent-Length:");
	if (!length || digest_new(&d, DIGEST_SHA256) < 0)
		return false;
	body = strtoull(length + 17, NULL, 10);
	have -= (size_t)(end + 4 - buf);
	memmove(buf, end + 4, have);
	file = next_file(path);
	take(d, file, have);
	for (body -= have; body; body -= (size_t)n) {
		n = recv(fd, buf, MIN(sizeof(buf), body), 0);
		if (n <= 0)
			return false;
		take(d, file, (size_t)n);
	}
	digest_final(d, out);
	digest_free(d);
	if (fdatasync(file) < 0)
		die("fdatasync");
	close(file);
	write_all(fd, reply, sizeof(reply) - 1);
	return true;
}

int main(int argc, char *argv[])
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2)
		return 64;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(l, (struct sockaddr *)&sa, len) < 0 || listen(l, 16) < 0 ||
	    getsockname(l, (struct sockaddr *)&sa, &len) < 0)
		die("listen");
	printf("%u\n", ntohs(sa.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			die("accept");
		while (serve(fd, argv[1]))
			;
		close(fd);
	}
}
