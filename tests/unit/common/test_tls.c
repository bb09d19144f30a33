/* TLS contexts and their errors, and connections over a socket pair. */
#include "common/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "tests/unit/test.h"

static char dir[] = "/tmp/okd-test-tls-XXXXXX";

static const char *path(const char *name)
{
	static char buf[64][128];
	static int i;

	i = (i + 1) % 64;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s", dir, name);
	return buf[i];
}

/* An EC key and a self-signed certificate for localhost and 127.0.0.1. */
static void make_pair(const char *name, const char *extra)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd),
	    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
	    "-keyout %s/%s.key -out %s/%s.crt -subj /CN=%s "
	    "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 %s >/dev/null 2>&1",
	    dir, name, dir, name, name, extra);
	CHECK(system(cmd) == 0);
}

static void make_file(const char *name, const char *text)
{
	CHECK(file_replace(path(name), 0600, text, strlen(text)) == 0);
}

__attribute__((constructor(101))) static void setup(void)
{
	if (!mkdtemp(dir))
		abort();
	make_pair("good", "-days 10");
	make_pair("other", "-days 10");
	make_file("text", "no PEM here\n");
	make_file("empty", "");
}

__attribute__((destructor)) static void cleanup(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd) != 0)
		perror(cmd);
}

static bool fails(const char *certificate, const char *key, const char *client_ca,
    const char *file, const char *sentence)
{
	struct tls_server_options o = { certificate, key, client_ca, false };
	struct tls_context *c = NULL;
	struct err err = ERR_INIT;
	int r = tls_server_new(&c, &o, &err);

	if (r < 0 && !c && str_eq(err.file, file) && strstr(err.text, sentence))
		return true;
	printf("# %d %s\n", r, err_str(&err));
	tls_context_free(c);
	return false;
}

TEST(errors_name_file_and_reason)
{
	const char *crt = strdup(path("good.crt")), *key = strdup(path("good.key"));
	const char *text = strdup(path("text")), *none = strdup(path("none"));
	const char *other = strdup(path("other.key"));

	CHECK(fails(none, key, NULL, none, "No such file"));
	CHECK(fails(crt, none, NULL, none, "No such file"));
	CHECK(fails(text, key, NULL, text, "no PEM certificate"));
	CHECK(fails(key, key, NULL, key, "no PEM certificate"));
	CHECK(fails(path("empty"), key, NULL, path("empty"), "no PEM certificate"));
	CHECK(fails(crt, text, NULL, text, "no PEM private key"));
	CHECK(fails(crt, crt, NULL, crt, "no PEM private key"));
	CHECK(fails(crt, other, NULL, other, "does not belong to the certificate in"));
	CHECK(fails(crt, key, text, text, "authority"));
	CHECK(fails(dir, key, NULL, dir, "no PEM certificate"));
	free((void *)crt);
	free((void *)key);
	free((void *)text);
	free((void *)none);
	free((void *)other);
}

TEST(encrypted_key)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd),
	    "openssl ec -in %s/good.key -aes128 -passout pass:secret -out "
	    "%s/locked.key "
	    ">/dev/null 2>&1",
	    dir, dir);
	CHECK(system(cmd) == 0);
	CHECK(fails(path("good.crt"), path("locked.key"), NULL, path("locked.key"),
	    "encrypted"));
}

TEST(expired)
{
	struct tls_server_options o = { .any_time = true };
	struct tls_context *c = NULL;
	char cmd[1024];

	/* "openssl x509" cannot date back; "openssl ca" can, but a negative term does. */
	snprintf(cmd, sizeof(cmd),
	    "cd %s && openssl req -new -key good.key -subj /CN=old -out old.csr && "
	    "openssl x509 -req -in old.csr -signkey good.key -days -1 -out old.crt "
	    ">/dev/null 2>&1",
	    dir);
	CHECK(system(cmd) == 0);
	CHECK(fails(
	    path("old.crt"), path("good.key"), NULL, path("old.crt"), "expired at"));
	o.certificate = path("old.crt");
	o.key = path("good.key");
	CHECK(tls_server_new(&c, &o, NULL) == 0);
	CHECK(c && tls_context_not_after(c) < tls_context_not_before(c));
	tls_context_free(c);
}

/* Both ends of a connection, taken in turns until both are through or one fails. */
struct ends {
	struct tls_context *server_ctx, *client_ctx;
	struct tls *server, *client;
	int fd[2], server_result, client_result;
};

static void shake(struct ends *e)
{
	e->server_result = e->client_result = -EAGAIN;
	for (int i = 0; i < 20; i++) {
		if (e->client_result == -EAGAIN)
			e->client_result = tls_handshake(e->client);
		if (e->server_result == -EAGAIN)
			e->server_result = tls_handshake(e->server);
	}
}

