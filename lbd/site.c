/* Port 9000: see site.h. */
#include "lbd/site.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/daemon.h"
#include "common/http_server.h"
#include "lbd/stats.h"

enum { LISTENERS_MAX = 16 };

struct site {
	const struct site_ops *ops;
	void *arg;
	struct http_server *server;
	struct http_service service;
	struct http_listener *listeners[LISTENERS_MAX];
	int next_fds[LISTENERS_MAX];
	unsigned n, n_next;
};

/* HAProxy's reply to a monitor-uri, with the very bytes of its head. */
static int reply_monitor(struct http_req *r)
{
	static const char body[] =
	    "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n";

	http_reply_bare(r);
	http_reply_header(r, "content-length", "%zu", sizeof(body) - 1);
	http_reply_header(r, "cache-control", "no-cache");
	http_reply_header(r, "content-type", "text/html");
	if (!http_req_head(r)->keep_alive)
		http_reply_header(r, "connection", "close");
	http_reply(r, 200, NULL, body, sizeof(body) - 1);
	return 0;
}

static int reply_usable(struct http_req *r, const struct snapshot *snap)
{
	struct str text = STR_INIT;
	bool ok = stats_usable(snap, &text);

	if (ok)
		str_addz(&text, "ok\n");
	http_reply_header(r, "Cache-Control", "no-cache");
	http_reply_str(r, ok ? 200 : 503, "text/plain", &text);
	return 0;
}

static int reply_stats(struct http_req *r, struct site *s, const char *what)
{
	const struct snapshot *snap = s->ops->snapshot(s->arg);
	_cleanup_(str_deinit) struct str headline = STR_INIT;
	struct str out = STR_INIT;
	struct stats stats;

	if (stats_gather(&stats, snap) < 0)
		return 503;
	http_reply_header(r, "Cache-Control", "no-cache");
	if (str_eq(what, "csv")) {
		stats_csv(&stats, &out);
		http_reply_str(r, 200, "text/plain", &out);
	} else if (str_eq(what, "metrics")) {
		stats_metrics(&stats, snap, &out);
		s->ops->metrics(s->arg, &out);
		http_reply_str(
		    r, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
	} else {
		s->ops->headline(s->arg, &headline);
		stats_page(&stats, snap, str_get(&headline), &out);
		http_reply_header(r, "Content-Security-Policy",
		    "default-src 'none'; style-src 'unsafe-inline'; script-src "
		    "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'");
		http_reply_str(r, 200, "text/html; charset=utf-8", &out);
	}
	stats_deinit(&stats);
	return 0;
}

static int reply_json(struct http_req *r, struct site *s)
{
	struct str out = STR_INIT;
	json_t *obj = s->ops->status(s->arg);
	char *text = obj ? json_dumps(obj, JSON_INDENT(1)) : NULL;

	json_decref(obj);
	if (!text)
		return 503;
	str_addf(&out, "%s\n", text);
	free(text);
	http_reply_header(r, "Cache-Control", "no-cache");
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

/* "/;csv;norefresh": options behind semicolons, of which the first says what. */
static bool has_option(const char *path, const char *option)
{
	size_t n = strlen(option);

	return str_starts(path, "/;") && strncmp(path + 2, option, n) == 0 &&
	    (!path[2 + n] || path[2 + n] == ';');
}

static int on_request(struct http_req *r, void *arg)
{
	struct site *s = arg;
	const struct snapshot *snap = s->ops->snapshot(s->arg);
	const struct stats_conf *c = &snap->conf->stats;
	const char *path = http_req_path(r);

	/* Any method will do, as with HAProxy. */
	if (c->monitor_uri && str_eq(path, c->monitor_uri) && !http_req_query(r))
		return reply_monitor(r);
	if (!(http_req_method(r) & (HTTP_GET | HTTP_HEAD))) {
		http_reply_not_allowed(r, HTTP_GET | HTTP_HEAD);
		return 0;
	}
	if (c->ready_uri && str_eq(path, c->ready_uri))
		return reply_usable(r, snap);
	if (str_eq(path, "/metrics"))
		return reply_stats(r, s, "metrics");
	if (has_option(path, "csv"))
		return reply_stats(r, s, "csv");
	if (has_option(path, "json"))
		return reply_json(r, s);
	if (str_eq(path, "/") || str_starts(path, "/;"))
		return reply_stats(r, s, "page");
	return 404;
}

int site_new(struct site **ret, struct loop *l, const struct site_ops *ops, void *arg)
{
	const struct http_options options = { .connections = 64,
		.head_bytes = 8192,
		.head_ms = 5000,
		.drop_bytes = 65536 };
	_cleanup_(site_freep) struct site *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->arg = arg;
	s->service = (struct http_service){ .request = on_request, .arg = s };
	r = http_server_new(&s->server, l, &options);
	if (r < 0)
		return r;

	*ret = TAKE(s);
	return 0;
}

struct site *site_free(struct site *s)
{
	if (!s)
		return NULL;
	s->server = http_server_free(s->server);
	free(s);
	return NULL;
}

int site_prepare(
    struct site *s, struct daemon *d, const struct stats_conf *c, struct err *e)
{
	if (c->listen.n > LISTENERS_MAX)
		return err_set(
		    e, -E2BIG, "stats: listen: at most %d addresses", LISTENERS_MAX);
	s->n_next = 0;
	for (size_t i = 0; i < c->listen.n; i++) {
		int r = daemon_listen(d,
		    conf_list_items(&c->listen, struct net_endpoint) + i, SOCK_STREAM,
		    1, &s->next_fds[i], 1, e);

		if (r < 0)
			return r;
		s->n_next++;
	}
	return 0;
}

static void stop_listening(struct site *s)
{
	for (unsigned i = 0; i < s->n; i++)
		s->listeners[i] = http_listener_free(s->listeners[i]);
	s->n = 0;
}

void site_drain(struct site *s)
{
	stop_listening(s);
	http_server_drain(s->server, UINT_MAX, NULL, NULL);
}

void site_commit(struct site *s)
{
	stop_listening(s);
	for (unsigned i = 0; i < s->n_next; i++)
		if (http_server_listen(&s->listeners[s->n], s->server, s->next_fds[i],
			&s->service, NULL) == 0)
			s->n++;
}
