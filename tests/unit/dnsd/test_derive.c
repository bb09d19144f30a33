/* The records of a cluster, asked for as a client would. */
#include "tests/unit/test.h"

#include "dnsd/derive.h"
#include "tests/unit/dnsd/dns.h"

static struct net_ip ips[8];
static struct net_cidr nets[3];
static struct cluster_node nodes[4];
static struct cluster cluster;

static struct conf_list list(void *items, size_t n)
{
	return (struct conf_list){ items, n, true };
}

static void ip(struct net_ip *ret, const char *text)
{
	if (net_ip_parse(text, ret) < 0)
		abort();
}

static void net(struct net_cidr *ret, const char *text)
{
	if (net_cidr_parse(text, ret) < 0)
		abort();
}

static struct cluster_node node(
    const char *label, int role, struct net_ip *at, size_t n)
{
	struct cluster_node out = { .name = (char *)label, .role = role };

	out.addresses = list(at, n);
	if (asprintf(&out.fqdn, "%s.okd.example.com", label) < 0)
		abort();
	return out;
}

static void fill(void)
{
	if (cluster.domain)
		return;
	ip(&ips[0], "192.168.120.101");
	ip(&ips[1], "192.168.120.102");
	ip(&ips[2], "192.168.120.103");
	ip(&ips[3], "fd00:0:0:1::103");
	ip(&ips[4], "192.168.120.104");
	ip(&ips[5], "172.18.22.243");
	ip(&ips[6], "10.3.0.5");
	net(&nets[0], "192.168.120.0/24");
	net(&nets[1], "10.2.0.0/15");
	net(&nets[2], "fd00:0:0:1::/64");
	nodes[0] = node("bootstrap", NODE_BOOTSTRAP, &ips[1], 1);
	nodes[1] = node("master0", NODE_MASTER, &ips[2], 2);
	nodes[2] = node("worker", NODE_WORKER, &ips[4], 1);
	nodes[3] = node("master1", NODE_MASTER, &ips[6], 1);
	cluster.name = "okd";
	cluster.base_domain = "example.com";
	cluster.domain = "okd.example.com";
	cluster.bastion.name = "bastion";
	cluster.bastion.fqdn = "bastion.okd.example.com";
	cluster.bastion.addresses = list(&ips[0], 1);
	cluster.machine_network = list(nets, 3);
	cluster.ingress = list(&ips[5], 1);
	cluster.nodes = list(nodes, 4);
}

static struct zone *derived(const char *const *persons)
{
	struct err e = ERR_INIT;
	struct zone_edit *edit;
	struct records *r;

	fill();
	if (zone_edit_new(&edit, NULL) < 0 || records_new(&r) < 0 ||
	    derive_apexes(&cluster, 30, edit) < 0 ||
	    derive_records(&cluster, 60, r) < 0)
		abort();
	for (; *persons; persons++)
		if (records_add_line(r, RECORDS_STATIC, *persons, ORIGIN, 60, &e) < 0)
			abort();
	if (records_build(r, edit, &e) < 0) {
		printf("# %s\n", e.text);
		abort();
	}
	records_free(r);
	return zone_edit_commit(edit, 7);
}

static int says(struct zone *z, const char *qname, uint16_t type, const char *want)
{
	static struct message m;
	char *got;
	int same;

	ask(&m, qname, type, 0);
	got = reply_to(&(struct query_env){ .zone = z }, &m);
	same = strcmp(got, want) == 0;
	if (!same)
		printf("# got  %s\n# want %s\n", got, want);
	free(got);
	return same;
}

static struct zone *plain(void)
{
	static struct zone *z;

	if (!z)
		z = derived((const char *const[]){ NULL });
	return z;
}

#define A(name, address) "NOERROR qr aa = " name ".okd.example.com. 60 IN A " address

