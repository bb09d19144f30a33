/*
 * Requests to other registries: see upstream.h.
 *
 * Life of a request: sent with what is known to be wanted (a token for the repository, a
 * password, or nothing).  A 401 says what is wanted instead; for a token that is one
 * more request, to the place that the challenge names.  Then it is sent once more, and
 * whatever comes back then is the answer.
 */
#include "regd/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/json.h"
#include "common/list.h"
#include "regd/authfile.h"
#include "regd/cafile.h"
#include "regd/wwwauth.h"

enum {
	TOKENS_MAX = 256,
	TOKEN_BYTES = 64 * 1024, /* of an answer that holds one */
	TOKEN_S = 60,            /* how long one holds that does not say */
	TOKEN_MARGIN_S = 10,
	CONNECT_MS = 10 * 1000,
	IDLE_MS = 30 * 1000,
	WHOLE_MS = 60 * 1000, /* an answer that is not streamed */
	DOWN_MS = 10 * 1000,  /* not asked again so soon */
	REDIRECTS = 5,
	URL_MAX = 2048,
};

struct token_entry {
	struct list_link age; /* oldest first */
	char repository[2 * NAME_MAX_LEN];
	char *text;
	uint64_t until_ms;
};

struct upstream {
	struct http_client *client;
	char *prefix, *url, *ns, *authfile, *ca;
	char host[256];   /* of the URL, with its port */
	const char *path; /* in url: what stands before its repositories; "" */
	size_t base_len;  /* of url without that */
	uint64_t tag_ttl;
	bool basic; /* it wanted a password */
	uint64_t down_until_ms;
	struct list_link tokens;
	size_t n_tokens;
};

struct upstream_request {
	struct upstream *up;
	struct upstream_options o;
	struct http_transfer *transfer;
	char remote[2 * NAME_MAX_LEN];
	char url[URL_MAX];
	char accept[512];
	bool retried;
	char why[URL_MAX + 1024];
};

/* --- upstreams ------------------------------------------------------------------ */

struct upstream *upstream_free(struct upstream *u)
{
	if (!u)
		return NULL;
	list_for_each_safe (it, &u->tokens) {
		struct token_entry *t = CONTAINER_OF(it, struct token_entry, age);

		free(t->text);
		free(t);
	}
	free(u->prefix);
	free(u->url);
	free(u->ns);
	free(u->authfile);
	free(u->ca);
	free(u);
	return NULL;
}

const char *upstream_prefix(const struct upstream *u)
{
	return u->prefix;
}

const char *upstream_host(const struct upstream *u)
{
	return u->ns ? u->ns : u->host;
}

uint64_t upstream_tag_ttl(const struct upstream *u)
{
	return u->tag_ttl;
}

bool upstream_is_up(const struct upstream *u)
{
	return u->down_until_ms <= clock_boot_ms();
}

/* "https://host:port/path", without the slash at its end. */
static int take_url(struct upstream *u, struct err *err)
{
	size_t scheme = str_starts(u->url, "https://") ? 8
	    : str_starts(u->url, "http://")            ? 7
						       : 0;
	size_t n = strlen(u->url), host;

	while (n > scheme && u->url[n - 1] == '/')
		u->url[--n] = '\0';
	host = strcspn(u->url + scheme, "/?#@ ");
	u->base_len = scheme + host;
	u->path = u->url + u->base_len;
	if (*u->path == '/')
		u->path++;
	if (!scheme || !host || host >= sizeof(u->host) ||
	    (*u->path && !name_is_repository(u->path, strlen(u->path))))
		return err_set(err, -EINVAL,
		    "pull_through: upstream \"%.100s\" is not of the form "
		    "https://host[:port][/path]",
		    u->url);
	memcpy(u->host, u->url + scheme, host);
	return 0;
}

/* 1 with a user and a password for what lies there, 0 without, or -errno. */
static int find_credentials(const struct upstream *u, const char *remote,
    struct authfile_entry *ret, struct err *err)
{
	int r;

