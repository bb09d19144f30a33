/*
 * An HTTP server for the client's tests, plain or with TLS: a thread per connection, which
 * answers by the path that was asked, also in ways that no server should.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base.h"
#include "common/str.h"
#include "tests/unit/test.h"

#define BIG (32u << 20)

struct server {
	int fd;
	uint16_t port;
	SSL_CTX *tls;
	pthread_t thread, conns[64];
	int fds[64];
	unsigned n;        /* the accepting thread's until it is joined */
	unsigned accepted; /* atomic */
	size_t sent;       /* atomic: bytes of /big */
	int stuck;         /* atomic: /big waits for its reader */
	int closed;        /* atomic: connections that the client closed on /hang */
};

struct conn {
	struct server *s;
	int fd;
	SSL *ssl;
};

static ssize_t conn_read(struct conn *c, void *p, size_t n)
{
	return c->ssl ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);
}

static bool conn_write(struct conn *c, const void *p, size_t n)
{
	if (c->ssl)
		return n == 0 || SSL_write(c->ssl, p, (int)n) == (int)n;
	while (n > 0) {
		struct pollfd pfd = { c->fd, POLLOUT, 0 };
		ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EAGAIN) {
			if (poll(&pfd, 1, 200) == 0)
				__atomic_store_n(&c->s->stuck, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		if (r <= 0)
			return false;
		p = (const char *)p + r;
		n -= (size_t)r;
	}
	return true;
}

static bool say(struct conn *c, const char *text)
{
	return conn_write(c, text, strlen(text));
}

static bool reply(struct conn *c, const char *body, size_t n)
{
	char head[128];

	snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nX-Name:  value \r\n"
	    "Content-Length: %zu\r\n\r\n",
	    n);
	return say(c, head) && conn_write(c, body, n);
}

static bool big(struct conn *c)
{
	uint32_t block[1024];
	char head[128];

	snprintf(
	    head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BIG);
	if (!say(c, head))
		return false;
	for (uint32_t i = 0; i < BIG / 4; i += 1024) {
		for (uint32_t j = 0; j < 1024; j++)
			block[j] = i + j;
		if (!conn_write(c, block, sizeof(block)))
			return false;
		__atomic_add_fetch(&c->s->sent, sizeof(block), __ATOMIC_SEQ_CST);
	}
	return true;
}

static bool hang(struct conn *c)
{
	char b;

	while (conn_read(c, &b, 1) > 0)
		;
	__atomic_add_fetch(&c->s->closed, 1, __ATOMIC_SEQ_CST);
	return false;
}

/* One request: false ends the connection. */
static bool answer(struct conn *c, const char *path, const char *all, size_t n)
{
	static const char chunked[] =
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	char huge[70000];

	if (str_eq(path, "/hello"))
		return reply(c, "hello", strncmp(all, "HEAD", 4) == 0 ? 0 : 5);
	if (str_eq(path, "/echo"))
		return reply(c, all, n);
	if (str_eq(path, "/big"))
		return big(c);
	if (str_eq(path, "/hang"))
		return hang(c);
	if (str_eq(path, "/head"))
		return say(c, chunked) && hang(c);
	if (str_eq(path, "/some"))
		return say(c, chunked) && say(c, "4\r\nsome\r\n") && hang(c);
	if (str_eq(path, "/chunked"))
		return say(c,
			   "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: "
			   "early\r\n\r\n") &&
		    say(c, chunked) && say(c, "3;ext=1\r\none\r\n") &&
		    say(c, "3\r\ntwo\r\n") && say(c, "0\r\nX-Trailer: t\r\n\r\n");
	if (str_eq(path, "/endless")) {
		if (!say(c, chunked))
			return false;
		while (say(c, "5\r\ntick\n\r\n"))
			;
		return false;
	}
	if (str_eq(path, "/long-head")) {
		return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n") &&
		    strncmp(all, "HEAD", 4) == 0;
	}
	if (str_eq(path, "/move"))
		return say(c,
		    "HTTP/1.1 302 Found\r\nLocation: /hello\r\nX: moved\r\n"
		    "Content-Length: 4\r\n\r\ngone");
	if (str_eq(path, "/away"))
		return say(c,
		    "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"
		    "Content-Length: 0\r\n\r\n");
	if (str_eq(path, "/empty"))
		return say(c, "HTTP/1.1 204 No Content\r\n\r\n");
	if (str_eq(path, "/huge-head")) {
		memset(huge, 'x', sizeof(huge));
		memcpy(huge, "X: ", 3);
		say(c, "HTTP/1.1 200 OK\r\n");
		conn_write(c, huge, sizeof(huge));
		say(c, "\r\nContent-Length: 0\r\n\r\n");
		return false;
	}
	if (str_eq(path, "/cut"))
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
	else if (str_eq(path, "/junk"))
		say(c, "rubbish\r\n\r\n");
	return false;
}

/* Reads heads with their bodies and answers them, until one side has had enough. */
static void *conn_main(void *arg)
{
	struct conn *c = arg;
	struct str in = STR_INIT;
	bool more = true;

	if (c->ssl && SSL_accept(c->ssl) != 1)
		more = false;
	while (more) {
		char path[256] = "", *end, *to, *cl;
		size_t need;
		ssize_t r;

		end = in.len ? strstr(in.s, "\r\n\r\n") : NULL;
		cl = end ? strcasestr(in.s, "Content-Length: ") : NULL;
		need = end
		    ? (size_t)(end + 4 - in.s) + (cl ? strtoul(cl + 16, NULL, 10) : 0)
		    : 0;
		if (end && in.len >= need) {
			sscanf(in.s, "%*s %255s", path);
			more = answer(c, path, in.s, need);
			str_reset(&in);
			continue;
		}
		to = str_reserve(&in, 4096);
		r = to ? conn_read(c, to, 4096) : -1;
		if (r <= 0)
			break;
		str_commit(&in, (size_t)r);
	}
	if (c->ssl) {
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	ERR_clear_error();
	/* Not closed: its number is the server's to shut down. */
	shutdown(c->fd, SHUT_RDWR);
	str_deinit(&in);
	free(c);
	return NULL;
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	int fd, small = 65536;

	while (s->n < ARRAY_SIZE(s->conns) && (fd = accept(s->fd, NULL, NULL)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		*c = (struct conn){ .s = s, .fd = fd };
		if (s->tls) {
			c->ssl = SSL_new(s->tls);
			SSL_set_fd(c->ssl, fd);
		}
		s->fds[s->n] = fd;
		__atomic_add_fetch(&s->accepted, 1, __ATOMIC_SEQ_CST);
		pthread_create(&s->conns[s->n++], NULL, conn_main, c);
	}
	return NULL;
}

static struct server *server_new(SSL_CTX *tls)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	struct server *s = calloc(1, sizeof(*s));

	s->tls = tls;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(s->fd, (void *)&sa, len) == 0 && listen(s->fd, 64) == 0);
	CHECK(getsockname(s->fd, (void *)&sa, &len) == 0);
	s->port = ntohs(sa.sin_port);
	CHECK(pthread_create(&s->thread, NULL, server_main, s) == 0);
	return s;
}

static void server_free(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	for (unsigned i = 0; i < s->n; i++) {
		shutdown(s->fds[i], SHUT_RDWR);
		pthread_join(s->conns[i], NULL);
		close(s->fds[i]);
	}
	close(s->fd);
	SSL_CTX_free(s->tls);
	free(s);
}
