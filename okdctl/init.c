/* okdctl init: everything that the daemons and openshift-install read, from one
 * description of the cluster. */
#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/files.h"
#include "okdctl/host.h"
#include "okdctl/init_ask.h"
#include "okdctl/install_config.h"
#include "okdctl/okdctl.h"
#include "okdctl/out.h"
#include "okdctl/secrets.h"
#include "okdctl/topology.h"

#define TEXT_MAX ((size_t)1 << 20)
#define REGD_GROUP "okd-regd"

struct init {
	struct cli *cli;
	struct err err;
	struct topology topology;
	struct cluster *before, *cluster; /* what is there; what shall be */
	struct str text;                  /* cluster.yaml as it shall be */
	struct files files;
	struct str ca, ca_key, user, password, pull_secret, ssh_key;
	bool has_ssh_key; /* install-config.yaml has one */
	json_t *said;     /* with --json: what is printed at the end */
};

static void init_deinit(struct init *s)
{
	topology_deinit(&s->topology);
	s->before = cluster_free(s->before);
	s->cluster = cluster_free(s->cluster);
	str_deinit(&s->text);
	files_deinit(&s->files);
	str_deinit(&s->ca);
	secrets_wipe(&s->ca_key);
	str_deinit(&s->user);
	secrets_wipe(&s->password);
	secrets_wipe(&s->pull_secret);
	str_deinit(&s->ssh_key);
	json_freep(&s->said);
}

/* A file of the settings: 0, -ENOENT, or -errno with a sentence. */
static int read_path(struct init *s, const char *path, struct str *out)
{
	int r = file_read(path, TEXT_MAX, out);

	if (r < 0 && r != -ENOENT)
		return err_set(&s->err, r, "cannot read %s: %s", path, strerror(-r));
	return r;
}

static int read_etc(struct init *s, const char *name, struct str *out)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	cli_etc_path(s->cli, name, &path);
	return read_path(s, str_get(&path), out);
}

/* A file that an option names: it must be there. */
static int read_given(struct init *s, const char *path, struct str *out)
{
	int r = read_path(s, path, out);

	return r == -ENOENT ? err_set(&s->err, r, "%s does not exist", path) : r;
}

static int add_file(
    struct init *s, const char *name, mode_t mode, const char *group, struct str *text)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	cli_etc_path(s->cli, name, &path);
	return files_add(&s->files, str_get(&path), mode, group, text, &s->err);
}

static int keep_file(struct init *s, const char *name, const char *group)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	cli_etc_path(s->cli, name, &path);
	return files_keep(&s->files, str_get(&path), group, &s->err);
}

/* --- the description ---------------------------------------------------- */

static bool can_ask(const struct init *s)
{
	return isatty(STDIN_FILENO) && !cli_has(s->cli, "yes");
}

static const char *const topology_options[] = { "name", "base-domain", "bastion",
	"bastion-name", "gateway", "machine-network", "ingress", "upstream-dns", "node",
	NULL };

static bool has_topology_options(const struct init *s)
{
	for (size_t i = 0; topology_options[i]; i++) {
		if (cli_has(s->cli, topology_options[i]))
			return true;
	}
	return false;
}

static int set_word(struct init *s, char **word, const char *option)
{
	const char *value = cli_get(s->cli, option);

	return value ? topology_set(word, value) : 0;
}

/* An option that may be repeated replaces the whole list. */
static int set_words(struct init *s, struct words *w, const char *option)
{
	const char *value;
	int r = 0;

	if (cli_has(s->cli, option))
		words_deinit(w);
	for (unsigned i = 0; r == 0 && (value = cli_nth(s->cli, option, i)); i++)
		r = words_add(w, value);
	return r;
}

