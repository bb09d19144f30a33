/* kubeconfig files: forms, merging, paths, what is refused, changes. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "csrd/kubeconfig.h"

static char folder[] = "/tmp/okd-kubeconfig-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[4][256];
	static unsigned i;
	static bool made;

	if (!made && !mkdtemp(folder))
		abort();
	made = true;
	snprintf(path[++i % 4], sizeof(path[0]), "%s/%s", folder, name);
	return path[i % 4];
}

/* At the end of the program. */
static __attribute__((destructor)) void clean_up(void)
{
	static const char *const names[] = { "config", "token", "ca", "crt", "key",
		"one", "two" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(path_of(names[i]));
	rmdir(folder);
}

static void put(const char *name, const char *text)
{
	if (file_replace(path_of(name), 0600, text, strlen(text)) < 0)
		abort();
}

static int load_list(const char *paths, struct kubeconfig **ret, struct err *e)
{
	char *list[] = { (char *)(uintptr_t)paths };
	struct conf_list l = { list, 1, true };

	*e = (struct err)ERR_INIT;
	return kubeconfig_load(ret, &l, e);
}

static int load(const char *text, struct kubeconfig **ret, struct err *e)
{
	put("config", text);
	return load_list(path_of("config"), ret, e);
}

#define CONTEXT \
	"current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n"
#define CLUSTER "clusters:\n- {name: c, cluster: {server: 'https://api:6443/'}}\n"

static bool says(const char *text, const char *what)
{
	struct kubeconfig *k = NULL;
	struct err e;
	int r = load(text, &k, &e);

	if (r >= 0 || !strstr(err_str(&e), what))
		printf("# %d %s\n", r, err_str(&e));
	kubeconfig_free(k);
	return r < 0 && strstr(err_str(&e), what);
}

TEST(token_and_server)
{
	struct kubeconfig *k;
	struct err e;

	CHECK(load(CONTEXT CLUSTER "users:\n- {name: u, user: {token: t}}\n", &k, &e) ==
	    0);
	CHECK(str_eq(k->server, "https://api:6443") && str_eq(k->token, "t"));
	CHECK(!k->ca && !k->insecure && !k->certificate && str_eq(k->context, "a"));
	kubeconfig_free(k);
}

TEST(json_is_yaml)
{
	struct kubeconfig *k;
	struct err e;

	CHECK(
	    load("{\n\t\"current-context\": \"a\", \"contexts\": [{\"name\": \"a\", "
		 "\"context\": {\"cluster\": \"c\", \"user\": \"u\"}}], \"clusters\": "
		 "[{\"name\": \"c\", \"cluster\": {\"server\": "
		 "\"https:\\/\\/api:6443\"}}],\n\t\"users\": [{\"name\": \"u\", "
		 "\"user\": "
		 "{\"username\": \"n\", \"password\": \"p\"}}]}\n",
		&k, &e) == 0);
	CHECK(str_eq(k->server, "https://api:6443"));
	CHECK(str_eq(k->username, "n") && str_eq(k->password, "p"));
	kubeconfig_free(k);
}

TEST(files_are_relative_to_theirs_and_data_goes_first)
{
	struct kubeconfig *k;
	struct err e;

	put("ca", "CA");
	put("crt", "CRT");
	put("key", "KEY");
	CHECK(
	    load(CONTEXT
		"clusters:\n- name: c\n  cluster: {server: 'https://a', "
		"certificate-authority: ca, tls-server-name: n, proxy-url: "
		"'http://p:1'}\n"
		"users:\n- name: u\n  user: {client-certificate: crt, client-key: key, "
		"client-key-data: S0VZMg==, as: me, as-groups: [g, h]}\n",
		&k, &e) == 0);
	CHECK(str_eq(k->ca, "CA") && str_eq(k->certificate, "CRT"));
	CHECK(str_eq(k->key, "KEY2") && str_eq(k->tls_server_name, "n"));
	CHECK(str_eq(k->proxy, "http://p:1") && str_eq(k->as, "me"));
	CHECK(k->n_as_groups == 2 && str_eq(k->as_groups[1], "h"));
	kubeconfig_free(k);
}

TEST(token_files)
{
	struct kubeconfig *k;
	struct err e;

	put("token", "secret\n");
	CHECK(load(CONTEXT CLUSTER "users:\n- {name: u, user: {tokenFile: token}}\n",
		  &k, &e) == 0);
	CHECK(str_eq(k->token, "secret"));
	kubeconfig_free(k);
	CHECK(
	    load(CONTEXT CLUSTER "users:\n- {name: u, user: {tokenFile: token, token: "
				 "t}}\n",
		&k, &e) == 0);
	CHECK(str_eq(k->token, "t"));
	kubeconfig_free(k);
}

TEST(several_files_are_merged)
{
	char both[600];
	struct kubeconfig *k;
	struct err e;

	put("one", CONTEXT "users:\n- {name: u, user: {token: first}}\n");
	put("two",
	    "current-context: z\n" CLUSTER
	    "users:\n- {name: u, user: {token: second}}\n");
	snprintf(both, sizeof(both), "%s:%s:%s", path_of("missing"), path_of("one"),
	    path_of("two"));
	CHECK(load_list(both, &k, &e) == 0);
	CHECK(str_eq(k->token, "first") && str_eq(k->server, "https://api:6443"));
	kubeconfig_free(k);
	CHECK(load_list(path_of("missing"), &k, &e) == -ENOENT);
	CHECK(strstr(e.text, "there is no kubeconfig"));
}

TEST(sentences)
{
	CHECK(says("{}", "no current-context"));
	CHECK(says("current-context: b\n" CLUSTER, "names no context"));
	CHECK(says(CONTEXT, "no cluster \"c\""));
	CHECK(says(CONTEXT CLUSTER, "no user \"u\""));
	CHECK(says(CONTEXT "clusters:\n- {name: c, cluster: {}}\n", "has no server"));
	CHECK(says(CONTEXT "clusters:\n- {name: c, cluster: {server: 'http://a'}}\n",
	    "https://"));
	CHECK(says(CONTEXT "clusters:\n- {name: c, cluster: {server: 'https://a?b'}}\n",
	    "is not the address"));
	CHECK(says(CONTEXT "clusters:\n- {name: c, cluster: {server: 'https://a', "
			   "proxy-url: 'socks5://x'}}\n",
	    "only http:// and https:// proxies"));
	CHECK(says(CONTEXT "clusters:\n- {name: c, cluster: {server: 'https://a', "
			   "certificate-authority: nothing}}\n",
	    "cannot read"));
	CHECK(says(CONTEXT "clusters:\n- {name: c, cluster: {server: 'https://a', "
			   "certificate-authority-data: '*'}}\n",
	    "base64"));
	CHECK(
	    says(CONTEXT "clusters:\n- {name: c, cluster: {server: 'https://a', "
			 "certificate-authority-data: QQ==, insecure-skip-tls-verify: "
			 "true}}\n",
		"exclude each other"));
	CHECK(says(CONTEXT CLUSTER "users:\n- {name: u, user: {exec: {command: x}}}\n",
	    "exec would have to run a program"));
	CHECK(says(CONTEXT CLUSTER
	    "users:\n- {name: u, user: {auth-provider: {name: x}}}\n",
	    "auth-provider would have to run a program"));
	CHECK(says(CONTEXT CLUSTER
	    "users:\n- {name: u, user: {client-certificate-data: QQ==}}\n",
	    "belong together"));
	CHECK(says("a: [\n", "config:"));
}

TEST(changes_are_seen)
{
	char *list[] = { NULL };
	struct conf_list l = { list, 1, true };
	struct kubeconfig *k;
	struct err e;

	put("token", "one");
	put("config",
	    CONTEXT CLUSTER "users:\n- {name: u, user: {tokenFile: token}}\n");
	list[0] = strdup(path_of("config"));
	CHECK(kubeconfig_load(&k, &l, &e) == 0);
	CHECK(!kubeconfig_is_stale(k, &l));
	put("token", "two");
	CHECK(kubeconfig_is_stale(k, &l));
	kubeconfig_free(k);
	CHECK(kubeconfig_load(&k, &l, &e) == 0);
	CHECK(unlink(path_of("config")) == 0);
	CHECK(kubeconfig_is_stale(k, &l));
	kubeconfig_free(k);
	free(list[0]);
	list[0] = NULL;
}
