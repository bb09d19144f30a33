/* The registry's own CA: see certs.h. */
#include "regd/certs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/str.h"
#include "common/x509.h"
#include "common/x509_make.h"
#include "regd/event.h"

enum {
	DAY = 24 * 3600,
	CA_DAYS = 3650,
	CERT_DAYS = 825, /* what clients accept at most, by custom */
	MAX_NAMES = 8,
	MAX_IPS = 32,
	PEM_MAX = 64 * 1024,
	CN_MAX = 64, /* X.520's bound of a common name, which OpenSSL keeps */
};

/* What the server certificate must be good for. */
struct names {
	const char *dns[MAX_NAMES + 1];
	struct net_ip ip[MAX_IPS];
	size_t n_dns, n_ip;
	char registry[300], host[256];
};

struct files {
	char dir[4096];
	char *ca, *ca_key, *cert, *key;
};

static void files_deinit(struct files *f)
{
	free(f->ca);
	free(f->ca_key);
	free(f->cert);
	free(f->key);
}

static int files_init(struct files *f, const char *state_dir, struct err *err)
{
	int r;

	snprintf(f->dir, sizeof(f->dir), "%s/tls", state_dir);
	if (asprintf(&f->ca, "%s/ca.crt", f->dir) < 0)
		f->ca = NULL;
	if (asprintf(&f->ca_key, "%s/ca.key", f->dir) < 0)
		f->ca_key = NULL;
	if (asprintf(&f->cert, "%s/registry.crt", f->dir) < 0)
		f->cert = NULL;
	if (asprintf(&f->key, "%s/registry.key", f->dir) < 0)
		f->key = NULL;
	if (!f->ca || !f->ca_key || !f->cert || !f->key)
		return err_set(err, -ENOMEM, "out of memory");
	r = dir_make(f->dir, 0750);
	if (r < 0)
		return err_set(err, r, "cannot create %s: %s", f->dir, strerror(-r));
	return 0;
}

static void find_names(struct names *n, const struct cluster *c)
{
	memset(n, 0, sizeof(*n));
	if (c) {
		const struct net_ip *ip =
		    conf_list_items(&c->bastion.addresses, struct net_ip);

		snprintf(n->registry, sizeof(n->registry), "registry.%s", c->domain);
		n->dns[n->n_dns++] = n->registry;
		n->dns[n->n_dns++] = c->bastion.fqdn;
		for (size_t i = 0; i < c->bastion.addresses.n && n->n_ip < MAX_IPS - 2;
		     i++)
			n->ip[n->n_ip++] = ip[i];
	} else if (gethostname(n->host, sizeof(n->host) - 1) == 0 && n->host[0]) {
		n->dns[n->n_dns++] = n->host;
	}
	n->dns[n->n_dns++] = "localhost";
	(void)!net_ip_parse("127.0.0.1", &n->ip[n->n_ip++]);
	(void)!net_ip_parse("::1", &n->ip[n->n_ip++]);
}

static bool has_names(const struct x509_alt *alt, const struct names *n)
{
	for (size_t i = 0; i < n->n_dns; i++)
		if (!x509_strings_has(&alt->dns, n->dns[i]))
			return false;
	for (size_t i = 0; i < n->n_ip; i++) {
		size_t k = 0;

		while (k < alt->n_ip && !net_ip_eq(&alt->ip[k], &n->ip[i]))
			k++;
		if (k == alt->n_ip)
			return false;
	}
	return true;
}

/* Whether what is there will do; why not goes to why. */
static bool is_good(
    const struct files *f, const struct names *n, int64_t now, const char **why)
{
	_cleanup_(x509_certs_freep) struct x509_certs *certs = NULL;
	_cleanup_(str_deinit) struct str cert = STR_INIT;
	_cleanup_(str_deinit) struct str key = STR_INIT;
	struct err e = ERR_INIT;

	*why = "there was none";
	if (file_read(f->cert, PEM_MAX, &cert) < 0 ||
	    file_read(f->key, PEM_MAX, &key) < 0)
		return false;
	*why = "the one there was could not be read";
	if (x509_certs_parse(&certs, cert.s, cert.len, &e) < 0 ||
	    x509_key_matches(str_get(&cert), str_get(&key), &e) < 0)
		return false;
	*why = "the one there was ends soon";
	if (certs->v[0].not_after < now + CERTS_RENEW_S)
		return false;
	*why = "the one there was lacks a name of the cluster";
	return has_names(&certs->v[0].alt, n);
}

