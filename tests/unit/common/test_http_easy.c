/* What libcurl is told of connections, as the kernel has it then. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/http_client.h"
#include "common/loop.h"
#include "tests/unit/common/http_peer.h"

static struct loop *l;
static struct server *server;
static int result;

static void on_done(struct http_transfer *t, int r, void *arg)
{
	result = r;
	loop_stop(l);
}

static void fetch(struct http_client *c, struct http_client_request req)
{
	struct http_transfer *t;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hello", server->port);
	req.url = url;
	req.on_done = on_done;
	CHECK(http_client_start(c, &t, &req, NULL) == 0);
	CHECK(loop_run(l) == 0 && result == 200);
}

/* An option of the connection whose other end is the server's; -1 without one. */
static int option_of_connection(int level, int name)
{
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in sa = { 0 };
		socklen_t len = sizeof(sa), n = sizeof(int);
		int v;

		if (getpeername(fd, (void *)&sa, &len) == 0 &&
		    sa.sin_family == AF_INET && ntohs(sa.sin_port) == server->port &&
		    getsockopt(fd, level, name, &v, &n) == 0)
			return v;
	}
	return -1;
}

TEST(a_silent_host_is_the_kernels_to_find)
{
	struct http_client *c;

	signal(SIGPIPE, SIG_IGN);
	CHECK(loop_new(&l) == 0);
	server = server_new(NULL);
	CHECK(http_client_new(&c, l, NULL) == 0);
	fetch(c, (struct http_client_request){ .silent_ms = 2000 });
	CHECK(option_of_connection(SOL_SOCKET, SO_KEEPALIVE) == 1);
	CHECK(option_of_connection(IPPROTO_TCP, TCP_KEEPIDLE) == 1);
	CHECK(option_of_connection(IPPROTO_TCP, TCP_KEEPINTVL) == 1);
	CHECK(option_of_connection(IPPROTO_TCP, TCP_USER_TIMEOUT) == 2000);
	http_client_free(c);
	server_free(server);
	loop_free(l);
}