static int take_options(struct init *s)
{
	struct topology *t = &s->topology;
	const char *node;
	int r = set_word(s, &t->name, "name");

	if (r == 0)
		r = set_word(s, &t->base_domain, "base-domain");
	if (r == 0)
		r = set_word(s, &t->bastion_name, "bastion-name");
	if (r == 0)
		r = set_word(s, &t->gateway, "gateway");
	if (r == 0)
		r = set_words(s, &t->bastion, "bastion");
	if (r == 0)
		r = set_words(s, &t->networks, "machine-network");
	if (r == 0)
		r = set_words(s, &t->ingress, "ingress");
	if (r == 0)
		r = set_words(s, &t->upstream, "upstream-dns");
	for (unsigned i = 0; r == 0 && (node = cli_nth(s->cli, "node", i)); i++)
		r = topology_add_node(t, node, &s->err);
	return r;
}

/* What an install-config.yaml says, where nobody said otherwise. */
static int take_install_config(struct init *s, const char *path)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	const struct conf_node *root, *networks;
	struct topology *t = &s->topology;
	int r = conf_doc_load(&doc, path, &s->err);
	const char *text;

	if (r == -ENOENT)
		return err_set(&s->err, r, "%s does not exist", path);
	if (r < 0)
		return r;
	root = conf_doc_root(doc);
	text = conf_scalar(conf_get(root, "baseDomain"));
	if (text && !t->base_domain)
		r = topology_set(&t->base_domain, text);
	text = conf_scalar(conf_get(conf_get(root, "metadata"), "name"));
	if (r == 0 && text && !t->name)
		r = topology_set(&t->name, text);
	networks = conf_get(conf_get(root, "networking"), "machineNetwork");
	for (size_t i = 0; r == 0 && !cli_has(s->cli, "machine-network") &&
	     !s->before && i < conf_list_len(networks);
	     i++) {
		text = conf_scalar(conf_get(conf_list_at(networks, i), "cidr"));
		r = text ? words_add(&t->networks, text) : 0;
	}
	return r;
}

/* Adds the name servers of a resolv.conf, but for this host itself. */
static int take_resolvers(struct topology *t, const char *path)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = 0;

	if (file_read(path, TEXT_MAX, &text) < 0)
		return 0;
	for (char *line = text.s, *next; r == 0 && line; line = next) {
		char word[64];
		struct net_ip ip;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (sscanf(line, " nameserver %63s", word) != 1 ||
		    net_ip_parse(word, &ip) < 0 || net_ip_is_loopback(&ip) ||
		    words_has(&t->bastion, word))
			continue;
		r = words_add(&t->upstream, word);
	}
	return r;
}

/* The resolvers of this host: a default of upstream_dns.  Where resolv.conf names a stub on
 * loopback, whose place okd-dnsd will take, they are those whom the stub asks. */
static int guess_upstream(struct init *s)
{
	static const char *const paths[] = { "/etc/resolv.conf",
		"/run/systemd/resolve/resolv.conf",
		"/run/NetworkManager/no-stub-resolv.conf" };
	int r = 0;

	for (size_t i = 0; r == 0 && !s->topology.upstream.n && i < ARRAY_SIZE(paths);
	     i++)
		r = take_resolvers(&s->topology, paths[i]);
	return r;
}

static int missing(struct init *s)
{
	const struct topology *t = &s->topology;
	const char *what = !t->name ? "--name okd"
	    : !t->base_domain       ? "--base-domain example.com"
	    : !t->bastion.n         ? "--bastion 192.168.120.101"
	    : !t->networks.n        ? "--machine-network 192.168.120.0/24"
	    : !t->n_nodes ? "--node name=master,role=master,address=192.168.120.103"
			  : NULL;

	return what ? err_set(&s->err, -EINVAL,
			  "the cluster is not described yet: give %s (and see "
			  "\"okdctl init --help\"), or run it on a terminal, or give "
			  "a whole cluster.yaml with --topology",
			  what)
		    : 0;
}

static int describe(struct init *s)
{
	int r = 0;

	if (s->before)
		r = topology_from_cluster(&s->topology, s->before);
	if (r == 0)
		r = take_options(s);
	if (r == 0 && cli_has(s->cli, "from"))
		r = take_install_config(s, cli_get(s->cli, "from"));
	if (r == 0 && !s->before && can_ask(s))
		r = ask_topology(&s->topology, &s->err);
	if (r == 0 && !s->before && !cli_has(s->cli, "upstream-dns"))
		r = guess_upstream(s);
	if (r == 0)
		r = missing(s);
	if (r == 0)
		topology_print(&s->topology, &s->text);
	return r;
}

