/* The PROXY protocol: see proxyproto.h. */
#include "lbd/proxyproto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* The next word of a line of blank-separated words; NULL at its end or when the blank
 * is not exactly one. */
static char *next_word(char **at)
{
	char *word = *at, *end;

	if (!word || !*word || *word == ' ')
		return NULL;
	end = strchr(word, ' ');
	if (end)
		*end++ = '\0';
	*at = end;
	return word;
}

static int parse_end(
    const char *ip, const char *port, unsigned family, struct net_endpoint *ret)
{
	uint64_t n;

	if (!ip || !port || strlen(port) > 5 || (port[0] == '0' && port[1]))
		return -EBADMSG;
	/* A mapped address in the sixth family becomes one of the fourth. */
	if (net_ip_parse(ip, &ret->ip) < 0 ||
	    (strchr(ip, ':') != NULL) != (family == 6))
		return -EBADMSG;
	if (str_to_u64(port, 65535, &n) < 0)
		return -EBADMSG;
	ret->port = (uint16_t)n;
	return 0;
}

/* "PROXY TCP4 a b p q", without the line end. */
static int parse_line(char *line, struct proxyproto *h)
{
	char *at = line + 6, *family = next_word(&at);
	char *from = at, *to, *from_port, *to_port;
	unsigned f;

	if (!family)
		return -EBADMSG;
	if (str_eq(family, "UNKNOWN"))
		return 0; /* the rest of the line is to be ignored */
	f = str_eq(family, "TCP4") ? 4 : str_eq(family, "TCP6") ? 6 : 0;
	from = next_word(&at);
	to = next_word(&at);
	from_port = next_word(&at);
	to_port = next_word(&at);
	if (!f || at || parse_end(from, from_port, f, &h->from) < 0)
		return -EBADMSG;
	return parse_end(to, to_port, f, &h->to);
}

static ssize_t parse_v1(const char *p, size_t n, struct proxyproto *h)
{
	const char *end = memchr(p, '\n', MIN(n, (size_t)PROXYPROTO_V1_MAX));
	char line[PROXYPROTO_V1_MAX + 1];
	size_t len;

	if (!end)
		return n >= PROXYPROTO_V1_MAX ? -EBADMSG : -EAGAIN;
	len = (size_t)(end - p);
	if (len < 7 || p[len - 1] != '\r' || memchr(p, '\0', len))
		return -EBADMSG;
	memcpy(line, p, len - 1);
	line[len - 1] = '\0';
	return parse_line(line, h) < 0 ? -EBADMSG : (ssize_t)len + 1;
}

static void endpoint_from(
    struct net_endpoint *e, int family, const uint8_t *ip, const uint8_t *port)
{
	union net_sockaddr sa = { .sa.sa_family = (sa_family_t)family };

	if (family == AF_INET)
		memcpy(&sa.in.sin_addr, ip, 4);
	else
		memcpy(&sa.in6.sin6_addr, ip, 16);
	e->ip = net_ip_from_sa(&sa.sa, NULL);
	e->port = (uint16_t)(port[0] << 8 | port[1]);
}

static ssize_t parse_v2(const uint8_t *p, size_t n, struct proxyproto *h)
{
	size_t len;
	unsigned command, family;

	if (n < 16)
		return -EAGAIN;
	command = p[12];
	family = p[13];
	len = (size_t)(p[14] << 8 | p[15]);
	if (command != 0x20 && command != 0x21)
		return -EBADMSG;
	if ((family == 0x11 && len < 12) || (family == 0x21 && len < 36))
		return -EBADMSG;
	if (n < 16 + len)
		return -EAGAIN;
	if (command == 0x21 && family == 0x11) {
		endpoint_from(&h->from, AF_INET, p + 16, p + 24);
		endpoint_from(&h->to, AF_INET, p + 20, p + 26);
	} else if (command == 0x21 && family == 0x21) {
		endpoint_from(&h->from, AF_INET6, p + 16, p + 48);
		endpoint_from(&h->to, AF_INET6, p + 32, p + 50);
	}
	return (ssize_t)(16 + len);
}

ssize_t proxyproto_parse(const void *p, size_t n, struct proxyproto *ret)
{
	struct proxyproto h = { 0 };
	ssize_t len;

	if (memcmp(p, signature, MIN(n, sizeof(signature))) == 0)
		len = n < sizeof(signature) ? -EAGAIN : parse_v2(p, n, &h);
	else if (memcmp(p, "PROXY ", MIN(n, 6u)) == 0)
		len = n < 6 ? -EAGAIN : parse_v1(p, n, &h);
	else
		len = -EBADMSG;
	if (len > 0)
		*ret = h;
	return len;
}

/* Both ends in one family: an IPv4 one is written as mapped beside an IPv6 one. */
static void as_in6(const struct net_ip *ip, struct in6_addr *to)
{
	memset(to, 0, sizeof(*to));
	if (ip->family == 6) {
		memcpy(to, ip->bytes, 16);
		return;
	}
	to->s6_addr[10] = to->s6_addr[11] = 0xff;
	memcpy(to->s6_addr + 12, ip->bytes, 4);
}

static size_t format_v1(const struct proxyproto *h, char *buf)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	bool v4 = h->from.ip.family == 4 && h->to.ip.family == 4;
	struct in6_addr a, b;

	if (!h->from.ip.family || !h->to.ip.family)
		return (size_t)snprintf(
		    buf, PROXYPROTO_FORMAT_MAX, "PROXY UNKNOWN\r\n");
	as_in6(&h->from.ip, &a);
	as_in6(&h->to.ip, &b);
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (const void *)h->from.ip.bytes : &a,
	    from, sizeof(from));
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (const void *)h->to.ip.bytes : &b, to,
	    sizeof(to));
	return (size_t)snprintf(buf, PROXYPROTO_FORMAT_MAX, "PROXY %s %s %s %u %u\r\n",
	    v4 ? "TCP4" : "TCP6", from, to, h->from.port, h->to.port);
}

static size_t format_v2(const struct proxyproto *h, uint8_t *p)
{
	bool v4 = h->from.ip.family == 4 && h->to.ip.family == 4;
	bool known = h->from.ip.family && h->to.ip.family;
	size_t size = v4 ? 4 : 16, len = known ? 2 * size + 4 : 0;
	struct in6_addr a, b;

	memcpy(p, signature, sizeof(signature));
	p[12] = known ? 0x21 : 0x20;
	p[13] = !known ? 0 : v4 ? 0x11 : 0x21;
	p[14] = 0;
	p[15] = (uint8_t)len;
	if (!known)
		return 16;
	as_in6(&h->from.ip, &a);
	as_in6(&h->to.ip, &b);
	memcpy(p + 16, v4 ? h->from.ip.bytes : a.s6_addr, size);
	memcpy(p + 16 + size, v4 ? h->to.ip.bytes : b.s6_addr, size);
	p += 16 + 2 * size;
	p[0] = (uint8_t)(h->from.port >> 8);
	p[1] = (uint8_t)h->from.port;
	p[2] = (uint8_t)(h->to.port >> 8);
	p[3] = (uint8_t)h->to.port;
	return 16 + len;
}

size_t proxyproto_format(
    const struct proxyproto *h, unsigned version, char buf[PROXYPROTO_FORMAT_MAX])
{
	return version == 1 ? format_v1(h, buf) : format_v2(h, (uint8_t *)buf);
}
