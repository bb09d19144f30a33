/* TLS over OpenSSL, which no other file of the HTTP server knows. */
#include "common/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "common/tls_session.h"

enum {
	TICKET_SECONDS =
	    4 * 3600, /* a key makes tickets that long, and reads them twice */
	TICKET_NAME = 16,
};

struct ticket_key {
	unsigned char name[TICKET_NAME], aes[32], mac[32];
	uint64_t made_ms; /* 0: none */
};

/* Keys of session tickets; shared by the threads that share the context. */
struct tickets {
	pthread_mutex_t lock;
	struct ticket_key current, previous;
};

struct tls_context {
	SSL_CTX *ssl;
	int64_t not_before, not_after;
	bool verify; /* a client's: the server's name is checked */
};

struct tls {
	SSL *ssl;
	bool wants_write;
	enum tls_fault fault;
	char why[160];
};

/* Errors */

/* OpenSSL's reason for the oldest error of this thread. */
static const char *ssl_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	return reason ? reason : "unknown error";
}

static int fail_file(struct err *err, int r, const char *file, const char *what)
{
	err_at(err, r, file, 0, 0, "%s", what);
	ERR_clear_error();
	return r;
}

/* Opens a PEM file, with a sentence when it cannot. */
static int pem_open(BIO **ret, const char *file, struct err *err)
{
	FILE *f = fopen(file, "re");
	int r = errno;

	if (!f)
		return err_at(err, -r, file, 0, 0, "cannot be read: %s", strerror(r));
	*ret = BIO_new_fp(f, BIO_CLOSE);
	if (!*ret) {
		fclose(f);
		return -ENOMEM;
	}
	return 0;
}

/* Certificates and keys */

static int64_t asn1_seconds(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

static int check_dates(struct tls_context *c, const X509 *x, const char *file,
    bool any_time, struct err *err)
{
	int64_t now = clock_real_s();
	struct tm tm;
	time_t t;

	c->not_before = asn1_seconds(X509_get0_notBefore(x));
	c->not_after = asn1_seconds(X509_get0_notAfter(x));
	if (any_time || (now >= c->not_before && now <= c->not_after))
		return 0;
	t = (time_t)(now > c->not_after ? c->not_after : c->not_before);
	gmtime_r(&t, &tm);
	return err_at(err, -EKEYEXPIRED, file, 0, 0,
	    "the certificate %s %04d-%02d-%02d %02d:%02d UTC",
	    now > c->not_after ? "expired at" : "is not valid before",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
}

/* The certificate and, behind it, its intermediates. */
static int load_chain(SSL_CTX *ctx, const char *file, struct err *err)
{
	BIO *bio = NULL;
	X509 *x;
	int r = pem_open(&bio, file, err);

	if (r < 0)
		return r;
	x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	if (!x || SSL_CTX_use_certificate(ctx, x) != 1) {
		r = fail_file(err, -EINVAL, file,
		    x ? ssl_reason()
		      : "holds no PEM certificate (\"-----BEGIN CERTIFICATE-----\")");
		X509_free(x);
		BIO_free(bio);
		return r;
	}
	X509_free(x);
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
			X509_free(x);
			BIO_free(bio);
			return fail_file(err, -EINVAL, file, ssl_reason());
		}
	}
	BIO_free(bio);
	r = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : -EINVAL;
	if (r < 0)
		return fail_file(
		    err, r, file, "an intermediate certificate is damaged");
	ERR_clear_error();
	return 0;
}

static int no_passphrase(char *buf, int size, int writing, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

static int load_key(
    SSL_CTX *ctx, const char *file, const char *certificate, struct err *err)
{
	bool encrypted = false;
	BIO *bio = NULL;
	EVP_PKEY *key;
	int r = pem_open(&bio, file, err);

	if (r < 0)
		return r;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
	BIO_free(bio);
	if (!key)
		return fail_file(err, -EINVAL, file,
		    encrypted
			? "the key is encrypted; a daemon needs it without passphrase"
			: "holds no PEM private key (\"-----BEGIN PRIVATE KEY-----\")");
	if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1) {
		err_at(err, -EINVAL, file, 0, 0,
		    "this key does not belong to the certificate in %s", certificate);
		r = -EINVAL;
	} else if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
		r = fail_file(err, -EINVAL, file, ssl_reason());
	}
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}

static int load_pair(struct tls_context *c, const char *certificate, const char *key,
    bool any_time, struct err *err)
{
	int r = load_chain(c->ssl, certificate, err);

	if (r >= 0)
		r = load_key(c->ssl, key, certificate, err);
	if (r >= 0)
		r = check_dates(
		    c, SSL_CTX_get0_certificate(c->ssl), certificate, any_time, err);
	return r;
}

