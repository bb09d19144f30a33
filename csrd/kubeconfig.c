/* kubeconfig files: see kubeconfig.h. */
#include "csrd/kubeconfig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/fd.h"
#include "common/net.h"
#include "common/str.h"

#define FILE_MAX CONF_MAX_BYTES

/* The files that exist, in order, while they are merged. */
struct reading {
	struct kubeconfig *k;
	struct conf_doc *docs[KUBECONFIG_FILES];
	char *paths[KUBECONFIG_FILES];
	unsigned n;
};

/* --- files -------------------------------------------------------------- */

static void stamp(struct kubeconfig_file *f)
{
	struct stat st;

	if (stat(f->path, &st) < 0)
		memset(&st, 0, sizeof(st));
	f->inode = st.st_ino;
	f->size = st.st_size;
	f->modified = st.st_mtim;
}

/* Remembers a file before it is read, so that a change while reading is seen later. */
static int watch_file(struct kubeconfig *k, const char *path, struct err *e)
{
	if (k->n_files == KUBECONFIG_FILES)
		return err_set(
		    e, -E2BIG, "a kubeconfig of more than %d files", KUBECONFIG_FILES);
	k->files[k->n_files].path = strdup(path);
	if (!k->files[k->n_files].path)
		return err_set(e, -ENOMEM, "out of memory");
	stamp(&k->files[k->n_files++]);
	return 0;
}

/* Calls fn for each path of the list; stops at the first that is not 0. */
static int each_path(const struct conf_list *paths,
    int (*fn)(const char *path, void *arg, struct err *e), void *arg, struct err *e)
{
	for (size_t i = 0; i < paths->n; i++) {
		const char *at = conf_list_items(paths, char *)[i];

		while (*at) {
			size_t n = strcspn(at, ":");
			_cleanup_(freep) char *path = strndup(at, n);
			int r;

			if (!path)
				return err_set(e, -ENOMEM, "out of memory");
			r = *path ? fn(path, arg, e) : 0;
			if (r != 0)
				return r;
			at += n + (at[n] == ':');
		}
	}
	return 0;
}