static int write_pem(
    const char *path, mode_t mode, const struct str *text, struct err *err)
{
	int r = file_replace(path, mode, text->s, text->len);

	return r < 0 ? err_set(err, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

/* The CA that is there, unless it ends within a year; else a fresh one. */
static int load_ca(const struct files *f, const struct cluster *c, int64_t now,
    struct str *cert, struct str *key, struct err *err)
{
	_cleanup_(x509_certs_freep) struct x509_certs *certs = NULL;
	char cn[CN_MAX + 1];
	struct x509_subject subject = { .cn = cn, .o = "okd-bastion" };
	struct err ignored = ERR_INIT;
	int r;

	if (file_read(f->ca, PEM_MAX, cert) == 0 &&
	    file_read(f->ca_key, PEM_MAX, key) == 0 &&
	    x509_certs_parse(&certs, cert->s, cert->len, &ignored) == 0 &&
	    certs->v[0].not_after > now + 365 * (int64_t)DAY)
		return 0;
	str_reset(cert);
	str_reset(key);
	snprintf(cn, sizeof(cn), "registry CA of %.49s", c ? c->domain : "this host");
	r = x509_make_ca(
	    cert, key, &subject, now - DAY, now + CA_DAYS * (int64_t)DAY, err);
	if (r == 0)
		r = write_pem(f->ca_key, 0600, key, err);
	return r < 0 ? r : write_pem(f->ca, 0644, cert, err);
}

static int make(const struct files *f, const struct names *n, const struct cluster *c,
    int64_t now, struct err *err)
{
	_cleanup_(str_deinit) struct str ca = STR_INIT;
	_cleanup_(str_deinit) struct str ca_key = STR_INIT;
	_cleanup_(str_deinit) struct str cert = STR_INIT;
	_cleanup_(str_deinit) struct str key = STR_INIT;
	struct x509_subject subject = {
		.cn = strlen(n->dns[0]) <= CN_MAX ? n->dns[0] : "registry",
		.o = "okd-bastion",
		.dns = n->dns,
		.ip = n->ip,
		.n_ip = n->n_ip,
	};
	int r;

	r = load_ca(f, c, now, &ca, &ca_key, err);
	if (r == 0)
		r = x509_make_cert(&cert, &key, &subject, X509_USE_SERVER, now - DAY,
		    now + CERT_DAYS * (int64_t)DAY, str_get(&ca), str_get(&ca_key),
		    err);
	if (r == 0)
		str_add(&cert, ca.s, ca.len);
	if (r == 0)
		r = write_pem(f->key, 0600, &key, err);
	if (r == 0)
		r = write_pem(f->cert, 0644, &cert, err);
	if (ca_key.s)
		explicit_bzero(ca_key.s, ca_key.len);
	if (key.s)
		explicit_bzero(key.s, key.len);
	return r;
}

int certs_make(const char *state_dir, const struct cluster *cluster, char **certificate,
    char **key, struct err *err)
{
	_cleanup_(files_deinit) struct files f = { .ca = NULL };
	int64_t now = clock_real_s();
	struct names n;
	const char *why;
	int r;

	r = files_init(&f, state_dir, err);
	if (r < 0)
		return r;
	find_names(&n, cluster);
	if (!is_good(&f, &n, now, &why)) {
		r = make(&f, &n, cluster, now, err);
		if (r < 0)
			return r;
		log_with(LOG_INFO,
		    LOG_FIELDS("MESSAGE_ID", EVENT_CERTIFICATE, "OKD_FILE", f.ca),
		    "made a certificate for %s, as %s; its CA, for clients to "
		    "trust, is %s",
		    n.dns[0], why, f.ca);
	}
	*certificate = TAKE(f.cert);
	*key = TAKE(f.key);
	return 0;
}