static int load_ca(SSL_CTX *ctx, const char *file, struct err *err)
{
	BIO *bio = NULL;
	int r = pem_open(&bio, file, err);

	if (r < 0)
		return r;
	BIO_free(bio);
	if (SSL_CTX_load_verify_file(ctx, file) != 1)
		return fail_file(err, -EINVAL, file,
		    "holds no PEM certificate of an authority (\"-----BEGIN "
		    "CERTIFICATE-----\")");
	return 0;
}

/* Session tickets: a key is made when first needed and replaced after TICKET_SECONDS;
 * the one before is still read, and its tickets are renewed; those of TLS 1.3 always,
 * since its clients use each once (RFC 8446, C.4). */

static int tickets_index = -1;
static pthread_once_t tickets_once = PTHREAD_ONCE_INIT;

static void tickets_release(
    void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct tickets *t = ptr;

	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	OPENSSL_cleanse(t, sizeof(*t));
	free(t);
}

static void tickets_register(void)
{
	tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tickets_release);
}

static bool ticket_key_make(struct ticket_key *k)
{
	if (RAND_bytes(k->name, sizeof(k->name)) != 1 ||
	    RAND_priv_bytes(k->aes, sizeof(k->aes)) != 1 ||
	    RAND_priv_bytes(k->mac, sizeof(k->mac)) != 1)
		return false;
	k->made_ms = MAX(clock_boot_ms(), (uint64_t)1);
	return true;
}

/* The key to seal with (name NULL) or to open a ticket with, copied; false: none. */
static bool ticket_key_find(
    struct tickets *t, const unsigned char *name, struct ticket_key *ret, bool *renew)
{
	uint64_t now = clock_boot_ms(), life = TICKET_SECONDS * 1000ULL;
	bool found = true;

	pthread_mutex_lock(&t->lock);
	if (!t->current.made_ms || now - t->current.made_ms >= life) {
		t->previous = t->current;
		found = ticket_key_make(&t->current);
	}
	*renew = false;
	if (!found || !name || memcmp(name, t->current.name, TICKET_NAME) == 0) {
		*ret = t->current;
	} else if (t->previous.made_ms && now - t->previous.made_ms < 2 * life &&
	    memcmp(name, t->previous.name, TICKET_NAME) == 0) {
		*ret = t->previous;
		*renew = true;
	} else {
		found = false;
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

static bool ticket_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"sha256", 0),
		OSSL_PARAM_END,
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Not where clients show certificates: they do so again when the first ticket ends. */
static bool may_renew(const SSL *ssl)
{
	return SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	struct tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
	struct ticket_key k;
	bool renew;
	int r = 0;

	if (!t || !ticket_key_find(t, sealing ? NULL : name, &k, &renew))
		return sealing ? -1 : 0;
	if (sealing) {
		memcpy(name, k.name, TICKET_NAME);
		r = RAND_bytes(iv, 16) == 1 && ticket_mac(mac, &k) &&
			EVP_EncryptInit_ex(
			    cipher, EVP_aes_256_cbc(), NULL, k.aes, iv) == 1
		    ? 1
		    : -1;
	} else if (ticket_mac(mac, &k) &&
	    EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.aes, iv) == 1) {
		renew |= SSL_version(ssl) >= TLS1_3_VERSION;
		r = renew && may_renew(ssl) ? 2 : 1;
	}
	OPENSSL_cleanse(&k, sizeof(k));
	return r;
}

static int tickets_enable(SSL_CTX *ctx)
{
	struct tickets *t = calloc(1, sizeof(*t));

	pthread_once(&tickets_once, tickets_register);
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	if (tickets_index < 0 || SSL_CTX_set_ex_data(ctx, tickets_index, t) != 1) {
		tickets_release(NULL, t, NULL, 0, 0, NULL);
		return -ENOMEM;
	}
	SSL_CTX_set_timeout(ctx, TICKET_SECONDS);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	return 0;
}

/* Contexts */

