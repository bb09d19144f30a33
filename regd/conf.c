/* regd.yaml: see conf.h. */
#include "regd/conf.h"

#include <errno.h>
#include <string.h>

#include "common/cluster.h"
#include "regd/acl.h"
#include "regd/name.h"
#include "regd/quota.h"

enum { PORT = 5000 };

/* --- tables that may also be the word "off" -------------------------------- */

/* The struct of such a table begins with bool off. */
static int parse_or_off(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	const char *word = conf_scalar(n);

	if (!word)
		return conf_table_parse(t, f, n, out, e);
	if (!str_eq(word, "off") && !str_eq(word, "false"))
		return conf_field_err(f, n, e,
		    "\"%s\" is neither a table of settings nor the word off", word);
	*(bool *)out = true;
	return 0;
}

static void print_or_off(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	if (*(const bool *)in)
		str_addz(out, "off");
	else
		conf_table_print(t, in, indent, out);
}

/* clang-format off */
#define TABLE_OR_OFF(type, fields)                                              \
	{ .what = "a table of settings, or off", .size = sizeof(type),          \
	    .parse = parse_or_off, .print = print_or_off,                       \
	    .deinit = conf_table_deinit, .aux = (fields), .block = true }

/* --- secrets, which are not shown ---------------------------------------------- */

static int parse_plain(const struct conf_type *t, const struct conf_field *f,
    const struct conf_node *n, void *out, struct err *e)
{
	return conf_string.parse(&conf_string, f, n, out, e);
}

static void deinit_plain(const struct conf_type *t, void *in)
{
	conf_string.deinit(&conf_string, in);
}

static bool is_unset_plain(const struct conf_type *t, const void *in)
{
	return !*(char *const *)in;
}

static void print_hidden(const char *s, size_t from, size_t to, struct str *out)
{
	_cleanup_(str_deinit) struct str shown = STR_INIT;

	str_add(&shown, s, from);
	str_addz(&shown, "***");
	str_addz(&shown, s + to);
	conf_print_string(str_get(&shown), out);
}

/* "Authorization: ***" */
static void print_header(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	const char *s = *(char *const *)in;
	const char *value = strchr(s, ':');

	value = value ? value + 1 + strspn(value + 1, " ") : s;
	print_hidden(s, (size_t)(value - s), strlen(s), out);
}

/* Where a URL's user and password begin and end: false when it has none. */
static bool find_login(const char *url, size_t *from, size_t *to)
{
	const char *at = strstr(url, "://");
	size_t n;

	if (!at)
		return false;
	at += 3;
	n = strcspn(at, "/?#");
	while (n && at[n] != '@')
		n--;
	*from = (size_t)(at - url);
	*to = *from + n;
	return n > 0;
}

static void print_url(
    const struct conf_type *t, const void *in, int indent, struct str *out)
{
	const char *s = *(char *const *)in;
	size_t from, to;

	if (find_login(s, &from, &to))
		print_hidden(s, from, to, out);
	else
		conf_print_string(s, out);
}

#define HIDING(printer)                                                         \
	{ .what = "a text", .size = sizeof(char *), .parse = parse_plain,       \
	    .print = (printer), .deinit = deinit_plain,                         \
	    .is_unset = is_unset_plain }
static const struct conf_type header_type = HIDING(print_header);
static const struct conf_type url_type = HIDING(print_url);

/* --- tables ------------------------------------------------------------------ */

static const struct conf_type endpoints = CONF_LIST(&conf_endpoint);
static const struct conf_type strings = CONF_LIST(&conf_string);
static const struct conf_type headers = CONF_LIST(&header_type);

static const char *const access_words[] = { "pull", "push", "delete", NULL };
static const struct conf_type access_word = CONF_ENUM(access_words);
static const struct conf_type access_list = CONF_LIST(&access_word);

static const struct conf_field rule_fields[] = {
	{ .key = "users", .type = &strings, .required = true,
	    .offset = offsetof(struct acl_rule, users) },
	{ .key = "repositories", .type = &strings, .def = "[\"**\"]",
	    .offset = offsetof(struct acl_rule, repositories) },
	{ .key = "allow", .type = &access_list, .required = true,
	    .offset = offsetof(struct acl_rule, allow) },
	CONF_END,
};
static const struct conf_type rule_type = CONF_TABLE(struct acl_rule, rule_fields);
static const struct conf_type rules_type = CONF_LIST(&rule_type);