TEST(forward_names)
{
	struct zone *z = plain();

	CHECK(says(z, "api.okd.example.com.", DNS_A, A("api", "192.168.120.101")));
	CHECK(says(
	    z, "api-int.okd.example.com.", DNS_A, A("api-int", "192.168.120.101")));
	CHECK(says(
	    z, "registry.okd.example.com.", DNS_A, A("registry", "192.168.120.101")));
	CHECK(says(
	    z, "bastion.okd.example.com.", DNS_A, A("bastion", "192.168.120.101")));
	CHECK(says(
	    z, "bootstrap.okd.example.com.", DNS_A, A("bootstrap", "192.168.120.102")));
	CHECK(
	    says(z, "worker.okd.example.com.", DNS_A, A("worker", "192.168.120.104")));
	CHECK(says(z, "master0.okd.example.com.", DNS_AAAA,
	    "NOERROR qr aa = master0.okd.example.com. 60 IN AAAA fd00:0:0:1::103"));
	CHECK(says(z, "apps.okd.example.com.", DNS_A, A("apps", "172.18.22.243")));
	CHECK(says(z, "console.apps.okd.example.com.", DNS_A,
	    A("console.apps", "172.18.22.243")));
}

TEST(etcd_names_follow_the_masters_in_order)
{
	struct zone *z = plain();

	CHECK(
	    says(z, "etcd-0.okd.example.com.", DNS_A, A("etcd-0", "192.168.120.103")));
	CHECK(says(z, "etcd-1.okd.example.com.", DNS_A, A("etcd-1", "10.3.0.5")));
	CHECK(says(z, "_etcd-server-ssl._tcp.okd.example.com.", DNS_SRV,
	    "NOERROR qr aa "
	    "= _etcd-server-ssl._tcp.okd.example.com. 60 IN SRV 0 10 2380 "
	    "etcd-0.okd.example.com. "
	    "= _etcd-server-ssl._tcp.okd.example.com. 60 IN SRV 0 10 2380 "
	    "etcd-1.okd.example.com. "
	    "* etcd-0.okd.example.com. 60 IN A 192.168.120.103 "
	    "* etcd-0.okd.example.com. 60 IN AAAA fd00:0:0:1::103 "
	    "* etcd-1.okd.example.com. 60 IN A 10.3.0.5"));
}

#define SOA(zone)                                         \
	" + " zone " 30 IN SOA bastion.okd.example.com. " \
	"hostmaster.okd.example.com. 7 7200 1800 86400 30"

TEST(reverse_names_of_nodes_are_their_own_alone)
{
	struct zone *z = plain();

	CHECK(says(z, "103.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NOERROR qr aa = 103.120.168.192.in-addr.arpa. 60 IN PTR "
	    "master0.okd.example.com."));
	CHECK(says(z, "103.120.168.192.in-addr.arpa.", DNS_A,
	    "NOERROR qr aa" SOA("120.168.192.in-addr.arpa.")));
	CHECK(says(z,
	    "3.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
	    DNS_PTR,
	    "NOERROR qr aa = "
	    "3.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. "
	    "60 IN PTR master0.okd.example.com."));
}

TEST(reverse_names_of_the_bastion)
{
	CHECK(says(plain(), "101.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NOERROR qr aa = 101.120.168.192.in-addr.arpa. 60 IN PTR "
	    "bastion.okd.example.com. "
	    "= 101.120.168.192.in-addr.arpa. 60 IN PTR api.okd.example.com. "
	    "= 101.120.168.192.in-addr.arpa. 60 IN PTR api-int.okd.example.com."));
}

TEST(reverse_zones_cover_the_machine_network_and_no_more)
{
	struct zone *z = plain();

	CHECK(says(z, "9.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NXDOMAIN qr aa" SOA("120.168.192.in-addr.arpa.")));
	CHECK(says(z, "9.9.2.10.in-addr.arpa.", DNS_PTR,
	    "NXDOMAIN qr aa" SOA("2.10.in-addr.arpa.")));
	CHECK(says(z, "9.9.3.10.in-addr.arpa.", DNS_PTR,
	    "NXDOMAIN qr aa" SOA("3.10.in-addr.arpa.")));
	CHECK(says(z, "9.9.4.10.in-addr.arpa.", DNS_PTR, "forward"));
	CHECK(says(z, "9.9.1.10.in-addr.arpa.", DNS_PTR, "forward"));
	CHECK(says(z, "9.121.168.192.in-addr.arpa.", DNS_PTR, "forward"));
	CHECK(says(z,
	    "1.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
	    DNS_PTR,
	    "NXDOMAIN qr aa" SOA("1.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.")));
	CHECK(says(z, "2.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", DNS_PTR, "forward"));
	CHECK(says(z, "3.10.in-addr.arpa.", DNS_NS,
	    "NOERROR qr aa = 3.10.in-addr.arpa. 60 IN NS bastion.okd.example.com. "
	    "* bastion.okd.example.com. 60 IN A 192.168.120.101"));
}

