/*
 * A server over common/http for the tests: static files below a folder, and one route
 * for each thing a handler can do.  Prints its port when it listens, one line per
 * request at its end, and "drained" when a drain (SIGTERM) is over; SIGHUP reloads the
 * certificate.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base.h"
#include "common/fd.h"
#include "common/http_server.h"
#include "common/loop.h"
#include "common/net.h"
#include "common/str.h"
#include "common/tls.h"

static struct {
	struct loop *loop;
	struct http_server *server;
	struct http_listener *listener;
	struct tls_context *tls;
	struct tls_server_options pair;
	int root;
	bool quiet;
	unsigned drain_ms;
} app = { .root = -1, .drain_ms = 5000 };

static uint64_t param(struct http_req *r, const char *name, uint64_t fallback)
{
	uint64_t v = fallback;
	char buf[24];

	if (http_req_param(r, name, buf, sizeof(buf)) > 0 &&
	    str_to_u64(buf, UINT64_MAX, &v) < 0)
		v = fallback;
	return v;
}

/* A handler's state: freed when the request ends, whatever ends it. */
struct job {
	struct http_req *r;
	struct event *timer;
	uint64_t left, n, ms;
};

static void job_end(struct http_req *r, void *arg, enum http_end end)
{
	struct job *j = arg;

	if (!app.quiet) {
		printf("end %s\n", http_end_text(end));
		fflush(stdout);
	}
	if (j->timer)
		event_free(j->timer);
	free(j);
}

static struct job *job_new(struct http_req *r, event_callback_fn timer)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		abort();
	j->r = r;
	if (timer)
		j->timer = evtimer_new(loop_base(app.loop), timer, j);
	http_req_on_end(r, job_end, j);
	return j;
}

static void job_after(struct job *j, uint64_t ms)
{
	struct timeval tv = ms_to_tv(ms);

	evtimer_add(j->timer, &tv);
}

