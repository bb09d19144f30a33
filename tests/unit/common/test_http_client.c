/* The client against a small server of the test's own, plain and with TLS. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <curl/curlver.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/http_client.h"
#include "common/loop.h"
#include "common/net.h"
#include "common/str.h"
#include "common/x509_make.h"
#include "tests/unit/common/http_peer.h"

/* The client's side */

static struct loop *l;
static struct http_client *client;
static struct server *server;

struct outcome {
	struct http_transfer *t;
	int heads, pieces, done, result, status;
	int status_at_head, status_at_data;
	size_t largest;
	struct str data;
	char name[64], why[800];
	int (*during)(struct outcome *o); /* in the data callback */
	bool bad;
	uint32_t next; /* byte of /big */
};

static void outcome_deinit(struct outcome *o)
{
	str_deinit(&o->data);
}

static void on_head(struct http_transfer *t, void *arg)
{
	struct outcome *o = arg;

	o->heads++;
	o->bad = o->bad || o->pieces || o->done;
	o->status_at_head = http_transfer_status(t);
}

static void on_data(struct http_transfer *t, const void *p, size_t n, void *arg)
{
	struct outcome *o = arg;

	o->pieces++;
	o->bad = o->bad || !o->heads || o->done || n == 0;
	o->largest = MAX(o->largest, n);
	o->status_at_data = http_transfer_status(t);
	str_add(&o->data, p, n);
	if (o->during && o->during(o))
		o->t = http_transfer_cancel(t);
}

static void on_done(struct http_transfer *t, int result, void *arg)
{
	struct outcome *o = arg;
	const char *name = http_transfer_header(t, "x-NAME");

	CHECK(t == o->t);
	o->t = NULL;
	o->done++;
	o->result = result;
	o->status = http_transfer_status(t);
	snprintf(o->name, sizeof(o->name), "%s", name ? name : "none");
	snprintf(o->why, sizeof(o->why), "%s", http_transfer_why(t));
	if (!o->heads && !o->pieces)
		str_add(&o->data, http_transfer_body(t)->s, http_transfer_body(t)->len);
	/* A cancel at this point is too late to matter. */
	http_transfer_cancel(t);
	loop_stop(l);
}

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
	loop_stop(l);
}

/* Runs until somebody stops the loop; 30 s at most, which fails the test. */
static void run(void)
{
	bool late = false;
	struct timeval tv = { .tv_sec = 30 };
	struct event *ev = event_new(loop_base(l), -1, 0, on_guard, &late);

	event_add(ev, &tv);
	CHECK(loop_run(l) == 0);
	CHECK(!late);
	event_free(ev);
}

/* Turns the loop for a while: for what must not happen. */
static void run_ms(unsigned ms)
{
	bool late;
	struct timeval tv = ms_to_tv(ms);

	CHECK(event_base_once(loop_base(l), -1, EV_TIMEOUT, on_guard, &late, &tv) == 0);
	CHECK(loop_run(l) == 0);
}

static void up(SSL_CTX *tls, const struct http_client_options *o)
{
	signal(SIGPIPE, SIG_IGN);
	CHECK(loop_new(&l) == 0);
	server = server_new(tls);
	CHECK(http_client_new(&client, l, o) == 0);
}

static void down(void)
{
	client = http_client_free(client);
	server_free(server);
	l = loop_free(l);
}

static const char *url_of(const char *path)
{
	static char url[256];

	snprintf(url, sizeof(url), "http%s://127.0.0.1:%u%s", server->tls ? "s" : "",
	    server->port, path);
	return url;
}

/* Starts a request for a path; its outcome goes to o. */
static int start(struct outcome *o, struct http_client_request req, const char *path)
{
	struct err err = ERR_INIT;
	int r;

	if (!req.url)
		req.url = url_of(path);
	req.on_done = on_done;
	req.arg = o;
	r = http_client_start(client, &o->t, &req, &err);
	if (r < 0)
		snprintf(o->why, sizeof(o->why), "%s", err.text);
	return r;
}

