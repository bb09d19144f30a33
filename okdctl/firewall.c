/* The zone of firewalld: see firewall.h. */
#include "okdctl/firewall.h"

#include <ifaddrs.h>
#include <stdio.h>

#include "common/cluster.h"
#include "okdctl/program.h"

void firewall_zone(const struct cluster *c, struct str *out)
{
	_cleanup_(str_deinit) struct str zone = STR_INIT;
	struct ifaddrs *all = NULL;
	struct err ignored = ERR_INIT;
	char ask[64] = "";

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct net_ip ip;

		if (!i->ifa_addr ||
		    (i->ifa_addr->sa_family != AF_INET &&
			i->ifa_addr->sa_family != AF_INET6))
			continue;
		ip = net_ip_from_sa(i->ifa_addr, NULL);
		if (cluster_is_bastion(c, &ip))
			snprintf(ask, sizeof(ask), "--get-zone-of-interface=%s",
			    i->ifa_name);
	}
	freeifaddrs(all);
	if (!*ask ||
	    program_output((const char *const[]){ "firewall-cmd", ask, NULL }, 4096,
		&zone, &ignored) < 0)
		return;
	if (zone.len)
		zone.s[strcspn(zone.s, " \n")] = '\0';
	if (*str_get(&zone))
		str_addf(out, "--zone=%s", str_get(&zone));
}