TEST(a_network_below_an_octet_is_a_zone_for_each_address)
{
	struct net_cidr kept = nets[0];
	struct zone *z;

	fill();
	net(&nets[0], "192.168.120.96/28");
	z = derived((const char *const[]){ NULL });
	CHECK(says(z, "103.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NOERROR qr aa = 103.120.168.192.in-addr.arpa. 60 IN PTR "
	    "master0.okd.example.com."));
	CHECK(says(z, "110.120.168.192.in-addr.arpa.", DNS_PTR,
	    "NOERROR qr aa" SOA("110.120.168.192.in-addr.arpa.")));
	CHECK(says(z, "112.120.168.192.in-addr.arpa.", DNS_PTR, "forward"));
	zone_free(z);
	nets[0] = kept;
}

TEST(what_a_person_wrote_wins)
{
	struct zone *z =
	    derived((const char *const[]){ "api 5 A 10.1.1.1", "api TXT mine",
		"apps CNAME ingress.example.net.", "new A 10.1.1.2", NULL });

	CHECK(says(z, "api.okd.example.com.", DNS_A,
	    "NOERROR qr aa = api.okd.example.com. 5 IN A 10.1.1.1"));
	CHECK(says(z, "api.okd.example.com.", DNS_TXT,
	    "NOERROR qr aa = api.okd.example.com. 60 IN TXT \"mine\""));
	CHECK(says(z, "apps.okd.example.com.", DNS_A,
	    "NOERROR qr aa = apps.okd.example.com. 60 IN CNAME ingress.example.net."));
	CHECK(says(z, "x.apps.okd.example.com.", DNS_A, A("x.apps", "172.18.22.243")));
	CHECK(says(z, "new.okd.example.com.", DNS_A, A("new", "10.1.1.2")));
	zone_free(z);
}

static void refused(const char *line, const char *why)
{
	struct err e = ERR_INIT;
	struct records *r;

	CHECK(records_new(&r) == 0);
	CHECK(records_add_line(r, RECORDS_STATIC, line, ORIGIN, 60, &e) < 0);
	if (!strstr(e.text, why))
		printf("# %s: %s\n", line, e.text);
	CHECK(strstr(e.text, why));
	records_free(r);
}

TEST(lines_that_are_no_records)
{
	refused("api A", "is no record");
	refused("api A 1.2.3", "is no record");
	refused(" A 1.2.3.4", "starts with a blank");
	refused("api SOA a b 1 2 3 4 5", "cannot be written here");
	refused("api CH TXT x", "class is not IN");
	refused("$ORIGIN x.", "not known here");
}

TEST(plain_lines_and_ldns_agree)
{
	static const char *const same[][2] = {
		{ "x.y. 5 IN A 1.2.3.4", "x.y. 5 IN A 1.2.3.4 ; by ldns" },
		{ "x.y. A 1.2.3.4", "x.y. A 1.2.3.4 ;" },
		{ "X.y. IN AAAA fd00::1 ", "X.y. IN AAAA fd00::1 ;" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		struct zone *z[2];
		char *got[2];
		static struct message m;

		ask(&m, "x.y.", i == 2 ? DNS_AAAA : DNS_A, 0);
		for (int k = 0; k < 2; k++) {
			z[k] = zone_of((const char *const[]){ NULL },
			    (const char *const[]){ same[i][k], NULL });
			got[k] = reply_to(&(struct query_env){ .zone = z[k] }, &m);
			zone_free(z[k]);
		}
		CHECK(strcmp(got[0], got[1]) == 0 && strstr(got[0], "= x.y."));
		free(got[0]);
		free(got[1]);
	}
}

TEST(a_cname_beside_other_records_is_an_error)
{
	static const char *const lines[] = { "a CNAME b", "a A 1.2.3.4" };
	struct err e = ERR_INIT;
	struct zone_edit *edit;
	struct records *r;

	CHECK(records_new(&r) == 0 && zone_edit_new(&edit, NULL) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(
		    records_add_line(r, RECORDS_STATIC, lines[i], ORIGIN, 60, &e) == 0);
	CHECK(records_build(r, edit, &e) < 0);
	CHECK(strstr(e.text, "a.okd.example.com. has a CNAME and other records"));
	zone_edit_free(edit);
	records_free(r);
}