static void fetch(struct outcome *o, struct http_client_request req, const char *path)
{
	CHECK(start(o, req, path) == 0);
	run();
	CHECK(o->done == 1 && !o->bad);
}

#define STREAM .on_head = on_head, .on_data = on_data

TEST(whole_body_and_connection_reuse)
{
	up(NULL, NULL);
	for (int i = 0; i < 3; i++) {
		_cleanup_(outcome_deinit) struct outcome o = { 0 };

		fetch(&o, (struct http_client_request){ 0 }, "/hello");
		CHECK(o.result == 200 && o.status == 200);
		CHECK(str_eq(str_get(&o.data), "hello"));
		CHECK(str_eq(o.name, "value"));
	}
	CHECK(server->accepted == 1);
	down();
}

TEST(request_as_sent)
{
	static const char *const headers[] = { "X-A: b", "X-Empty:", NULL };
	_cleanup_(outcome_deinit) struct outcome o = { 0 }, p = { 0 }, q = { 0 };

	up(NULL, NULL);
	fetch(&o,
	    (struct http_client_request){ .method = "PUT",
		.headers = headers,
		.body = "bo\0dy",
		.body_len = 5,
		.bearer = "token" },
	    "/echo");
	CHECK(o.result == 200);
	CHECK(str_starts(str_get(&o.data), "PUT /echo HTTP/1.1\r\n"));
	CHECK(strstr(o.data.s, "\r\nX-A: b\r\n"));
	CHECK(strstr(o.data.s, "\r\nX-Empty:\r\n"));
	CHECK(strstr(o.data.s, "\r\nAuthorization: Bearer token\r\n"));
	CHECK(strstr(o.data.s, "\r\nContent-Length: 5\r\n"));
	CHECK(strstr(o.data.s, "\r\nUser-Agent: okd-bastion/" OKD_VERSION "\r\n"));
	CHECK(!strstr(o.data.s, "Expect") && !strstr(o.data.s, "Content-Type"));
	CHECK(o.data.len > 5 && memcmp(o.data.s + o.data.len - 5, "bo\0dy", 5) == 0);

	fetch(&p,
	    (struct http_client_request){
		.method = "POST", .username = "u", .password = "p" },
	    "/echo");
	CHECK(str_starts(str_get(&p.data), "POST "));
	CHECK(strstr(p.data.s, "\r\nContent-Length: 0\r\n"));
	CHECK(strstr(p.data.s, "\r\nAuthorization: Basic dTpw\r\n"));
	fetch(&q, (struct http_client_request){ .method = "DELETE" }, "/echo");
	CHECK(str_starts(str_get(&q.data), "DELETE "));
	down();
}

TEST(methods_without_a_body_in_the_answer)
{
	_cleanup_(outcome_deinit) struct outcome o = { 0 }, p = { 0 };

	up(NULL, NULL);
	/* The announced length exceeds the bound, but is not going to come. */
	fetch(&o,
	    (struct http_client_request){ .method = "HEAD", .max_response = 1000 },
	    "/long-head");
	CHECK(o.result == 200 && o.data.len == 0);
	fetch(&p, (struct http_client_request){ STREAM }, "/empty");
	CHECK(p.result == 204 && p.heads == 1 && p.pieces == 0);
	down();
}