	if (!u->authfile)
		return 0;
	r = authfile_find(ret, u->authfile, upstream_host(u), remote, err);
	if (r == 0 && u->ns)
		r = authfile_find(ret, u->authfile, u->host, remote, err);
	return r;
}

int upstream_new(struct upstream **ret, struct http_client *client,
    const struct conf_pull_through *conf, struct err *err)
{
	_cleanup_(upstream_freep) struct upstream *u = calloc(1, sizeof(*u));
	struct authfile_entry probe;
	int r;

	if (!u)
		return err_set(err, -ENOMEM, "out of memory");
	list_init(&u->tokens);
	u->client = client;
	u->tag_ttl = conf->tag_ttl;
	u->prefix = strdup(conf->prefix);
	u->url = strdup(conf->upstream);
	u->ns = conf->ns ? strdup(conf->ns) : NULL;
	u->authfile = conf->authfile ? strdup(conf->authfile) : NULL;
	u->ca = conf->ca ? strdup(conf->ca) : NULL;
	if (!u->prefix || !u->url || (conf->ns && !u->ns) ||
	    (conf->authfile && !u->authfile) || (conf->ca && !u->ca))
		return err_set(err, -ENOMEM, "out of memory");
	r = take_url(u, err);
	if (r == 0 && u->ca)
		r = cafile_check("pull_through", u->ca, err);
	if (r == 0)
		r = find_credentials(u, u->path, &probe, err);
	explicit_bzero(&probe, sizeof(probe));
	if (r < 0)
		return r;

	*ret = TAKE(u);
	return 0;
}

const char *upstream_name(
    const struct upstream *u, const char *repository, char buf[2 * NAME_MAX_LEN])
{
	size_t n = strlen(u->prefix);

	if (strncmp(repository, u->prefix, n) != 0 || repository[n] != '/')
		return NULL;
	snprintf(buf, 2 * NAME_MAX_LEN, "%s%s%s", u->path, *u->path ? "/" : "",
	    repository + n + 1);
	return buf;
}

/* --- tokens ----------------------------------------------------------------------- */

static void drop_token(struct upstream *u, struct token_entry *t)
{
	list_remove(&t->age);
	u->n_tokens--;
	explicit_bzero(t->text, strlen(t->text));
	free(t->text);
	free(t);
}

static const char *find_token(struct upstream *u, const char *remote)
{
	list_for_each_safe (it, &u->tokens) {
		struct token_entry *t = CONTAINER_OF(it, struct token_entry, age);

		if (t->until_ms <= clock_boot_ms())
			drop_token(u, t);
		else if (str_eq(t->repository, remote))
			return t->text;
	}
	return NULL;
}

static void forget_token(struct upstream *u, const char *remote)
{
	list_for_each_safe (it, &u->tokens) {
		struct token_entry *t = CONTAINER_OF(it, struct token_entry, age);

		if (str_eq(t->repository, remote))
			drop_token(u, t);
	}
}

/* A header's worth of visible characters. */
static bool is_token(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (s[n] <= ' ' || s[n] > '~')
			return false;
	return n > 0 && n < TOKEN_BYTES;
}

static int keep_token(struct upstream *u, const char *remote, const struct str *answer)
{
	_cleanup_(json_freep) json_t *obj = NULL;
	struct token_entry *t;
	int64_t seconds = TOKEN_S;
	const char *text;

	if (json_load_limited(&obj, NULL, str_get(answer), answer->len, 0, NULL) < 0)
		return -EBADMSG;
	text = json_str(obj, "token");
	if (!text)
		text = json_str(obj, "access_token");
	if (!text || !is_token(text))
		return -EBADMSG;
	if (json_i64(json_object_get(obj, "expires_in"), &seconds) < 0 ||
	    seconds < TOKEN_S)
		seconds = TOKEN_S;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->text = strdup(text);
	if (!t->text) {
		free(t);
		return -ENOMEM;
	}
	snprintf(t->repository, sizeof(t->repository), "%s", remote);
	t->until_ms = clock_boot_ms() +
	    (uint64_t)(MIN(seconds, (int64_t)86400) - TOKEN_MARGIN_S) * 1000;
	list_append(&u->tokens, &t->age);
	if (++u->n_tokens > TOKENS_MAX)
		drop_token(
		    u, CONTAINER_OF(list_first(&u->tokens), struct token_entry, age));
	return 0;
}