static int read_path(const char *path, void *arg, struct err *e)
{
	struct reading *rd = arg;
	int r;

	r = watch_file(rd->k, path, e);
	if (r < 0)
		return r;
	r = conf_doc_load(&rd->docs[rd->n], path, e);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	rd->paths[rd->n] = strdup(path);
	if (!rd->paths[rd->n++])
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

static void reading_deinit(struct reading *rd)
{
	for (unsigned i = 0; i < rd->n; i++) {
		conf_doc_free(rd->docs[i]);
		free(rd->paths[i]);
	}
}

/* --- looking things up over all files ----------------------------------- */

/* A named entry of a list ("clusters") and where it stands. */
struct entry {
	const struct conf_node *node; /* its table ("cluster"); NULL: not found */
	const char *path;             /* the file */
};

static struct entry find_entry(
    const struct reading *rd, const char *list, const char *key, const char *name)
{
	for (unsigned i = 0; i < rd->n; i++) {
		const struct conf_node *l = conf_get(conf_doc_root(rd->docs[i]), list);

		for (size_t j = 0; j < conf_list_len(l); j++) {
			const struct conf_node *item = conf_list_at(l, j);
			const char *text = conf_scalar(conf_get(item, "name"));

			if (text && str_eq(text, name))
				return (
				    struct entry){ conf_get(item, key), rd->paths[i] };
		}
	}
	return (struct entry){ NULL, NULL };
}

static const char *get(struct entry en, const char *key)
{
	const struct conf_node *n = conf_get(en.node, key);
	const char *text = conf_is_null(n) ? NULL : conf_scalar(n);

	return text && *text ? text : NULL;
}

static int get_copy(struct entry en, const char *key, char **ret)
{
	const char *text = get(en, key);

	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static bool get_bool(struct entry en, const char *key)
{
	const char *text = get(en, key);

	return text && (str_eq(text, "true") || str_eq(text, "True"));
}

/* A path relative to the file that it stands in. */
static char *resolve(struct entry en, const char *path)
{
	const char *slash = strrchr(en.path, '/');
	char *out;

	if (path[0] == '/' || !slash)
		return strdup(path);
	if (asprintf(&out, "%.*s/%s", (int)(slash - en.path), en.path, path) < 0)
		return NULL;
	return out;
}

static int read_file(
    struct kubeconfig *k, struct entry en, const char *key, char **ret, struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	_cleanup_(freep) char *path = resolve(en, get(en, key));
	int r;

	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	r = watch_file(k, path, e);
	if (r < 0)
		return r;
	r = file_read(path, FILE_MAX, &text);
	if (r < 0)
		return conf_err(conf_get(en.node, key), e, "%s: cannot read %s: %s",
		    key, path, strerror(-r));
	*ret = str_take(&text);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* Base64 as files have it, perhaps in several lines. */
static int read_data(struct entry en, const char *key, char **ret, struct err *e)
{
	_cleanup_(str_deinit) struct str packed = STR_INIT, text = STR_INIT;

	for (const char *s = get(en, key); *s; s++) {
		if (!strchr(" \t\r\n", *s))
			str_addc(&packed, *s);
	}
	if (str_err(&packed) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	if (base64_decode(&text, str_get(&packed), packed.len, BASE64_STD) < 0 ||
	    strlen(str_get(&text)) != text.len)
		return conf_err(
		    conf_get(en.node, key), e, "%s is not a text in base64", key);
	*ret = str_take(&text);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* "KEY-data" in base64 if it is there, else the file that KEY names. */
static int read_pem(
    struct kubeconfig *k, struct entry en, const char *key, char **ret, struct err *e)
{
	char data[64];

	snprintf(data, sizeof(data), "%s-data", key);
	if (get(en, data))
		return read_data(en, data, ret, e);
	return get(en, key) ? read_file(k, en, key, ret, e) : 0;
}

/* --- cluster and user --------------------------------------------------- */

static int check_server(const struct kubeconfig *k, struct entry en, struct err *e)
{
	const struct conf_node *n = conf_get(en.node, "server");
	struct net_endpoint to;

	if (strchr(k->server, '?') || strchr(k->server, '#') || strchr(k->server, '@'))
		return conf_err(n, e, "server: %s is not the address of an API server",
		    conf_show(k->server));
	if (str_starts(k->server, "https://"))
		return 0;
	if (str_starts(k->server, "http://") &&
	    net_endpoint_parse(k->server + strlen("http://"), 80, &to) == 0 &&
	    net_ip_is_loopback(&to.ip))
		return 0;
	return conf_err(n, e,
	    "server: %s does not begin with https:// (http:// is for loopback alone)",
	    conf_show(k->server));
}

static int read_cluster(struct kubeconfig *k, struct entry en, struct err *e)
{
	int r = get_copy(en, "server", &k->server);

	if (r == 0)
		r = get_copy(en, "tls-server-name", &k->tls_server_name);
	if (r == 0)
		r = get_copy(en, "proxy-url", &k->proxy);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (!k->server)
		return conf_err(en.node, e, "the cluster has no server");
	for (size_t n = strlen(k->server); n && k->server[n - 1] == '/'; n--)
		k->server[n - 1] = '\0';
	if (k->proxy && !str_starts(k->proxy, "http://") &&
	    !str_starts(k->proxy, "https://"))
		return conf_err(conf_get(en.node, "proxy-url"), e,
		    "proxy-url: only http:// and https:// proxies are supported");
	k->insecure = get_bool(en, "insecure-skip-tls-verify");
	r = read_pem(k, en, "certificate-authority", &k->ca, e);
	if (r < 0)
		return r;
	if (k->insecure && k->ca)
		return conf_err(en.node, e,
		    "insecure-skip-tls-verify and a certificate-authority exclude each "
		    "other");
	return check_server(k, en, e);
}

static int read_groups(struct kubeconfig *k, struct entry en, struct err *e)
{
	const struct conf_node *l = conf_get(en.node, "as-groups");

	for (size_t i = 0; i < conf_list_len(l); i++) {
		const char *text = conf_scalar(conf_list_at(l, i));

		if (!text || k->n_as_groups == KUBECONFIG_GROUPS)
			return conf_err(l, e, "as-groups: a list of at most %d names",
			    KUBECONFIG_GROUPS);
		k->as_groups[k->n_as_groups] = strdup(text);
		if (!k->as_groups[k->n_as_groups++])
			return err_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

static int read_token(struct kubeconfig *k, struct entry en, struct err *e)
{
	int r;

	if (get(en, "token"))
		return get_copy(en, "token", &k->token);
	if (!get(en, "tokenFile"))
		return 0;
	r = read_file(k, en, "tokenFile", &k->token, e);
	if (r == 0)
		k->token[strcspn(k->token, " \t\r\n")] = '\0';
	return r;
}

static int read_user(struct kubeconfig *k, struct entry en, struct err *e)
{
	static const char *const programs[] = { "exec", "auth-provider" };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		const struct conf_node *n = conf_get(en.node, programs[i]);

		if (!conf_is_null(n))
			return conf_err(n, e,
			    "%s would have to run a program; give the daemon a token "
			    "or "
			    "a certificate of its own (okd-csrd --print-rbac)",
			    programs[i]);
	}
	r = read_pem(k, en, "client-certificate", &k->certificate, e);
	if (r == 0)
		r = read_pem(k, en, "client-key", &k->key, e);
	if (r == 0)
		r = read_token(k, en, e);
	if (r == 0)
		r = read_groups(k, en, e);
	if (r < 0)
		return r;
	r = get_copy(en, "username", &k->username);
	if (r == 0)
		r = get_copy(en, "password", &k->password);
	if (r == 0)
		r = get_copy(en, "as", &k->as);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (!k->certificate != !k->key)
		return conf_err(en.node, e,
		    "client-certificate and client-key belong together, and one is "
		    "missing");
	return 0;
}

/* --- contexts ----------------------------------------------------------- */

static const char *current_context(const struct reading *rd)
{
	for (unsigned i = 0; i < rd->n; i++) {
		const char *text = conf_scalar(
		    conf_get(conf_doc_root(rd->docs[i]), "current-context"));

		if (text && *text)
			return text;
	}
	return NULL;
}

static int merge(struct reading *rd, struct err *e)
{
	const char *context = current_context(rd), *cluster, *user;
	struct entry en, c, u;
	int r;

	if (!context)
		return err_at(e, -EINVAL, rd->paths[0], 0, 0,
		    "there is no current-context; `kubectl config use-context NAME` "
		    "sets "
		    "one");
	en = find_entry(rd, "contexts", "context", context);
	cluster = get(en, "cluster");
	if (!cluster)
		return err_at(e, -EINVAL, rd->paths[0], 0, 0,
		    "the current-context \"%s\" names no context with a cluster",
		    conf_show(context));
	c = find_entry(rd, "clusters", "cluster", cluster);
	if (!c.node)
		return conf_err(
		    en.node, e, "there is no cluster \"%s\"", conf_show(cluster));
	rd->k->context = strdup(context);
	if (!rd->k->context)
		return err_set(e, -ENOMEM, "out of memory");
	r = read_cluster(rd->k, c, e);
	user = get(en, "user");
	if (r < 0 || !user)
		return r;
	u = find_entry(rd, "users", "user", user);
	if (!u.node)
		return conf_err(en.node, e, "there is no user \"%s\"", conf_show(user));
	return read_user(rd->k, u, e);
}

int kubeconfig_load(
    struct kubeconfig **ret, const struct conf_list *paths, struct err *e)
{
	_cleanup_(kubeconfig_freep) struct kubeconfig *k = calloc(1, sizeof(*k));
	_cleanup_(reading_deinit) struct reading rd = { .k = k };
	int r;

	if (!k)
		return err_set(e, -ENOMEM, "out of memory");
	r = each_path(paths, read_path, &rd, e);
	if (r < 0)
		return r;
	if (!rd.n)
		return err_set(e, -ENOENT, "there is no kubeconfig at %s yet",
		    paths->n ? conf_list_items(paths, char *)[0] : "(no path)");
	r = merge(&rd, e);
	if (r < 0)
		return r;

	*ret = TAKE(k);
	return 0;
}

/* Keys and passwords do not stay in freed memory. */
static void free_secret(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

struct kubeconfig *kubeconfig_free(struct kubeconfig *k)
{
	if (!k)
		return NULL;
	free(k->context);
	free(k->server);
	free(k->ca);
	free(k->tls_server_name);
	free(k->proxy);
	free(k->certificate);
	free_secret(k->key);
	free_secret(k->token);
	free(k->username);
	free_secret(k->password);
	free(k->as);
	for (unsigned i = 0; i < k->n_as_groups; i++)
		free(k->as_groups[i]);
	for (unsigned i = 0; i < k->n_files; i++)
		free(k->files[i].path);
	free(k);
	return NULL;
}

/* --- changes ------------------------------------------------------------ */

static int is_unknown(const char *path, void *arg, struct err *e)
{
	const struct kubeconfig *k = arg;

	for (unsigned i = 0; i < k->n_files; i++) {
		if (str_eq(k->files[i].path, path))
			return 0;
	}
	return 1;
}

bool kubeconfig_is_stale(const struct kubeconfig *k, const struct conf_list *paths)
{
	for (unsigned i = 0; i < k->n_files; i++) {
		struct kubeconfig_file f = { .path = k->files[i].path };

		stamp(&f);
		if (f.inode != k->files[i].inode || f.size != k->files[i].size ||
		    f.modified.tv_sec != k->files[i].modified.tv_sec ||
		    f.modified.tv_nsec != k->files[i].modified.tv_nsec)
			return true;
	}
	return each_path(paths, is_unknown, (void *)(uintptr_t)k, NULL) != 0;
}
