/*
 * Outbound HTTP/1.1 and HTTPS: libcurl on a thread of its own, because even taking a
 * transfer back can block there (9.8 s were measured behind a silent resolver). Nothing
 * that is called here blocks, but for the bounded wait of http_client_free().
 *
 * A client belongs to one loop: it is called on that thread only, and all callbacks run
 * there, never inside a call.  Connections are kept and used again.  Only http: and
 * https: are spoken, proxies come from the request and not from the environment.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

struct http_client;
struct http_transfer;
struct loop;

struct http_client_options {
	const char *user_agent;    /* NULL: okd-bastion/VERSION */
	unsigned host_connections; /* at once to one host, others wait; 0: no bound */
	unsigned idle_connections; /* kept for later; 0: 8 */
	uint64_t exit_ms;          /* how long http_client_free() waits; 0: 2000 */
	bool ca_by_path; /* as with libcurl before 7.77: for tests of that path */
};

/* A request, copied by http_client_start(); what is zero has its default. */
struct http_client_request {
	const char *method; /* GET, or POST where there is a body */
	const char *url;
	const char *const *headers; /* "Name: value", ends in NULL */
	const void *body;
	size_t body_len;

	const char *bearer;              /* Authorization: Bearer */
	const char *username, *password; /* Authorization: Basic */

	/* TLS.  PEM text goes before files.  No CA: the system's. */
	const char *ca_file, *certificate_file, *key_file;
	const char *ca_pem, *certificate_pem, *key_pem;
	const char
	    *tls_server_name; /* SNI and the name checked, if not the URL's host */
	bool insecure;        /* the server's certificate is not checked at all */

	const char *proxy;       /* http://host:port; NULL: none */
	const char *unix_socket; /* a path to connect to instead of the URL's host */
	unsigned redirects;      /* how many are followed; never from https: to http: */

	uint64_t connect_timeout_ms; /* name, TCP and TLS; 0: 10 s */
	uint64_t timeout_ms;         /* all in all; 0: none */
	/* Without a byte.  Until the head has come it counts whole seconds, and may be
	 * noticed five late, as libcurl looks at the speed of the last five.  0: none. */
	uint64_t idle_timeout_ms;
	/* The connection is given up when the other host has acknowledged nothing for so
	 * long, which it is asked to once a second by the kernel, also while there is
	 * nothing to say.  0: TCP's own hours. */
	uint64_t silent_ms;
	size_t max_response; /* bytes of body; 0: 16 MiB whole, no bound streaming */

	/*
	 * The head of the final response came: http_transfer_status() and _header()
	 * answer from here on.  May be NULL.
	 */
	void (*on_head)(struct http_transfer *t, void *arg);
	/*
	 * A piece of the body, in order, n > 0.  At most 256 KiB wait to be taken, then
	 * the server has to.  NULL: the body is kept whole for on_done().
	 */
	void (*on_data)(struct http_transfer *t, const void *p, size_t n, void *arg);
	/*
	 * The end, once: result is the HTTP status, or -errno when the exchange did not
	 * end well (http_transfer_why() has the sentence): -ETIMEDOUT, -ECONNREFUSED,
	 * -EHOSTUNREACH (no such host or no route), -ECONNRESET (cut short), -EACCES
	 * (TLS: whom we met is not whom we wanted, or our certificate was refused),
	 * -EFBIG, -EPROTO, -ENOMEM, -EIO.  The transfer is freed after it.
	 */
	void (*on_done)(struct http_transfer *t, int result, void *arg);
	void *arg;
};

/* options may be NULL. */
int http_client_new(struct http_client **ret, struct loop *l,
    const struct http_client_options *options) _mustcheck_;
/*
 * Cancels what is under way; no callback runs any more.  Waits for the thread, but not
 * beyond exit_ms: one that sits in a resolver is left to end by itself.
 */
struct http_client *http_client_free(struct http_client *c);
DEFINE_FREEP(http_client)

/*
 * Starts a transfer.  The handle holds until on_done() returns or it is cancelled.
 * -EINVAL with a sentence for a request that makes no sense (URL, line ends in a
 * header), else -ENOMEM.
 */
int http_client_start(struct http_client *c, struct http_transfer **ret,
    const struct http_client_request *req, struct err *err) _mustcheck_;
/* No callback of it runs any more, and the handle is gone.  Takes NULL, returns NULL.
 * May be called inside its own callbacks. */
struct http_transfer *http_transfer_cancel(struct http_transfer *t);
static inline void http_transfer_cancelp(struct http_transfer **t)
{
	*t = http_transfer_cancel(*t);
}

/* Holds callbacks back, and by back-pressure the server, until resumed. */
void http_transfer_pause(struct http_transfer *t);
void http_transfer_resume(struct http_transfer *t);

/* The status of the response, 0 before its head came. */
int http_transfer_status(const struct http_transfer *t);
/* The value of the first header of that name, in any case, without blanks around it; NULL
 * without one. */
const char *http_transfer_header(const struct http_transfer *t, const char *name);
/* The whole body, in on_done(); the caller may take it with str_take(). */
struct str *http_transfer_body(struct http_transfer *t);
/* In on_done() with a result below 0: "GET https://host/path: sentence". */
const char *http_transfer_why(const struct http_transfer *t);