static int on_static(struct http_req *r, void *arg)
{
	const char *path = http_req_path(r);
	struct http_static s = { .flags = HTTP_FILE_STABLE };

	if (path[1] == '\0')
		return 404;
	s.fd = openat(app.root, path + 1, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s.fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 404 : -errno;
	http_reply_static(r, &s);
	return 0;
}

static int on_echo_body(struct http_req *r, void *arg, const char *body, size_t n)
{
	http_reply(r, 200, http_req_header(r, "Content-Type"), body, n);
	return 0;
}

static int on_echo(struct http_req *r, void *arg)
{
	return http_req_gather(r, 1024 * 1024, on_echo_body, NULL);
}

/* /count: bytes and a checksum of an upload of any length; ?pause=MS pauses after every
 * piece, ?refuse=N answers 403 after N bytes. */
static void on_count_resume(evutil_socket_t fd, short what, void *arg)
{
	http_req_resume(((struct job *)arg)->r);
}

static int on_count_data(struct http_req *r, void *arg, const void *p, size_t n)
{
	struct job *j = arg;

	for (size_t i = 0; i < n; i++)
		j->n = (j->n * 31 + ((const unsigned char *)p)[i]) & 0xffffffff;
	if (j->left && http_req_received(r) >= j->left)
		return 403;
	if (j->ms) {
		http_req_pause(r);
		job_after(j, j->ms);
	}
	return 0;
}

static int on_count_end(struct http_req *r, void *arg)
{
	struct job *j = arg;
	struct str s = STR_INIT;

	str_addf(&s, "%llu %llu\n", (unsigned long long)http_req_received(r),
	    (unsigned long long)j->n);
	http_reply_str(r, 200, "text/plain", &s);
	return 0;
}

static void on_count_abort(struct http_req *r, void *arg)
{
	puts("body aborted");
	fflush(stdout);
}

static int on_count(struct http_req *r, void *arg)
{
	static const struct http_sink sink = { on_count_data, on_count_end,
		on_count_abort };
	struct job *j = job_new(r, on_count_resume);

	j->ms = param(r, "pause", 0);
	j->left = param(r, "refuse", 0);
	return http_req_body(r, &sink, j, param(r, "max", UINT64_MAX));
}

/* /late?ms=N: accepts its body after a while, as behind an asynchronous check. */
static void on_late_accept(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;
	int r =
	    http_req_gather(j->r, (size_t)param(j->r, "max", 1000), on_echo_body, NULL);

	/* The job is gone when the body was there and the reply has been sent. */
	if (r)
		http_reply_result(j->r, r);
}

static int on_late(struct http_req *r, void *arg)
{
	job_after(job_new(r, on_late_accept), param(r, "ms", 10));
	return 0;
}

/* /delay?ms=N: the reply comes later. */
static void on_delay_over(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;

	http_reply(j->r, 200, "text/plain", "later\n", 6);
}

static int on_delay(struct http_req *r, void *arg)
{
	job_after(job_new(r, on_delay_over), param(r, "ms", 10));
	return 0;
}

/* /stream?n=BYTES&ms=N&length=1: generated, with a wait after every 1000 bytes. */
static void on_stream_resume(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;

	j->n = 1;
	http_reply_resume(j->r);
}

static ssize_t on_stream_pull(struct http_req *r, void *arg, char *buf, size_t n)
{
	struct job *j = arg;

	if (j->ms && !j->n) {
		job_after(j, j->ms);
		return -EAGAIN;
	}
	j->n = 0;
	n = (size_t)MIN(MIN((uint64_t)n, j->left), 1000u);
	memset(buf, 'x', n);
	j->left -= n;
	return (ssize_t)n;
}

static int on_stream(struct http_req *r, void *arg)
{
	struct job *j = job_new(r, on_stream_resume);

	j->left = param(r, "n", 10000);
	j->ms = param(r, "ms", 0);
	http_reply_stream(r, 200, "text/plain",
	    param(r, "length", 0) ? (int64_t)j->left : -1, on_stream_pull, j);
	return 0;
}

/* /memory?n=BYTES: from owned memory. */
static int on_memory(struct http_req *r, void *arg)
{
	size_t n = (size_t)param(r, "n", 1000);
	char *p = malloc(n + 1);

	if (!p)
		return -ENOMEM;
	memset(p, 'm', n);
	http_reply_owned(r, 200, "text/plain", p, n, free, p);
	return 0;
}

/* /paced/FILE?rate=BYTES: the file at a rate per 10 ms. */
static void on_paced_resume(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;

	j->n = j->left;
	http_reply_resume(j->r);
}

static size_t on_pace(struct http_req *r, void *arg, size_t want)
{
	struct job *j = arg;
	size_t n = (size_t)MIN((uint64_t)want, j->n);

	if (!n && !evtimer_pending(j->timer, NULL))
		job_after(j, 10);
	j->n -= n;
	return n;
}

static void on_progress(struct http_req *r, void *arg, uint64_t sent)
{
	if (http_reply_acked(r) > sent)
		abort();
}

static int on_paced(struct http_req *r, void *arg)
{
	static const struct http_flow flow = { on_progress, on_pace };
	struct job *j = job_new(r, on_paced_resume);
	struct http_static s = { 0 };

	j->left = param(r, "rate", 1000);
	s.fd = openat(app.root, http_route_rest("/paced/*", http_req_path(r)),
	    O_RDONLY | O_CLOEXEC);
	http_reply_flow(r, &flow, j);
	http_reply_static(r, &s);
	return 0;
}

static int on_abort(struct http_req *r, void *arg)
{
	http_abort(r, "as asked");
	return 0;
}

static int on_status(struct http_req *r, void *arg)
{
	return (int)param(r, "s", 500);
}

static int on_header(struct http_req *r, void *arg)
{
	char value[256];

	if (http_req_param(r, "v", value, sizeof(value)) < 0)
		return 400;
	http_reply_header(r, "X-Value", "%s", value);
	http_reply_empty(r, 200);
	return 0;
}

static int on_who(struct http_req *r, void *arg)
{
	const struct ucred *cred = http_req_peercred(r);
	struct net_ip ip = http_req_peer(r, NULL);
	struct str s = STR_INIT;
	char subject[256];

	if (cred)
		str_addf(&s, "uid %u\n", (unsigned)cred->uid);
	else
		str_addf(&s, "%s\n", net_ip_str(&ip));
	if (http_req_tls(r))
		str_addf(&s, "%s %s\n", tls_version(http_req_tls(r)),
		    tls_peer_subject(http_req_tls(r), subject, sizeof(subject))
			? subject
			: "-");
	http_reply_str(r, 200, "text/plain", &s);
	return 0;
}

static int on_stats(struct http_req *r, void *arg)
{
	const struct http_stats *st = http_server_stats(app.server);
	struct str s = STR_INIT;

	str_addf(&s,
	    "{\"connections\":%u,\"active\":%u,\"requests\":%llu,\"timeouts\":%llu,"
	    "\"refused\":%llu,\"accept_pauses\":%llu}\n",
	    st->connections, st->active, (unsigned long long)st->requests,
	    (unsigned long long)st->timeouts, (unsigned long long)st->refused,
	    (unsigned long long)st->accept_pauses);
	http_reply_str(r, 200, "application/json", &s);
	return 0;
}

static int on_request(struct http_req *r, void *arg)
{
	static const struct http_route routes[] = {
		{ HTTP_POST | HTTP_PUT, "/echo", on_echo },
		{ HTTP_POST | HTTP_PUT | HTTP_PATCH, "/count", on_count },
		{ HTTP_PUT, "/late", on_late },
		{ HTTP_GET, "/delay", on_delay },
		{ HTTP_GET, "/stream", on_stream },
		{ HTTP_GET, "/memory", on_memory },
		{ HTTP_GET, "/paced/*", on_paced },
		{ HTTP_GET, "/abort", on_abort },
		{ HTTP_GET | HTTP_POST | HTTP_PUT, "/status", on_status },
		{ HTTP_GET, "/header", on_header },
		{ HTTP_GET, "/who", on_who },
		{ HTTP_GET, "/stats", on_stats },
		{ HTTP_GET, "/*", on_static },
		{ 0, NULL, NULL },
	};

	return http_route(r, routes, arg);
}

static void on_log(const struct http_log *l, void *arg)
{
	printf("%s %s %d %llu %llu %s%s%s\n", l->method, l->target, l->status,
	    (unsigned long long)l->received, (unsigned long long)l->sent,
	    http_end_text(l->end), l->why ? ": " : "", l->why ? l->why : "");
	fflush(stdout);
}

static void on_refused(const struct http_refusal *f, void *arg)
{
	puts(http_refusal_text(f, (char[HTTP_REFUSAL_MAX]){ "" }));
	fflush(stdout);
}

static void on_drained(void *arg)
{
	puts("drained");
	fflush(stdout);
	loop_stop(app.loop);
}

static void on_term(void *arg)
{
	http_server_drain(app.server, app.drain_ms, on_drained, NULL);
}

static void on_hup(void *arg)
{
	struct tls_context *fresh = NULL;
	struct err err = ERR_INIT;

	if (tls_server_new(&fresh, &app.pair, &err) < 0) {
		printf("reload failed: %s\n", err_str(&err));
	} else {
		http_listener_set_tls(app.listener, fresh);
		tls_context_free(app.tls);
		app.tls = fresh;
		puts("reloaded");
	}
	fflush(stdout);
}

static int listen_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 100) < 0)
		return -errno;
	puts(path);
	return fd;
}