static const struct conf_field tls_fields[] = {
	{ .key = "certificate", .type = &conf_string,
	    .offset = offsetof(struct conf_tls, certificate) },
	{ .key = "key", .type = &conf_string, .offset = offsetof(struct conf_tls, key) },
	{ .key = "client_ca", .type = &conf_string,
	    .offset = offsetof(struct conf_tls, client_ca) },
	CONF_END,
};
static const struct conf_type tls_type = TABLE_OR_OFF(struct conf_tls, tls_fields);

static const char *const challenge_words[] = { "basic", "bearer", NULL };
static const struct conf_type challenge_type = CONF_ENUM(challenge_words);

static const struct conf_field issuer_fields[] = {
	{ .key = "issuer", .type = &conf_string, .required = true,
	    .offset = offsetof(struct conf_issuer, issuer) },
	{ .key = "jwks", .type = &conf_string, .required = true,
	    .offset = offsetof(struct conf_issuer, jwks) },
	{ .key = "audience", .type = &strings,
	    .offset = offsetof(struct conf_issuer, audience) },
	CONF_END,
};
static const struct conf_type issuer_type =
    CONF_TABLE(struct conf_issuer, issuer_fields);
static const struct conf_type issuers_type = CONF_LIST(&issuer_type);

static const struct conf_field token_fields[] = {
	{ .key = "service", .type = &conf_string, .def = "okd-regd",
	    .offset = offsetof(struct conf_tokens, service) },
	{ .key = "realm", .type = &conf_string,
	    .offset = offsetof(struct conf_tokens, realm) },
	{ .key = "lifetime", .type = &conf_duration, .def = "5m", .min = 60000,
	    .max = 86400000, .offset = offsetof(struct conf_tokens, lifetime) },
	CONF_END,
};
static const struct conf_type tokens_type = CONF_TABLE(struct conf_tokens, token_fields);

static const struct conf_field auth_fields[] = {
	{ .key = "htpasswd", .type = &conf_string,
	    .offset = offsetof(struct conf_auth, htpasswd) },
	{ .key = "realm", .type = &conf_string, .def = "okd-regd",
	    .offset = offsetof(struct conf_auth, realm) },
	{ .key = "anonymous_pull", .type = &conf_bool, .def = "false",
	    .offset = offsetof(struct conf_auth, anonymous_pull) },
	{ .key = "challenge", .type = &challenge_type, .def = "basic",
	    .offset = offsetof(struct conf_auth, challenge) },
	{ .key = "tokens", .type = &tokens_type, .def = "{}",
	    .offset = offsetof(struct conf_auth, tokens) },
	{ .key = "issuers", .type = &issuers_type,
	    .offset = offsetof(struct conf_auth, issuers) },
	{ .key = "rules", .type = &rules_type,
	    .offset = offsetof(struct conf_auth, rules) },
	CONF_END,
};
static const struct conf_type auth_type = TABLE_OR_OFF(struct conf_auth, auth_fields);

static const struct conf_field storage_fields[] = {
	{ .key = "root", .type = &conf_string,
	    .offset = offsetof(struct conf_storage, root) },
	{ .key = "reserve", .type = &conf_size, .def = "1GiB",
	    .offset = offsetof(struct conf_storage, reserve) },
	{ .key = "quota", .type = &conf_size,
	    .offset = offsetof(struct conf_storage, quota) },
	CONF_END,
};
static const struct conf_type storage_type =
    CONF_TABLE(struct conf_storage, storage_fields);

static const struct conf_field quota_fields[] = {
	{ .key = "repositories", .type = &strings, .required = true,
	    .offset = offsetof(struct quota, repositories) },
	{ .key = "size", .type = &conf_size, .required = true, .min = 1,
	    .offset = offsetof(struct quota, size) },
	CONF_END,
};
static const struct conf_type quota_type = CONF_TABLE(struct quota, quota_fields);
static const struct conf_type quotas_type = CONF_LIST(&quota_type);

static const char *const overlay_words[] = { "auto", "distribution", "oc", "oci",
	"archive", NULL };