static void ends_make(struct ends *e, const struct tls_client_options *co,
    const char *client_ca, const char *name)
{
	struct tls_server_options so = { path("good.crt"), path("good.key"), client_ca,
		false };

	memset(e, 0, sizeof(*e));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, e->fd) == 0);
	CHECK(tls_server_new(&e->server_ctx, &so, NULL) == 0);
	CHECK(tls_client_new(&e->client_ctx, co, NULL) == 0);
	CHECK(tls_accept(&e->server, e->server_ctx, e->fd[0]) == 0);
	CHECK(tls_connect(&e->client, e->client_ctx, e->fd[1], name) == 0);
	shake(e);
}

static void ends_free(struct ends *e)
{
	/* A context may go before its connections. */
	e->server_ctx = tls_context_free(e->server_ctx);
	e->client_ctx = tls_context_free(e->client_ctx);
	e->server = tls_free(e->server);
	e->client = tls_free(e->client);
	close(e->fd[0]);
	close(e->fd[1]);
}

TEST(talk)
{
	struct tls_client_options co = { .ca = path("good.crt") };
	struct ends e;
	char buf[64];

	ends_make(&e, &co, NULL, "localhost");
	CHECK(e.client_result == 0 && e.server_result == 0);
	CHECK(str_eq(tls_version(e.server), "TLSv1.3"));
	CHECK(str_eq(tls_cipher(e.server), "TLS_AES_128_GCM_SHA256"));
	CHECK(str_eq(tls_server_name(e.server), "localhost"));
	CHECK(!tls_peer_subject(e.server, buf, sizeof(buf)));
	CHECK(str_eq(tls_peer_subject(e.client, buf, sizeof(buf)), "CN = good"));
	/* A socket pair is no TCP socket: there is no kernel TLS on it. */
	CHECK(!tls_can_sendfile(e.server));
	CHECK(tls_read(e.server, buf, sizeof(buf)) == -EAGAIN &&
	    !tls_wants_write(e.server));
	CHECK(tls_write(e.client, "hello", 5) == 5);
	CHECK(tls_read(e.server, buf, 2) == 2 && tls_pending(e.server));
	CHECK(tls_read(e.server, buf, sizeof(buf)) == 3 && !tls_pending(e.server));
	CHECK(tls_shutdown(e.client) == 0);
	CHECK(tls_read(e.server, buf, sizeof(buf)) == 0);
	ends_free(&e);
}

/* A handshake over a new socket pair between the contexts of e, and a byte back, behind
 * which the ticket lies; whether the client resumed a session. */
static bool again(struct ends *e, const char *name)
{
	char byte;
	bool resumed;

	tls_shutdown(e->client);
	e->server = tls_free(e->server);
	e->client = tls_free(e->client);
	close(e->fd[0]);
	close(e->fd[1]);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, e->fd) == 0);
	CHECK(tls_accept(&e->server, e->server_ctx, e->fd[0]) == 0);
	CHECK(tls_connect(&e->client, e->client_ctx, e->fd[1], name) == 0);
	shake(e);
	resumed = tls_resumed(e->client);
	CHECK(e->client_result < 0 || tls_write(e->server, "x", 1) == 1);
	CHECK(e->client_result < 0 || tls_read(e->client, &byte, 1) == 1);
	return resumed;
}

TEST(sessions_are_resumed)
{
	struct tls_client_options co = { .ca = path("good.crt"), .resume_ms = 1000000 };
	struct ends e;
	char buf[64];

	ends_make(&e, &co, NULL, "localhost");
	CHECK(tls_write(e.server, "x", 1) == 1 && tls_read(e.client, buf, 1) == 1);
	CHECK(!tls_resumed(e.client));
	CHECK(again(&e, "localhost"));
	CHECK(str_eq(tls_peer_subject(e.client, buf, sizeof(buf)), "CN = good"));
	CHECK(tls_peer_not_after(e.client) > 0);
	/* A ticket serves once, and brings the next. */
	CHECK(again(&e, "localhost"));
	/* What was verified for one name says nothing of another. */
	CHECK(!again(&e, "127.0.0.1") && e.client_result == 0);
	CHECK(!again(&e, "example.com") && e.client_result == -EPROTO);
	CHECK(again(&e, "localhost"));
	ends_free(&e);
}

TEST(sessions_end)
{
	struct tls_client_options co = { .ca = path("good.crt"), .resume_ms = 1 };
	struct tls_client_options never = { .ca = path("good.crt") };
	struct ends e;
	char byte;

	ends_make(&e, &co, NULL, "localhost");
	CHECK(tls_write(e.server, "x", 1) == 1 && tls_read(e.client, &byte, 1) == 1);
	poll(NULL, 0, 2); /* the certificate has to be shown again */
	CHECK(!again(&e, "localhost") && e.client_result == 0);
	ends_free(&e);
	ends_make(&e, &never, NULL, "localhost");
	CHECK(tls_write(e.server, "x", 1) == 1 && tls_read(e.client, &byte, 1) == 1);
	CHECK(!again(&e, "localhost") && e.client_result == 0);
	ends_free(&e);
}

