/* Check of the API server's certificate through the balancer: is it one for api and for
 * api-int, as the cluster's own kubeconfig has its authorities? */
#include <errno.h>
#include <stdio.h>

#include "common/cluster.h"
#include "common/conf_doc.h"
#include "common/digest.h"
#include "common/fd.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/fetch.h"

#define FILE_MAX ((size_t)1 << 20)
#define TIMEOUT_MS 3000
#define BACKEND "openshift-api-server"

/* --- whom the kubeconfig trusts ----------------------------------------- */

int check_api_authorities(const char *kubeconfig, size_t n, struct str *out)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *cluster;
	const char *data;

	if (conf_doc_parse(&doc, "kubeconfig", kubeconfig, n, NULL) < 0)
		return -EINVAL;
	cluster = conf_list_at(conf_get(conf_doc_root(doc), "clusters"), 0);
	data = conf_scalar(
	    conf_get(conf_get(cluster, "cluster"), "certificate-authority-data"));
	if (!data)
		return -ENOENT;
	return base64_decode(out, data, strlen(data), BASE64_STD);
}

static bool read_authorities(struct check *k, struct str *out)
{
	_cleanup_(str_deinit) struct str path = STR_INIT, text = STR_INIT;
	int r;

	cli_etc_path(k->cli, "kubeconfig", &path);
	r = file_read(str_get(&path), FILE_MAX, &text);
	if (r < 0)
		return false; /* told among the secrets */
	r = check_api_authorities(str_get(&text), text.len, out);
	if (text.s)
		explicit_bzero(text.s, text.len);
	if (r < 0)
		check_add(k, CHECK_WARN, "okdctl publish DIR",
		    "%s names no certificate authority, so the API server's "
		    "certificate cannot be checked",
		    str_get(&path));
	return r == 0;
}

/* --- where the balancer serves it --------------------------------------- */

/* The address for the nodes where one is given, else any. */
static bool find_frontend(struct check *k, struct net_endpoint *ret)
{
	struct net_endpoint at[16];
	size_t n = check_frontend(k, BACKEND, at, ARRAY_SIZE(at)), best = 0;

	for (size_t i = 0; i < n; i++)
		if (cluster_is_bastion(k->cluster, &at[i].ip))
			best = i;
	if (n == 0)
		return false;
	*ret = at[best];
	if (!ret->ip.family)
		ret->ip =
		    *conf_list_items(&k->cluster->bastion.addresses, struct net_ip);
	return true;
}

/* True when the name is one of the certificate's; else a line is added. */
static bool ask(
    struct check *k, const struct net_endpoint *at, const char *ca, const char *label)
{
	char url[200], name[300];
	struct err why = ERR_INIT;
	const struct http_client_request req = {
		.url = url,
		.ca_pem = ca,
		.tls_server_name = name,
		.connect_timeout_ms = TIMEOUT_MS,
		.timeout_ms = TIMEOUT_MS,
	};
	int r;

	snprintf(url, sizeof(url),
	    at->ip.family == 6 ? "https://[%s]:%u/readyz" : "https://%s:%u/readyz",
	    net_ip_str(&at->ip), at->port);
	snprintf(name, sizeof(name), "%s.%s", label, k->cluster->domain);
	r = fetch(&req, NULL, &why);
	if (r > 0)
		return true;
	if (r == -EACCES)
		check_add(k, CHECK_FAIL,
		    "metadata.name and baseDomain of install-config.yaml must be name "
		    "and base_domain of cluster.yaml, and the kubeconfig that of this "
		    "install (okdctl publish DIR): then create ignition-configs again",
		    "the API server has no certificate for %s (%s): clients would say "
		    "\"x509: certificate is valid for ..., not %s\" or \"signed by "
		    "unknown authority\"",
		    name, why.text, name);
	else
		check_add(k, CHECK_WARN, "okdctl lb show; journalctl -u okd-lbd -n 50",
		    "the API server does not answer through the balancer: %s",
		    why.text);
	return false;
}

void check_api(struct check *k)
{
	_cleanup_(str_deinit) struct str ca = STR_INIT;
	struct net_endpoint at;

	if (!k->cluster || !find_frontend(k, &at) || !read_authorities(k, &ca))
		return;
	if (ask(k, &at, str_get(&ca), "api") && ask(k, &at, str_get(&ca), "api-int"))
		check_add(k, CHECK_OK, NULL,
		    "the API server's certificates are for api.%s and api-int.%s",
		    k->cluster->domain, k->cluster->domain);
}
