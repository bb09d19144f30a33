/* A worker's server on a loop of the test's own: no allocation for a query, batches in
 * full, nothing left unanswered. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <unistd.h>

#include "common/loop.h"
#include "dnsd/server.h"
#include "dnsd/udp.h"
#include "tests/unit/dnsd/dns.h"

static unsigned long allocations;
static unsigned long refused; /* the number of one that gets no memory; 0: none */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

/* In the place of libc's, for the libraries too. */
void *malloc(size_t n)
{
	return ++allocations == refused ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return ++allocations == refused ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return ++allocations == refused ? NULL : __libc_realloc(p, n);
}
#endif

struct fixture {
	struct loop *loop;
	struct server *server;
	struct tcp_limit *limit;
	struct server_settings settings;
	struct zone *zone;
	int fd, client;
};

static void fixture_init(struct fixture *f)
{
	static const char *const apexes[] = { ORIGIN, NULL };
	static const char *const lines[] = { "api A 10.0.0.1", "*.apps A 10.0.0.2",
		"s SRV 0 0 1 api", "c CNAME api", NULL };
	struct net_cidr any = { .ip.family = 4 };
	struct net_endpoint at = { .ip = { 4, { 127, 0, 0, 1 } } };
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	struct server_sockets sockets = { .udp = &f->fd, .n_udp = 1 };

	f->zone = zone_of(apexes, lines);
	CHECK(acl_init(&f->settings.acl, &any, 1) == 0);
	f->settings.tcp_idle = 1000;
	f->settings.tcp_queries = 10;
	CHECK(loop_new(&f->loop) == 0 && tcp_limit_new(&f->limit) == 0);
	CHECK(server_new(&f->server, f->loop, f->limit, NULL, NULL) == 0);
	f->fd = net_bind(&at, SOCK_DGRAM, false, NULL);
	CHECK(f->fd >= 0);
	server_configure(f->server, &f->settings);
	server_set_zone(f->server, f->zone);
	CHECK(server_listen(f->server, &sockets) == 0);
	f->client = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	CHECK(getsockname(f->fd, (struct sockaddr *)&sa, &len) == 0);
	CHECK(connect(f->client, (struct sockaddr *)&sa, len) == 0);
}

static void fixture_deinit(struct fixture *f)
{
	server_free(f->server);
	tcp_limit_free(f->limit);
	loop_free(f->loop);
	acl_deinit(&f->settings.acl);
	zone_free(f->zone);
	close(f->fd);
	close(f->client);
}

#define ANY_RCODE 16

static unsigned replies_with(struct fixture *f, unsigned rcode)
{
	static uint8_t in[DNS_MESSAGE_MAX];
	unsigned n = 0;

	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
	while (recv(f->client, in, sizeof(in), 0) > 0)
		n += rcode == ANY_RCODE || (get16(in + 2) & DNS_RCODE) == rcode;
	return n;
}

static unsigned replies(struct fixture *f)
{
	return replies_with(f, ANY_RCODE);
}

TEST(a_query_allocates_nothing)
{
	static const char *const names[] = { "api.okd.example.com.",
		"x.apps.okd.example.com.", "s.okd.example.com.", "c.okd.example.com.",
		"nobody.okd.example.com.", "www.example.org." };
	static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_SRV, DNS_ANY, DNS_SOA };
	static struct message m;
	struct fixture f = { 0 };
	unsigned long before;
	unsigned got = 0, sent = 0;

	fixture_init(&f);
	ask(&m, names[0], DNS_A, 0);
	CHECK(send(f.client, m.b, m.n, 0) > 0);
	CHECK(replies(&f) == 1);
	for (size_t i = 0; i < ARRAY_SIZE(names) * ARRAY_SIZE(types); i++) {
		ask(&m, names[i / ARRAY_SIZE(types)], types[i % ARRAY_SIZE(types)], 0);
		before = allocations;
		for (int k = 0; k < 30; k++)
			sent += send(f.client, m.b, m.n, 0) > 0;
		got += replies(&f);
		CHECK(allocations == before);
	}
	CHECK(got == sent && sent == 30 * ARRAY_SIZE(names) * ARRAY_SIZE(types));
	CHECK(allocations > 0 || !OWN_ALLOCATOR);
	fixture_deinit(&f);
}

