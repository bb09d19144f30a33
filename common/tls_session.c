/* Sessions that a client resumes: see tls_session.h. */
#include "common/tls_session.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/str.h"

enum { PEERS_MAX = 256 };

/* What a client remembers of one peer under one name. */
struct peer {
	struct peer *next;
	struct sockaddr_storage at;
	socklen_t at_len;
	char *name;           /* NULL: none */
	SSL_SESSION *session; /* NULL: none that can be resumed */
	uint64_t whole_ms;    /* when it has shown its certificate */
};

/* Lives as long as the SSL_CTX, and so as long as every connection of it. */
struct peers {
	struct peer *first;
	unsigned n;
	uint64_t resume_ms;
};

static int peers_index = -1;
static pthread_once_t peers_once = PTHREAD_ONCE_INIT;

static void peers_release(
    void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct peers *all = ptr;
	struct peer *p;

	while (all && (p = all->first)) {
		all->first = p->next;
		SSL_SESSION_free(p->session);
		free(p->name);
		free(p);
	}
	free(all);
}

static void peers_register(void)
{
	peers_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, peers_release);
}

/* A ticket has come: the session is ours when this returns 1. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct peer *p = SSL_get_app_data(ssl);

	if (!p)
		return 0;
	if (!SSL_session_reused(ssl))
		p->whole_ms = clock_boot_ms();
	SSL_SESSION_free(p->session);
	p->session = session;
	return 1;
}

int tls_session_enable(SSL_CTX *ctx, uint64_t resume_ms)
{
	struct peers *all = calloc(1, sizeof(*all));

	pthread_once(&peers_once, peers_register);
	if (!all)
		return -ENOMEM;
	all->resume_ms = resume_ms;
	if (peers_index < 0 || SSL_CTX_set_ex_data(ctx, peers_index, all) != 1) {
		free(all);
		return -ENOMEM;
	}
	SSL_CTX_set_session_cache_mode(
	    ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	return 0;
}

static bool is_peer(const struct peer *p, const struct sockaddr_storage *at,
    socklen_t len, const char *name)
{
	return p->at_len == len && memcmp(&p->at, at, len) == 0 &&
	    (p->name && name ? str_eq(p->name, name) : !p->name && !name);
}

/* NULL: it is not remembered. */
static struct peer *peer_of(struct peers *all, int fd, const char *name)
{
	struct sockaddr_storage at = { 0 };
	socklen_t len = sizeof(at);
	struct peer *p;

	if (getpeername(fd, (struct sockaddr *)&at, &len) < 0)
		return NULL;
	for (p = all->first; p; p = p->next)
		if (is_peer(p, &at, len, name))
			return p;
	if (all->n == PEERS_MAX)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p && name && !(p->name = strdup(name))) {
		free(p);
		p = NULL;
	}
	if (!p)
		return NULL;
	p->at = at;
	p->at_len = len;
	p->next = all->first;
	all->first = p;
	all->n++;
	return p;
}

void tls_session_resume(SSL *ssl, int fd, const char *name)
{
	struct peers *all;
	struct peer *p;

	pthread_once(&peers_once, peers_register);
	all = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), peers_index);
	p = all ? peer_of(all, fd, name) : NULL;
	if (!p)
		return;
	SSL_set_app_data(ssl, p);
	/* A ticket is for one connection (RFC 8446 C.4), which brings the next. */
	if (p->session && clock_boot_ms() - p->whole_ms < all->resume_ms)
		(void)SSL_set_session(ssl, p->session);
	SSL_SESSION_free(p->session);
	p->session = NULL;
}
