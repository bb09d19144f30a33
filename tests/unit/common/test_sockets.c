/* Listening sockets: exclusive ports, siblings, adoption, reload. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/sockets.h"

/* A loopback endpoint whose port the kernel chose and nobody holds. */
static struct net_endpoint free_endpoint(int type)
{
	struct net_endpoint e = { .ip = { .family = 4, .bytes = { 127, 0, 0, 1 } } };
	union net_sockaddr sa;
	socklen_t len = sizeof(sa);
	int fd = net_bind(&e, type, false, NULL);

	getsockname(fd, &sa.sa, &len);
	net_ip_from_sa(&sa.sa, &e.port);
	close(fd);
	return e;
}

TEST(udp_port_is_exclusive_but_has_siblings)
{
	struct net_endpoint e = free_endpoint(SOCK_DGRAM);
	struct sockets *a, *b;
	struct err err = ERR_INIT;
	int fds[4];

	CHECK(sockets_new(&a, 3, 0) == 0);
	CHECK(sockets_new(&b, 3, 0) == 0);
	CHECK(sockets_get(a, &e, SOCK_DGRAM, 3, fds, 4, &err) == 3);
	CHECK(sockets_get(b, &e, SOCK_DGRAM, 1, fds, 4, &err) == -EADDRINUSE);
	CHECK(strstr(err.text, "held by another program") != NULL);
	a = sockets_free(a);
	CHECK(sockets_get(b, &e, SOCK_DGRAM, 1, fds, 4, &err) == 1);
	b = sockets_free(b);
}

/* Every sibling gets its share: the first, bound alone, is in the group too. */
TEST(udp_siblings_share_the_load)
{
	struct net_endpoint e = free_endpoint(SOCK_DGRAM);
	unsigned seen[2] = { 0, 0 };
	union net_sockaddr sa;
	struct sockets *s;
	socklen_t len = net_endpoint_to_sa(&e, &sa);
	int fds[2];

	CHECK(sockets_new(&s, 3, 0) == 0);
	CHECK(sockets_get(s, &e, SOCK_DGRAM, 2, fds, 2, NULL) == 2);
	for (int i = 0; i < 200; i++) {
		int c = socket(AF_INET, SOCK_DGRAM, 0);

		CHECK(sendto(c, "x", 1, 0, &sa.sa, len) == 1);
		close(c);
	}
	for (int i = 0; i < 2; i++) {
		char byte;

		while (recv(fds[i], &byte, 1, MSG_DONTWAIT) == 1)
			seen[i]++;
	}
	CHECK(seen[0] + seen[1] == 200);
	CHECK(seen[0] > 20 && seen[1] > 20);
	s = sockets_free(s);
}

TEST(inherited_sockets_are_told_by_their_address)
{
	struct net_endpoint tcp = free_endpoint(SOCK_STREAM);
	struct net_endpoint udp = free_endpoint(SOCK_DGRAM);
	struct sockets *s;
	int fds[4], from[3], p[2];

	from[0] = net_bind(&tcp, SOCK_STREAM, false, NULL);
	from[1] = net_bind(&udp, SOCK_DGRAM, true, NULL);
	from[2] = net_bind(&udp, SOCK_DGRAM, true, NULL);
	CHECK(pipe(p) == 0);
	CHECK(from[2] == from[0] + 2 && p[0] == from[0] + 3);
	CHECK(sockets_new(&s, from[0], 4) == 0);
	/* The pipe is no socket and is closed. */
	CHECK(sockets_count(s) == 3);
	CHECK(close(p[0]) < 0);
	close(p[1]);
	/* More than wanted were inherited: each must be served. */
	CHECK(sockets_get(s, &udp, SOCK_DGRAM, 1, fds, 4, NULL) == 2);
	CHECK(sockets_get(s, &tcp, SOCK_STREAM, 1, fds, 4, NULL) == 1);
	CHECK(fds[0] == from[0]);
	s = sockets_free(s);
}

TEST(reload_commits_or_rolls_back)
{
	struct net_endpoint one = free_endpoint(SOCK_STREAM);
	struct net_endpoint two = free_endpoint(SOCK_STREAM);
	struct sockets *s;
	int fd;

	CHECK(sockets_new(&s, 3, 0) == 0);
	sockets_begin(s);
	CHECK(sockets_get(s, &one, SOCK_STREAM, 1, &fd, 1, NULL) == 1);
	sockets_commit(s);

	sockets_begin(s);
	CHECK(sockets_get(s, &two, SOCK_STREAM, 1, &fd, 1, NULL) == 1);
	sockets_rollback(s);
	CHECK(sockets_count(s) == 1);
	sockets_begin(s);
	CHECK(sockets_get(s, &two, SOCK_STREAM, 1, &fd, 1, NULL) == 1);
	sockets_commit(s);
	CHECK(sockets_count(s) == 1);
	CHECK(sockets_at(s, 0) == fd);
	s = sockets_free(s);
}

TEST(unix_socket_takes_over_from_a_crash_but_not_from_the_living)
{
	char path[] = "/tmp/okd-test-XXXXXX";
	struct sockets *a, *b;
	struct err err = ERR_INIT;

	CHECK(mkdtemp(path) != NULL);
	CHECK(chdir(path) == 0);
	CHECK(sockets_new(&a, 3, 0) == 0);
	CHECK(sockets_new(&b, 3, 0) == 0);
	CHECK(sockets_get_unix(a, "admin.sock", 0660, &err) >= 0);
	CHECK(sockets_get_unix(b, "admin.sock", 0660, &err) == -EADDRINUSE);
	/* What a kill -9 leaves behind: the file without a listener. */
	sockets_handed_over(a);
	a = sockets_free(a);
	CHECK(access("admin.sock", F_OK) == 0);
	CHECK(sockets_get_unix(b, "admin.sock", 0660, &err) >= 0);
	b = sockets_free(b);
	CHECK(access("admin.sock", F_OK) < 0);
	CHECK(chdir("/") == 0 && rmdir(path) == 0);
}
