/* Checks of install-config.yaml, from which the nodes' files are made: what is wrong in it
 * comes out an hour later, on a node. */
#include <errno.h>
#include <stdio.h>

#include "common/cluster.h"
#include "common/conf_doc.h"
#include "common/fd.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/secrets.h"

#define FILE_MAX ((size_t)1 << 20)
#define AGAIN "okdctl init --force, then make the .ign files again"

static unsigned count_masters(const struct cluster *c)
{
	unsigned n = 0;

	for (size_t i = 0; i < cluster_n_nodes(c); i++)
		n += cluster_node_at(c, i)->role == NODE_MASTER;
	return n;
}

static void check_replicas(struct check *k, const struct conf_node *root)
{
	const char *have =
	    conf_scalar(conf_get(conf_get(root, "controlPlane"), "replicas"));
	char want[16];

	snprintf(want, sizeof(want), "%u", count_masters(k->cluster));
	if (have && !str_eq(have, want) && !str_eq(want, "0"))
		check_add(k, CHECK_FAIL, "correct it, and make the .ign files again",
		    "install-config.yaml has controlPlane.replicas: %s, and "
		    "cluster.yaml has %s masters: the bootstrap would wait for ever",
		    have, want);
}

/* The names in every certificate and in every URL follow from these two. */
static void check_names(struct check *k, const struct conf_node *root)
{
	const char *name = conf_scalar(conf_get(conf_get(root, "metadata"), "name"));
	const char *base = conf_scalar(conf_get(root, "baseDomain"));
	_cleanup_(str_deinit) struct str domain = STR_INIT;

	if (!name || !base)
		return;
	str_addf(&domain, "%s.%s", name, base);
	if (!str_eq(str_get(&domain), k->cluster->domain))
		check_add(k, CHECK_FAIL,
		    "correct metadata.name and baseDomain, or cluster.yaml; then make "
		    "the .ign files again",
		    "install-config.yaml is for %s, and cluster.yaml for %s: nodes "
		    "would ask for names that nobody answers, and say \"x509: "
		    "certificate is valid for ..., not api-int.%s\"",
		    str_get(&domain), k->cluster->domain, k->cluster->domain);
}

static void check_mirrors(
    struct check *k, const struct conf_node *root, const char *registry)
{
	static const char *const keys[] = { "imageContentSources",
		"imageDigestSources" };
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct conf_node *list = conf_get(root, keys[i]);

		for (size_t s = 0; s < conf_list_len(list); s++) {
			const struct conf_node *m =
			    conf_get(conf_list_at(list, s), "mirrors");

			for (size_t n = 0; n < conf_list_len(m); n++) {
				const char *at = conf_scalar(conf_list_at(m, n));

				found = found || (at && str_starts(at, registry));
			}
		}
	}
	if (!found)
		check_add(k, CHECK_WARN, AGAIN,
		    "install-config.yaml names no mirror at %s: nodes pull from the "
		    "internet, or say \"lookup quay.io ...: no such host\"",
		    registry);
}

static bool check_secret(struct check *k, const struct conf_node *root,
    const char *registry, const char *password)
{
	const char *secret = conf_scalar(conf_get(root, "pullSecret"));
	_cleanup_(str_deinit) struct str user = STR_INIT;
	_cleanup_(secrets_wipe) struct str has = STR_INIT;

	if (!secret || secrets_find_auth(secret, registry, &user, &has) < 0)
		check_add(k, CHECK_FAIL, AGAIN,
		    "install-config.yaml lacks %s in pullSecret: nodes would say "
		    "\"unauthorized\"",
		    registry);
	else if (*password && !str_eq(str_get(&has), password))
		check_add(k, CHECK_FAIL, AGAIN,
		    "install-config.yaml has another password for %s in pullSecret "
		    "than pull-secret.json: nodes would say \"unauthorized\"",
		    registry);
	else
		return true;
	return false;
}

static bool check_trust(struct check *k, const struct conf_node *root, const char *ca)
{
	const char *trust = conf_scalar(conf_get(root, "additionalTrustBundle"));
	size_t n = strlen(ca);

	while (n && (ca[n - 1] == '\n' || ca[n - 1] == ' '))
		n--;
	if (trust && memmem(trust, strlen(trust), ca, n))
		return true;
	check_add(k, CHECK_FAIL,
	    AGAIN
	    "; on nodes that are installed: the CA into "
	    "/etc/pki/ca-trust/source/anchors, update-ca-trust extract, systemctl "
	    "restart crio",
	    "install-config.yaml lacks the registry's CA in additionalTrustBundle: "
	    "nodes would say \"x509: certificate signed by unknown authority\"");
	return false;
}

void check_install_config(
    struct check *k, const char *ca, const char *registry, const char *password)
{
	_cleanup_(secrets_wipe) struct str text = STR_INIT;
	_cleanup_(str_deinit) struct str path = STR_INIT;
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *root;
	struct err why = ERR_INIT;
	bool well;

	cli_etc_path(k->cli, "install-config.yaml", &path);
	if (file_read(str_get(&path), FILE_MAX, &text) < 0)
		return;
	if (conf_doc_parse(&doc, str_get(&path), str_get(&text), text.len, &why) < 0) {
		check_add(k, CHECK_FAIL,
		    "correct that line, or okdctl init --force, which makes it anew",
		    "%s", err_str(&why));
		return;
	}
	root = conf_doc_root(doc);
	well = check_trust(k, root, ca);
	well = check_secret(k, root, registry, password) && well;
	if (well)
		check_add(k, CHECK_OK, NULL,
		    "install-config.yaml trusts the registry and has its pull secret");
	check_names(k, root);
	check_mirrors(k, root, registry);
	check_replicas(k, root);
	if (!conf_scalar(conf_get(root, "sshKey")))
		check_add(k, CHECK_WARN, "okdctl init --ssh-key FILE --force",
		    "install-config.yaml has no sshKey: nobody can look at a node "
		    "that does not come up");
}
