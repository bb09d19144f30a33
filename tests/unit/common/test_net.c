/* Every form of addresses, networks and endpoints, there and back. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/net.h"
#include "common/str.h"

static const struct {
	const char *text, *expected; /* NULL: refused */
} ips[] = {
	{ "1.2.3.4", "1.2.3.4" },
	{ "0.0.0.0", "0.0.0.0" },
	{ "::", "::" },
	{ "::1", "::1" },
	{ "2001:DB8:0:0::1", "2001:db8::1" },
	{ "::ffff:1.2.3.4", "1.2.3.4" },
	{ "::ffff:102:304", "1.2.3.4" },
	{ "::1.2.3.4", "::1.2.3.4" },
	{ "", NULL },
	{ "*", NULL },
	{ "1.2.3", NULL },
	{ "1.2.3.4.5", NULL },
	{ "1.2.3.256", NULL },
	{ "1.2.3.04", NULL },
	{ " 1.2.3.4", NULL },
	{ "1.2.3.4 ", NULL },
	{ "fe80::1%eth0", NULL },
	{ "[::1]", NULL },
	{ "localhost", NULL },
};

TEST(ip)
{
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++) {
		struct net_ip ip = { 0 };
		int r = net_ip_parse(ips[i].text, &ip);
		bool ok = ips[i].expected
		    ? r == 0 && str_eq(net_ip_str(&ip), ips[i].expected)
		    : r == -EINVAL;

		CHECK(ok);
		if (!ok)
			printf("# %s: %d %s\n", ips[i].text, r, net_ip_str(&ip));
	}
}

static const struct {
	const char *text;
	int r;
	const char *expected;
} cidrs[] = {
	{ "192.168.120.0/24", 0, "192.168.120.0/24" },
	{ "192.168.120.1", 0, "192.168.120.1/32" },
	{ "::1", 0, "::1/128" },
	{ "0.0.0.0/0", 0, "0.0.0.0/0" },
	{ "::/0", 0, "::/0" },
	{ "10.128.0.0/9", 0, "10.128.0.0/9" },
	{ "2001:db8:8000::/33", 0, "2001:db8:8000::/33" },
	{ "::ffff:10.0.0.0/104", 0, "10.0.0.0/8" },
	{ "::ffff:10.0.0.1", 0, "10.0.0.1/32" },
	{ "::ffff:0.0.0.0/96", 0, "0.0.0.0/0" },
	{ "192.168.120.7/24", -ERANGE, "192.168.120.0/24" },
	{ "10.192.0.0/9", -ERANGE, "10.128.0.0/9" },
	{ "2001:db8:c000::/33", -ERANGE, "2001:db8:8000::/33" },
	{ "::ffff:10.0.0.1/104", -ERANGE, "10.0.0.0/8" },
	{ "::ffff:10.0.0.0/24", -EINVAL, NULL },
	{ "1.2.3.4/33", -EINVAL, NULL },
	{ "::/129", -EINVAL, NULL },
	{ "1.2.3.4/", -EINVAL, NULL },
	{ "1.2.3.0/24/24", -EINVAL, NULL },
	{ "1.2.3.0/+24", -EINVAL, NULL },
	{ "/24", -EINVAL, NULL },
	{ "", -EINVAL, NULL },
	{ "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8", -EINVAL, NULL },
};

TEST(cidr)
{
	for (size_t i = 0; i < ARRAY_SIZE(cidrs); i++) {
		struct net_cidr c = { 0 };
		int r = net_cidr_parse(cidrs[i].text, &c);
		bool ok = r == cidrs[i].r &&
		    (!cidrs[i].expected || str_eq(net_cidr_str(&c), cidrs[i].expected));

		CHECK(ok);
		if (!ok)
			printf("# %s: %d %s\n", cidrs[i].text, r, net_cidr_str(&c));
	}
}

TEST(cidr_has)
{
	struct net_cidr c;
	struct net_ip ip;

	CHECK(net_cidr_parse("10.128.0.0/9", &c) == 0);
	CHECK(net_ip_parse("10.255.255.255", &ip) == 0 && net_cidr_has(&c, &ip));
	CHECK(net_ip_parse("10.127.255.255", &ip) == 0 && !net_cidr_has(&c, &ip));
	CHECK(net_ip_parse("::ffff:10.128.0.0", &ip) == 0 && net_cidr_has(&c, &ip));
	CHECK(net_ip_parse("::", &ip) == 0 && !net_cidr_has(&c, &ip));
	CHECK(net_cidr_parse("::/0", &c) == 0);
	CHECK(net_cidr_has(&c, &ip));
	CHECK(net_ip_parse("1.2.3.4", &ip) == 0 && !net_cidr_has(&c, &ip));
	CHECK(net_cidr_parse("0.0.0.0/0", &c) == 0 && net_cidr_has(&c, &ip));
}