static int context_new(struct tls_context **ret, const SSL_METHOD *method)
{
	_cleanup_(tls_context_freep) struct tls_context *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->ssl = SSL_CTX_new(method);
	if (!c->ssl)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
	/* Forward secrecy and authenticated ciphers; TLS 1.3 has nothing else.  AES-128
	 * first: it has fewer rounds, and nobody breaks either. */
	if (SSL_CTX_set_cipher_list(
		c->ssl, "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
	    SSL_CTX_set_ciphersuites(c->ssl,
		"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
		"TLS_CHACHA20_POLY1305_SHA256") != 1)
		return -EINVAL;
	SSL_CTX_set_options(c->ssl,
	    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_ENABLE_KTLS |
		SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c->ssl,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	*ret = TAKE(c);
	return 0;
}

/* "http/1.1" when the client knows it; a client that offers other protocols alone goes
 * on without one, which means HTTP/1.1 as well. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	if (SSL_select_next_proto((unsigned char **)out, out_n, ours, sizeof(ours) - 1,
		in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static int server_client_ca(SSL_CTX *ctx, const char *file, struct err *err)
{
	int r = load_ca(ctx, file, err);

	if (r < 0)
		return r;
	SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(file));
	SSL_CTX_set_verify(
	    ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

int tls_server_new(
    struct tls_context **ret, const struct tls_server_options *o, struct err *err)
{
	_cleanup_(tls_context_freep) struct tls_context *c = NULL;
	int r;

	ERR_clear_error();
	r = context_new(&c, TLS_server_method());
	if (r < 0)
		return r;
	r = load_pair(c, o->certificate, o->key, o->any_time, err);
	if (r >= 0 && o->client_ca)
		r = server_client_ca(c->ssl, o->client_ca, err);
	if (r >= 0)
		r = tickets_enable(c->ssl);
	if (r < 0)
		return r;
	SSL_CTX_set_options(
	    c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_id_context(c->ssl, (const unsigned char *)"okd", 3);
	SSL_CTX_set_num_tickets(c->ssl, 1);
	SSL_CTX_set_alpn_select_cb(c->ssl, on_alpn, NULL);

	*ret = TAKE(c);
	return 0;
}

int tls_client_new(
    struct tls_context **ret, const struct tls_client_options *o, struct err *err)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	_cleanup_(tls_context_freep) struct tls_context *c = NULL;
	int r;

	ERR_clear_error();
	r = context_new(&c, TLS_client_method());
	if (r >= 0 && o->ca)
		r = load_ca(c->ssl, o->ca, err);
	if (r >= 0 && o->certificate)
		r = load_pair(
		    c, o->certificate, o->key ? o->key : o->certificate, false, err);
	if (r < 0)
		return r;
	if (o->system_ca)
		SSL_CTX_set_default_verify_paths(c->ssl);
	r = o->resume_ms ? tls_session_enable(c->ssl, o->resume_ms) : 0;
	if (r < 0)
		return r;
	c->verify = o->ca || o->system_ca;
	SSL_CTX_set_verify(c->ssl, c->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (SSL_CTX_set_alpn_protos(c->ssl, alpn, sizeof(alpn) - 1) != 0)
		return -ENOMEM;

	*ret = TAKE(c);
	return 0;
}

struct tls_context *tls_context_free(struct tls_context *c)
{
	if (!c)
		return NULL;
	/* Connections hold a reference of their own. */
	SSL_CTX_free(c->ssl);
	free(c);
	return NULL;
}

int64_t tls_context_not_before(const struct tls_context *c)
{
	return c->not_before;
}

int64_t tls_context_not_after(const struct tls_context *c)
{
	return c->not_after;
}

/* Connections */

static int tls_new(struct tls **ret, struct tls_context *c, int fd)
{
	_cleanup_(tls_freep) struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ssl = SSL_new(c->ssl);
	if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
		return -ENOMEM;
	*ret = TAKE(t);
	return 0;
}

int tls_accept(struct tls **ret, struct tls_context *c, int fd)
{
	int r = tls_new(ret, c, fd);

	if (r >= 0)
		SSL_set_accept_state((*ret)->ssl);
	return r;
}

static bool is_address(const char *name)
{
	unsigned char ip[16];

	return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

int tls_connect(struct tls **ret, struct tls_context *c, int fd, const char *name)
{
	_cleanup_(tls_freep) struct tls *t = NULL;
	int r = tls_new(&t, c, fd), ok = 1;

	if (r < 0)
		return r;
	SSL_set_connect_state(t->ssl);
	if (name && is_address(name)) {
		if (c->verify)
			ok =
			    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name);
	} else if (name) {
		ok = (int)SSL_set_tlsext_host_name(t->ssl, name);
		if (ok == 1 && c->verify)
			ok = SSL_set1_host(t->ssl, name);
	}
	if (ok != 1)
		return -EINVAL;
	tls_session_resume(t->ssl, fd, name);
	*ret = TAKE(t);
	return 0;
}

struct tls *tls_free(struct tls *t)
{
	if (!t)
		return NULL;
	SSL_free(t->ssl);
	free(t);
	return NULL;
}

/* By the oldest error of this thread.  A client that goes by another name than those of
 * the certificate, or finds it expired, says "bad certificate" or one of the others too. */
static enum tls_fault find_fault(void)
{
	switch (ERR_GET_REASON(ERR_peek_error())) {
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return TLS_FAULT_DISTRUST;
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return TLS_FAULT_PLAIN;
	}
	return TLS_FAULT_OTHER;
}

/* What a call that did not succeed means. */
static int tls_result(struct tls *t, int ret)
{
	int saved = errno, e = SSL_get_error(t->ssl, ret);
	long verify;

	t->wants_write = e == SSL_ERROR_WANT_WRITE;
	switch (e) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		snprintf(t->why, sizeof(t->why), "the peer closed the connection");
		return -ECONNRESET;
	case SSL_ERROR_SYSCALL:
		snprintf(t->why, sizeof(t->why), "%s",
		    saved ? strerror(saved) : "the peer closed the connection");
		return -ECONNRESET;
	}
	verify = SSL_get_verify_result(t->ssl);
	snprintf(t->why, sizeof(t->why), "%s",
	    verify != X509_V_OK ? X509_verify_cert_error_string(verify) : ssl_reason());
	t->fault = find_fault();
	ERR_clear_error();
	return -EPROTO;
}

