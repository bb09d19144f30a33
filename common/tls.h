/*
 * TLS for servers and clients: contexts that are built whole or not at all, and
 * non-blocking connections over a socket.  OpenSSL stays inside tls.c.
 *
 * TLS 1.2 and 1.3, ciphers with forward secrecy only, AES-128-GCM first, ALPN "http/1.1".
 * Kernel TLS is used where the library and the kernel have it.
 */
#pragma once

#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"

struct tls;
struct tls_context;

struct tls_server_options {
	const char *certificate; /* PEM file: the server's, then its intermediates */
	const char *key;         /* PEM file, not encrypted */
	const char *
	    client_ca; /* PEM file: clients must show a certificate of these; or NULL */
	bool any_time; /* a certificate that is expired or not yet valid is no error */
};

struct tls_client_options {
	const char *ca; /* PEM file; NULL: the server's certificate is not verified */
	const char *certificate, *key; /* the client's own, or NULL */
	bool system_ca; /* verify against the system's authorities (also beside ca) */
	/* For that long after a peer has shown its certificate, further connections to
	 * it under the same name resume the session, which takes half the work, and
	 * go by that certificate; 0: never.  Such a context is one thread's. */
	uint64_t resume_ms;
};

/*
 * 0, or -errno with a sentence that names the file and the reason: missing, unreadable,
 * no PEM, no certificate, key of another certificate, expired, not yet valid.  To
 * reload, build a new one and swap: connections keep what they were made with.  A
 * context may be shared by threads.
 */
int tls_server_new(struct tls_context **ret, const struct tls_server_options *o,
    struct err *err) _mustcheck_;
int tls_client_new(struct tls_context **ret, const struct tls_client_options *o,
    struct err *err) _mustcheck_;
struct tls_context *tls_context_free(struct tls_context *c);
DEFINE_FREEP(tls_context)
/* Seconds since 1970 when a server context's certificate begins and ends. */
int64_t tls_context_not_before(const struct tls_context *c);
int64_t tls_context_not_after(const struct tls_context *c);

/*
 * A connection over a non-blocking socket that stays the caller's.  name is for SNI,
 * and is verified when the context verifies; an IP address is verified as such and not
 * sent; NULL: none.
 */
int tls_accept(struct tls **ret, struct tls_context *c, int fd) _mustcheck_;
int tls_connect(
    struct tls **ret, struct tls_context *c, int fd, const char *name) _mustcheck_;
/* Does not close the socket. */
struct tls *tls_free(struct tls *t);
DEFINE_FREEP(tls)

/*
 * Every one of these may return -EAGAIN: then wait until the socket is writable if
 * tls_wants_write(), else readable, and repeat the same call.  A write must be repeated
 * with the same bytes (they may have moved) and at least as many.  -ECONNRESET: the
 * peer went away; -EPROTO: tls_why() says what is wrong.
 */
int tls_handshake(struct tls *t) _mustcheck_;
/* Bytes, or 0 at the peer's end of stream. */
ssize_t tls_read(struct tls *t, void *p, size_t n) _mustcheck_;
ssize_t tls_write(struct tls *t, const void *p, size_t n) _mustcheck_;
/* Only where tls_can_sendfile(): kernel TLS is on for sending. */
ssize_t tls_sendfile(struct tls *t, int fd, off_t offset, size_t n) _mustcheck_;
/* Sends the close alert; 0 once that is done, without waiting for the peer's. */
int tls_shutdown(struct tls *t);

/* What stands behind -EPROTO, where more is known than tls_why() says. */
enum tls_fault {
	TLS_FAULT_OTHER,
	TLS_FAULT_DISTRUST, /* the peer's alert refuses our certificate */
	TLS_FAULT_PLAIN,    /* the peer speaks HTTP, and no TLS */
};
enum tls_fault tls_fault(const struct tls *t);

bool tls_wants_write(const struct tls *t);
/* Bytes that were decrypted but not read: epoll will not tell of them. */
bool tls_pending(const struct tls *t);
bool tls_can_sendfile(const struct tls *t);
const char *tls_why(const struct tls *t);
/* "TLSv1.3", "TLS_AES_128_GCM_SHA256", and the name the client asked for, or NULL. */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
const char *tls_server_name(const struct tls *t);
/* Subject and issuer of the peer's certificate ("CN = x") in buf, or NULL without one.
 * ASCII without control characters: the rest is escaped. */
const char *tls_peer_subject(const struct tls *t, char *buf, size_t n);
const char *tls_peer_issuer(const struct tls *t, char *buf, size_t n);
/* Whether the peer's certificate is for that name or IP address. */
bool tls_peer_is(const struct tls *t, const char *name);
/* Seconds since 1970 when the peer's certificate ends; 0 without one. */
int64_t tls_peer_not_after(const struct tls *t);
/* Whether the connection resumed a session; after the handshake. */
bool tls_resumed(const struct tls *t);
