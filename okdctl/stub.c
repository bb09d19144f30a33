/* One question to one DNS server: see stub.h. */
#include "okdctl/stub.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"

#define HEADER 12
#define MAX_NAME 255
#define MAX_JUMPS 32
#define EDNS_SIZE 1232

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A name in wire form at p, of which there is room for 255 bytes: its length. */
static int put_name(uint8_t *p, const char *name)
{
	size_t at = 0;

	while (*name) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > 63 || at + n + 2 > MAX_NAME)
			return -EINVAL;
		p[at++] = (uint8_t)n;
		memcpy(p + at, name, n);
		at += n;
		name += n;
		name += *name == '.';
	}
	p[at++] = 0;
	return (int)at;
}

int stub_query(
    uint8_t buf[STUB_QUERY_MAX], uint16_t id, const char *name, enum stub_type type)
{
	static const uint8_t opt[] = { 0, 0, 41, EDNS_SIZE >> 8, EDNS_SIZE & 255, 0, 0,
		0, 0, 0, 0 };
	int n;

	memset(buf, 0, HEADER);
	put16(buf, id);
	buf[2] = 1; /* RD */
	buf[5] = 1; /* one question */
	buf[11] = 1;
	n = put_name(buf + HEADER, name);
	if (n < 0)
		return n;
	n += HEADER;
	put16(buf + n, type);
	put16(buf + n + 2, 1); /* IN */
	memcpy(buf + n + 4, opt, sizeof(opt));
	return n + 4 + (int)sizeof(opt);
}

/* --- reading ------------------------------------------------------------ */

struct reader {
	const uint8_t *p;
	size_t n, at;
};

/* A name as text, lower case, without a final dot; the reader moves behind it. */
static int read_name(struct reader *r, char out[MAX_NAME + 1])
{
	size_t at = r->at, len = 0;
	unsigned jumps = 0;
	bool moved = false;

	for (;;) {
		if (at >= r->n)
			return -EBADMSG;
		if ((r->p[at] & 0xc0) == 0xc0) {
			if (at + 1 >= r->n || ++jumps > MAX_JUMPS)
				return -EBADMSG;
			if (!moved)
				r->at = at + 2;
			moved = true;
			at = get16(r->p + at) & 0x3fff;
			continue;
		}
		if (r->p[at] > 63 || at + 1 + r->p[at] > r->n ||
		    len + r->p[at] + 1 > MAX_NAME)
			return -EBADMSG;
		if (r->p[at] == 0)
			break;
		if (len)
			out[len++] = '.';
		for (unsigned i = 1; i <= r->p[at]; i++) {
			uint8_t c = r->p[at + i];

			out[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32
				: c > ' ' && c < 127             ? c
								 : '?');
		}
		at += 1u + r->p[at];
	}
	if (!moved)
		r->at = at + 1;
	out[len] = '\0';
	return 0;
}

static int add_address(
    struct stub_answer *a, const uint8_t *p, unsigned len, unsigned type)
{
	struct net_ip ip = { .family = type == STUB_A ? 4 : 6 };

	if (len != (type == STUB_A ? 4u : 16u))
		return -EBADMSG;
	memcpy(ip.bytes, p, len);
	return words_add(&a->records, net_ip_str(&ip));
}

static int add_srv(struct stub_answer *a, struct reader *r, size_t end)
{
	char name[MAX_NAME + 1], text[MAX_NAME + 32];
	const uint8_t *p = r->p + r->at;

	if (end - r->at < 7)
		return -EBADMSG;
	r->at += 6;
	if (read_name(r, name) < 0 || r->at != end)
		return -EBADMSG;
	snprintf(text, sizeof(text), "%u %u %u %s", get16(p), get16(p + 2),
	    get16(p + 4), name);
	return words_add(&a->records, text);
}

static int read_record(struct reader *r, unsigned wanted, struct stub_answer *a)
{
	char name[MAX_NAME + 1];
	unsigned type, len;
	size_t end;
	int e = read_name(r, name);

	if (e < 0 || r->n - r->at < 10)
		return -EBADMSG;
	type = get16(r->p + r->at);
	len = get16(r->p + r->at + 8);
	r->at += 10;
	if (r->n - r->at < len)
		return -EBADMSG;
	end = r->at + len;
	if (type != wanted)
		e = 0; /* a CNAME on the way */
	else if (type == STUB_A || type == STUB_AAAA)
		e = add_address(a, r->p + r->at, len, type);
	else if (type == STUB_SRV)
		e = add_srv(a, r, end);
	else if (read_name(r, name) < 0 || r->at != end)
		e = -EBADMSG;
	else
		e = words_add(&a->records, name);
	r->at = end;
	return e;
}

static int read_answers(struct reader *r, unsigned wanted, struct stub_answer *a)
{
	int e = 0;

	for (unsigned i = get16(r->p + 6); e == 0 && i > 0; i--)
		e = read_record(r, wanted, a);
	return e;
}

int stub_parse(const uint8_t *p, size_t n, const uint8_t *query, size_t query_len,
    struct stub_answer *ret)
{
	struct stub_answer a = { 0 };
	struct reader r = { p, n, HEADER }, q = { query, query_len, HEADER };
	char asked[MAX_NAME + 1], name[MAX_NAME + 1];
	unsigned type;
	int e;

