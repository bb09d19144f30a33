/* What init asks on a terminal: see init_ask.h. */
#include "okdctl/init_ask.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

#include "common/net.h"

/* A line from the terminal; the default when it is empty; "" at its end. */
static int ask(const char *question, const char *def, struct str *out)
{
	char line[512];

	fprintf(stderr, def && *def ? "%s [%s]: " : "%s: ", question, def);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	str_addz(out, *line || !def ? line : def);
	return str_err(out);
}

static int ask_word(char **word, const char *question, const char *def)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	int r = *word ? 0 : ask(question, def, &s);

	return r < 0 || *word || !s.len ? r : topology_set(word, str_get(&s));
}

static int ask_words(struct words *w, const char *question, const char *def)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	int r = w->n ? 0 : ask(question, def, &s);

	return r < 0 || w->n ? r : words_split(w, str_get(&s));
}

/* This host's first address that is neither loopback nor link-local, and its network. */
static void guess_address(char address[NET_IP_MAX], char network[NET_CIDR_MAX])
{
	struct ifaddrs *all, *i;

	address[0] = network[0] = '\0';
	if (getifaddrs(&all) < 0)
		return;
	for (i = all; i && !address[0]; i = i->ifa_next) {
		struct net_cidr net = { 0 };
		struct net_ip mask;
		char text[NET_CIDR_MAX];
		unsigned prefix = 0;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    !i->ifa_netmask || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		net.ip = net_ip_from_sa(i->ifa_addr, NULL);
		if (net.ip.bytes[0] == 169 && net.ip.bytes[1] == 254)
			continue; /* RFC 3927 */
		mask = net_ip_from_sa(i->ifa_netmask, NULL);
		for (unsigned b = 0; b < 4; b++)
			prefix += (unsigned)__builtin_popcount(mask.bytes[b]);
		net_ip_format(&net.ip, address);
		snprintf(text, sizeof(text), "%s/%u", address, prefix);
		if (net_cidr_parse(text, &net) != -EINVAL)
			net_cidr_format(&net, network);
	}
	freeifaddrs(all);
}

static int ask_nodes(struct topology *t, struct err *err)
{
	int r = 0;

	if (t->n_nodes)
		return 0;
	fputs(
	    "The nodes, one a line, as name=master,role=master,address=192.168.120.103"
	    "[,mac=,interface=,disk=];\nrole is bootstrap, master or worker; an empty "
	    "line ends.\n",
	    stderr);
	while (r >= 0) {
		_cleanup_(str_deinit) struct str line = STR_INIT;

		r = ask("node", NULL, &line);
		if (r < 0 || !line.len)
			break;
		if (topology_add_node(t, line.s, err) < 0)
			fprintf(stderr, "%s\n", err_str(err));
	}
	return r;
}

int ask_topology(struct topology *t, struct err *err)
{
	char address[NET_IP_MAX], network[NET_CIDR_MAX];
	int r;

	guess_address(address, network);
	r = ask_word(&t->name, "Cluster name", "okd");
	if (r == 0)
		r = ask_word(&t->base_domain, "Base domain", "example.com");
	if (r == 0)
		r = ask_words(
		    &t->bastion, "This host's address for the nodes", address);
	if (r == 0)
		r = ask_words(&t->networks, "Network of the nodes", network);
	if (r == 0)
		r = ask_word(&t->gateway, "Gateway of the nodes (empty: none)", NULL);
	return r < 0 ? r : ask_nodes(t, err);
}
