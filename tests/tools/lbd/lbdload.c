/*
 * Load for a TCP balancer, and the server behind it.
 *
 *   lbdload serve              prints its port; echoes, or after a first byte of 'G' and
 *                              eight bytes of length sends so many bytes
 *   lbdload conn PORT N S [R]  N clients at a time for S seconds, each connecting,
 *                              sending 64 bytes, reading them back, closing, at most R
 *                              of them a second; prints how many
 *   lbdload rr PORT N S        the same over N connections that stay; prints round trips
 *   lbdload paced PORT N S R   R round trips a second over N connections, each counted
 *                              from when it was due; prints the median, the 99th and the
 *                              99.9th percentile in nanoseconds
 *   lbdload bulk PORT N MIB    N downloads of so many MiB at a time; prints the bytes
 *   lbdload idle PORT N        N silent connections; "ready", then waits for its input
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64, BUFFER = 1 << 18, EVENTS = 256 };

struct peer {
	int fd;
	uint64_t left; /* bytes to send or to receive */
	size_t got;
	double due;  /* when the round trip under way was to begin; 0: none is */
	double next; /* when that after it is to begin */
};

static int epfd;
static char buffer[BUFFER];
static uint64_t done;

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void watch(struct peer *p, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = p };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, p->fd, &ev) < 0)
		fail("epoll_ctl");
}

/* --- the server ---------------------------------------------------------------- */

static void stream(struct peer *p)
{
	while (p->left) {
		ssize_t n = send(
		    p->fd, buffer, p->left < BUFFER ? p->left : BUFFER, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		p->left -= (uint64_t)n;
	}
	shutdown(p->fd, SHUT_WR);
}

/* True when there may be more to read. */
static bool serve_some(struct peer *p)
{
	ssize_t n;

	if (p->left) {
		stream(p);
		return false;
	}
	n = recv(p->fd, buffer, BUFFER, 0);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		close(p->fd);
		free(p);
		return false;
	}
	if (buffer[0] == 'G' && n >= 9) {
		memcpy(&p->left, buffer + 1, 8);
		stream(p);
	} else {
		(void)!send(p->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	}
	return true;
}

static void accept_all(int lfd)
{
	int fd, on = 1;

	while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct peer *p = calloc(1, sizeof(*p));

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		p->fd = fd;
		watch(p, EPOLLIN | EPOLLOUT | EPOLLET);
	}
}

static void serve(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	struct peer listener = { .fd =
				     socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	struct epoll_event ev[EVENTS];

	if (bind(listener.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(listener.fd, 4096) < 0 ||
	    getsockname(listener.fd, (struct sockaddr *)&sa, &len) < 0)
		fail("listen");
	watch(&listener, EPOLLIN);
	printf("%d\n", ntohs(sa.sin_port));
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epfd, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &listener)
				accept_all(listener.fd);
			else
				while (serve_some(ev[i].data.ptr))
					;
		}
	}
}

/* --- the clients ----------------------------------------------------------------- */

static struct sockaddr_in target;
static double pace, due; /* connections a second; 0: as many as can be */

static void keep_pace(void)
{
	double now = seconds(), wait = due - now;
	struct timespec ts = { .tv_nsec = (long)(wait * 1e9) };

	if (pace <= 0)
		return;
	if (wait > 0 && wait < 1)
		nanosleep(&ts, NULL);
	/* What was late is not made up for. */
	due = (due > now - 0.1 ? due : now) + 1 / pace;
}

/* Connects at once: the balancer's queue is on this machine. */
static void dial(struct peer *p)
{
	int on = 1;

	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&target, sizeof(target)) < 0)
		fail("connect");
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p->got = 0;
}

static void send_piece(struct peer *p)
{
	if (send(p->fd, buffer, PIECE, MSG_NOSIGNAL) != PIECE)
		fail("send");
}

static void begin_conn(struct peer *p)
{
	dial(p);
	watch(p, EPOLLIN);
	send_piece(p);
}

static void on_conn(struct peer *p)
{
	ssize_t n = recv(p->fd, buffer, BUFFER, 0);

	if (n < 0)
		fail("recv");
	p->got += (size_t)n;
	if (p->got < PIECE && n > 0)
		return;
	if (n > 0) {
		shutdown(p->fd, SHUT_WR);
		return;
	}
	if (p->got != PIECE)
		fail("a short reply");
	close(p->fd);
	done++;
	keep_pace();
	begin_conn(p);
}

static void on_rr(struct peer *p)
{
	ssize_t n = recv(p->fd, buffer, BUFFER, 0);

	if (n <= 0)
		fail("recv");
	p->got += (size_t)n;
	if (p->got < PIECE)
		return;
	p->got = 0;
	done++;
	send_piece(p);
}

static void run(struct peer *peers, size_t n, double s, void (*on)(struct peer *p))
{
	struct epoll_event ev[EVENTS];
	double end = seconds() + s;

	(void)peers;
	(void)n;
	while (seconds() < end) {
		int k = epoll_wait(epfd, ev, EVENTS, 100);

		for (int i = 0; i < k; i++)
			on(ev[i].data.ptr);
	}
	printf("%llu\n", (unsigned long long)done);
}

