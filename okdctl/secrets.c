/* Certificates and passwords of the registry: see secrets.h. */
#include "okdctl/secrets.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>

#include "common/cluster.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/x509.h"
#include "common/x509_make.h"

#define DAY ((int64_t)24 * 3600)
#define CA_DAYS 3650
#define CERT_DAYS 1825
#define RENEW_DAYS 30
#define BCRYPT_COST 10
#define MAX_IPS 34

/* What the certificate must be good for. */
struct names {
	char registry[300];
	const char *dns[4];
	struct net_ip ip[MAX_IPS];
	size_t n_ip;
};

static void names_of(const struct cluster *c, struct names *n)
{
	const struct conf_list *l = &c->bastion.addresses;

	*n = (struct names){ 0 };
	snprintf(n->registry, sizeof(n->registry), "registry.%s", c->domain);
	n->dns[0] = n->registry;
	n->dns[1] = c->bastion.fqdn;
	n->dns[2] = "localhost";
	for (size_t i = 0; i < l->n && n->n_ip < MAX_IPS - 2; i++)
		n->ip[n->n_ip++] = conf_list_items(l, struct net_ip)[i];
	if (net_ip_parse("127.0.0.1", &n->ip[n->n_ip]) == 0)
		n->n_ip++;
	if (net_ip_parse("::1", &n->ip[n->n_ip]) == 0)
		n->n_ip++;
}

int secrets_make_ca(const struct cluster *c, int64_t now, struct str *cert,
    struct str *key, struct err *err)
{
	char cn[64];
	struct x509_subject subject = { .cn = cn, .o = "okd-bastion" };

	/* A common name has at most 64 characters (RFC 5280, appendix A.1). */
	snprintf(cn, sizeof(cn), "registry CA of %.40s", c->domain);
	return x509_make_ca(cert, key, &subject, now - DAY, now + CA_DAYS * DAY, err);
}

int secrets_make_cert(const struct cluster *c, int64_t now, const char *ca_cert,
    const char *ca_key, struct str *cert, struct str *key, struct err *err)
{
	struct names n;
	struct x509_subject subject = { .o = "okd-bastion" };
	int r;

	names_of(c, &n);
	subject.cn = strlen(n.registry) <= 64 ? n.registry : "registry";
	subject.dns = n.dns;
	subject.ip = n.ip;
	subject.n_ip = n.n_ip;
	r = x509_make_cert(cert, key, &subject, X509_USE_SERVER, now - DAY,
	    now + CERT_DAYS * DAY, ca_cert, ca_key, err);
	if (r == 0)
		str_addz(cert, ca_cert);
	return r == 0 && str_err(cert) ? err_set(err, -ENOMEM, "out of memory") : r;
}

static int check_names(
    const struct cluster *c, const struct x509_alt *alt, struct err *err)
{
	struct names n;

	names_of(c, &n);
	for (size_t i = 0; i < 2; i++) {
		if (!x509_strings_has(&alt->dns, n.dns[i]))
			return err_set(err, -EINVAL,
			    "lacks the name %s among its subject alternative names%s",
			    n.dns[i],
			    alt->dns.n
				? ""
				: " (it has none; Go's clients, and so the nodes, "
				  "do not look at the common name)");
	}
	for (size_t i = 0; i < c->bastion.addresses.n; i++) {
		size_t k = 0;

		while (k < alt->n_ip && !net_ip_eq(&alt->ip[k], &n.ip[i]))
			k++;
		if (k == alt->n_ip)
			return err_set(
			    err, -EINVAL, "lacks the address %s", net_ip_str(&n.ip[i]));
	}
	return 0;
}

static int check_time(const struct x509_cert *x, int64_t now, struct err *err)
{
	if (now < x->not_before)
		return err_set(err, -EINVAL,
		    "is not valid yet: it begins in %lld minutes; is the clock right?",
		    (long long)((x->not_before - now) / 60 + 1));
	if (now > x->not_after)
		return err_set(err, -EINVAL, "expired %lld days ago",
		    (long long)((now - x->not_after) / DAY));
	if (x->not_after - now < RENEW_DAYS * DAY)
		return err_set(err, -EINVAL, "expires in %lld days",
		    (long long)((x->not_after - now) / DAY));
	return 0;
}

int secrets_check_cert(const struct cluster *c, int64_t now, const char *cert,
    const char *key, const char *ca, struct err *err)
{
	_cleanup_(x509_certs_freep) struct x509_certs *have = NULL, *issuer = NULL;
	int r = x509_certs_parse(&have, cert, strlen(cert), err);

	if (r < 0)
		return err_set(err, -EINVAL, "cannot be read as a certificate");
	r = x509_certs_parse(&issuer, ca, strlen(ca), err);
	if (r < 0)
		return err_set(err, -EINVAL, "has a CA that cannot be read");
	if (!str_eq(have->v[0].issuer.text, issuer->v[0].subject.text))
		return err_set(err, -EINVAL, "was issued by \"%s\", not by this CA",
		    have->v[0].issuer.text);
	/* A CA that was made anew is called as the one before it. */
	if (x509_issued_by(cert, ca, NULL) < 0)
		return err_set(
		    err, -EINVAL, "was issued by another CA of the same name");
	if (key && x509_key_matches(cert, key, NULL) < 0)
		return err_set(err, -EINVAL, "does not belong to the key beside it");
	r = check_time(&have->v[0], now, err);
	return r < 0 ? r : check_names(c, &have->v[0].alt, err);
}