static int listen_tcp(void)
{
	struct net_endpoint e = { .port = 0 };
	union net_sockaddr sa;
	socklen_t n = sizeof(sa);
	struct err err = ERR_INIT;
	uint16_t port;
	int fd;

	if (net_ip_parse("127.0.0.1", &e.ip) < 0)
		return -EINVAL;
	fd = net_bind(&e, SOCK_STREAM, false, &err);
	if (fd < 0) {
		fprintf(stderr, "%s\n", err_str(&err));
		return fd;
	}
	getsockname(fd, &sa.sa, &n);
	net_ip_from_sa(&sa.sa, &port);
	printf("%u\n", port);
	return fd;
}

enum {
	OPT_ROOT = 256,
	OPT_UNIX,
	OPT_CERT,
	OPT_KEY,
	OPT_CLIENT_CA,
	OPT_QUIET,
	OPT_DRAIN,
	OPT_NOFILE,
	OPT_CONNECTIONS,
	OPT_PER_ADDRESS,
	OPT_HEAD,
	OPT_IDLE,
	OPT_PROGRESS,
	OPT_DROP,
	OPT_LINGER,
};

static const struct option options[] = {
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "unix", required_argument, NULL, OPT_UNIX },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "client-ca", required_argument, NULL, OPT_CLIENT_CA },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "drain-ms", required_argument, NULL, OPT_DRAIN },
	{ "nofile", required_argument, NULL, OPT_NOFILE },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "per-address", required_argument, NULL, OPT_PER_ADDRESS },
	{ "head-ms", required_argument, NULL, OPT_HEAD },
	{ "idle-ms", required_argument, NULL, OPT_IDLE },
	{ "progress-ms", required_argument, NULL, OPT_PROGRESS },
	{ "drop-bytes", required_argument, NULL, OPT_DROP },
	{ "linger-ms", required_argument, NULL, OPT_LINGER },
	{ NULL, 0, NULL, 0 },
};

