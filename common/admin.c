/* The admin socket: see admin.h. */
#include "common/admin.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "common/http_server.h"

enum {
	MAX_LISTENERS = 17,
	MAX_GROUPS = 256,
	CONNECTIONS = 256,
	PER_ADDRESS = 64,
};

struct admin {
	const struct admin_ops *ops;
	void *arg;
	const struct http_route *routes;
	void *routes_arg;
	/* One each, so that strangers on TCP cannot take the socket's places. */
	struct http_server *unix_server, *tcp_server;
	struct http_service over_unix, over_tcp;
	struct http_listener *listeners[MAX_LISTENERS];
	unsigned n_listeners;
};

/* --- who may ------------------------------------------------------------ */

static bool in_group(const char *user, gid_t primary, const char *group)
{
	struct group gr, *found = NULL;
	gid_t groups[MAX_GROUPS];
	int n = MAX_GROUPS;
	char buf[4096];

	if (getgrnam_r(group, &gr, buf, sizeof(buf), &found) != 0 || !found)
		return false;
	if (getgrouplist(user, primary, groups, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (groups[i] == gr.gr_gid)
			return true;
	return false;
}

static bool may_change(const struct ucred *who)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (who->uid == 0 || who->uid == geteuid())
		return true;
	if (getpwuid_r(who->uid, &pw, buf, sizeof(buf), &found) != 0 || !found)
		return false;
	return !str_starts(pw.pw_name, "okd-") &&
	    in_group(pw.pw_name, pw.pw_gid, "okd-admin");
}

/* --- pages -------------------------------------------------------------- */

static int get_healthz(struct http_req *r, void *arg)
{
	http_reply(r, 200, "text/plain", "ok\n", 3);
	return 0;
}

static int get_readyz(struct http_req *r, void *arg)
{
	struct str reasons = STR_INIT;
	struct admin *a = arg;
	bool ready = a->ops->ready(a->arg, &reasons);

	if (ready) {
		str_reset(&reasons);
		str_addz(&reasons, "ok\n");
	}
	http_reply_str(r, ready ? 200 : 503, "text/plain", &reasons);
	return 0;
}

static int get_metrics(struct http_req *r, void *arg)
{
	struct str out = STR_INIT;
	struct admin *a = arg;

	a->ops->metrics(a->arg, &out);
	http_reply_str(r, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
	return 0;
}

static int get_status(struct http_req *r, void *arg)
{
	struct str out = STR_INIT;
	struct admin *a = arg;
	json_t *obj = json_object();
	char *text;

	a->ops->status(a->arg, obj);
	text = json_dumps(obj, JSON_INDENT(2));
	json_decref(obj);
	if (!text)
		return -ENOMEM;
	str_addf(&out, "%s\n", text);
	free(text);
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

static int get_config(struct http_req *r, void *arg)
{
	struct str out = STR_INIT;
	struct admin *a = arg;

	a->ops->config(a->arg, &out);
	http_reply_str(r, 200, "application/yaml", &out);
	return 0;
}

static int post_reload(struct http_req *r, void *arg)
{
	struct err e = ERR_INIT;
	struct admin *a = arg;

	if (a->ops->reload(a->arg, &e) < 0)
		http_reply_err(r, 422, "CONFIG", &e);
	else
		http_reply_empty(r, 204);
	return 0;
}

/* The first three are what TCP serves too. */
static const struct http_route pages[] = {
	{ HTTP_GET, "/healthz", get_healthz },
	{ HTTP_GET, "/readyz", get_readyz },
	{ HTTP_GET, "/metrics", get_metrics },
	{ HTTP_GET, "/status", get_status },
	{ HTTP_GET, "/config", get_config },
	{ HTTP_POST, "/v1/reload", post_reload },
	{ 0, NULL, NULL },
};

static bool is_page(const char *path)
{
	for (const struct http_route *p = pages; p->path; p++)
		if (str_eq(p->path, path))
			return true;
	return false;
}

static int on_unix_request(struct http_req *r, void *arg)
{
	const struct ucred *who = http_req_peercred(r);
	struct admin *a = arg;

	if (!(http_req_method(r) & (HTTP_GET | HTTP_HEAD)) &&
	    (!who || !may_change(who))) {
		http_reply_error(r, 403, "FORBIDDEN",
		    "changing verbs are for root and the members of group okd-admin");
		return 0;
	}
	if (a->routes && !is_page(http_req_path(r)))
		return http_route(r, a->routes, a->routes_arg);
	return http_route(r, pages, a);
}

static int on_tcp_request(struct http_req *r, void *arg)
{
	const char *path = http_req_path(r);

	if (!str_eq(path, "/healthz") && !str_eq(path, "/readyz") &&
	    !str_eq(path, "/metrics"))
		return 404;
	return http_route(r, pages, arg);
}

/* --- life --------------------------------------------------------------- */

int admin_new(struct admin **ret, struct loop *l, const struct admin_ops *ops,
    void *arg, const struct http_route *routes, void *routes_arg)
{
	_cleanup_(admin_freep) struct admin *a = calloc(1, sizeof(*a));
	const struct http_options options = { .connections = CONNECTIONS };
	const struct http_options tcp_options = { .connections = CONNECTIONS,
		.per_address = PER_ADDRESS };
	int r;

	if (!a)
		return -ENOMEM;
	a->ops = ops;
	a->arg = arg;
	a->routes = routes;
	a->routes_arg = routes_arg;
	a->over_unix = (struct http_service){ .request = on_unix_request, .arg = a };
	a->over_tcp = (struct http_service){ .request = on_tcp_request, .arg = a };
	r = http_server_new(&a->unix_server, l, &options);
	if (r == 0)
		r = http_server_new(&a->tcp_server, l, &tcp_options);
	if (r < 0)
		return r;

	*ret = TAKE(a);
	return 0;
}

struct admin *admin_free(struct admin *a)
{
	if (!a)
		return NULL;
	a->unix_server = http_server_free(a->unix_server);
	a->tcp_server = http_server_free(a->tcp_server);
	free(a);
	return NULL;
}

static void stop_listening(struct admin *a)
{
	while (a->n_listeners) {
		a->n_listeners--;
		a->listeners[a->n_listeners] =
		    http_listener_free(a->listeners[a->n_listeners]);
	}
}

void admin_drain(struct admin *a)
{
	stop_listening(a);
	http_server_drain(a->unix_server, UINT_MAX, NULL, NULL);
	http_server_drain(a->tcp_server, UINT_MAX, NULL, NULL);
}

int admin_listen(struct admin *a, const int *fds, unsigned n)
{
	int r;

	if (n > MAX_LISTENERS)
		return -E2BIG;
	stop_listening(a);
	for (; a->n_listeners < n; a->n_listeners++) {
		bool tcp = a->n_listeners > 0;

		r = http_server_listen(&a->listeners[a->n_listeners],
		    tcp ? a->tcp_server : a->unix_server, fds[a->n_listeners],
		    tcp ? &a->over_tcp : &a->over_unix, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}
