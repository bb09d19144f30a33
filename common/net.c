/* Addresses and sockets: see net.h. */
#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"

#define BACKLOG 4096

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* ::ffff:a.b.c.d is a.b.c.d. */
static struct net_ip unmap(struct net_ip ip)
{
	struct net_ip v4 = { .family = 4 };

	if (ip.family != 6 || memcmp(ip.bytes, mapped_prefix, 12) != 0)
		return ip;
	memcpy(v4.bytes, ip.bytes + 12, 4);
	return v4;
}

int net_ip_parse(const char *s, struct net_ip *ret)
{
	struct net_ip ip = { 0 };

	if (inet_pton(AF_INET, s, ip.bytes) == 1)
		ip.family = 4;
	else if (inet_pton(AF_INET6, s, ip.bytes) == 1)
		ip.family = 6;
	else
		return -EINVAL;
	*ret = unmap(ip);
	return 0;
}

static void mask(struct net_ip *ip, unsigned prefix)
{
	size_t n = ip->family == 4 ? 4 : 16;

	for (size_t i = 0; i < n; i++) {
		unsigned bits = prefix > i * 8 ? MIN(prefix - i * 8, 8u) : 0;

		ip->bytes[i] &= (uint8_t)(0xff00 >> bits);
	}
}

int net_cidr_parse(const char *s, struct net_cidr *ret)
{
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char addr[NET_IP_MAX];
	struct net_cidr c;
	uint64_t prefix, longest;
	struct net_ip whole;

	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, s, n);
	addr[n] = '\0';
	if (net_ip_parse(addr, &c.ip) < 0)
		return -EINVAL;
	longest = strchr(addr, ':') ? 128 : 32;
	prefix = longest;
	if (slash && str_to_u64(slash + 1, longest, &prefix) < 0)
		return -EINVAL;
	if (longest == 128 && c.ip.family == 4) {
		/* A mapped network counts its 96 bits of prefix. */
		if (prefix < 96)
			return -EINVAL;
		prefix -= 96;
	}
	c.prefix = (uint8_t)prefix;
	whole = c.ip;
	mask(&c.ip, c.prefix);
	*ret = c;
	return net_ip_eq(&whole, &c.ip) ? 0 : -ERANGE;
}

int net_endpoint_parse(const char *s, uint16_t default_port, struct net_endpoint *ret)
{
	const char *colon = strrchr(s, ':'), *bracket = strchr(s, ']');
	struct net_endpoint e = { .port = default_port };
	char addr[NET_IP_MAX + 2];
	uint64_t port;
	size_t n;

	/* A bare IPv6 address has colons of its own. */
	if (colon &&
	    ((s[0] == '[' && bracket && colon < bracket) ||
		(s[0] != '[' && strchr(s, ':') != colon)))
		colon = NULL;
	if (colon) {
		if (str_to_u64(colon + 1, UINT16_MAX, &port) < 0)
			return -EINVAL;
		e.port = (uint16_t)port;
	} else if (!default_port) {
		return -EINVAL;
	}
	n = colon ? (size_t)(colon - s) : strlen(s);
	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, s, n);
	addr[n] = '\0';
	if (n >= 2 && addr[0] == '[' && addr[n - 1] == ']') {
		addr[n - 1] = '\0';
		if (net_ip_parse(addr + 1, &e.ip) < 0 || !strchr(addr + 1, ':'))
			return -EINVAL;
	} else if (n > 0 && !str_eq(addr, "*")) {
		if (net_ip_parse(addr, &e.ip) < 0)
			return -EINVAL;
	} else if (n == 0 && !colon) {
		return -EINVAL;
	}
	*ret = e;
	return 0;
}

const char *net_ip_format(const struct net_ip *ip, char buf[NET_IP_MAX])
{
	if (!ip->family)
		return strcpy(buf, "*");
	return inet_ntop(
	    ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, buf, NET_IP_MAX);
}

const char *net_cidr_format(const struct net_cidr *c, char buf[NET_CIDR_MAX])
{
	snprintf(buf, NET_CIDR_MAX, "%s/%u", net_ip_str(&c->ip), c->prefix);
	return buf;
}

const char *net_endpoint_format(
    const struct net_endpoint *e, char buf[NET_ENDPOINT_MAX])
{
	snprintf(buf, NET_ENDPOINT_MAX, e->ip.family == 6 ? "[%s]:%u" : "%s:%u",
	    net_ip_str(&e->ip), e->port);
	return buf;
}