static void tls_begin(struct tls *t)
{
	ERR_clear_error();
	errno = 0;
	t->wants_write = false;
}

int tls_handshake(struct tls *t)
{
	int r;

	tls_begin(t);
	r = SSL_do_handshake(t->ssl);
	return r == 1 ? 0 : tls_result(t, r);
}

ssize_t tls_read(struct tls *t, void *p, size_t n)
{
	size_t got = 0;
	int r;

	tls_begin(t);
	r = SSL_read_ex(t->ssl, p, n, &got);
	if (r == 1)
		return (ssize_t)got;
	if (SSL_get_error(t->ssl, r) == SSL_ERROR_ZERO_RETURN)
		return 0;
	return tls_result(t, r);
}

ssize_t tls_write(struct tls *t, const void *p, size_t n)
{
	size_t put = 0;
	int r;

	if (n == 0)
		return 0;
	tls_begin(t);
	r = SSL_write_ex(t->ssl, p, n, &put);
	return r == 1 ? (ssize_t)put : tls_result(t, r);
}

ssize_t tls_sendfile(struct tls *t, int fd, off_t offset, size_t n)
{
	ossl_ssize_t r;

	tls_begin(t);
	r = SSL_sendfile(t->ssl, fd, offset, n, 0);
	return r >= 0 ? (ssize_t)r : tls_result(t, (int)r);
}

int tls_shutdown(struct tls *t)
{
	int r;

	tls_begin(t);
	r = SSL_shutdown(t->ssl);
	return r >= 0 ? 0 : tls_result(t, r);
}

bool tls_wants_write(const struct tls *t)
{
	return t->wants_write;
}

bool tls_pending(const struct tls *t)
{
	return SSL_pending(t->ssl) > 0;
}

bool tls_can_sendfile(const struct tls *t)
{
	return BIO_get_ktls_send(SSL_get_wbio(t->ssl)) > 0;
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}

enum tls_fault tls_fault(const struct tls *t)
{
	return t->fault;
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

const char *tls_server_name(const struct tls *t)
{
	return SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
}

static const char *name_text(const X509_NAME *name, char *buf, size_t n)
{
	BIO *bio = name ? BIO_new(BIO_s_mem()) : NULL;
	int len;

	if (!bio)
		return NULL;
	X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE);
	len = BIO_read(bio, buf, (int)n - 1);
	buf[MAX(len, 0)] = '\0';
	BIO_free(bio);
	return buf;
}

const char *tls_peer_subject(const struct tls *t, char *buf, size_t n)
{
	const X509 *x = SSL_get0_peer_certificate(t->ssl);

	return name_text(x ? X509_get_subject_name(x) : NULL, buf, n);
}

const char *tls_peer_issuer(const struct tls *t, char *buf, size_t n)
{
	const X509 *x = SSL_get0_peer_certificate(t->ssl);

	return name_text(x ? X509_get_issuer_name(x) : NULL, buf, n);
}

bool tls_peer_is(const struct tls *t, const char *name)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);

	return x &&
	    (X509_check_host(x, name, 0, 0, NULL) == 1 ||
		X509_check_ip_asc(x, name, 0) == 1);
}

int64_t tls_peer_not_after(const struct tls *t)
{
	const X509 *x = SSL_get0_peer_certificate(t->ssl);

	return x ? asn1_seconds(X509_get0_notAfter(x)) : 0;
}

bool tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}
