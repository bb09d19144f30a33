/* The neighbour table over rtnetlink(7): see neigh.h. */
#include "ignd/neigh.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

/* States in which the kernel has an answer, be it an old one. */
#define KNOWN (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)

static bool ask(int fd, int family)
{
	struct {
		struct nlmsghdr h;
		struct ndmsg m;
	} req = {
		.h = { .nlmsg_len = sizeof(req),
		    .nlmsg_type = RTM_GETNEIGH,
		    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.m = { .ndm_family = (uint8_t)family },
	};

	return send(fd, &req, sizeof(req), 0) == sizeof(req);
}

/* True when this entry is of the address; mac is filled then. */
static bool entry_fits(
    const struct nlmsghdr *h, const struct net_ip *ip, uint8_t mac[6])
{
	const struct ndmsg *m = NLMSG_DATA(h);
	size_t size = ip->family == 6 ? 16 : 4;
	const struct rtattr *a = RTM_RTA(m);
	const uint8_t *dst = NULL, *card = NULL;
	int left = (int)RTM_PAYLOAD(h);

	if (!(m->ndm_state & KNOWN))
		return false;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == NDA_DST && RTA_PAYLOAD(a) == size)
			dst = RTA_DATA(a);
		if (a->rta_type == NDA_LLADDR && RTA_PAYLOAD(a) == 6)
			card = RTA_DATA(a);
	}
	if (!dst || !card || memcmp(dst, ip->bytes, size) != 0)
		return false;
	memcpy(mac, card, 6);
	return true;
}

bool neigh_lookup(const struct net_ip *ip, uint8_t mac[6])
{
	_cleanup_(fd_closep) int fd =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	_Alignas(struct nlmsghdr) char buf[32 * 1024];
	bool found = false;

	if (!ip->family || net_ip_is_loopback(ip) || fd < 0 ||
	    !ask(fd, ip->family == 6 ? AF_INET6 : AF_INET))
		return false;
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		unsigned left = (unsigned)n;

		if (n <= 0)
			return found;
		for (const struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return found;
			if (h->nlmsg_type == RTM_NEWNEIGH && !found)
				found = entry_fits(h, ip, mac);
		}
	}
}