static const struct conf_type overlay_kind = CONF_ENUM(overlay_words);
static const struct conf_field overlay_fields[] = {
	{ .key = "type", .type = &overlay_kind, .def = "auto",
	    .offset = offsetof(struct conf_overlay, type) },
	{ .key = "path", .type = &conf_string, .required = true,
	    .offset = offsetof(struct conf_overlay, path) },
	{ .key = "repository", .type = &conf_string,
	    .offset = offsetof(struct conf_overlay, repository) },
	CONF_END,
};
static const struct conf_type overlay_type =
    CONF_TABLE(struct conf_overlay, overlay_fields);
static const struct conf_type overlays_type = CONF_LIST(&overlay_type);

static const struct conf_field gc_fields[] = {
	{ .key = "interval", .type = &conf_duration, .def = "1d",
	    .offset = offsetof(struct conf_gc, interval) },
	{ .key = "grace", .type = &conf_duration, .def = "1d", .min = 1000,
	    .offset = offsetof(struct conf_gc, grace) },
	CONF_END,
};
static const struct conf_type gc_type = CONF_TABLE(struct conf_gc, gc_fields);

static const struct conf_field scrub_fields[] = {
	{ .key = "interval", .type = &conf_duration, .def = "7d",
	    .offset = offsetof(struct conf_scrub, interval) },
	{ .key = "rate", .type = &conf_size, .def = "50MiB", .min = 65536,
	    .offset = offsetof(struct conf_scrub, rate) },
	CONF_END,
};
static const struct conf_type scrub_type = CONF_TABLE(struct conf_scrub, scrub_fields);

static const struct conf_field pull_fields[] = {
	{ .key = "prefix", .type = &conf_string, .required = true,
	    .offset = offsetof(struct conf_pull_through, prefix) },
	{ .key = "upstream", .type = &url_type, .required = true,
	    .offset = offsetof(struct conf_pull_through, upstream) },
	{ .key = "ns", .type = &conf_string,
	    .offset = offsetof(struct conf_pull_through, ns) },
	{ .key = "authfile", .type = &conf_string,
	    .offset = offsetof(struct conf_pull_through, authfile) },
	{ .key = "ca", .type = &conf_string,
	    .offset = offsetof(struct conf_pull_through, ca) },
	{ .key = "tag_ttl", .type = &conf_duration, .def = "5m",
	    .offset = offsetof(struct conf_pull_through, tag_ttl) },
	CONF_END,
};
static const struct conf_type pull_type =
    CONF_TABLE(struct conf_pull_through, pull_fields);
static const struct conf_type pulls_type = CONF_LIST(&pull_type);

static const char *const event_words[] = { "pull", "push", "mount", "delete", NULL };
static const struct conf_type event_word = CONF_ENUM(event_words);
static const struct conf_type event_list = CONF_LIST(&event_word);

static const struct conf_field hook_fields[] = {
	{ .key = "name", .type = &conf_string, .required = true,
	    .offset = offsetof(struct conf_hook, name) },
	{ .key = "url", .type = &url_type, .required = true,
	    .offset = offsetof(struct conf_hook, url) },
	{ .key = "ca", .type = &conf_string, .offset = offsetof(struct conf_hook, ca) },
	{ .key = "headers", .type = &headers,
	    .offset = offsetof(struct conf_hook, headers) },
	{ .key = "events", .type = &event_list, .def = "[push, mount, delete]",
	    .offset = offsetof(struct conf_hook, events) },
	{ .key = "timeout", .type = &conf_duration, .def = "10s", .min = 100,
	    .offset = offsetof(struct conf_hook, timeout) },
	{ .key = "queue", .type = &conf_uint, .def = "10000", .min = 1, .max = 1000000,
	    .offset = offsetof(struct conf_hook, queue) },
	CONF_END,
};
static const struct conf_type hook_type = CONF_TABLE(struct conf_hook, hook_fields);
static const struct conf_type hooks_type = CONF_LIST(&hook_type);

