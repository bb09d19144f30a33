/* Any bytes as a cluster.yaml: what loads must print as YAML that loads to the same. */
#include <stdio.h>

#include "common/cluster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _noreturn_ void fail(const char *what, const struct str *a, const struct str *b)
{
	fprintf(stderr, "%s\n--- first\n%s\n--- second\n%s\n", what, str_get(a),
	    str_get(b));
	abort();
}

static void check_look_ups(const struct cluster *c)
{
	for (size_t i = 0; i < cluster_n_nodes(c); i++) {
		const struct cluster_node *n = cluster_node_at(c, i);
		const struct net_ip *ip = conf_list_items(&n->addresses, struct net_ip);

		if (cluster_node_by_name(c, n->name) != n ||
		    cluster_node_by_ip(c, ip) != n || !cluster_has_ip(c, ip) ||
		    cluster_is_bastion(c, ip) ||
		    (n->has_mac && cluster_node_by_mac(c, n->mac) != n) ||
		    !str_starts(n->fqdn, n->name) || strlen(n->fqdn) > 253)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(cluster_freep) struct cluster *c = NULL, *again = NULL;
	_cleanup_(str_deinit) struct str once = STR_INIT, twice = STR_INIT,
					 warn = STR_INIT;
	struct err e = ERR_INIT;

	if (cluster_parse(&c, "fuzz", (const char *)data, size, &warn, &e) < 0) {
		if (!e.text[0] || c)
			fail("a failure without a word", &once, &twice);
		return 0;
	}
	check_look_ups(c);
	cluster_print(c, &once);
	if (cluster_parse(&again, "fuzz", str_get(&once), once.len, NULL, &e) < 0) {
		str_addz(&twice, err_str(&e));
		fail("the print is refused", &once, &twice);
	}
	cluster_print(again, &twice);
	if (!str_eq(str_get(&once), str_get(&twice)))
		fail("the prints differ", &once, &twice);
	return 0;
}