TEST(full_socket)
{
	static char big[4 << 20], in[65536];
	struct tls_client_options co = { 0 };
	struct ends e;
	size_t sent = 0, got = 0;
	ssize_t n = 0;

	ends_make(&e, &co, NULL, NULL);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 >> 3);
	while ((n = tls_write(e.client, big + sent, sizeof(big) - sent)) > 0)
		sent += (size_t)n;
	CHECK(n == -EAGAIN && tls_wants_write(e.client) && sent < sizeof(big));
	while (got < sizeof(big)) {
		bool same;

		n = tls_read(e.server, in, sizeof(in));
		if (n == -EAGAIN) {
			n = tls_write(e.client, big + sent, sizeof(big) - sent);
			CHECK(n > 0);
			if (n <= 0)
				break;
			sent += (size_t)n;
			continue;
		}
		same = n > 0 && memcmp(in, big + got, (size_t)n) == 0;
		CHECK(same);
		if (!same)
			break;
		got += (size_t)n;
	}
	CHECK(got == sizeof(big));
	ends_free(&e);
}

TEST(verification)
{
	struct tls_client_options good = { .ca = path("good.crt") };
	struct tls_client_options other = { .ca = path("other.crt") };
	struct ends e;

	ends_make(&e, &good, NULL, "127.0.0.1");
	CHECK(e.client_result == 0 && !tls_server_name(e.server));
	ends_free(&e);
	ends_make(&e, &good, NULL, "example.com");
	CHECK(e.client_result == -EPROTO && strstr(tls_why(e.client), "ostname"));
	CHECK(e.server_result == -EPROTO && tls_fault(e.server) == TLS_FAULT_DISTRUST);
	ends_free(&e);
	ends_make(&e, &good, NULL, "127.0.0.2");
	CHECK(e.client_result == -EPROTO);
	ends_free(&e);
	ends_make(&e, &other, NULL, "localhost");
	CHECK(e.client_result == -EPROTO && strstr(tls_why(e.client), "self"));
	CHECK(e.server_result < 0 && e.server_result != -EAGAIN);
	CHECK(tls_fault(e.server) == TLS_FAULT_DISTRUST);
	CHECK(strstr(tls_why(e.server), "unknown ca"));
	ends_free(&e);
}

TEST(client_certificate)
{
	struct tls_client_options with = { .ca = path("good.crt"),
		.certificate = path("other.crt"),
		.key = path("other.key") };
	struct tls_client_options without = { .ca = path("good.crt") };
	const char *ca = path("other.crt");
	struct ends e;
	char buf[64];

	ends_make(&e, &with, ca, "localhost");
	CHECK(e.server_result == 0 && e.client_result == 0);
	CHECK(str_eq(tls_peer_subject(e.server, buf, sizeof(buf)), "CN = other"));
	ends_free(&e);
	ends_make(&e, &without, ca, "localhost");
	CHECK(e.server_result == -EPROTO);
	ends_free(&e);
}

TEST(a_client_shows_its_certificate_again)
{
	struct tls_client_options co = { .ca = path("good.crt"),
		.certificate = path("other.crt"),
		.key = path("other.key"),
		.resume_ms = 1000000 };
	struct ends e;
	char byte;

	ends_make(&e, &co, path("other.crt"), "localhost");
	CHECK(tls_write(e.server, "x", 1) == 1 && tls_read(e.client, &byte, 1) == 1);
	CHECK(again(&e, "localhost"));
	/* No ticket brings the next. */
	CHECK(!again(&e, "localhost") && e.server_result == 0);
	ends_free(&e);
}

TEST(client_without_verification_needs_no_name)
{
	struct tls_client_options co = { 0 };
	struct ends e;

	ends_make(&e, &co, NULL, NULL);
	CHECK(e.client_result == 0 && e.server_result == 0);
	ends_free(&e);
}

TEST(peer_that_talks_no_tls)
{
	struct tls_server_options so = { path("good.crt"), path("good.key"), NULL,
		false };
	struct tls_context *c = NULL;
	struct tls *t = NULL;
	int fd[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	CHECK(tls_server_new(&c, &so, NULL) == 0);
	CHECK(tls_accept(&t, c, fd[0]) == 0);
	CHECK(send(fd[1], "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	CHECK(tls_handshake(t) == -EPROTO && tls_why(t)[0]);
	tls_free(t);
	CHECK(tls_accept(&t, c, fd[0]) == 0);
	close(fd[1]);
	CHECK(tls_handshake(t) < 0);
	tls_free(t);
	tls_context_free(c);
	close(fd[0]);
}