static const struct conf_field fields[] = {
	{ .key = "admin", .type = &daemon_admin_type,
	    .offset = offsetof(struct conf, common.admin) },
	/* Longer than elsewhere: who mirrors a release does not try again. */
	{ .key = "drain_timeout", .type = &conf_duration, .def = "5m",
	    .offset = offsetof(struct conf, common.drain_timeout) },
	{ .key = "listen", .type = &endpoints, .offset = offsetof(struct conf, listen) },
	{ .key = "tls", .type = &tls_type, .def = "{}",
	    .offset = offsetof(struct conf, tls) },
	{ .key = "auth", .type = &auth_type, .def = "{}",
	    .offset = offsetof(struct conf, auth) },
	{ .key = "storage", .type = &storage_type,
	    .offset = offsetof(struct conf, storage) },
	{ .key = "quotas", .type = &quotas_type,
	    .offset = offsetof(struct conf, quotas) },
	{ .key = "overlays", .type = &overlays_type,
	    .offset = offsetof(struct conf, overlays) },
	{ .key = "gc", .type = &gc_type, .offset = offsetof(struct conf, gc) },
	{ .key = "scrub", .type = &scrub_type, .offset = offsetof(struct conf, scrub) },
	{ .key = "pull_through", .type = &pulls_type,
	    .offset = offsetof(struct conf, pull_through) },
	{ .key = "notifications", .type = &hooks_type,
	    .offset = offsetof(struct conf, notifications) },
	{ .key = "upload_expire", .type = &conf_duration, .def = "7d", .min = 60000,
	    .offset = offsetof(struct conf, upload_expire) },
	{ .key = "connections", .type = &conf_uint, .def = "4096", .min = 1,
	    .max = 1000000, .offset = offsetof(struct conf, connections) },
	{ .key = "per_address", .type = &conf_uint, .def = "1024", .min = 1,
	    .max = 1000000, .offset = offsetof(struct conf, per_address) },
	{ .key = "access_log", .type = &conf_bool, .def = "true",
	    .offset = offsetof(struct conf, access_log) },
	{ .key = "delete", .type = &conf_bool, .def = "true",
	    .offset = offsetof(struct conf, deletes) },
	{ .key = "read_only", .type = &conf_bool, .def = "false",
	    .offset = offsetof(struct conf, read_only) },
	CONF_END,
};
/* clang-format on */

/* --- what follows from the cluster ------------------------------------------ */

static int derive_listen(struct conf *c, struct err *e)
{
	const struct conf_list *own =
	    c->cluster ? &c->cluster->bastion.addresses : NULL;
	size_t n = own ? own->n : 0;
	struct net_endpoint *to = calloc(n + 1, sizeof(*to));

	if (!to)
		return err_set(e, -ENOMEM, "out of memory");
	c->listen.items = to;
	c->listen.n = n + 1;
	c->listen.set = true;
	for (size_t i = 0; i < n; i++)
		*to++ = (struct net_endpoint){
			.ip = conf_list_items(own, struct net_ip)[i],
			.port = PORT,
		};
	return net_endpoint_parse("127.0.0.1:5000", 0, to);
}

static bool is_local_only(const struct conf *c)
{
	const struct net_endpoint *e = conf_list_items(&c->listen, struct net_endpoint);

	for (size_t i = 0; i < c->listen.n; i++)
		if (!net_ip_is_loopback(&e[i].ip))
			return false;
	return true;
}

static int validate_overlays(const struct conf *c, struct err *e)
{
	const struct conf_overlay *o =
	    conf_list_items(&c->overlays, struct conf_overlay);

	if (c->overlays.n > OVERLAYS_MAX)
		return err_set(e, -E2BIG, "overlays: at most %d of them", OVERLAYS_MAX);
	for (size_t i = 0; i < c->overlays.n; i++) {
		if (o[i].path[0] != '/')
			return err_set(e, -EINVAL,
			    "overlays: path \"%s\" does not begin with a slash",
			    o[i].path);
		if (o[i].repository &&
		    !name_is_repository(o[i].repository, strlen(o[i].repository)))
			return err_set(e, -EINVAL,
			    "overlays: \"%s\" cannot be a repository's name",
			    o[i].repository);
	}
	return 0;
}

static int validate_quotas(const struct conf *c, struct err *e)
{
	const struct quota *q = conf_list_items(&c->quotas, struct quota);

	for (size_t i = 0; i < c->quotas.n; i++) {
		char **patterns = conf_list_items(&q[i].repositories, char *);

		for (size_t k = 0; k < q[i].repositories.n; k++)
			if (!quota_pattern_is_sane(patterns[k]))
				return err_set(e, -EINVAL,
				    "quotas: \"%.100s\" fits no repository; write a "
				    "name such as ci/app, with * for anything within "
				    "a component and ** for anything",
				    patterns[k]);
	}
	return 0;
}