static int load_before(struct init *s)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	int r;

	cli_etc_path(s->cli, "cluster.yaml", &path);
	r = cluster_load(&s->before, str_get(&path), NULL, &s->err);
	if (r == -ENOENT)
		return 0;
	if (r < 0 && cli_has(s->cli, "force")) {
		s->err = (struct err)ERR_INIT;
		return 0;
	}
	return r;
}

/* A fault in what options said is told without a place in a file that is not there. */
static int parse_text(struct init *s, const char *name, bool is_file)
{
	_cleanup_(str_deinit) struct str warnings = STR_INIT;
	int r = cluster_parse(
	    &s->cluster, name, str_get(&s->text), s->text.len, &warnings, &s->err);

	if (r < 0 && !is_file) {
		s->err.file[0] = '\0';
		s->err.line = s->err.column = 0;
	}
	if (warnings.len && is_file)
		fputs(warnings.s, stderr);
	return r;
}

static bool is_same(const struct cluster *a, const struct cluster *b)
{
	_cleanup_(str_deinit) struct str x = STR_INIT, y = STR_INIT;

	cluster_print(a, &x);
	cluster_print(b, &y);
	return str_eq(str_get(&x), str_get(&y));
}

static int plan_cluster(struct init *s)
{
	const char *topology = cli_get(s->cli, "topology");
	int r;

	if (topology && has_topology_options(s))
		return err_set(&s->err, -EINVAL,
		    "--topology gives a whole cluster.yaml; edit that file instead of "
		    "adding options");
	r = topology ? read_given(s, topology, &s->text) : describe(s);
	if (r == 0)
		r = parse_text(s, topology ? topology : "cluster.yaml", topology);
	if (r < 0)
		return r;
	if (s->before && is_same(s->before, s->cluster))
		return keep_file(s, "cluster.yaml", NULL);
	return add_file(s, "cluster.yaml", 0644, NULL, &s->text);
}

/* --- the registry ------------------------------------------------------- */

static int plan_ca(struct init *s)
{
	_cleanup_(str_deinit) struct str cert = STR_INIT;
	_cleanup_(secrets_wipe) struct str key = STR_INIT;
	int has_cert = read_etc(s, "registry-ca.crt", &s->ca);
	int has_key = read_etc(s, "private/registry-ca.key", &s->ca_key);
	int r;

	if (has_cert < 0 && has_cert != -ENOENT)
		return has_cert;
	if (has_key < 0 && has_key != -ENOENT)
		return has_key;
	if (has_cert == 0) {
		r = keep_file(s, "registry-ca.crt", NULL);
		return r < 0 || has_key < 0
		    ? r
		    : keep_file(s, "private/registry-ca.key", NULL);
	}
	if (has_key == 0)
		return err_set(&s->err, -EINVAL,
		    "%s/private/registry-ca.key is there, but its certificate "
		    "registry-ca.crt is not; put it back, or move the key away",
		    s->cli->etc);
	r = secrets_make_ca(s->cluster, clock_real_s(), &cert, &key, &s->err);
	str_addz(&s->ca, str_get(&cert));
	str_addz(&s->ca_key, str_get(&key));
	if (r == 0)
		r = add_file(s, "private/registry-ca.key", 0600, NULL, &key);
	return r < 0 ? r : add_file(s, "registry-ca.crt", 0644, NULL, &cert);
}