/* --- requests --------------------------------------------------------------------- */

static void request_free(struct upstream_request *r)
{
	http_transfer_cancel(r->transfer);
	free(r);
}

struct upstream_request *upstream_cancel(struct upstream_request *r)
{
	if (r)
		request_free(r);
	return NULL;
}

const char *upstream_header(const struct upstream_request *r, const char *name)
{
	return http_transfer_header(r->transfer, name);
}

struct str *upstream_body(struct upstream_request *r)
{
	return http_transfer_body(r->transfer);
}

const char *upstream_why(const struct upstream_request *r)
{
	return r->why;
}

/* The transfer, whose last callback this is, is freed by its owner after it. */
static void finish(struct upstream_request *r, int result)
{
	struct upstream *u = r->up;

	if (result < 0 || result >= 500 || result == 429)
		u->down_until_ms = clock_boot_ms() + DOWN_MS;
	else
		u->down_until_ms = 0;
	r->o.done(r, result, r->o.arg);
	r->transfer = NULL;
	free(r);
}

static void finish_why(struct upstream_request *r, int result, const char *why)
{
	snprintf(r->why, sizeof(r->why), "%s: %s", r->up->host, why);
	finish(r, result);
}

static int send_request(struct upstream_request *r, struct err *err);

static void send_again(struct upstream_request *r)
{
	struct err e = ERR_INIT;
	int error;

	r->transfer = NULL;
	error = send_request(r, &e);
	if (error < 0)
		finish_why(r, error, e.text);
}

static void on_token(struct http_transfer *t, int result, void *arg)
{
	struct upstream_request *r = arg;
	int kept;

	if (result < 0) {
		finish_why(r, result, http_transfer_why(t));
		return;
	}
	if (result != 200) {
		finish_why(r, result == 401 || result == 403 ? 401 : -EPROTO,
		    "it gives out no token for this; look at the authfile");
		return;
	}
	kept = keep_token(r->up, r->remote, http_transfer_body(t));
	if (kept < 0)
		finish_why(r, kept, "it gave out a token that cannot be read");
	else
		send_again(r);
}

static int fetch_token(
    struct upstream_request *r, const struct wwwauth *w, struct err *err)
{
	char scope[2 * NAME_MAX_LEN + 32];
	_cleanup_(str_deinit) struct str url = STR_INIT;
	struct authfile_entry cred;
	struct http_client_request q = {
		.ca_file = r->up->ca,
		.redirects = REDIRECTS,
		.connect_timeout_ms = CONNECT_MS,
		.timeout_ms = WHOLE_MS,
		.max_response = TOKEN_BYTES,
		.on_done = on_token,
		.arg = r,
	};
	int found;

	snprintf(scope, sizeof(scope), "repository:%s:pull", r->remote);
	wwwauth_url(w, scope, &url);
	if (str_err(&url) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	q.url = str_get(&url);
	found = find_credentials(r->up, r->remote, &cred, err);
	/* A password that went to an upstream by TLS leaves this machine by TLS. */
	if (found > 0 && str_starts(r->up->url, "https:") &&
	    !str_starts(q.url, "https:"))
		found = err_set(
		    err, -EACCES, "it wants the password to be sent in the clear");
	if (found > 0) {
		q.username = cred.user;
		q.password = cred.password;
	}
	if (found >= 0)
		found = http_client_start(r->up->client, &r->transfer, &q, err);
	explicit_bzero(&cred, sizeof(cred));
	return found;
}

/* 0 when the request goes on, else it is over with that. */
static int meet_challenge(
    struct upstream_request *r, struct http_transfer *t, struct err *err)
{
	const char *header = http_transfer_header(t, "WWW-Authenticate");
	struct wwwauth w;

