/* Who listens on a port: see listeners.h. */
#include "okdctl/listeners.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

#define TCP_LISTEN 0x0a
#define UDP_UNCONNECTED 0x07

/* Addresses are printed as 32-bit words in the host's order. */
static int parse_address(const char *hex, struct net_endpoint *ret)
{
	size_t n = strcspn(hex, ":");
	unsigned port;

	*ret = (struct net_endpoint){ .ip.family = n == 8 ? 4 : 6 };
	if ((n != 8 && n != 32) || sscanf(hex + n, ":%4x", &port) != 1)
		return -EINVAL;
	for (size_t w = 0; w < n / 8; w++) {
		unsigned v;

		if (sscanf(hex + 8 * w, "%8x", &v) != 1)
			return -EINVAL;
		memcpy(ret->ip.bytes + 4 * w, &v, 4);
	}
	ret->port = (uint16_t)port;
	return 0;
}

static bool is_any(const struct net_ip *ip)
{
	static const uint8_t zero[16];

	return memcmp(ip->bytes, zero, sizeof(zero)) == 0;
}

int listener_parse(const char *line, bool udp, struct listener *ret)
{
	char local[48];
	unsigned state;
	union net_sockaddr sa;

	if (sscanf(line, " %*u: %47s %*s %x %*s %*s %*s %*u %*u %lu", local, &state,
		&ret->inode) != 3 ||
	    state != (udp ? UDP_UNCONNECTED : TCP_LISTEN))
		return -EINVAL;
	if (parse_address(local, &ret->at) < 0)
		return -EINVAL;
	if (is_any(&ret->at.ip)) {
		ret->at.ip = (struct net_ip){ 0 };
		return 0;
	}
	net_endpoint_to_sa(&ret->at, &sa); /* IPv4 in IPv6 clothes becomes IPv4 */
	ret->at.ip = net_ip_from_sa(&sa.sa, NULL);
	return 0;
}

static bool meets(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port &&
	    (!a->ip.family || !b->ip.family || net_ip_eq(&a->ip, &b->ip));
}

static bool find_in(
    const char *path, const struct net_endpoint *e, bool udp, struct listener *ret)
{
	FILE *f = fopen(path, "re");
	char line[512];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = listener_parse(line, udp, ret) == 0 && meets(&ret->at, e);
	fclose(f);
	return found;
}

bool listener_find(const struct net_endpoint *e, bool udp, struct listener *ret)
{
	return find_in(udp ? "/proc/net/udp" : "/proc/net/tcp", e, udp, ret) ||
	    find_in(udp ? "/proc/net/udp6" : "/proc/net/tcp6", e, udp, ret);
}

static bool has_socket(const char *pid, unsigned long inode)
{
	char path[300], want[48], link[64];
	DIR *d;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *e; !found && (e = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		found = n > 0 && (size_t)n == strlen(want) &&
		    memcmp(link, want, (size_t)n) == 0;
	}
	closedir(d);
	return found;
}

bool listener_held_by(const struct listener *l, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return has_socket(text, l->inode);
}

void listener_owner(const struct listener *l, pid_t *pid, struct str *out)
{
	DIR *d = opendir("/proc");
	char path[300];
	_cleanup_(str_deinit) struct str comm = STR_INIT;

	*pid = 0;
	for (struct dirent *e; d && !*pid && (e = readdir(d));) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
		    !has_socket(e->d_name, l->inode))
			continue;
		*pid = (pid_t)atoi(e->d_name);
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		(void)!file_read(path, 256, &comm);
	}
	if (d)
		closedir(d);
	if (!*pid) {
		str_addz(out, "another program");
		return;
	}
	str_add(out, str_get(&comm), strcspn(str_get(&comm), "\n"));
	str_addf(out, " (process %d)", (int)*pid);
}
