/* The kernel arguments of a node, as the guide has a person type them. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/kargs.h"

/* The arguments of the node, or the error's text; holds until the next call. */
static const char *kargs(const char *yaml, const char *node, const char *image)
{
	static char text[1024];
	struct kargs_urls urls = { image, image ? "http://b/ignition/x.ign" : NULL };
	struct cluster *c = NULL;
	struct str out = STR_INIT;
	struct err e = ERR_INIT;

	text[0] = '\0';
	CHECK(cluster_parse(&c, "cluster.yaml", yaml, strlen(yaml), NULL, &e) == 0);
	if (!c)
		return e.text[0] ? strcpy(text, e.text) : text;
	if (kargs_build(&out, c, cluster_node_by_name(c, node), &urls, &e) < 0)
		snprintf(text, sizeof(text), "error: %s", e.text);
	else
		snprintf(text, sizeof(text), "%s", str_get(&out));
	str_deinit(&out);
	cluster_free(c);
	return text;
}

#define HEAD                                    \
	"name: okd\nbase_domain: example.com\n" \
	"bastion: {name: bastion, addresses: [192.168.120.101]}\n"
#define NET "machine_network: [192.168.120.0/24]\n"
#define GW "gateway: 192.168.120.101\n"
#define NODE(more)                                                      \
	"nodes:\n- {name: m, role: master, address: 192.168.120.103}\n" \
	"- {name: bootstrap, role: bootstrap, address: 192.168.120.102" more "}\n"

TEST(guide)
{
	CHECK(str_eq(
	    kargs(HEAD NET GW NODE(", interface: ens787f0, disk: sda"), "bootstrap",
		"http://192.168.120.101:8080/install/coreos.raw.xz"),
	    "ip=192.168.120.102::192.168.120.101:255.255.255.0:"
	    "bootstrap.okd.example.com:ens787f0:none nameserver=192.168.120.101 "
	    "coreos.inst.install_dev=sda "
	    "coreos.inst.image_url=http://192.168.120.101:8080/install/coreos.raw.xz "
	    "coreos.inst.ignition_url=http://b/ignition/x.ign"));
}

TEST(less_and_more)
{
	CHECK(str_eq(kargs(HEAD NET NODE(", disk: /dev/vda, kargs: [nomodeset, a=b]"),
			 "bootstrap", NULL),
	    "ip=192.168.120.102:::255.255.255.0:bootstrap.okd.example.com::none "
	    "nameserver=192.168.120.101 coreos.inst.install_dev=/dev/vda nomodeset "
	    "a=b"));
	CHECK(str_eq(
	    kargs(HEAD "machine_network: [192.168.0.0/16, 192.168.120.64/26]\n" NODE(
		      ", disk: sda"),
		"bootstrap", NULL),
	    "ip=192.168.120.102:::255.255.255.192:bootstrap.okd.example.com::none "
	    "nameserver=192.168.120.101 coreos.inst.install_dev=sda"));
	CHECK(strstr(kargs(HEAD NET NODE(""), "bootstrap", NULL), "has no disk"));
}

TEST(ipv6)
{
	CHECK(str_eq(
	    kargs("name: okd\nbase_domain: example.com\n"
		  "bastion: {name: bastion, addresses: ['fd00::1']}\n"
		  "machine_network: ['fd00::/64']\ngateway: 'fd00::1'\n"
		  "nodes: [{name: m, role: master, address: 'fd00::3', disk: sda}]",
		"m", NULL),
	    "ip=[fd00::3]::[fd00::1]:64:m.okd.example.com::none nameserver=[fd00::1] "
	    "coreos.inst.install_dev=sda"));
}