/* A pair that is no good any more is renewed: the same CA vouches for it. */
static int make_cert(struct init *s, const char *why)
{
	_cleanup_(str_deinit) struct str cert = STR_INIT;
	_cleanup_(secrets_wipe) struct str key = STR_INIT;
	int r;

	if (!s->ca_key.len)
		return err_set(&s->err, -EINVAL,
		    "the registry's certificate %s, and its CA's key "
		    "%s/private/registry-ca.key is not here to issue another",
		    why ? why : "is missing", s->cli->etc);
	r = secrets_make_cert(s->cluster, clock_real_s(), str_get(&s->ca),
	    str_get(&s->ca_key), &cert, &key, &s->err);
	if (r == 0)
		r = add_file(s, "registry.key", 0640, REGD_GROUP, &key);
	if (r == 0)
		r = add_file(s, "registry.crt", 0644, NULL, &cert);
	for (size_t i = s->files.n; r == 0 && why && i > s->files.n - 2; i--) {
		struct file *f = &s->files.v[i - 1];

		f->state = f->state == FILE_NEW ? FILE_NEW : FILE_RENEWED;
		f->why = strdup(why);
	}
	return r;
}

static int plan_cert(struct init *s)
{
	_cleanup_(str_deinit) struct str cert = STR_INIT;
	_cleanup_(secrets_wipe) struct str key = STR_INIT;
	int has_cert = read_etc(s, "registry.crt", &cert);
	int has_key = read_etc(s, "registry.key", &key);
	struct err why = ERR_INIT;
	int r;

	if (has_cert < 0 && has_cert != -ENOENT)
		return has_cert;
	if (has_key < 0 && has_key != -ENOENT)
		return has_key;
	if (has_cert < 0 && has_key < 0)
		return make_cert(s, NULL);
	if (has_cert < 0 || has_key < 0)
		return make_cert(s, "lacks its other half");
	if (secrets_check_cert(s->cluster, clock_real_s(), str_get(&cert),
		str_get(&key), str_get(&s->ca), &why) < 0)
		return make_cert(s, why.text);
	r = keep_file(s, "registry.key", REGD_GROUP);
	return r < 0 ? r : keep_file(s, "registry.crt", NULL);
}

/* The user's name and password: from the pull secret that is there (*known), given, or
 * made. */
static int find_user(
    struct init *s, const char *registry, const char *secret, bool *known)
{
	const char *file = cli_get(s->cli, "registry-password-file");
	const char *user = cli_get(s->cli, "registry-user");
	int r;

	*known = !file && secret &&
	    secrets_find_auth(secret, registry, &s->user, &s->password) == 0 &&
	    (!user || str_eq(user, str_get(&s->user)));
	if (*known)
		return 0;
	str_reset(&s->user);
	str_reset(&s->password);
	str_addz(&s->user, user ? user : "admin");
	if (!file) {
		secrets_password(&s->password);
		return 0;
	}
	r = str_eq(file, "-") ? fd_read_all(STDIN_FILENO, 4096, &s->password)
			      : read_given(s, file, &s->password);
	if (r == 0 && s->password.len)
		s->password.s[strcspn(s->password.s, "\r\n")] = '\0';
	if (r == 0 && !*str_get(&s->password))
		return err_set(&s->err, -EINVAL, "the password in %s is empty", file);
	return r;
}

/* A file of ours that is half-written, or that a person broke. */
static int or_move_away(struct init *s)
{
	_cleanup_(freep) char *why = strdup(err_str(&s->err));

	s->err = (struct err)ERR_INIT;
	return err_set(&s->err, -EINVAL,
	    "%s; correct it, or move it away and run this again", why ? why : "");
}

/*
 * registry.htpasswd lets the user of the pull secret in.  One that is there stays where it
 * does so, or where nobody asked for another user or password: that a person has changed
 * it since is for okdctl check to say.
 */
static int plan_htpasswd(struct init *s, const struct str *have, bool known)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	const char *user = str_get(&s->user), *password = str_get(&s->password);
	struct file *f;
	int r;

	if (have && (known || secrets_has_user(str_get(have), user, password)))
		return keep_file(s, "registry.htpasswd", REGD_GROUP);
	if (have)
		secrets_without_user(str_get(have), user, &text);
	r = secrets_htpasswd(user, password, &text, &s->err);
	if (r == 0)
		r = add_file(s, "registry.htpasswd", 0640, REGD_GROUP, &text);
	if (r < 0 || !have)
		return r;
	f = &s->files.v[s->files.n - 1];
	f->why = strdup("does not let the user in whom the pull secret is to name");
	return 0;
}

