/* cluster.yaml: what is derived, every rule with its sentence, and printing back. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cluster.h"

#define HEAD                                        \
	"name: okd\n"                               \
	"base_domain: example.com\n"                \
	"bastion: {addresses: [192.168.120.101]}\n" \
	"machine_network: [192.168.120.0/24]\n"
#define NODES      \
	"nodes:\n" \
	"  - {name: m, role: master, address: 192.168.120.103}\n"
#define MASTER "  - {name: m, role: master, address: 192.168.120.103}\n"

static struct cluster *parse(const char *text, struct str *warnings, struct err *e)
{
	struct cluster *c = NULL;
	int r = cluster_parse(&c, "c.yaml", text, strlen(text), warnings, e);

	if (r < 0 && c)
		abort();
	return c;
}

static void show(const char *got, const char *expected)
{
	printf("# got      %s\n# expected %s\n", got, expected);
}

TEST(derives)
{
	static const char text[] =
	    HEAD "gateway: 192.168.120.1\n"
		 "nodes:\n"
		 "  - {name: bootstrap, role: bootstrap, address: 192.168.120.102}\n"
		 "  - {name: master, role: master, addresses: [192.168.120.103, "
		 "192.168.120.113], mac: 52-54-00-AA-00-03, interface: ens3, disk: "
		 "/dev/sda,\n"
		 "     kargs: [rd.break, console=ttyS0]}\n";
	struct err e = ERR_INIT;
	struct str warnings = STR_INIT;
	struct cluster *c = parse(text, &warnings, &e);
	const struct cluster_node *n;
	struct net_ip ip;

	CHECK(c);
	if (!c) {
		show(err_str(&e), "");
		return;
	}
	CHECK(str_eq(str_get(&warnings), ""));
	CHECK(str_eq(c->path, "c.yaml"));
	CHECK(str_eq(c->domain, "okd.example.com"));
	CHECK(str_eq(c->bastion.name, "bastion"));
	CHECK(str_eq(c->bastion.fqdn, "bastion.okd.example.com"));
	CHECK(cluster_n_nodes(c) == 2);
	CHECK(!cluster_node_at(c, 2));
	n = cluster_node_by_name(c, "master");
	CHECK(n && n == cluster_node_at(c, 1));
	CHECK(str_eq(n->fqdn, "master.okd.example.com"));
	CHECK(n->role == NODE_MASTER && str_eq(node_role_name(n->role), "master"));
	CHECK(n->has_mac && str_eq(cluster_mac_str(n->mac), "52:54:00:aa:00:03"));
	CHECK(cluster_node_by_mac(c, n->mac) == n);
	CHECK(!cluster_node_by_mac(c, (uint8_t[6]){ 0 }));
	CHECK(str_eq(n->interface, "ens3") && str_eq(n->disk, "/dev/sda"));
	CHECK(n->kargs.n == 2 &&
	    str_eq(conf_list_items(&n->kargs, char *)[1], "console=ttyS0"));
	CHECK(net_ip_parse("192.168.120.113", &ip) == 0);
	CHECK(cluster_node_by_ip(c, &ip) == n);
	CHECK(cluster_has_ip(c, &ip) && !cluster_is_bastion(c, &ip));
	CHECK(net_ip_parse("192.168.120.101", &ip) == 0);
	CHECK(cluster_is_bastion(c, &ip) && !cluster_node_by_ip(c, &ip));
	CHECK(c->ingress.n == 1);
	CHECK(net_ip_eq(conf_list_items(&c->ingress, struct net_ip), &ip));
	CHECK(net_ip_parse("192.168.121.1", &ip) == 0 && !cluster_has_ip(c, &ip));
	CHECK(!cluster_node_by_name(c, "nobody"));
	cluster_free(c);
	str_deinit(&warnings);
}

/* clang-format off */
static const struct {
	const char *text, *expected;
} faults[] = {
	{ "", "c.yaml:1:1: required key \"name\" is missing; it must be text" },
	{ "nmae: okd\n", "c.yaml:1:1: unknown key \"nmae\"; did you mean \"name\"?" },
	{ "name: okd\nbase_domain: example.com\nnodes: []\n"
	  "bastion: {addresses: [192.168.120.101]}\n",
	  "c.yaml:1:1: required key \"machine_network\" is missing; it must be a list" },
	{ "name: okd\nbase_domain: example.com\nnodes: []\nbastion: {name: b}\n",
	  "c.yaml:4:10: required key \"addresses\" is missing; it must be a list" },
	{ "name: okd\nbase_domain: example.com\nbastion: {addresses: []}\n"
	  "machine_network: 192.168.120.0/24\n" NODES,
	  "c.yaml:3:22: the bastion needs at least one address" },
	{ "name: okd\nbase_domain: example.com\nbastion: {addresses: 192.168.120.101}\n"
	  "machine_network: []\n" NODES,
	  "c.yaml:4:18: machine_network needs at least one network such as 192.168.120.0/24" },
	{ "name: Okd\nbase_domain: example.com\nbastion: {addresses: [192.168.120.101]}\n"
	  "machine_network: [192.168.120.0/24]\n" NODES,
	  "c.yaml:1:7: cluster name \"Okd\" has upper-case letters; write \"okd\"" },
	{ "name: okd\nbase_domain: example.com.\nbastion: {addresses: [192.168.120.101]}\n"
	  "machine_network: [192.168.120.0/24]\n" NODES,
	  "c.yaml:2:14: base_domain \"example.com.\" has an empty label; leave out the final dot" },
	{ "name: okd\nbase_domain: exa_mple.com\nbastion: {addresses: [192.168.120.101]}\n"
	  "machine_network: [192.168.120.0/24]\n" NODES,
	  "c.yaml:2:14: base_domain \"exa_mple.com\" is no DNS name; only a-z, 0-9 and - are allowed" },
	{ "name: okd\nbase_domain: -example.com\nbastion: {addresses: [192.168.120.101]}\n"
	  "machine_network: [192.168.120.0/24]\n" NODES,
	  "c.yaml:2:14: base_domain \"-example.com\" must not have - at the beginning or end of a label" },
	{ "name: okd\nbase_domain: example.com\nbastion: {addresses: [192.168.120.101]}\n"
	  "machine_network: [192.168.120.7/24]\n" NODES,
	  "c.yaml:4:19: machine_network: 192.168.120.7/24 has bits set beyond its prefix; the network is 192.168.120.0/24" },
	{ "name: okd\nbase_domain: example.com\nbastion: {name: api, addresses: [192.168.120.101]}\n"
	  "machine_network: [192.168.120.0/24]\n" NODES,
	  "c.yaml:3:17: bastion name \"api\" is taken: api.okd.example.com means something else; choose another" },
	{ HEAD "nodes: []\n",
	  "c.yaml:5:8: no node has the role master; a cluster needs one, better three" },
	{ HEAD "nodes: {name: m}\n",
	  "c.yaml:5:8: nodes: this is one table, but must be a list of them; begin each entry with \"- \"" },
	{ HEAD "nodes:\n  - m\n",
	  "c.yaml:6:5: nodes: this is a lone value, but must be a table of settings (key: value)" },
	{ HEAD "nodes:\n  - {name: w, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:6:3: no node has the role master; a cluster needs one, better three" },
	{ HEAD NODES "  - {name: Worker, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"Worker\" has upper-case letters; write \"worker\"" },
	{ HEAD NODES "  - {name: w.okd, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"w.okd\" must be one label; the domain is added by itself" },
	{ HEAD NODES "  - {name: w_1, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"w_1\" is no DNS name; only a-z, 0-9 and - are allowed" },
	{ HEAD NODES "  - {name: \"\", role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"\" has an empty label" },
	{ HEAD NODES "  - {name: "
	  "a123456789012345678901234567890123456789012345678901234567890123"
	  ", role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"a123456789012345678901234567890123456789012345678901234567890123\" "
	  "has a label of 64 characters; DNS allows 63" },
	{ HEAD NODES "  - {name: api-int, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"api-int\" is taken: api-int.okd.example.com means something else; choose another" },
	{ HEAD NODES "  - {name: etcd-12, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"etcd-12\" is taken: etcd-12.okd.example.com means something else; choose another" },
	{ HEAD NODES "  - {name: localhost, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"localhost\" is taken: localhost.okd.example.com means something else; choose another" },
	{ HEAD NODES "  - {name: bastion, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"bastion\" is taken by the one on line 3" },
	{ HEAD NODES "  - {name: m, role: worker, address: 192.168.120.104}\n",
	  "c.yaml:7:12: node name \"m\" is taken by the one on line 6" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.103}\n",
	  "c.yaml:7:38: address 192.168.120.103 of \"w\" is that of \"m\" on line 6 too" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.101}\n",
	  "c.yaml:7:38: address 192.168.120.101 of \"w\" is that of \"bastion\" on line 3 too" },
	{ HEAD NODES "  - {name: w, role: worker, addresses: [192.168.120.7, \"::ffff:192.168.120.7\"]}\n",
	  "c.yaml:7:56: address 192.168.120.7 of \"w\" is that of \"w\" on line 7 too" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.121.104}\n",
	  "c.yaml:7:38: address 192.168.121.104 of \"w\" lies outside machine_network (192.168.120.0/24); correct one of the two" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, addresses: [192.168.120.105]}\n",
	  "c.yaml:7:66: addresses: address and addresses are both given; keep one of them" },
	{ HEAD NODES "  - {name: w, role: worker, address: [192.168.120.104]}\n",
	  "c.yaml:7:38: address: this is a list, but must be one IP address; use the key addresses for several" },
	{ HEAD NODES "  - {name: w, role: worker}\n",
	  "c.yaml:7:5: node \"w\" has no address; add one such as address: 192.168.120.103" },
	{ HEAD NODES "  - {name: w, role: worker, addresses: []}\n",
	  "c.yaml:7:40: node \"w\" has no address; add one such as address: 192.168.120.103" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120}\n",
	  "c.yaml:7:38: address: \"192.168.120\" is no IP address; write one such as 192.168.120.101 or 2001:db8::1" },
	{ HEAD NODES "  - {name: w, role: wroker, address: 192.168.120.104}\n",
	  "c.yaml:7:21: role: \"wroker\" is none of bootstrap, master, worker; did you mean \"worker\"?" },
	{ HEAD NODES "  - {name: w, address: 192.168.120.104}\n",
	  "c.yaml:7:5: required key \"role\" is missing; it must be one of bootstrap, master, worker" },
	{ HEAD "nodes:\n"
	  "  - {name: m, role: master, address: 192.168.120.103, mac: \"52:54:00:00:00:03\"}\n"
	  "  - {name: w, role: worker, address: 192.168.120.104, mac: 52-54-00-00-00-03}\n",
	  "c.yaml:7:60: mac 52:54:00:00:00:03 of \"w\" is that of \"m\" on line 6 too" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, mac: \"52:54:00:00:03\"}\n",
	  "c.yaml:7:60: mac: \"52:54:00:00:03\" is no MAC address; write six bytes such as \"52:54:00:00:00:03\"" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, mac: \"52:54:00:00:00:03:\"}\n",
	  "c.yaml:7:60: mac: \"52:54:00:00:00:03:\" is no MAC address; write six bytes such as \"52:54:00:00:00:03\"" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, mac: \"01:00:5e:00:00:01\"}\n",
	  "c.yaml:7:60: mac: 01:00:5e:00:00:01 is a multicast address; a network card's first byte is even" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, interface: \"a b\"}\n",
	  "c.yaml:7:66: interface \"a b\" must be one word of printable ASCII" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, interface: /dev/eth0}\n",
	  "c.yaml:7:66: \"/dev/eth0\" is no interface name; at most 15 characters, without / and :" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, disk: \"\"}\n",
	  "c.yaml:7:61: disk is empty; leave the key out" },
	{ HEAD NODES "  - {name: w, role: worker, address: 192.168.120.104, kargs: [a, \"b\\nc\"]}\n",
	  "c.yaml:7:66: kernel argument \"b?c\" must be one word of printable ASCII" },
	{ HEAD "nodes:\n"
	  "  - {name: b, role: bootstrap, address: 192.168.120.102}\n"
	  "  - {name: d, role: bootstrap, address: 192.168.120.105}\n" MASTER,
	  "c.yaml:7:21: a second bootstrap; the first is on line 6, and a cluster has one at most" },
	{ HEAD "upstream_dns: [9.9.9.9, dns.quad9.net]\n" NODES,
	  "c.yaml:5:25: upstream_dns: \"dns.quad9.net\" is no server; write an address such as 9.9.9.9, 9.9.9.9:53 or tls://9.9.9.9%dns.quad9.net" },
	{ HEAD "upstream_dns: \"*:53\"\n" NODES,
	  "c.yaml:5:15: upstream_dns: \"*:53\" is no server; write an address such as 9.9.9.9, 9.9.9.9:53 or tls://9.9.9.9%dns.quad9.net" },
	{ HEAD "upstream_dns: 9.9.9.9:0\n" NODES,
	  "c.yaml:5:15: upstream_dns: \"9.9.9.9:0\" is no server; write an address such as 9.9.9.9, 9.9.9.9:53 or tls://9.9.9.9%dns.quad9.net" },
	{ HEAD "upstream_dns: tls://9.9.9.9\n" NODES,
	  "c.yaml:5:15: upstream_dns: tls://9.9.9.9 lacks the name on its certificate; append it as in tls://9.9.9.9%dns.quad9.net" },
	{ HEAD "upstream_dns: tls://dns.quad9.net%dns.quad9.net\n" NODES,
	  "c.yaml:5:15: upstream_dns: tls://dns.quad9.net%dns.quad9.net has no valid address; write it as in tls://9.9.9.9%dns.quad9.net" },
	{ HEAD "upstream_dns: tls://9.9.9.9:853%\n" NODES,
	  "c.yaml:5:15: upstream_dns: TLS name \"\" has an empty label" },
	{ HEAD "etcd_dns: localhost:2379\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"localhost:2379\" is no http:// or https:// URL; write one such as http://192.168.120.101:2379" },
	{ HEAD "etcd_dns: http://:2379\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"http://:2379\" has no valid host and port; write one such as http://192.168.120.101:2379" },
	{ HEAD "etcd_dns: http://a:65536\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"http://a:65536\" has no valid host and port; write one such as http://192.168.120.101:2379" },
	{ HEAD "etcd_dns: http://user@a:1\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"http://user@a:1\" has no valid host and port; write one such as http://192.168.120.101:2379" },
	{ HEAD "etcd_dns: \"http://[::1:1\"\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"http://[::1:1\" has no valid host and port; write one such as http://192.168.120.101:2379" },
	{ HEAD "etcd_dns: \"http://a\\x0db:1\"\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"http://a?b:1\" has no valid host and port; write one such as http://192.168.120.101:2379" },
	{ HEAD "etcd_dns: http://a:1/v3\n" NODES,
	  "c.yaml:5:11: etcd_dns: \"http://a:1/v3\" has something behind the host; leave \"/v3\" out" },
};
/* clang-format on */

TEST(faults)
{
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		struct err e = ERR_INIT;
		struct cluster *c = parse(faults[i].text, NULL, &e);
		bool as_expected = !c && str_eq(err_str(&e), faults[i].expected);

		CHECK(as_expected);
		if (!as_expected)
			show(err_str(&e), faults[i].expected);
		cluster_free(c);
	}
}

TEST(too_long_a_name)
{
	char text[1024], label[64];
	struct err e = ERR_INIT;

	memset(label, 'a', 63);
	label[63] = '\0';
	snprintf(text, sizeof(text),
	    "name: okd\nbase_domain: %s.%s.%s.com\nbastion: {addresses: 10.0.0.1}\n"
	    "machine_network: 10.0.0.0/8\nnodes: "
	    "[{name: %s, role: master, address: 10.0.0.2}]\n",
	    label, label, label, label);
	CHECK(!parse(text, NULL, &e));
	CHECK(strstr(err_str(&e), "c.yaml:5:16: the name aaa"));
	CHECK(strstr(err_str(&e), "would have 263 characters; DNS allows 253"));
}

/* clang-format off */
static const struct {
	const char *text, *expected;
} oddities[] = {
	{ HEAD NODES, "" },
	{ HEAD NODES "  - {name: n, role: master, address: 192.168.120.104}\n",
	  "c.yaml:6:3: 2 masters: etcd stops as soon as one of them fails, which is worse "
	  "than one master alone; use 1 or 3\n" },
	{ HEAD NODES "  - {name: n, role: master, address: 192.168.120.104}\n"
	  "  - {name: o, role: master, address: 192.168.120.105}\n", "" },
	{ HEAD NODES "  - {name: n, role: master, address: 192.168.120.104}\n"
	  "  - {name: o, role: master, address: 192.168.120.105}\n"
	  "  - {name: p, role: master, address: 192.168.120.106}\n",
	  "c.yaml:6:3: 4 masters: an even number survives no more failures than 3 do; "
	  "use an odd number\n" },
	{ HEAD "gateway: 10.0.0.1\n" NODES,
	  "c.yaml:5:10: gateway 10.0.0.1 lies outside machine_network (192.168.120.0/24)\n" },
	{ "name: okd\nbase_domain: example.com\nbastion: {addresses: [192.168.120.1, 10.0.0.1]}\n"
	  "machine_network: [192.168.120.0/24]\n" NODES,
	  "c.yaml:3:38: bastion address 10.0.0.1 lies outside machine_network "
	  "(192.168.120.0/24); the nodes need a route to it\n" },
};
/* clang-format on */

TEST(warnings)
{
	for (size_t i = 0; i < ARRAY_SIZE(oddities); i++) {
		struct err e = ERR_INIT;
		struct str w = STR_INIT;
		struct cluster *c = parse(oddities[i].text, &w, &e);

		CHECK(c);
		CHECK(str_eq(str_get(&w), oddities[i].expected));
		if (!c || !str_eq(str_get(&w), oddities[i].expected))
			show(c ? str_get(&w) : err_str(&e), oddities[i].expected);
		cluster_free(c);
		str_deinit(&w);
	}
}

TEST(prints_what_loads_again)
{
	static const char text[] = HEAD
	    "ingress: [192.168.120.9]\n"
	    "upstream_dns: [9.9.9.9, \"[2620:fe::fe]:53\", "
	    "\"tls://9.9.9.9:853%dns.quad9.net\"]\n"
	    "etcd_dns: [\"http://localhost:2379\", \"https://[::1]:2379/\", http://a]\n"
	    "nodes:\n"
	    "  - {name: m, role: master, addresses: [192.168.120.103, "
	    "192.168.120.104],\n"
	    "     mac: \"52:54:00:00:00:03\", kargs: [\"a=\\\"b\\\"\", -x]}\n"
	    "  - {name: b, role: bootstrap, address: 192.168.120.105}\n";
	static const char printed[] =
	    "name: okd\n"
	    "base_domain: example.com\n"
	    "bastion:\n"
	    "  name: bastion\n"
	    "  addresses: [192.168.120.101]\n"
	    "machine_network: [192.168.120.0/24]\n"
	    "ingress: [192.168.120.9]\n"
	    "upstream_dns: [9.9.9.9, \"[2620:fe::fe]:53\", "
	    "tls://9.9.9.9:853%dns.quad9.net]\n"
	    "etcd_dns: [http://localhost:2379, \"https://[::1]:2379/\", http://a]\n"
	    "nodes:\n"
	    "  - name: m\n"
	    "    role: master\n"
	    "    addresses: [192.168.120.103, 192.168.120.104]\n"
	    "    mac: \"52:54:00:00:00:03\"\n"
	    "    kargs: ['a=\"b\"', -x]\n"
	    "  - name: b\n"
	    "    role: bootstrap\n"
	    "    address: 192.168.120.105\n";
	struct str once = STR_INIT, twice = STR_INIT;
	struct err e = ERR_INIT;
	struct cluster *c = parse(text, NULL, &e), *again;

	CHECK(c);
	if (!c) {
		show(err_str(&e), "");
		return;
	}
	cluster_print(c, &once);
	CHECK(str_eq(str_get(&once), printed));
	if (!str_eq(str_get(&once), printed))
		fputs(str_get(&once), stdout);
	again = parse(str_get(&once), NULL, &e);
	CHECK(again);
	if (again)
		cluster_print(again, &twice);
	CHECK(str_eq(str_get(&once), str_get(&twice)));
	cluster_free(again);
	cluster_free(c);
	str_deinit(&once);
	str_deinit(&twice);
}

TEST(example_loads_without_a_warning)
{
	struct cluster *c = NULL;
	struct str w = STR_INIT;
	struct err e = ERR_INIT;

	CHECK(cluster_load(&c, "examples/okd.example.com/cluster.yaml", &w, &e) == 0);
	CHECK(str_eq(str_get(&w), ""));
	CHECK(c && cluster_n_nodes(c) == 3);
	cluster_free(c);
	str_deinit(&w);
}

TEST(missing_file_is_silent)
{
	struct cluster *c = NULL;
	struct err e = ERR_INIT;

	CHECK(cluster_load(&c, "/nonexistent/cluster.yaml", NULL, &e) == -ENOENT);
	CHECK(str_eq(e.text, "") && !c);
	CHECK(cluster_load(&c, "/", NULL, &e) == -EISDIR);
	CHECK(str_eq(err_str(&e), "/: cannot be read: Is a directory"));
}