static const struct {
	const char *text;
	uint16_t default_port;
	const char *expected; /* NULL: refused */
} endpoints[] = {
	{ "1.2.3.4:53", 0, "1.2.3.4:53" },
	{ "1.2.3.4:0", 0, "1.2.3.4:0" },
	{ "1.2.3.4", 53, "1.2.3.4:53" },
	{ "1.2.3.4", 0, NULL },
	{ "[::1]:53", 0, "[::1]:53" },
	{ "[::1]", 53, "[::1]:53" },
	{ "[::1]", 0, NULL },
	{ "::1", 53, "[::1]:53" },
	{ "::1", 0, NULL },
	{ "2001:db8::1:53", 5353, "[2001:db8::1:53]:5353" },
	{ "[::ffff:1.2.3.4]:53", 0, "1.2.3.4:53" },
	{ "[::]:53", 0, "[::]:53" },
	{ ":5000", 0, "*:5000" },
	{ "*:6443", 0, "*:6443" },
	{ "*", 80, "*:80" },
	{ "*", 0, NULL },
	{ "", 80, NULL },
	{ ":", 80, NULL },
	{ "[]:80", 0, NULL },
	{ "[1.2.3.4]:53", 0, NULL },
	{ "[::1]53", 53, NULL },
	{ "[::1]:", 53, NULL },
	{ "[::1", 53, NULL },
	{ "::1]:53", 53, NULL },
	{ "[::1]x:53", 53, NULL },
	{ "[*]:53", 53, NULL },
	{ "1.2.3.4:65536", 0, NULL },
	{ "1.2.3.4:-1", 0, NULL },
	{ "1.2.3.4:+1", 0, NULL },
	{ "1.2.3.4: 1", 0, NULL },
	{ "1.2.3.4:53:53", 0, NULL },
	{ "localhost:53", 0, NULL },
	{ "53", 53, NULL },
	{ "1.2.3.4/24", 53, NULL },
	{ "fe80::1%eth0", 53, NULL },
};

TEST(endpoint)
{
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		const char *text = endpoints[i].text, *expected = endpoints[i].expected;
		struct net_endpoint e = { 0 }, again;
		int r = net_endpoint_parse(text, endpoints[i].default_port, &e);
		bool ok = expected ? r == 0 && str_eq(net_endpoint_str(&e), expected)
				   : r == -EINVAL;

		CHECK(ok);
		if (!ok)
			printf("# %s: %d %s\n", text, r, net_endpoint_str(&e));
		if (!expected)
			continue;
		CHECK(net_endpoint_parse(expected, 0, &again) == 0);
		CHECK(net_ip_eq(&e.ip, &again.ip) && e.port == again.port);
	}
}

TEST(socket_addresses)
{
	union net_sockaddr sa;
	struct net_endpoint e;
	struct net_ip ip;
	uint16_t port = 0;

	CHECK(net_endpoint_parse("1.2.3.4:53", 0, &e) == 0);
	CHECK(net_endpoint_to_sa(&e, &sa) == sizeof(sa.in));
	ip = net_ip_from_sa(&sa.sa, &port);
	CHECK(net_ip_eq(&ip, &e.ip) && port == 53);
	CHECK(net_endpoint_parse("[2001:db8::1]:53", 0, &e) == 0);
	CHECK(net_endpoint_to_sa(&e, &sa) == sizeof(sa.in6));
	ip = net_ip_from_sa(&sa.sa, NULL);
	CHECK(net_ip_eq(&ip, &e.ip));
	CHECK(inet_pton(AF_INET6, "::ffff:1.2.3.4", &sa.in6.sin6_addr) == 1);
	ip = net_ip_from_sa(&sa.sa, NULL);
	CHECK(str_eq(net_ip_str(&ip), "1.2.3.4"));
	CHECK(net_endpoint_parse(":80", 0, &e) == 0);
	CHECK(net_endpoint_to_sa(&e, &sa) == sizeof(sa.in6));
	CHECK(
	    sa.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sa.in6.sin6_addr));
}

TEST(loopback)
{
	static const char *const yes[] = { "127.0.0.1", "127.255.0.1", "::1",
		"::ffff:127.0.0.1" };
	static const char *const no[] = { "128.0.0.1", "::", "::2", "0.0.0.0" };
	struct net_ip ip;

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		CHECK(net_ip_parse(yes[i], &ip) == 0 && net_ip_is_loopback(&ip));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		CHECK(net_ip_parse(no[i], &ip) == 0 && !net_ip_is_loopback(&ip));
}

TEST(bind_names_the_port_in_use)
{
	_cleanup_(fd_closep) int first = -1, second = -1;
	struct net_endpoint e;
	union net_sockaddr sa;
	socklen_t len = sizeof(sa);
	struct err err = ERR_INIT;
	char port[16];

	CHECK(net_endpoint_parse("127.0.0.1:0", 0, &e) == 0);
	first = net_bind(&e, SOCK_STREAM, false, &err);
	CHECK(first >= 0 && getsockname(first, &sa.sa, &len) == 0);
	e.ip = net_ip_from_sa(&sa.sa, &e.port);
	second = net_bind(&e, SOCK_STREAM, false, &err);
	CHECK(second == -EADDRINUSE);
	snprintf(port, sizeof(port), "port %u", e.port);
	CHECK(strstr(err.text, port) && strstr(err.text, "127.0.0.1"));
}
