/* install-config.yaml: whole, completed, refused. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cluster.h"
#include "common/fd.h"
#include "okdctl/install_config.h"

#define CLUSTER                                                      \
	"name: okd\nbase_domain: example.com\nbastion: {addresses: " \
	"[192.168.120.101]}\n"                                       \
	"machine_network: [192.168.120.0/24]\n"                      \
	"nodes: [{name: m, role: master, address: 192.168.120.103}]\n"

static struct cluster *cluster(const char *text)
{
	struct cluster *c = NULL;
	struct err e;

	if (cluster_parse(&c, "c", text, strlen(text), NULL, &e) < 0)
		abort();
	return c;
}

static struct install_config input(const struct cluster *c)
{
	return (struct install_config){ .cluster = c,
		.ssh_key = "ssh-ed25519 AAAA it's",
		.pull_secret = "{\"auths\":{\"registry.okd.example.com:5000\":{"
			       "\"auth\":\"YTpi\"}}}",
		.trust =
		    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };
}

static bool has(const struct str *s, const char *text)
{
	if (strstr(str_get(s), text))
		return true;
	printf("# no \"%s\" in:\n# %s\n", text, str_get(s));
	return false;
}

TEST(whole)
{
	_cleanup_(cluster_freep) struct cluster *c = cluster(CLUSTER);
	_cleanup_(str_deinit) struct str out = STR_INIT;
	struct install_config in = input(c);
	struct err e = ERR_INIT;

	CHECK(install_config_make(&in, &out, &e) == 0);
	CHECK(has(&out, "baseDomain: example.com\n"));
	CHECK(has(&out, "  name: master\n  replicas: 1\n"));
	CHECK(has(&out, "  name: worker\n  replicas: 0\n"));
	CHECK(has(&out, "  - cidr: 10.128.0.0/14\n    hostPrefix: 23\n"));
	CHECK(has(&out, "  networkType: OVNKubernetes\n"));
	CHECK(has(&out,
	    "imageContentSources:\n- mirrors:\n"
	    "  - registry.okd.example.com:5000/openshift/okd\n"
	    "  source: quay.io/openshift/okd\n"));
	CHECK(has(&out, "  source: quay.io/openshift/okd-content\n"));
	CHECK(has(&out, "sshKey: 'ssh-ed25519 AAAA it''s'\n"));
	CHECK(has(
	    &out, "additionalTrustBundle: |\n  -----BEGIN CERTIFICATE-----\n  AAAA\n"));
}

TEST(newer_release)
{
	_cleanup_(cluster_freep) struct cluster *c = cluster(CLUSTER);
	_cleanup_(str_deinit) struct str out = STR_INIT;
	struct install_config in = input(c);
	struct err e = ERR_INIT;

	in.release = "4.17.0-okd-scos.0";
	CHECK(install_config_make(&in, &out, &e) == 0);
	CHECK(has(&out, "imageDigestSources:\n"));
	CHECK(has(&out, "  source: quay.io/okd/scos-release\n"));
	CHECK(!strstr(str_get(&out), "imageContentSources"));
}

TEST(networks_that_overlap)
{
	_cleanup_(cluster_freep) struct cluster *c = cluster(CLUSTER);
	_cleanup_(str_deinit) struct str out = STR_INIT;
	struct install_config in = input(c);
	struct err e = ERR_INIT;

	in.cluster_network = "192.168.0.0/16";
	CHECK(install_config_make(&in, &out, &e) == -EINVAL);
	CHECK(strstr(e.text, "overlaps machine_network 192.168.120.0/24") != NULL);
	in.cluster_network = NULL;
	in.service_network = "nonsense";
	CHECK(install_config_make(&in, &out, &e) == -EINVAL);
	CHECK(strstr(e.text, "--service-network") != NULL);
}

TEST(completed)
{
	_cleanup_(cluster_freep) struct cluster *c = cluster(CLUSTER);
	_cleanup_(str_deinit) struct str text = STR_INIT, out = STR_INIT,
					 again = STR_INIT;
	struct install_config in = input(c);
	struct err e = ERR_INIT;

	CHECK(file_read("tests/fuzz/corpus/install_config/person", 65536, &text) == 0);
	CHECK(install_config_complete(&in, "f", text.s, text.len, &out, &e) == 0);
	CHECK(has(&out, "baseDomain: example.com   # mine\n"));
	CHECK(has(&out,
	    "pullSecret: '{\"auths\":{\"quay.io\":{\"auth\":\"eDp5\"},"
	    "\"registry.okd.example.com:5000\":{\"auth\":\"YTpi\"}}}'\n"));
	CHECK(has(&out,
	    "      - elsewhere:5000/okd\n    source: quay.io/openshift/okd\n"
	    "  - mirrors:\n"
	    "    - registry.okd.example.com:5000/openshift/okd\n"
	    "    source: quay.io/openshift/okd-content\n"));
	CHECK(has(&out, "  BBBB\n"));
	CHECK(has(&out, "  AAAA\n"));
	CHECK(has(&out, "fips: false\n"));
	CHECK(has(&out, "sshKey: "));
	CHECK(install_config_complete(&in, "f", out.s, out.len, &again, &e) == 0);
	CHECK(str_eq(str_get(&out), str_get(&again)));
}

TEST(of_another_cluster)
{
	_cleanup_(cluster_freep) struct cluster *c = cluster(CLUSTER);
	_cleanup_(str_deinit) struct str out = STR_INIT;
	struct install_config in = input(c);
	struct err e = ERR_INIT;
	const char *text = "baseDomain: example.org\nmetadata: {name: okd}\n";

	CHECK(
	    install_config_complete(&in, "f", text, strlen(text), &out, &e) == -EINVAL);
	CHECK(e.line == 1 && strstr(e.text, "baseDomain must be example.com"));
	text = "baseDomain: example.com\nmetadata: {name: x}\n";
	CHECK(
	    install_config_complete(&in, "f", text, strlen(text), &out, &e) == -EINVAL);
	CHECK(strstr(e.text, "metadata.name must be okd") != NULL);
}