static int validate_pulls(const struct conf *c, struct err *e)
{
	const struct conf_pull_through *p =
	    conf_list_items(&c->pull_through, struct conf_pull_through);

	for (size_t i = 0; i < c->pull_through.n; i++) {
		if (!name_is_repository(p[i].prefix, strlen(p[i].prefix)))
			return err_set(e, -EINVAL,
			    "pull_through: prefix \"%.100s\" is not the beginning of "
			    "a repository's name, such as quay.io",
			    p[i].prefix);
		if (strchr(p[i].upstream, '@'))
			return err_set(e, -EINVAL,
			    "pull_through: the upstream of %.100s holds a user; users "
			    "and passwords belong into its authfile",
			    p[i].prefix);
	}
	return 0;
}

/* Never with the header's text, which may be a secret. */
static int validate_headers(const struct conf_hook *h, struct err *e)
{
	char **header = conf_list_items(&h->headers, char *);

	if (h->headers.n > CONF_HEADERS_MAX)
		return err_set(e, -E2BIG, "notifications: %.100s: at most %d headers",
		    h->name, CONF_HEADERS_MAX);
	for (size_t i = 0; i < h->headers.n; i++) {
		size_t n = strcspn(header[i], ": \t\r\n");

		if (!n || header[i][n] != ':' || strpbrk(header[i], "\r\n"))
			return err_set(e, -EINVAL,
			    "notifications: %.100s: header %zu is not of the form "
			    "\"Name: value\"",
			    h->name, i + 1);
	}
	return 0;
}

static int validate_hooks(const struct conf *c, struct err *e)
{
	const struct conf_hook *h =
	    conf_list_items(&c->notifications, struct conf_hook);

	for (size_t i = 0; i < c->notifications.n; i++) {
		if (!str_starts(h[i].url, "http://") &&
		    !str_starts(h[i].url, "https://"))
			return err_set(e, -EINVAL,
			    "notifications: the url of %.100s begins neither with "
			    "http:// nor with https://",
			    h[i].name);
		if (validate_headers(&h[i], e) < 0)
			return -EINVAL;
		for (size_t k = 0; k < i; k++)
			if (str_eq(h[i].name, h[k].name))
				return err_set(e, -EINVAL,
				    "notifications: the name \"%.100s\" is there twice",
				    h[i].name);
	}
	return 0;
}

static int validate(const struct conf *c, struct str *warnings, struct err *e)
{
	if (!c->tls.certificate != !c->tls.key)
		return err_set(e, -EINVAL,
		    "tls: certificate and key belong together; give both or neither");
	if (!c->auth.off &&
	    (strpbrk(c->auth.tokens.service, "\"\\") ||
		(c->auth.tokens.realm && strpbrk(c->auth.tokens.realm, "\"\\ "))))
		return err_set(
		    e, -EINVAL, "auth: tokens: service and realm hold no quotes");
	if (!c->auth.off && strpbrk(c->auth.realm, "\"\\"))
		return err_set(e, -EINVAL, "auth: realm holds no quotes");
	if (c->tls.off && !is_local_only(c))
		str_addz(warnings,
		    "tls is off: passwords and images pass in the clear, and OKD's "
		    "nodes insist on TLS\n");
	if (c->auth.off && !is_local_only(c))
		str_addz(warnings,
		    "auth is off: whoever reaches the registry may replace images\n");
	return validate_overlays(c, e);
}

static int derive(struct conf *c, struct str *warnings, struct err *e)
{
	int r = 0;

	if (!c->listen.set)
		r = derive_listen(c, e);
	if (r == 0)
		r = validate_quotas(c, e);
	if (r == 0)
		r = validate_pulls(c, e);
	if (r == 0)
		r = validate_hooks(c, e);
	return r < 0 ? r : validate(c, warnings, e);
}

int conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e)
{
	struct conf *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	r = doc ? conf_decode(doc, fields, c, e) : conf_defaults(fields, c, e);
	if (r < 0) {
		free(c);
		return r;
	}
	c->cluster = *cluster;
	r = derive(c, warnings, e);
	if (r < 0) {
		c->cluster = NULL;
		conf_free(c);
		return r;
	}
	*cluster = NULL;
	*ret = c;
	return 0;
}

void conf_free(void *conf)
{
	struct conf *c = conf;

	if (!c)
		return;
	conf_deinit(fields, c);
	cluster_free(c->cluster);
	free(c);
}

void conf_show_all(const void *conf, struct str *out)
{
	conf_print(fields, conf, out);
}