	if (n < HEADER)
		return -EBADMSG;
	if (get16(p) != get16(query) || !(p[2] & 0x80))
		return -EAGAIN;
	a.rcode = p[3] & 15;
	a.truncated = p[2] & 2;
	if (get16(p + 4) != 1 || read_name(&q, asked) < 0 || read_name(&r, name) < 0 ||
	    r.n - r.at < 4)
		return -EBADMSG;
	if (strcmp(asked, name) != 0 || memcmp(p + r.at, query + q.at, 4) != 0)
		return -EAGAIN;
	type = get16(p + r.at);
	r.at += 4;
	e = a.truncated ? 0 : read_answers(&r, type, &a);
	if (e < 0) {
		stub_answer_deinit(&a);
		return e;
	}
	*ret = a;
	return 0;
}

void stub_answer_deinit(struct stub_answer *a)
{
	words_deinit(&a->records);
	*a = (struct stub_answer){ 0 };
}

/* --- asking ------------------------------------------------------------- */

static int dial(const struct net_endpoint *server, int type)
{
	union net_sockaddr sa;
	socklen_t len = net_endpoint_to_sa(server, &sa);
	_cleanup_(fd_closep) int fd = socket(sa.sa.sa_family, type | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = 2 };

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, &sa.sa, len) < 0)
		return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	return TAKE_FD(fd);
}

/* The next piece within the deadline. */
static ssize_t receive(int fd, void *p, size_t n, uint64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t now = clock_boot_ms();
	ssize_t got;

	if (now >= deadline || poll(&pfd, 1, (int)(deadline - now)) <= 0)
		return -ETIMEDOUT;
	got = recv(fd, p, n, 0);
	return got < 0 ? -errno : got;
}

static int ask_udp(const struct net_endpoint *server, const uint8_t *query, size_t len,
    uint64_t deadline, struct stub_answer *ret)
{
	_cleanup_(fd_closep) int fd = dial(server, SOCK_DGRAM);
	uint8_t buf[4096];
	int r = fd < 0 ? fd : -EAGAIN;

	if (fd >= 0 && send(fd, query, len, 0) < 0)
		return -errno;
	while (r == -EAGAIN) {
		ssize_t n = receive(fd, buf, sizeof(buf), deadline);

		r = n < 0 ? (int)n : stub_parse(buf, (size_t)n, query, len, ret);
	}
	return r;
}

static int ask_tcp(const struct net_endpoint *server, const uint8_t *query, size_t len,
    uint64_t deadline, struct stub_answer *ret)
{
	_cleanup_(fd_closep) int fd = dial(server, SOCK_STREAM);
	_cleanup_(freep) uint8_t *buf = malloc(65537 + 2);
	size_t have = 0;
	uint8_t head[2];

	if (fd < 0 || !buf)
		return fd < 0 ? fd : -ENOMEM;
	put16(head, (unsigned)len);
	if (send(fd, head, 2, MSG_NOSIGNAL | MSG_MORE) != 2 ||
	    send(fd, query, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -errno;
	while (have < 2 || have < 2u + get16(buf)) {
		ssize_t n = receive(fd, buf + have, 65537 - have, deadline);

		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
		have += (size_t)n;
	}
	return stub_parse(buf + 2, get16(buf), query, len, ret);
}

int stub_ask(const struct net_endpoint *server, const char *name, enum stub_type type,
    int timeout_ms, struct stub_answer *ret)
{
	uint64_t end = clock_boot_ms() + (uint64_t)timeout_ms;
	uint8_t query[STUB_QUERY_MAX];
	uint16_t id;
	int len, r = -ETIMEDOUT;

	random_bytes(&id, sizeof(id));
	len = stub_query(query, id, name, type);
	if (len < 0)
		return len;
	for (unsigned i = 0; r == -ETIMEDOUT && i < 3; i++) {
		uint64_t now = clock_boot_ms();

		if (now < end)
			r = ask_udp(server, query, (size_t)len,
			    now + (end - now) / (3 - i), ret);
	}
	if (r == 0 && ret->truncated) {
		stub_answer_deinit(ret);
		r = ask_tcp(server, query, (size_t)len, end, ret);
	}
	return r;
}

int stub_ask_tcp(const struct net_endpoint *server, const char *name,
    enum stub_type type, int timeout_ms, struct stub_answer *ret)
{
	uint8_t query[STUB_QUERY_MAX];
	uint16_t id;
	int len;

	random_bytes(&id, sizeof(id));
	len = stub_query(query, id, name, type);
	return len < 0 ? len
		       : ask_tcp(server, query, (size_t)len,
			     clock_boot_ms() + (uint64_t)timeout_ms, ret);
}

const char *stub_reverse(const struct net_ip *ip, char buf[STUB_REVERSE_MAX])
{
	char *at = buf;

	if (ip->family == 4) {
		snprintf(buf, STUB_REVERSE_MAX, "%u.%u.%u.%u.in-addr.arpa",
		    ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
		return buf;
	}
	for (int i = 15; i >= 0; i--)
		at += sprintf(at, "%x.%x.", ip->bytes[i] & 15, ip->bytes[i] >> 4);
	snprintf(at, (size_t)(buf + STUB_REVERSE_MAX - at), "ip6.arpa");
	return buf;
}

const char *stub_rcode(int rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL",
		"NXDOMAIN", "NOTIMP", "REFUSED" };

	return rcode >= 0 && rcode < (int)ARRAY_SIZE(names) ? names[rcode]
							    : "an odd code";
}
