/* Checks of the registry: its certificate, who trusts it, the pull secret, the release. */
#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/fetch.h"
#include "okdctl/install_config.h"
#include "okdctl/secrets.h"

#define FILE_MAX ((size_t)1 << 20)
#define MAX_LISTEN 8
#define TIMEOUT_MS 5000

/* What a registry's client holds. */
struct client {
	struct check *k;
	struct str ca, cert, secret, registry, user, password;
	char name[300], url[400];
};

static void client_deinit(struct client *c)
{
	str_deinit(&c->ca);
	str_deinit(&c->cert);
	secrets_wipe(&c->secret);
	str_deinit(&c->registry);
	str_deinit(&c->user);
	secrets_wipe(&c->password);
}

static int read_etc(struct check *k, const char *name, struct str *out)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	cli_etc_path(k->cli, name, &path);
	return file_read(str_get(&path), FILE_MAX, out);
}

/* --- files -------------------------------------------------------------- */

static bool check_certificate(struct client *c)
{
	struct check *k = c->k;
	struct err why = ERR_INIT;
	int r = read_etc(k, "registry-ca.crt", &c->ca);

	if (r == 0)
		r = read_etc(k, "registry.crt", &c->cert);
	if (r == -ENOENT) {
		check_add(k, CHECK_NOT_YET, "okdctl init",
		    "the registry has no certificate in %s", k->cli->etc);
		return false;
	}
	if (r < 0) {
		check_add(k, CHECK_FAIL, "be root", "the certificates in %s: %s",
		    k->cli->etc, strerror(-r));
		return false;
	}
	if (secrets_check_cert(k->cluster, clock_real_s(), str_get(&c->cert), NULL,
		str_get(&c->ca), &why) < 0) {
		check_add(k, CHECK_FAIL,
		    "okdctl init, which renews it; okdctl reload regd",
		    "the registry's certificate %s", why.text);
		return true;
	}
	check_add(k, CHECK_OK, NULL,
	    "the registry's certificate fits its names and addresses");
	return true;
}

static bool check_pull_secret(struct client *c)
{
	struct check *k = c->k;
	int r = read_etc(k, "pull-secret.json", &c->secret);

	if (r == -ENOENT)
		return false; /* told among the secrets */
	if (r == 0)
		r = secrets_find_auth(
		    str_get(&c->secret), str_get(&c->registry), &c->user, &c->password);
	if (r == -EACCES)
		check_add(k, CHECK_WARN, "be root", "pull-secret.json cannot be read");
	else if (r == -ENOENT)
		check_add(k, CHECK_FAIL, "okdctl init",
		    "pull-secret.json has no entry for %s", str_get(&c->registry));
	else if (r < 0)
		check_add(k, CHECK_FAIL, "move it away, then okdctl init",
		    "pull-secret.json is no pull secret: {\"auths\":{...}}");
	return r == 0;
}

/* --- over the wire ------------------------------------------------------ */

static bool find_server(struct client *c)
{
	struct net_endpoint at[MAX_LISTEN];
	size_t n = check_listen(c->k, REGD, at, MAX_LISTEN), best = 0;
	struct net_ip ip;

	for (size_t i = 0; i < n; i++) {
		if (cluster_is_bastion(c->k->cluster, &at[i].ip))
			best = i;
	}
	if (n == 0)
		return false;
	ip = at[best].ip.family
	    ? at[best].ip
	    : *conf_list_items(&c->k->cluster->bastion.addresses, struct net_ip);
	snprintf(c->url, sizeof(c->url),
	    ip.family == 6 ? "https://[%s]:%u" : "https://%s:%u", net_ip_str(&ip),
	    at[best].port);
	return true;
}

/* Asks as a node would: under the registry's name, with the CA given or the system's. */
static int ask(struct client *c, const char *path, bool own_ca, bool login,
    struct str *body, struct err *why)
{
	char url[600];
	const struct http_client_request req = {
		.url = url,
		.ca_pem = own_ca ? str_get(&c->ca) : NULL,
		.tls_server_name = c->name,
		.username = login ? str_get(&c->user) : NULL,
		.password = login ? str_get(&c->password) : NULL,
		.connect_timeout_ms = TIMEOUT_MS,
		.timeout_ms = 2 * TIMEOUT_MS,
	};

	snprintf(url, sizeof(url), "%s%s", c->url, path);
	return fetch(&req, body, why);
}