static int plan_users(struct init *s)
{
	_cleanup_(str_deinit) struct str registry = STR_INIT, users = STR_INIT,
					 path = STR_INIT;
	_cleanup_(secrets_wipe) struct str secret = STR_INIT, own = STR_INIT,
					   given = STR_INIT, text = STR_INIT;
	const char *file = cli_get(s->cli, "pull-secret");
	int has_secret = read_etc(s, "pull-secret.json", &secret);
	int has_users = read_etc(s, "registry.htpasswd", &users);
	bool known;
	int r;

	if (has_secret < 0 && has_secret != -ENOENT)
		return has_secret;
	if (has_users < 0 && has_users != -ENOENT)
		return has_users;
	install_config_registry(s->cluster, &registry);
	r = find_user(s, str_get(&registry), has_secret == 0 ? secret.s : NULL, &known);
	if (r < 0)
		return r;
	if (has_users == 0 && has_secret < 0 &&
	    !cli_has(s->cli, "registry-password-file"))
		return err_set(&s->err, -EINVAL,
		    "%s/registry.htpasswd is there, but pull-secret.json, which has "
		    "the "
		    "password, is not; give it with --registry-password-file FILE",
		    s->cli->etc);
	secrets_pull_secret(
	    str_get(&registry), str_get(&s->user), str_get(&s->password), &own);
	r = file ? read_given(s, file, &given) : 0;
	cli_etc_path(s->cli, "pull-secret.json", &path);
	if (r == 0)
		r = install_config_merge_secret(file ? file : str_get(&path),
		    file                  ? str_get(&given)
			: has_secret == 0 ? str_get(&secret)
					  : "{\"auths\":{}}",
		    str_get(&own), &s->pull_secret, &s->err);
	if (r < 0)
		return file ? r : or_move_away(s);
	str_addf(&text, "%s\n", str_get(&s->pull_secret));
	r = plan_htpasswd(s, has_users == 0 ? &users : NULL, known);
	return r < 0 ? r : add_file(s, "pull-secret.json", 0640, REGD_GROUP, &text);
}

static int plan_regd(struct init *s)
{
	static const struct {
		const char *key, *file;
	} paths[] = { { "tls:\n  certificate: ", "registry.crt" },
		{ "  key: ", "registry.key" },
		{ "auth:\n  htpasswd: ", "registry.htpasswd" } };
	_cleanup_(str_deinit) struct str text = STR_INIT;
	_cleanup_(freep) char *here = getcwd(NULL, 0);
	int r = read_etc(s, "regd.yaml", &text);

	if (r == 0)
		return keep_file(s, "regd.yaml", NULL);
	if (r != -ENOENT)
		return r;
	str_addz(&text, "# okd-regd: what does not follow from cluster.yaml.\n");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_(str_deinit) struct str path = STR_INIT;

		if (s->cli->etc[0] != '/' && here)
			str_addf(&path, "%s/", here);
		cli_etc_path(s->cli, paths[i].file, &path);
		str_addz(&text, paths[i].key);
		conf_print_string(str_get(&path), &text);
		str_addc(&text, '\n');
	}
	return add_file(s, "regd.yaml", 0644, NULL, &text);
}

/* --- install-config.yaml ------------------------------------------------ */

/* Leaves the first line that is a public key ("ssh-ed25519 AAAA... someone"): the type of
 * a key begins its bytes, and so the same four letters every key. */
static bool pick_key(struct str *text)
{
	_cleanup_(str_deinit) struct str key = STR_INIT;

	for (const char *at = str_get(text); *at; at += *at == '\n') {
		size_t n = strcspn(at, "\r\n");
		const char *type = at + strspn(at, " \t"),
			   *blob = memmem(at, n, " AAAA", 5);

		if (blob > type && *type != '#' && !key.len)
			str_add(&key, type, (size_t)(at + n - type));
		at += strcspn(at, "\n");
	}
	str_reset(text);
	str_add(text, str_get(&key), key.len);
	return text->len;
}