static void limit_files(unsigned n)
{
	struct rlimit l = { n, n };

	setrlimit(RLIMIT_NOFILE, &l);
}

static int parse(
    int argc, char **argv, struct http_options *o, const char **socket_path)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned n = optarg ? (unsigned)atoi(optarg) : 0;

		switch (c) {
		case OPT_ROOT:
			app.root = open(optarg, O_PATH | O_DIRECTORY | O_CLOEXEC);
			break;
		case OPT_UNIX:
			*socket_path = optarg;
			break;
		case OPT_CERT:
			app.pair.certificate = optarg;
			break;
		case OPT_KEY:
			app.pair.key = optarg;
			break;
		case OPT_CLIENT_CA:
			app.pair.client_ca = optarg;
			break;
		case OPT_QUIET:
			app.quiet = true;
			break;
		case OPT_DRAIN:
			app.drain_ms = n;
			break;
		case OPT_NOFILE:
			limit_files(n);
			break;
		case OPT_CONNECTIONS:
			o->connections = n;
			break;
		case OPT_PER_ADDRESS:
			o->per_address = n;
			break;
		case OPT_HEAD:
			o->head_ms = n;
			break;
		case OPT_IDLE:
			o->idle_ms = n;
			break;
		case OPT_PROGRESS:
			o->progress_ms = n;
			break;
		case OPT_DROP:
			o->drop_bytes = n;
			break;
		case OPT_LINGER:
			o->linger_ms = n;
			break;
		default:
			return -EINVAL;
		}
	}
	return 0;
}

static int serve(const struct http_options *o, const char *socket_path)
{
	struct http_service service = { on_request, app.quiet ? NULL : on_log, NULL,
		on_refused };
	_cleanup_(fd_closep) int fd = -1;
	struct err err = ERR_INIT;

	if (app.pair.certificate && tls_server_new(&app.tls, &app.pair, &err) < 0) {
		fprintf(stderr, "%s\n", err_str(&err));
		return 78;
	}
	if (loop_new(&app.loop) < 0 || http_server_new(&app.server, app.loop, o) < 0)
		return 1;
	fd = socket_path ? listen_unix(socket_path) : listen_tcp();
	if (fd < 0 ||
	    http_server_listen(&app.listener, app.server, fd, &service, app.tls) < 0)
		return 1;
	if (loop_on_signal(app.loop, SIGTERM, on_term, NULL) < 0 ||
	    loop_on_signal(app.loop, SIGHUP, on_hup, NULL) < 0)
		return 1;
	fflush(stdout);
	loop_run(app.loop);
	app.server = http_server_free(app.server);
	app.loop = loop_free(app.loop);
	app.tls = tls_context_free(app.tls);
	fd_close(app.root);
	return 0;
}

int main(int argc, char **argv)
{
	struct http_options o = { 0 };
	const char *socket_path = NULL;

	if (parse(argc, argv, &o, &socket_path) < 0)
		return 2;
	return serve(&o, socket_path);
}