TEST(nonsense_is_refused)
{
	static const char *const urls[] = { "", "nonsense", "ftp://127.0.0.1/",
		"http://", "file:///etc/passwd", "http://a b/",
		"http://127.0.0.1:99999/" };
	static const char *const lines[] = { "A: b\r\nC: d", "no colon", ": x",
		"A b: c" };
	struct outcome o = { 0 };

	up(NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		CHECK(start(&o, (struct http_client_request){ .url = urls[i] }, "") ==
		    -EINVAL);
		CHECK(strstr(o.why, "URL"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *const h[] = { lines[i], NULL };

		CHECK(start(&o, (struct http_client_request){ .headers = h }, "/") ==
		    -EINVAL);
		CHECK(strstr(o.why, "header line"));
	}
	CHECK(start(&o, (struct http_client_request){ .bearer = "a\nb" }, "/") ==
	    -EINVAL);
	CHECK(
	    start(&o, (struct http_client_request){ .method = "G T" }, "/") == -EINVAL);
	CHECK(start(&o,
		  (struct http_client_request){
		      .method = "HEAD", .body = "x", .body_len = 1 },
		  "/") == -EINVAL);
	down();
}

TEST(stream_of_chunks_with_trailers)
{
	_cleanup_(outcome_deinit) struct outcome o = { 0 };

	up(NULL, NULL);
	fetch(&o, (struct http_client_request){ STREAM }, "/chunked");
	CHECK(o.result == 200 && o.heads == 1 && o.status_at_head == 200);
	CHECK(o.pieces >= 1 && o.status_at_data == 200);
	CHECK(str_eq(str_get(&o.data), "onetwo"));
	down();
}

static int stop_loop(struct outcome *o)
{
	loop_stop(l);
	return 0;
}

static void stop_on_head(struct http_transfer *t, void *arg)
{
	on_head(t, arg);
	loop_stop(l);
}

/* A watch without events: its head must not wait for the first byte of body. */
TEST(head_comes_before_the_body_does)
{
	_cleanup_(outcome_deinit) struct outcome o = { 0 };

	up(NULL, NULL);
	CHECK(start(&o,
		  (struct http_client_request){
		      .on_head = stop_on_head, .on_data = on_data },
		  "/head") == 0);
	run();
	CHECK(o.heads == 1 && o.status_at_head == 200 && !o.pieces && !o.done);
	o.t = http_transfer_cancel(o.t);
	down();
	CHECK(o.done == 0);
}

/* The same for bytes: what came is told while the rest is still awaited. */
TEST(pieces_come_as_they_are_sent)
{
	_cleanup_(outcome_deinit) struct outcome o = { .during = stop_loop };

	up(NULL, NULL);
	CHECK(start(&o, (struct http_client_request){ STREAM }, "/some") == 0);
	run();
	CHECK(str_eq(str_get(&o.data), "some") && !o.done);
	down();
	CHECK(o.done == 0 && o.pieces == 1);
}

static int cancel_now(struct outcome *o)
{
	loop_stop(l);
	return 1;
}

TEST(cancel_in_mid_stream)
{
	_cleanup_(outcome_deinit) struct outcome o = { .during = cancel_now },
						 p = { 0 };

	up(NULL, NULL);
	CHECK(start(&o, (struct http_client_request){ STREAM }, "/endless") == 0);
	run();
	CHECK(o.pieces == 1 && !o.t);
	/* The client works on, and nothing more is heard of the first. */
	fetch(&p, (struct http_client_request){ 0 }, "/hello");
	CHECK(p.result == 200);
	run_ms(50);
	CHECK(o.pieces == 1 && o.done == 0);
	down();
}

TEST(cancel_at_once_and_on_exit)
{
	struct outcome o[20] = { 0 };

	up(NULL, NULL);
	for (int i = 0; i < 20; i++)
		CHECK(start(&o[i], (struct http_client_request){ 0 }, "/hang") == 0);
	for (int i = 0; i < 10; i++)
		o[i].t = http_transfer_cancel(o[i].t);
	down();
	for (int i = 0; i < 20; i++)
		CHECK(o[i].done == 0);
}

TEST(time_outs)
{
	_cleanup_(outcome_deinit) struct outcome o = { 0 }, p = { 0 };
	uint64_t from;

	up(NULL, NULL);
	from = clock_boot_ms();
	fetch(&o, (struct http_client_request){ .timeout_ms = 200 }, "/hang");
	CHECK(o.result == -ETIMEDOUT && o.status == 0);
	CHECK(clock_boot_ms() - from >= 200 && clock_boot_ms() - from < 5000);
	CHECK(strstr(o.why, "GET http://127.0.0.1:") && strstr(o.why, "/hang: "));
	fetch(&p, (struct http_client_request){ .idle_timeout_ms = 1000, STREAM },
	    "/some");
	CHECK(p.result == -ETIMEDOUT && p.status == 200);
	CHECK(str_eq(str_get(&p.data), "some"));
	down();
}

TEST(refused)
{
	_cleanup_(outcome_deinit) struct outcome o = { 0 };
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char url[64];

	/* Bound, so that nobody else gets the port, but not listening. */
	CHECK(
	    bind(fd, (void *)&sa, len) == 0 && getsockname(fd, (void *)&sa, &len) == 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/x?secret", ntohs(sa.sin_port));
	up(NULL, NULL);
	fetch(&o, (struct http_client_request){ .url = url }, NULL);
	CHECK(o.result == -ECONNREFUSED);
	CHECK(strstr(o.why, "Connection refused") &&
	    strstr(o.why, "GET http://127.0.0.1:"));
	CHECK(!strstr(o.why, "secret"));
	down();
	close(fd);
}

TEST(no_such_host)
{
	_cleanup_(outcome_deinit) struct outcome o = { 0 };

	up(NULL, NULL);
	fetch(
	    &o, (struct http_client_request){ .url = "http://nobody.invalid/" }, NULL);
	CHECK(o.result == -EHOSTUNREACH && strstr(o.why, "nobody.invalid"));
	down();
}

TEST(answers_that_are_none)
{
	_cleanup_(outcome_deinit) struct outcome cut = { 0 }, junk = { 0 },
						 gone = { 0 };
	_cleanup_(outcome_deinit) struct outcome stream = { 0 };

	up(NULL, NULL);
	fetch(&cut, (struct http_client_request){ 0 }, "/cut");
	CHECK(cut.result == -ECONNRESET && cut.status == 200);
	fetch(&stream, (struct http_client_request){ STREAM }, "/cut");
	CHECK(
	    stream.result == -ECONNRESET && str_eq(str_get(&stream.data), "only this"));
	fetch(&junk, (struct http_client_request){ 0 }, "/junk");
	CHECK(junk.result == -EPROTO);
	fetch(&gone, (struct http_client_request){ 0 }, "/none");
	CHECK(gone.result == -ECONNRESET);
	down();
}

TEST(too_large)
{
	_cleanup_(outcome_deinit) struct outcome a = { 0 }, b = { 0 }, c = { 0 },
						 d = { 0 };

	up(NULL, NULL);
	fetch(&a, (struct http_client_request){ .max_response = 4 }, "/hello");
	CHECK(a.result == -EFBIG && strstr(a.why, "larger than 4 bytes"));
	fetch(&b, (struct http_client_request){ .max_response = 5 }, "/hello");
	CHECK(b.result == 200);
	/* Without a length that could be looked at first. */
	fetch(&c, (struct http_client_request){ .max_response = 100, STREAM },
	    "/endless");
	CHECK(c.result == -EFBIG && c.data.len <= 100);
	fetch(&d, (struct http_client_request){ 0 }, "/huge-head");
	CHECK(d.result < 0 && d.status == 0);
	down();
}

TEST(redirects)
{
	_cleanup_(outcome_deinit) struct outcome no = { 0 }, yes = { 0 }, away = { 0 };

	up(NULL, NULL);
	fetch(&no, (struct http_client_request){ STREAM }, "/move");
	CHECK(no.result == 302 && str_eq(str_get(&no.data), "gone"));
	fetch(&yes, (struct http_client_request){ .redirects = 1, STREAM }, "/move");
	CHECK(yes.result == 200 && str_eq(str_get(&yes.data), "hello"));
	CHECK(yes.heads == 1 && str_eq(yes.name, "value"));
	fetch(&away, (struct http_client_request){ .redirects = 1 }, "/away");
	CHECK(away.result == -EPROTO);
	down();
}

/* Every byte of /big in its place, whatever the pieces. */
static int count_big(struct outcome *o)
{
	for (size_t i = 0; i < o->data.len; i++, o->next++) {
		uint32_t word = o->next / 4;

		o->bad = o->bad ||
		    (uint8_t)o->data.s[i] != (uint8_t)(word >> 8 * (o->next % 4));
	}
	str_reset(&o->data);
	return 0;
}

static void pause_on_head(struct http_transfer *t, void *arg)
{
	on_head(t, arg);
	http_transfer_pause(t);
}

/* While the reader does not take, the server comes to a halt, and then all arrives. */
TEST(back_pressure)
{
	_cleanup_(outcome_deinit) struct outcome o = { .during = count_big };
	struct http_client_request req = {
		.on_head = pause_on_head, .on_data = on_data, .idle_timeout_ms = 300
	};
	size_t sent;

	up(NULL, NULL);
	CHECK(start(&o, req, "/big") == 0);
	for (int i = 0; i < 3000 && !__atomic_load_n(&server->stuck, __ATOMIC_SEQ_CST);
	     i++)
		run_ms(10);
	sent = __atomic_load_n(&server->sent, __ATOMIC_SEQ_CST);
	CHECK(__atomic_load_n(&server->stuck, __ATOMIC_SEQ_CST));
	CHECK(sent > 0 && sent < BIG / 2);
	CHECK(o.heads == 1 && o.pieces == 0);
	run_ms(700); /* a server that has to wait is not silent */
	CHECK(!o.done);
	http_transfer_resume(o.t);
	http_transfer_resume(o.t);
	run();
	CHECK(o.result == 200 && !o.bad && o.next == BIG);
	CHECK(o.largest <= 256 * 1024);
	down();
}

static int pause_each(struct outcome *o)
{
	count_big(o);
	http_transfer_pause(o->t);
	/* Resumed before it could take effect, or by the next turn of the loop. */
	if (o->pieces % 2)
		http_transfer_resume(o->t);
	else
		loop_stop(l);
	return 0;
}

TEST(pause_and_resume_lose_nothing)
{
	_cleanup_(outcome_deinit) struct outcome o = { .during = pause_each };

	up(NULL, NULL);
	CHECK(start(&o, (struct http_client_request){ STREAM }, "/big") == 0);
	while (!o.done && o.pieces < 1000000) {
		run();
		if (o.t)
			http_transfer_resume(o.t);
	}
	CHECK(o.result == 200 && !o.bad && o.next == BIG);
	down();
}

TEST(many_at_once)
{
	struct outcome o[40] = { 0 };
	int done = 0;

	up(NULL, &(struct http_client_options){ .host_connections = 4 });
	for (int i = 0; i < 40; i++)
		CHECK(start(&o[i], (struct http_client_request){ 0 }, "/hello") == 0);
	while (done < 40) {
		run();
		done = 0;
		for (int i = 0; i < 40; i++)
			done += o[i].done;
		if (failed_here)
			break;
	}
	for (int i = 0; i < 40; i++) {
		CHECK(o[i].result == 200);
		outcome_deinit(&o[i]);
	}
	CHECK(server->accepted <= 4);
	down();
}

/* TLS */

struct pki {
	struct str ca, ca_key, cert, key, other_ca, other_key, user, user_key;
};

static void pki_deinit(struct pki *p)
{
	str_deinit(&p->ca);
	str_deinit(&p->ca_key);
	str_deinit(&p->cert);
	str_deinit(&p->key);
	str_deinit(&p->other_ca);
	str_deinit(&p->other_key);
	str_deinit(&p->user);
	str_deinit(&p->user_key);
}

/* A server certificate for 127.0.0.1 and api.test, or for the name alone. */
static void pki_init(struct pki *p, bool with_ip)
{
	static const char *const dns[] = { "api.test", NULL };
	int64_t now = clock_real_s();
	struct net_ip ip;
	struct err err = ERR_INIT;

	memset(p, 0, sizeof(*p));
	CHECK(net_ip_parse("127.0.0.1", &ip) == 0);
	CHECK(
	    x509_make_ca(&p->ca, &p->ca_key, &(struct x509_subject){ .cn = "test CA" },
		now - 60, now + 3600, &err) == 0);
	CHECK(x509_make_ca(&p->other_ca, &p->other_key,
		  &(struct x509_subject){ .cn = "other CA" }, now - 60, now + 3600,
		  &err) == 0);
	CHECK(x509_make_cert(&p->cert, &p->key,
		  &(struct x509_subject){
		      .cn = "api.test", .dns = dns, .ip = &ip, .n_ip = with_ip },
		  X509_USE_SERVER, now - 60, now + 3600, p->ca.s, p->ca_key.s,
		  &err) == 0);
	CHECK(x509_make_cert(&p->user, &p->user_key,
		  &(struct x509_subject){ .cn = "user", .o = "group" }, X509_USE_CLIENT,
		  now - 60, now + 3600, p->ca.s, p->ca_key.s, &err) == 0);
}

static SSL_CTX *tls_context(const struct pki *p, bool ask)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	BIO *c = BIO_new_mem_buf(p->cert.s, -1), *k = BIO_new_mem_buf(p->key.s, -1);
	BIO *a = BIO_new_mem_buf(p->ca.s, -1);
	X509 *x = PEM_read_bio_X509(c, NULL, NULL, NULL);
	X509 *ca = PEM_read_bio_X509(a, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);

	CHECK(SSL_CTX_use_certificate(ctx, x) == 1);
	CHECK(SSL_CTX_use_PrivateKey(ctx, key) == 1);
	CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1);
	if (ask)
		SSL_CTX_set_verify(
		    ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	BIO_free(a);
	BIO_free(c);
	BIO_free(k);
	return ctx;
}

static void check_tls(const struct http_client_options *options)
{
	_cleanup_(pki_deinit) struct pki p;
	_cleanup_(outcome_deinit) struct outcome ok = { 0 }, no = { 0 }, any = { 0 };
	_cleanup_(outcome_deinit) struct outcome system = { 0 };
	unsigned connections;

	pki_init(&p, true);
	up(tls_context(&p, false), options);
	fetch(&ok, (struct http_client_request){ .ca_pem = p.ca.s }, "/hello");
	CHECK(ok.result == 200 && str_eq(str_get(&ok.data), "hello"));
	/* Not even by way of the connection that the right CA has opened. */
	fetch(&no, (struct http_client_request){ .ca_pem = p.other_ca.s }, "/hello");
	CHECK(no.result == -EACCES && strstr(no.why, "certificate"));
	fetch(&system, (struct http_client_request){ 0 }, "/hello");
	CHECK(system.result == -EACCES);
	fetch(&any, (struct http_client_request){ .insecure = true }, "/hello");
	CHECK(any.result == 200);
	outcome_deinit(&ok);
	ok = (struct outcome){ 0 };
	connections = server->accepted;
	fetch(&ok, (struct http_client_request){ .ca_pem = p.ca.s }, "/hello");
	CHECK(ok.result == 200 && server->accepted == connections);
	down();
}

TEST(tls_with_its_ca)
{
	check_tls(NULL);
}

TEST(tls_with_the_ca_as_a_file_in_memory)
{
	check_tls(&(struct http_client_options){ .ca_by_path = true });
}

TEST(tls_client_certificate)
{
	_cleanup_(pki_deinit) struct pki p;
	_cleanup_(outcome_deinit) struct outcome ok = { 0 }, none = { 0 },
						 files = { 0 };
	char dir[] = "/tmp/okd-test-http.XXXXXX", cert[64], key[64], ca[64];
	_cleanup_(outcome_deinit) struct outcome bad = { 0 };

	pki_init(&p, true);
	up(tls_context(&p, true), NULL);
	fetch(&bad,
	    (struct http_client_request){
		.ca_pem = p.ca.s, .certificate_pem = p.user.s, .key_pem = p.ca_key.s },
	    "/hello");
	CHECK(bad.result == -EACCES);
	fetch(&ok,
	    (struct http_client_request){ .ca_pem = p.ca.s,
		.certificate_pem = p.user.s,
		.key_pem = p.user_key.s },
	    "/hello");
	CHECK(ok.result == 200);
	fetch(&none, (struct http_client_request){ .ca_pem = p.ca.s }, "/hello");
	CHECK(none.result < 0);
	CHECK(mkdtemp(dir) != NULL);
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	snprintf(ca, sizeof(ca), "%s/ca", dir);
	CHECK(file_replace(cert, 0600, p.user.s, p.user.len) == 0);
	CHECK(file_replace(key, 0600, p.user_key.s, p.user_key.len) == 0);
	CHECK(file_replace(ca, 0600, p.ca.s, p.ca.len) == 0);
	fetch(&files,
	    (struct http_client_request){
		.ca_file = ca, .certificate_file = cert, .key_file = key },
	    "/hello");
	CHECK(files.result == 200);
	unlink(cert);
	unlink(key);
	unlink(ca);
	rmdir(dir);
	down();
}

TEST(tls_server_name)
{
	_cleanup_(pki_deinit) struct pki p;
	_cleanup_(outcome_deinit) struct outcome no = { 0 }, yes = { 0 }, other = { 0 };
	char host[64];

	pki_init(&p, false);
	up(tls_context(&p, false), NULL);
	fetch(&no, (struct http_client_request){ .ca_pem = p.ca.s }, "/echo");
	CHECK(no.result == -EACCES);
	fetch(&yes,
	    (struct http_client_request){
		.ca_pem = p.ca.s, .tls_server_name = "api.test" },
	    "/echo");
	CHECK(yes.result == 200);
	snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", server->port);
	CHECK(strstr(str_get(&yes.data), host));
	fetch(&other,
	    (struct http_client_request){
		.ca_pem = p.ca.s, .tls_server_name = "evil.test" },
	    "/echo");
	CHECK(other.result == -EACCES && strstr(other.why, "https://127.0.0.1:"));
	down();
}

/* A resolver that is silent until it is released: libcurl calls this one. */

static sem_t asked, released;
static int resolving; /* atomic */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **res)
{
	static struct sockaddr_in sa;
	static struct addrinfo ai;

	if (node && str_eq(node, "silent.test")) {
		__atomic_add_fetch(&resolving, 1, __ATOMIC_SEQ_CST);
		sem_post(&asked);
		while (sem_wait(&released) < 0)
			;
		__atomic_sub_fetch(&resolving, 1, __ATOMIC_SEQ_CST);
		return EAI_AGAIN;
	}
	if (!node || inet_pton(AF_INET, node, &sa.sin_addr) != 1)
		return EAI_NONAME;
	sa.sin_family = AF_INET;
	sa.sin_port = htons((uint16_t)atoi(service ? service : "0"));
	ai = (struct addrinfo){ .ai_family = AF_INET,
		.ai_socktype = SOCK_STREAM,
		.ai_addr = (void *)&sa,
		.ai_addrlen = sizeof(sa) };
	*res = &ai;
	return 0;
}

void freeaddrinfo(struct addrinfo *res)
{
}

TEST(a_silent_resolver_holds_up_nobody)
{
	struct outcome o = { 0 }, p = { 0 };
	_cleanup_(outcome_deinit) struct outcome q = { 0 };
	uint64_t from;

	sem_init(&asked, 0, 0);
	sem_init(&released, 0, 0);
	up(NULL, &(struct http_client_options){ .exit_ms = 300 });
	CHECK(start(&o, (struct http_client_request){ .url = "http://silent.test/" },
		  "") == 0);
	CHECK(start(&p, (struct http_client_request){ .url = "http://silent.test/" },
		  "") == 0);
	while (sem_wait(&asked) < 0)
		;
	from = clock_boot_ms();
	o.t = http_transfer_cancel(o.t);
	CHECK(clock_boot_ms() - from < 100);
#if LIBCURL_VERSION_NUM >= 0x075700
	fetch(&q, (struct http_client_request){ 0 }, "/hello");
	CHECK(q.result == 200);
#endif
	from = clock_boot_ms();
	client = http_client_free(client);
	CHECK(clock_boot_ms() - from < 1500);
	CHECK(__atomic_load_n(&resolving, __ATOMIC_SEQ_CST) >= 1);
	CHECK(o.done == 0 && p.done == 0);
	/* Both may go, before the process does. */
	sem_post(&released);
	sem_post(&released);
	for (int i = 0; i < 1000 && __atomic_load_n(&resolving, __ATOMIC_SEQ_CST); i++)
		run_ms(10);
	CHECK(!__atomic_load_n(&resolving, __ATOMIC_SEQ_CST));
	down();
}