bool net_ip_eq(const struct net_ip *a, const struct net_ip *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool net_ip_is_loopback(const struct net_ip *ip)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (ip->family == 4)
		return ip->bytes[0] == 127;
	return ip->family == 6 && memcmp(ip->bytes, one, 16) == 0;
}

bool net_cidr_has(const struct net_cidr *c, const struct net_ip *ip)
{
	struct net_ip masked = *ip;

	if (c->ip.family != ip->family)
		return false;
	mask(&masked, c->prefix);
	return net_ip_eq(&masked, &c->ip);
}

struct net_ip net_ip_from_sa(const struct sockaddr *sa, uint16_t *port)
{
	struct net_ip ip = { 0 };
	uint16_t p = 0;

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		ip.family = 4;
		memcpy(ip.bytes, &in->sin_addr, 4);
		p = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		ip.family = 6;
		memcpy(ip.bytes, &in6->sin6_addr, 16);
		p = ntohs(in6->sin6_port);
	}
	if (port)
		*port = p;
	return unmap(ip);
}

socklen_t net_endpoint_to_sa(const struct net_endpoint *e, union net_sockaddr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (e->ip.family == 4) {
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons(e->port);
		memcpy(&ret->in.sin_addr, e->ip.bytes, 4);
		return sizeof(ret->in);
	}
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = htons(e->port);
	memcpy(&ret->in6.sin6_addr, e->ip.bytes, 16);
	return sizeof(ret->in6);
}

static int set_opt(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_bind_options(int fd, int family, int type, bool any, bool reuse_port)
{
	int r = 0;

	if (type == SOCK_STREAM)
		r = set_opt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0 && reuse_port)
		r = set_opt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r == 0 && family == AF_INET6)
		r = set_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY, !any);
	if (r == 0)
		r = set_opt(fd, IPPROTO_IP, IP_FREEBIND, 1);
	if (r == 0 && type == SOCK_DGRAM)
		r = set_opt(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (r == 0 && type == SOCK_DGRAM && family == AF_INET6)
		r = set_opt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return r;
}

static int bind_failed(const struct net_endpoint *e, int type, int r, struct err *err)
{
	const char *proto = type == SOCK_STREAM ? "TCP" : "UDP";
	const char *where = net_endpoint_str(e);

	if (r == -EADDRINUSE)
		return err_set(err, r,
		    "%s port %u on %s is held by another program; `ss -%slnp 'sport = "
		    ":%u'` "
		    "names it",
		    proto, e->port, net_ip_str(&e->ip), type == SOCK_STREAM ? "t" : "u",
		    e->port);
	if (r == -EACCES)
		return err_set(err, r,
		    "may not bind %s %s: ports below %d need CAP_NET_BIND_SERVICE",
		    proto, where, 1024);
	return err_set(
	    err, r, "cannot listen on %s %s: %s", proto, where, strerror(-r));
}

int net_bind(const struct net_endpoint *e, int type, bool reuse_port, struct err *err)
{
	struct net_endpoint at = *e;
	_cleanup_(fd_closep) int fd = -1;
	union net_sockaddr sa;
	socklen_t len = net_endpoint_to_sa(&at, &sa);
	int r;

	fd = socket(sa.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && !at.ip.family) {
		/* IPv6 is switched off: every address then means every IPv4 address. */
		at.ip.family = 4;
		len = net_endpoint_to_sa(&at, &sa);
		fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		return bind_failed(e, type, -errno, err);
	r = set_bind_options(fd, sa.sa.sa_family, type, !e->ip.family, reuse_port);
	if (r < 0)
		return bind_failed(e, type, r, err);
	if (bind(fd, &sa.sa, len) < 0)
		return bind_failed(e, type, -errno, err);
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return bind_failed(e, type, -errno, err);
	return TAKE_FD(fd);
}

int net_bind_source(int fd, const struct net_ip *ip)
{
	struct net_endpoint e = { .ip = *ip };
	union net_sockaddr sa;
	socklen_t len = net_endpoint_to_sa(&e, &sa);
	int on = 1;

	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &sa.sa, len) < 0 ? -errno : 0;
}

enum net_accept net_accept_error(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return NET_ACCEPT_FULL;
	case EINVAL:
	case EBADF:
	case ENOTSOCK:
	case EOPNOTSUPP:
		return NET_ACCEPT_DEAD;
	default:
		return NET_ACCEPT_AGAIN;
	}
}

void net_relisten(int fd)
{
	/* A connection that a refusal leaves behind is not worth more than a pause. */
	int r = listen(fd, BACKLOG);

	(void)r;
}
