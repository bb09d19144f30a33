/*
 * Addresses, networks and listening sockets, of either family.  IPv4-mapped IPv6
 * addresses are turned into IPv4 wherever an address comes in.
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base.h"
#include "common/err.h"

/* An IPv4 or IPv6 address without a port.  All zero (family 0) means none. */
struct net_ip {
	uint8_t family; /* 4, 6 or 0 */
	uint8_t
	    bytes[16]; /* network order; IPv4 uses the first four, the rest are zero */
};

struct net_cidr {
	struct net_ip ip; /* host bits are zero */
	uint8_t prefix;
};

/* What bind() and connect() take.  "*:80" is any address of both families: family 0. */
struct net_endpoint {
	struct net_ip ip;
	uint16_t port;
};

union net_sockaddr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

#define NET_IP_MAX 46 /* text with its NUL */
#define NET_CIDR_MAX 50
#define NET_ENDPOINT_MAX 56

/* 0 or -EINVAL.  No names, no blanks, no zones. */
int net_ip_parse(const char *s, struct net_ip *ret) _mustcheck_;
/* "192.168.120.0/24"; a bare address is a network of one.  -ERANGE when host bits are
 * set; ret is the network without them then. */
int net_cidr_parse(const char *s, struct net_cidr *ret) _mustcheck_;
/* "a:p", "[v6]:p", ":p", "*:p"; an address without a port gets default_port unless that
 * is 0 (then -EINVAL). */
int net_endpoint_parse(
    const char *s, uint16_t default_port, struct net_endpoint *ret) _mustcheck_;

const char *net_ip_format(const struct net_ip *ip, char buf[NET_IP_MAX]);
const char *net_cidr_format(const struct net_cidr *c, char buf[NET_CIDR_MAX]);
const char *net_endpoint_format(
    const struct net_endpoint *e, char buf[NET_ENDPOINT_MAX]);
#define net_ip_str(ip) net_ip_format((ip), (char[NET_IP_MAX]){ "" })
#define net_cidr_str(c) net_cidr_format((c), (char[NET_CIDR_MAX]){ "" })
#define net_endpoint_str(e) net_endpoint_format((e), (char[NET_ENDPOINT_MAX]){ "" })

bool net_ip_eq(const struct net_ip *a, const struct net_ip *b);
bool net_ip_is_loopback(const struct net_ip *ip);
bool net_cidr_has(const struct net_cidr *c, const struct net_ip *ip);
/* The address part of a socket address, and its port through port unless that is NULL.
 */
struct net_ip net_ip_from_sa(const struct sockaddr *sa, uint16_t *port);
/* Fills ret and returns its length; family 0 becomes the IPv6 wildcard. */
socklen_t net_endpoint_to_sa(const struct net_endpoint *e, union net_sockaddr *ret);

/*
 * A bound, non-blocking socket of type SOCK_STREAM (listening, backlog 4096) or
 * SOCK_DGRAM (with packet info, so that a reply leaves from the address that was
 * asked), or -errno with a sentence that names the port and who could hold it.
 * IP_FREEBIND is set: an address that is not there yet is no error.  reuse_port is for
 * sockets of one program that share a port.
 */
int net_bind(const struct net_endpoint *e, int type, bool reuse_port,
    struct err *err) _mustcheck_;

/* Connections of fd come from this address.  The port is chosen with connect(), so that
 * the same one serves many. */
int net_bind_source(int fd, const struct net_ip *ip) _mustcheck_;

enum net_accept {
	NET_ACCEPT_AGAIN, /* one connection's trouble, or nobody waits */
	NET_ACCEPT_FULL,  /* no descriptor or memory is left: pause */
	NET_ACCEPT_DEAD,  /* the listener was shut down: pause, then net_relisten() */
};
/* What the errno of a failed accept() means for the next. */
enum net_accept net_accept_error(int error);
/* Listens again on a bound socket; harmless for one that still does. */
void net_relisten(int fd);