/* --- a steady pace ---------------------------------------------------------------- */

enum { BUCKETS = 1 << 20, BUCKET_NS = 100 };
static uint32_t histogram[BUCKETS];

static void on_paced(struct peer *p)
{
	ssize_t n = recv(p->fd, buffer, BUFFER, 0);
	double took;
	size_t at;

	if (n <= 0)
		fail("recv");
	p->got += (size_t)n;
	if (p->got < PIECE)
		return;
	took = (seconds() - p->due) * 1e9 / BUCKET_NS;
	at = took < 0 ? 0 : (size_t)took;
	histogram[at < BUCKETS ? at : BUCKETS - 1]++;
	p->got = 0;
	p->due = 0;
	done++;
}

static unsigned long long percentile(double part)
{
	uint64_t want = (uint64_t)((double)done * part), sum = 0;
	size_t i = 0;

	while (i < BUCKETS - 1 && (sum += histogram[i]) <= want)
		i++;
	return (unsigned long long)i * BUCKET_NS;
}

/* A connection whose reply is late holds up its own turns alone, and they are counted
 * from when they were due. */
static void take_turn(struct peer *p, double now, double every)
{
	if (p->due > 0 || p->next > now)
		return;
	p->due = p->next;
	p->next += every;
	send_piece(p);
}

/* Sleeps between the turns: one that spins would keep the server behind the balancer from
 * the core that both share. */
static void paced(struct peer *peers, size_t n, double s, double rate)
{
	double begin = seconds(), now = begin, every = (double)n / rate;
	struct epoll_event ev[EVENTS];
	uint64_t turn = 0;

	for (size_t i = 0; i < n; i++) {
		dial(&peers[i]);
		watch(&peers[i], EPOLLIN);
		peers[i].next = begin + (double)i / rate;
	}
	for (; now < begin + s; now = seconds()) {
		double at = begin + (double)turn / rate;
		struct timespec left = { .tv_nsec = (long)((at - now) * 1e9) };
		int k;

		if (at <= now) {
			take_turn(&peers[turn++ % n], now, every);
			continue;
		}
		k = epoll_pwait2(epfd, ev, EVENTS, &left, NULL);
		now = seconds();
		for (int e = 0; e < k; e++) {
			on_paced(ev[e].data.ptr);
			take_turn(ev[e].data.ptr, now, every);
		}
	}
	printf(
	    "%llu %llu %llu\n", percentile(0.5), percentile(0.99), percentile(0.999));
}

static void bulk(size_t n, uint64_t bytes)
{
	struct epoll_event ev[EVENTS];
	size_t open_n = n;
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		struct peer *p = calloc(1, sizeof(*p));
		char ask[9] = "G";

		memcpy(ask + 1, &bytes, 8);
		dial(p);
		watch(p, EPOLLIN);
		if (send(p->fd, ask, sizeof(ask), MSG_NOSIGNAL) != sizeof(ask))
			fail("send");
	}
	while (open_n) {
		int k = epoll_wait(epfd, ev, EVENTS, 10000);

		if (k <= 0)
			fail("no progress");
		for (int i = 0; i < k; i++) {
			struct peer *p = ev[i].data.ptr;
			/* Not copied: what is measured is the balancer. */
			ssize_t r = recv(p->fd, NULL, 1 << 24, MSG_TRUNC);

			if (r > 0) {
				total += (uint64_t)r;
				continue;
			}
			close(p->fd);
			free(p);
			open_n--;
		}
	}
	if (total != n * bytes)
		fail("bytes are missing");
	printf("%llu\n", (unsigned long long)total);
}

static void idle(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct peer p;

		dial(&p);
	}
	printf("ready\n");
	fflush(stdout);
	(void)!read(0, buffer, 1);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	size_t n = argc > 3 ? (size_t)atoi(argv[3]) : 0;
	struct peer *peers = calloc(n + 1, sizeof(*peers));

	epfd = epoll_create1(0);
	if (strcmp(mode, "serve") == 0)
		serve();
	if (argc < 4) {
		fprintf(stderr, "see the head of tests/tools/lbd/lbdload.c\n");
		return 64;
	}
	target = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(argv[2])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (strcmp(mode, "idle") == 0) {
		idle(n);
	} else if (strcmp(mode, "bulk") == 0) {
		bulk(n, (uint64_t)atoi(argv[4]) << 20);
	} else if (strcmp(mode, "paced") == 0 && argc > 5) {
		paced(peers, n, atof(argv[4]), atof(argv[5]));
	} else {
		for (size_t i = 0; i < n; i++)
			begin_conn(&peers[i]);
		pace = argc > 5 ? atof(argv[5]) : 0;
		due = seconds();
		run(peers, n, atof(argv[4]), mode[0] == 'c' ? on_conn : on_rr);
	}
	free(peers);
	return 0;
}