static int read_key(struct init *s, const char *home)
{
	static const char *const names[] = { "id_ed25519.pub", "id_ecdsa.pub",
		"id_rsa.pub" };

	for (size_t i = 0; i < ARRAY_SIZE(names) && !s->ssh_key.len; i++) {
		_cleanup_(str_deinit) struct str path = STR_INIT;

		str_addf(&path, "%s/.ssh/%s", home, names[i]);
		if (file_read(str_get(&path), 16384, &s->ssh_key) < 0 ||
		    !pick_key(&s->ssh_key))
			str_reset(&s->ssh_key);
	}
	return 0;
}

/* The public key by which a person reaches the nodes; of who called sudo first. */
static int find_ssh_key(struct init *s)
{
	const char *file = cli_get(s->cli, "ssh-key"), *sudo = getenv("SUDO_USER");
	const struct passwd *pw = sudo ? getpwnam(sudo) : NULL;
	int r = 0;

	if (file)
		r = read_given(s, file, &s->ssh_key);
	else if (pw)
		r = read_key(s, pw->pw_dir);
	if (r == 0 && !s->ssh_key.len && !file && getenv("HOME"))
		r = read_key(s, getenv("HOME"));
	if (r < 0 || !file)
		return r;
	if (strstr(str_get(&s->ssh_key), "PRIVATE KEY"))
		return err_set(&s->err, -EINVAL,
		    "%s is the private key; give the public one, %s.pub", file, file);
	if (!pick_key(&s->ssh_key))
		return err_set(&s->err, -EINVAL,
		    "%s holds no public key of SSH; give one such as "
		    "~/.ssh/id_ed25519.pub",
		    file);
	return 0;
}

/* What completing leaves as it is: asked for, it needs a file that is made anew. */
static bool asks_anew(const struct init *s)
{
	return cli_has(s->cli, "cluster-network") ||
	    cli_has(s->cli, "service-network") || cli_has(s->cli, "release");
}

static int check_given(struct init *s)
{
	const char *release = cli_get(s->cli, "release"),
		   *from = cli_get(s->cli, "from");

	if (release && !install_config_is_release(release))
		return err_set(&s->err, -EINVAL,
		    "\"%s\" is no release of OKD; write 4.5, 4.17 or the like",
		    release);
	if (from &&
	    (cli_has(s->cli, "cluster-network") || cli_has(s->cli, "service-network")))
		return err_set(&s->err, -EINVAL,
		    "--from keeps the networks of %s; write them there", from);
	return 0;
}

/* The one that is there, or the one that was given, completed; else one made whole. */
static int fill_install_config(struct init *s, const struct install_config *in,
    const struct str *have, const struct str *given, struct str *text)
{
	const char *from = cli_get(s->cli, "from");
	const struct str *base = from ? given : have;
	_cleanup_(str_deinit) struct str path = STR_INIT;
	struct err why = ERR_INIT;
	bool other_key;
	int r;

	if (!base->len || (!from && asks_anew(s)))
		return install_config_make(in, text, &s->err);
	cli_etc_path(s->cli, "install-config.yaml", &path);
	r = install_config_complete(
	    in, from ? from : str_get(&path), base->s, base->len, text, &why);
	if (r < 0 && (from || !cli_has(s->cli, "force"))) {
		s->err = why;
		return from ? r : or_move_away(s);
	}
	/* Another key is in it than the one that was asked for. */
	other_key = r == 0 && !from && cli_has(s->cli, "ssh-key") && s->ssh_key.len &&
	    !strstr(str_get(text), s->ssh_key.s);
	if (r == 0 && !other_key)
		return 0;
	str_reset(text);
	return install_config_make(in, text, &s->err);
}

