/*
 * Makes P-256 keys and certificates for the suite's own use: a CA of one level, server
 * and client certificates below it, and requests.  All output is PEM appended to a
 * struct str; private keys are PKCS#8, unencrypted.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/net.h"
#include "common/str.h"

/* What goes into a certificate or a request; zero means none. */
struct x509_subject {
	const char *cn, *o;
	const char *const *dns; /* ends in NULL */
	const struct net_ip *ip;
	size_t n_ip;
};

enum x509_use {
	X509_USE_SERVER = 1 << 0,
	X509_USE_CLIENT = 1 << 1,
};

/* A key and its self-signed CA certificate: pathlen 0, keyCertSign and cRLSign. */
int x509_make_ca(struct str *cert, struct str *key, const struct x509_subject *subject,
    int64_t not_before, int64_t not_after, struct err *err) _mustcheck_;
/*
 * A key and its certificate, signed by the CA.  use is a set of enum x509_use. notAfter
 * is cut to the CA's, since clients refuse what outlives its issuer.
 */
int x509_make_cert(struct str *cert, struct str *key,
    const struct x509_subject *subject, unsigned use, int64_t not_before,
    int64_t not_after, const char *ca_cert, const char *ca_key,
    struct err *err) _mustcheck_;
/* A key and a request for it, as a kubelet makes them. */
int x509_make_request(struct str *request, struct str *key,
    const struct x509_subject *subject, struct err *err) _mustcheck_;