	wwwauth_parse(&w, header ? header : "");
	forget_token(r->up, r->remote);
	if (w.kind == WWWAUTH_NONE)
		return err_set(err, 401, "it refuses, and names no way to ask");
	if (w.kind == WWWAUTH_BEARER)
		return fetch_token(r, &w, err);
	if (!r->up->authfile)
		return err_set(err, 401, "it wants a password; give an authfile");
	r->up->basic = true;
	send_again(r);
	return 0;
}

static bool is_challenge(const struct upstream_request *r, int status)
{
	return status == 401 && !r->retried;
}

static void on_head(struct http_transfer *t, void *arg)
{
	struct upstream_request *r = arg;

	if (http_transfer_status(t) == 200 && r->o.head)
		r->o.head(r, r->o.arg);
}

static void on_data(struct http_transfer *t, const void *p, size_t n, void *arg)
{
	struct upstream_request *r = arg;

	if (http_transfer_status(t) == 200)
		r->o.data(r, p, n, r->o.arg);
}

static void on_done(struct http_transfer *t, int result, void *arg)
{
	struct upstream_request *r = arg;
	struct err e = ERR_INIT;
	int error;

	if (is_challenge(r, result)) {
		r->retried = true;
		error = meet_challenge(r, t, &e);
		if (error != 0)
			finish_why(r, error, e.text);
		return;
	}
	if (result < 0)
		snprintf(r->why, sizeof(r->why), "%s", http_transfer_why(t));
	else
		snprintf(r->why, sizeof(r->why), "%s answers %d", r->url, result);
	finish(r, result);
}

static int send_request(struct upstream_request *r, struct err *err)
{
	const char *headers[2] = { r->accept[0] ? r->accept : NULL, NULL };
	struct authfile_entry cred = { .user = "" };
	struct upstream *u = r->up;
	struct http_client_request q = {
		.url = r->url,
		.headers = headers,
		.ca_file = u->ca,
		.redirects = REDIRECTS,
		.connect_timeout_ms = CONNECT_MS,
		.idle_timeout_ms = IDLE_MS,
		.timeout_ms = r->o.stream ? 0 : WHOLE_MS,
		.max_response = r->o.max_response,
		.on_head = on_head,
		.on_data = r->o.stream ? on_data : NULL,
		.on_done = on_done,
		.arg = r,
	};
	int found = 0;

	q.bearer = find_token(u, r->remote);
	if (!q.bearer && u->basic)
		found = find_credentials(u, r->remote, &cred, err);
	if (found > 0) {
		q.username = cred.user;
		q.password = cred.password;
	}
	if (found >= 0)
		found = http_client_start(u->client, &r->transfer, &q, err);
	explicit_bzero(&cred, sizeof(cred));
	return found;
}

int upstream_start(struct upstream_request **ret, struct upstream *u,
    const struct upstream_options *o, struct err *err)
{
	struct upstream_request *r = calloc(1, sizeof(*r));
	int n, error;

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->up = u;
	r->o = *o;
	if (!upstream_name(u, o->repository, r->remote)) {
		free(r);
		return err_set(err, -EINVAL, "that is none of its repositories");
	}
	n = snprintf(r->url, sizeof(r->url), "%.*s/v2/%s/%s", (int)u->base_len, u->url,
	    r->remote, o->what);
	if (o->accept)
		snprintf(r->accept, sizeof(r->accept), "Accept: %s", o->accept);
	error = n >= (int)sizeof(r->url) ? err_set(err, -EINVAL, "the URL is too long")
					 : send_request(r, err);
	if (error < 0) {
		free(r);
		return error;
	}
	*ret = r;
	return 0;
}