TEST(batches_are_drained_whatever_their_size)
{
	static const unsigned sizes[] = { 1, UDP_BATCH - 1, UDP_BATCH, UDP_BATCH + 1,
		2 * UDP_BATCH, 3 * UDP_BATCH + 7 };
	static struct message good, bad;
	struct fixture f = { 0 };

	fixture_init(&f);
	ask(&good, "api.okd.example.com.", DNS_A, 0);
	ask(&bad, "api.okd.example.com.", DNS_A, DNS_QR);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned want = 0;

		for (unsigned k = 0; k < sizes[i]; k++) {
			struct message *m = k % 5 == 3 ? &bad : &good;

			CHECK(send(f.client, m->b, m->n, 0) > 0);
			want += m == &good;
		}
		CHECK(replies(&f) == want);
	}
	fixture_deinit(&f);
}

/* Of dnsd/wild.h, which has another struct message than these tests do. */
void wild_answer(struct wild_question *q);

/* The main thread, which is busy. */
struct questions {
	struct wild_question *list[UDP_BATCH * 2];
	unsigned n;
};

static void keep(struct wild_question *q, void *arg)
{
	struct questions *qs = arg;

	qs->list[qs->n++] = q;
}

TEST(wildcards_beyond_what_waits_are_failures)
{
	static struct questions qs;
	static struct message m;
	struct fixture f = { 0 };

	fixture_init(&f);
	CHECK(server_set_wild(f.server, keep, &qs) == 0);
	ask(&m, "*.any.okd.example.com.", DNS_A, DNS_RD);
	for (unsigned i = 0; i < UDP_BATCH * 3 / 2; i++)
		CHECK(send(f.client, m.b, m.n, 0) > 0);
	CHECK(replies_with(&f, DNS_SERVFAIL) == UDP_BATCH * 3 / 2 - 64);
	CHECK(qs.n == 64);
	/* The others have their answer, and there is room for more. */
	while (qs.n)
		wild_answer(qs.list[--qs.n]);
	CHECK(replies_with(&f, DNS_NXDOMAIN) == 64);
	CHECK(send(f.client, m.b, m.n, 0) > 0);
	CHECK(replies(&f) == 0 && qs.n == 1);
	wild_answer(qs.list[0]);
	CHECK(replies_with(&f, DNS_NXDOMAIN) == 1);
	fixture_deinit(&f);
}

TEST(a_wildcard_that_is_left_to_upstreams_without_memory)
{
	struct forward_loop loop = { 0 };
	static struct questions qs;
	static struct message m;
	struct server_settings settings;
	struct fixture f = { 0 };

	fixture_init(&f);
	settings = f.settings;
	settings.forward = (struct forward_settings){ .n_servers = 1,
		.max_concurrent = 10,
		.timeout_ms = 5000,
		.attempt_ms = 5000,
		.loop = &loop };
	settings.forward.servers[0].at =
	    (struct net_endpoint){ { 4, { 127, 0, 0, 1 } }, 9 };
	server_configure(f.server, &settings);
	CHECK(server_set_wild(f.server, keep, &qs) == 0);
	ask(&m, "www.any.example.org.", DNS_A, DNS_RD);
	/* The waiter's copy of the question, then the question of all who wait. */
	for (unsigned i = 1; OWN_ALLOCATOR && i <= 2; i++) {
		CHECK(send(f.client, m.b, m.n, 0) > 0);
		CHECK(replies(&f) == 0 && qs.n == 1);
		refused = allocations + i;
		wild_answer(qs.list[--qs.n]);
		CHECK(allocations >= refused);
		refused = 0;
		CHECK(replies_with(&f, DNS_SERVFAIL) == 1);
	}
	fixture_deinit(&f);
}
