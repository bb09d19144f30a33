/* Any install-config.yaml to be completed: what comes out parses, has what was missing,
 * and stays as it is when it is completed once more. */
#include <stdio.h>
#include <stdlib.h>

#include "common/cluster.h"
#include "okdctl/install_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char cluster_text[] =
    "name: okd\nbase_domain: example.com\nbastion: {addresses: [192.168.120.101]}\n"
    "machine_network: [192.168.120.0/24]\n"
    "nodes: [{name: m, role: master, address: 192.168.120.103}]\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	_cleanup_(str_deinit) struct str text = STR_INIT, once = STR_INIT,
					 twice = STR_INIT;
	struct err e = ERR_INIT;
	struct install_config in = {
		.pull_secret = "{\"auths\":{\"registry.okd.example.com:5000\":{"
			       "\"auth\":\"YTpi\"}}}",
		.trust =
		    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	};

	if (cluster_parse(
		&cluster, "c", cluster_text, sizeof(cluster_text) - 1, NULL, &e) < 0)
		abort();
	in.cluster = cluster;
	str_add(&text, data, size);
	if (install_config_complete(&in, "input", str_get(&text), size, &once, &e) < 0)
		return 0;
	if (install_config_complete(&in, "once", str_get(&once), once.len, &twice, &e) <
		0 ||
	    !str_eq(str_get(&once), str_get(&twice))) {
		fprintf(stderr, "%s\n--- once\n%s--- twice\n%s", err_str(&e),
		    str_get(&once), str_get(&twice));
		abort();
	}
	return 0;
}