static bool check_tls(struct client *c)
{
	struct err why = ERR_INIT;
	int r = ask(c, "/v2/", true, false, NULL, &why);

	if (r == 200)
		check_add(c->k, CHECK_WARN,
		    "auth: {htpasswd: /etc/okd-bastion/registry.htpasswd} in "
		    "regd.yaml; okdctl reload regd",
		    "the registry asks nobody for a password: everybody may push "
		    "images that the nodes will run");
	if (r == -EACCES && strstr(why.text, "expired")) {
		check_add(c->k, CHECK_FAIL,
		    "okdctl init, which renews it; okdctl reload regd",
		    "the registry shows a certificate that has expired: nodes would "
		    "say \"x509: certificate has expired or is not yet valid\" (%s)",
		    why.text);
		return false;
	}
	if (r == -EACCES || r == -EPROTO) {
		check_add(c->k, CHECK_FAIL,
		    "regd.yaml: tls must name registry.crt and registry.key; okdctl "
		    "reload regd",
		    "the registry shows a certificate that is not of its CA (%s): "
		    "nodes "
		    "would say \"x509: certificate signed by unknown authority\"",
		    why.text);
		return false;
	}
	if (r < 0) {
		check_add(c->k, CHECK_FAIL, "journalctl -u okd-regd -n 50",
		    "the registry cannot be reached: %s", why.text);
		return false;
	}
	check_add(c->k, CHECK_OK, NULL, "the registry answers %s over TLS as %s",
	    c->url, c->name);
	if (ask(c, "/v2/", false, false, NULL, &why) < 0)
		check_add(c->k, CHECK_WARN, "okdctl init --apply",
		    "this host does not trust the registry's CA: oc and podman would "
		    "say "
		    "\"x509: certificate signed by unknown authority\"");
	return true;
}

static bool check_login(struct client *c)
{
	struct err why = ERR_INIT;
	int r = ask(c, "/v2/", true, true, NULL, &why);

	if (r == 200) {
		check_add(c->k, CHECK_OK, NULL, "the registry accepts the pull secret");
		return true;
	}
	if (r == 401 || r == 403)
		check_add(c->k, CHECK_FAIL,
		    "give the user that password: okdctl registry user set, or remove "
		    "registry.htpasswd and pull-secret.json and run okdctl init",
		    "the registry refuses the pull secret of user %s",
		    str_get(&c->user));
	else
		check_add(c->k, CHECK_FAIL, "journalctl -u okd-regd -n 50",
		    "the registry answers %d to a login", r);
	return false;
}

/* False where the repository has no tag. */
static bool check_repository(struct client *c, const char *repository)
{
	_cleanup_(str_deinit) struct str body = STR_INIT, path = STR_INIT;
	_cleanup_(json_freep) json_t *v = NULL;
	struct err why = ERR_INIT;
	const json_t *tags;
	int r;

	str_addf(&path, "/v2/%s/tags/list", repository);
	r = ask(c, str_get(&path), true, true, &body, &why);
	if (r == 200 &&
	    json_load_limited(&v, NULL, str_get(&body), body.len, 0, NULL) < 0)
		v = NULL;
	tags = json_object_get(v, "tags");
	if (!json_array_size(tags))
		return false;
	check_release(c->k, repository, tags);
	return true;
}

/* Where releases of either age are mirrored to. */
static void check_content(struct client *c)
{
	bool old = check_repository(c, install_config_repository("4.5"));
	bool later = check_repository(c, install_config_repository("4.16"));

	if (!old && !later)
		check_add(c->k, CHECK_NOT_YET, "okdctl mirror RELEASE",
		    "no release is mirrored to %s", str_get(&c->registry));
}

void check_registry(struct check *k)
{
	_cleanup_(client_deinit) struct client c = { .k = k };
	const json_t *own;
	bool secret;

	if (!k->cluster)
		return;
	install_config_registry(k->cluster, &c.registry);
	snprintf(c.name, sizeof(c.name), "registry.%s", k->cluster->domain);
	if (!check_certificate(&c))
		return;
	secret = check_pull_secret(&c);
	check_install_config(
	    k, str_get(&c.ca), str_get(&c.registry), str_get(&c.password));
	if (!check_runs(k, REGD)) {
		check_add(k, CHECK_NOT_YET, "systemctl enable --now okd-regd",
		    "the registry does not run");
		return;
	}
	own = json_object_get(k->status.of[REGD], "regd");
	if (json_is_true(json_object_get(own, "read_only")))
		check_add(k, CHECK_WARN,
		    "read_only: false in regd.yaml; okdctl reload regd",
		    "the registry is read-only: a mirror would be refused");
	if (json_integer_value(json_object_get(own, "bad_blobs")))
		check_add(k, CHECK_FAIL, "push the images again: okdctl mirror RELEASE",
		    "the registry holds %lld damaged blobs",
		    (long long)json_integer_value(json_object_get(own, "bad_blobs")));
	if (find_server(&c) && check_tls(&c) && secret && check_login(&c))
		check_content(&c);
}