/* --- users -------------------------------------------------------------- */

void secrets_wipe(struct str *s)
{
	if (s->s)
		explicit_bzero(s->s, s->cap);
	str_deinit(s);
}

void secrets_password(struct str *out)
{
	uint8_t bytes[18];

	random_bytes(bytes, sizeof(bytes));
	base64_encode(out, bytes, sizeof(bytes), BASE64_URL);
	explicit_bzero(bytes, sizeof(bytes));
}

int secrets_htpasswd(
    const char *user, const char *password, struct str *out, struct err *err)
{
	_cleanup_(freep) struct crypt_data *data = calloc(1, sizeof(*data));
	char random[16], salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash;

	if (!data)
		return err_set(err, -ENOMEM, "out of memory");
	if (!*user || strpbrk(user, ": \t\r\n"))
		return err_set(err, -EINVAL,
		    "\"%s\" is no user name; it must not be empty nor hold a colon or "
		    "blank",
		    user);
	if (strlen(password) > 72)
		return err_set(err, -EINVAL,
		    "the password has %zu bytes; bcrypt looks at 72 alone",
		    strlen(password));
	random_bytes(random, sizeof(random));
	if (!crypt_gensalt_rn(
		"$2y$", BCRYPT_COST, random, sizeof(random), salt, sizeof(salt)))
		return err_set(err, -errno, "cannot make a salt: %s", strerror(errno));
	hash = crypt_r(password, salt, data);
	if (!hash || hash[0] == '*')
		return err_set(err, -EINVAL, "this libcrypt cannot do bcrypt");
	str_addf(out, "%s:%s\n", user, hash);
	explicit_bzero(data, sizeof(*data));
	return str_err(out) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* The user's line, or NULL; *n is its length without its end. */
static const char *find_line(const char *htpasswd, const char *user, size_t *n)
{
	size_t name = strlen(user);

	for (const char *at = htpasswd; *at; at += *n, at += *at == '\n') {
		*n = strcspn(at, "\n");
		if (strncmp(at, user, name) == 0 && at[name] == ':')
			return at;
	}
	return NULL;
}

bool secrets_without_user(const char *htpasswd, const char *user, struct str *out)
{
	const char *at = htpasswd, *line;
	bool found = false;
	size_t n;

	while ((line = find_line(at, user, &n))) {
		str_add(out, at, (size_t)(line - at));
		at = line + n + (line[n] == '\n');
		found = true;
	}
	str_addz(out, at);
	if (out->len && out->s[out->len - 1] != '\n')
		str_addc(out, '\n');
	return found;
}

bool secrets_has_user(const char *htpasswd, const char *user, const char *password)
{
	_cleanup_(freep) struct crypt_data *data = calloc(1, sizeof(*data));
	_cleanup_(freep) char *hash = NULL;
	const char *line, *made = NULL;
	size_t n;

	line = find_line(htpasswd, user, &n);
	if (line)
		hash = strndup(line + strlen(user) + 1, n - strlen(user) - 1);
	if (hash)
		hash[strcspn(hash, "\r")] = '\0';
	if (hash && data)
		made = crypt_r(password, hash, data);
	return made && str_eq(made, hash);
}

void secrets_pull_secret(
    const char *registry, const char *user, const char *password, struct str *out)
{
	_cleanup_(secrets_wipe) struct str pair = STR_INIT;

	str_addf(&pair, "%s:%s", user, password);
	str_addf(out, "{\"auths\":{\"%s\":{\"auth\":\"", registry);
	base64_encode(out, str_get(&pair), pair.len, BASE64_STD);
	str_addz(out, "\"}}}");
}

int secrets_find_auth(const char *pull_secret, const char *registry, struct str *user,
    struct str *password)
{
	_cleanup_(json_freep) json_t *v = NULL;
	_cleanup_(secrets_wipe) struct str pair = STR_INIT;
	const char *auth, *colon;

	if (json_load_limited(&v, NULL, pull_secret, strlen(pull_secret), 0, NULL) < 0)
		return -EINVAL;
	auth = json_str(json_path(v, "auths", registry, NULL), "auth");
	if (!auth)
		return -ENOENT;
	if (base64_decode(&pair, auth, strlen(auth), BASE64_STD) < 0)
		return -EINVAL;
	colon = strchr(str_get(&pair), ':');
	if (!colon || strlen(pair.s) != pair.len)
		return -EINVAL;
	str_add(user, pair.s, (size_t)(colon - pair.s));
	str_addz(password, colon + 1);
	return str_err(user) || str_err(password) ? -ENOMEM : 0;
}
