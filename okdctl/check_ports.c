/* Checks of the ports: free, or held by the daemon that belongs there. */
#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/listeners.h"

#define MAX_LISTEN 32

static const char *remedy_of(const char *owner)
{
	if (str_starts(owner, "systemd-resolve"))
		return "DNSStubListenerExtra= and DNSStubListener= in "
		       "/etc/systemd/resolved.conf; the stub on 127.0.0.53 may stay";
	if (str_starts(owner, "dnsmasq"))
		return "systemctl disable --now dnsmasq, or virsh net-destroy default";
	if (str_starts(owner, "haproxy"))
		return "okdctl import haproxy /etc/haproxy/haproxy.cfg; systemctl "
		       "disable "
		       "--now haproxy";
	if (str_starts(owner, "coredns"))
		return "okdctl import corefile /etc/coredns/Corefile; systemctl "
		       "disable "
		       "--now coredns";
	if (str_starts(owner, "nginx") || str_starts(owner, "httpd"))
		return "okdctl import nginx FILE; systemctl disable --now nginx";
	return "end that program, or choose another address with \"listen\"";
}

/* False after a line about somebody else's socket. */
static bool check_port(
    struct check *k, enum bastion_daemon d, const struct net_endpoint *e, bool udp)
{
	_cleanup_(str_deinit) struct str owner = STR_INIT;
	pid_t ours = (pid_t)json_integer_value(json_object_get(k->status.of[d], "pid"));
	struct listener l;
	pid_t pid;

	if (!listener_find(e, udp, &l) || (ours && listener_held_by(&l, ours)))
		return true;
	listener_owner(&l, &pid, &owner);
	if (str_starts(str_get(&owner), "okd-") || (ours && !pid))
		return true;
	check_add(k, CHECK_FAIL, remedy_of(str_get(&owner)),
	    "%s port %s, which is okd-%s's, is taken by %s", udp ? "UDP" : "TCP",
	    net_endpoint_str(e), daemon_names[d], str_get(&owner));
	return false;
}

static void check_daemon(struct check *k, enum bastion_daemon d)
{
	struct net_endpoint at[MAX_LISTEN];
	size_t n = check_listen(k, d, at, MAX_LISTEN);
	_cleanup_(str_deinit) struct str list = STR_INIT;
	bool well = true;

	for (size_t i = 0; i < n; i++) {
		well = check_port(k, d, &at[i], false) && well;
		if (d == DNSD)
			well = check_port(k, d, &at[i], true) && well;
		str_addf(&list, "%s%s", i ? ", " : "", net_endpoint_str(&at[i]));
	}
	if (n && well)
		check_add(k, CHECK_OK, NULL, "%s %s okd-%s", str_get(&list),
		    check_runs(k, d) ? "held by" : "free for", daemon_names[d]);
}

void check_ports(struct check *k)
{
	if (!k->cluster)
		return;
	for (unsigned d = 0; d < N_DAEMONS; d++)
		check_daemon(k, (enum bastion_daemon)d);
}