static int plan_install_config(struct init *s)
{
	_cleanup_(secrets_wipe) struct str have = STR_INIT, given = STR_INIT,
					   text = STR_INIT;
	const char *from = cli_get(s->cli, "from");
	struct install_config in = {
		.cluster = s->cluster,
		.pull_secret = str_get(&s->pull_secret),
		.trust = str_get(&s->ca),
		.release = cli_get(s->cli, "release"),
		.cluster_network = cli_get(s->cli, "cluster-network"),
		.service_network = cli_get(s->cli, "service-network"),
	};
	int r = read_etc(s, "install-config.yaml", &have);

	if (r < 0 && r != -ENOENT)
		return r;
	r = check_given(s);
	if (r == 0 && from)
		r = read_given(s, from, &given);
	if (r == 0)
		r = find_ssh_key(s);
	in.ssh_key = s->ssh_key.len ? str_get(&s->ssh_key) : NULL;
	if (r == 0)
		r = fill_install_config(s, &in, &have, &given, &text);
	s->has_ssh_key = strstr(str_get(&text), "\nsshKey:") != NULL;
	return r < 0 ? r : add_file(s, "install-config.yaml", 0600, NULL, &text);
}

/* --- the command -------------------------------------------------------- */

static int plan(struct init *s)
{
	int r = load_before(s);

	if (r == 0)
		r = plan_cluster(s);
	if (r == 0)
		r = plan_ca(s);
	if (r == 0)
		r = plan_cert(s);
	if (r == 0)
		r = plan_users(s);
	if (r == 0)
		r = plan_regd(s);
	return r < 0 ? r : plan_install_config(s);
}

static int make_folders(struct init *s)
{
	_cleanup_(str_deinit) struct str private = STR_INIT;
	int r = dir_make(s->cli->etc, 0755);

	cli_etc_path(s->cli, "private", &private);
	if (r == 0)
		r = dir_make(str_get(&private), 0700);
	return r < 0 ? err_set(&s->err, r, "cannot create %s: %s%s", str_get(&private),
			   strerror(-r), r == -EACCES ? "; be root, or give --etc" : "")
		     : 0;
}

static int report(struct init *s, bool written)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;

	if (s->cli->json) {
		s->said = json_pack(
		    "{s:b, s:o}", "written", written, "files", files_json(&s->files));
		return s->said ? 0 : cli_fail(EXIT_FAILED, "out of memory");
	}
	files_print(&s->files, written, &out);
	fputs(str_get(&out), stdout);
	if (!s->has_ssh_key)
		puts("There is no SSH key in install-config.yaml: make one "
		     "(ssh-keygen), "
		     "then okdctl init --ssh-key FILE --force.");
	if (written && files_changed(&s->files) && !cli_has(s->cli, "apply"))
		puts(
		    "Next: okdctl init --apply (what the host needs), systemctl enable "
		    "--now okd-bastion.target, okdctl check");
	return 0;
}

static int write_all(struct init *s)
{
	size_t conflicts = files_conflicts(&s->files);
	int r;

	if (cli_has(s->cli, "dry-run"))
		return report(s, false);
	if (conflicts && !cli_has(s->cli, "force")) {
		report(s, false);
		return cli_fail(EXIT_FAILED,
		    "%zu of these files %s there with other contents; nothing was "
		    "written: --force replaces what differs and leaves a copy beside "
		    "it",
		    conflicts, conflicts == 1 ? "is" : "are");
	}
	r = make_folders(s);
	if (r == 0)
		r = files_write(&s->files, &s->err);
	return r < 0 ? cli_fail_err(cli_status_of(r), &s->err) : report(s, true);
}

int init_run(struct cli *c)
{
	_cleanup_(init_deinit) struct init s = { .cli = c, .err = ERR_INIT };
	int r;

	if (cli_has(c, "cluster"))
		return cli_fail(EXIT_USAGE,
		    "init writes cluster.yaml into --etc: give --topology FILE for "
		    "what it "
		    "shall say, or --etc DIR for another place");
	r = plan(&s);
	if (r == -ENOMEM && !s.err.text[0])
		err_set(&s.err, r, "out of memory");
	if (r < 0)
		return cli_fail_err(cli_status_of(r), &s.err);
	r = write_all(&s);
	if (r == 0 && cli_has(c, "apply"))
		r = host_apply(c, s.cluster, str_get(&s.ca), s.said);
	if (r == 0 && !cli_has(c, "dry-run"))
		files_give(&s.files);
	return s.said && out_json(s.said) ? EXIT_FAILED : r;
}
