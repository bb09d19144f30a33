/*
 * The way to the API server: see kube.h.
 *
 * States: without kubeconfig (the timer looks for it) -> discovering (a request, or the
 * wait before the next) -> up.  Any change of the files leads back to the beginning.
 */
#include "csrd/kube.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#include "common/digest.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/str.h"
#include "csrd/kubeconfig.h"

#define LOOK_MS 2000
#define DISCOVERY_TIMEOUT_MS 20000
#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_MAX ((size_t)1 << 20)
#define BACKOFF_FIRST_MS 200
#define BACKOFF_LAST_MS 10000
#define RETRY_AFTER_MAX 60
#define MESSAGE_MAX 512

struct kube {
	struct loop *loop;
	const struct kube_ops *ops;
	void *arg;
	struct http_client *client;
	const struct conf_list *paths;
	struct kubeconfig *config;  /* NULL: none that can be used */
	struct event *look, *retry; /* at the files; discovery again */
	struct http_transfer *discovery;
	unsigned failures;
	const char *version; /* a literal; NULL until discovered */
	struct err trouble;
	struct kube_stats stats;
};

static void trouble(struct kube *k, int level, const struct err *e)
{
	if (str_eq(k->trouble.text, e->text))
		return;
	k->trouble = *e;
	log_at(level, "%s", err_str(e));
	notify_status("%s", e->text);
}

/* --- requests ----------------------------------------------------------- */

/* Impersonation's header lines; the list ends in NULL. */
struct headers {
	char *line[KUBECONFIG_GROUPS + 3];
	unsigned n;
};

static void headers_deinit(struct headers *h)
{
	for (unsigned i = 0; i < h->n; i++)
		free(h->line[i]);
}

static int _printf_(2, 3) headers_add(struct headers *h, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&h->line[h->n], fmt, ap);
	va_end(ap);
	if (n < 0) {
		h->line[h->n] = NULL;
		return -ENOMEM;
	}
	h->n++;
	return 0;
}

static int make_headers(
    struct headers *h, const struct kubeconfig *c, const struct kube_request *req)
{
	int r = headers_add(h, "Accept: application/json");

	if (r == 0 && req->body)
		r = headers_add(h, "Content-Type: application/json");
	if (r == 0 && c->as)
		r = headers_add(h, "Impersonate-User: %s", c->as);
	for (unsigned i = 0; r == 0 && i < c->n_as_groups; i++)
		r = headers_add(h, "Impersonate-Group: %s", c->as_groups[i]);
	return r;
}

int kube_start(struct kube *k, struct http_transfer **ret,
    const struct kube_request *req, struct err *e)
{
	_cleanup_(headers_deinit) struct headers headers = { .n = 0 };
	_cleanup_(str_deinit) struct str url = STR_INIT;
	const struct kubeconfig *c = k->config;

	if (!c)
		return err_set(e, -ENOTCONN, "there is no kubeconfig");
	str_addf(&url, "%s%s", c->server, req->path);
	if (str_err(&url) < 0 || make_headers(&headers, c, req) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return http_client_start(k->client, ret,
	    &(struct http_client_request){
		.method = req->method,
		.url = str_get(&url),
		.headers = (const char *const *)headers.line,
		.body = req->body,
		.body_len = req->body_len,
		.bearer = c->token,
		.username = c->token ? NULL : c->username,
		.password = c->token ? NULL : c->password,
		.ca_pem = c->ca,
		.certificate_pem = c->certificate,
		.key_pem = c->key,
		.tls_server_name = c->tls_server_name,
		.insecure = c->insecure,
		.proxy = c->proxy,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = req->timeout_ms,
		.idle_timeout_ms = req->idle_timeout_ms,
		.max_response = req->max_response,
		.on_head = req->on_head,
		.on_data = req->on_data,
		.on_done = req->on_done,
		.arg = req->arg,
	    },
	    e);
}

void kube_escape(struct str *out, const char *s)
{
	static const char plain[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			str_addc(out, *s);
		else
			str_addf(out, "%%%02X", (unsigned char)*s);
	}
}

void kube_csr_path(
    const struct kube *k, const char *name, const char *sub, struct str *out)
{
	str_addf(out, KUBE_GROUP "/%s/certificatesigningrequests/",
	    k->version ? k->version : "v1");
	kube_escape(out, name);
	str_addz(out, sub);
}

/* The server's sentence without what could harm a log or a terminal. */
static const char *show_message(const char *text, char buf[MESSAGE_MAX])
{
	size_t n = MIN(strlen(text), (size_t)MESSAGE_MAX - 1);

	/* Not in the middle of a character. */
	while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	memcpy(buf, text, n);
	buf[n] = '\0';
	for (char *p = buf; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	return buf;
}

void kube_explain(
    struct http_transfer *t, int result, const char *body, size_t n, struct err *e)
{
	const char *message;
	json_t *doc;
	char shown[MESSAGE_MAX];

	if (result < 0) {
		err_set(e, result, "%s", http_transfer_why(t));
		return;
	}
	doc = json_loadb(body, n, 0, NULL);
	message = json_string_value(json_object_get(doc, "message"));
	err_set(e, -EPROTO, "the API server says %d%s%s", result, message ? ": " : "",
	    message ? show_message(message, shown) : "");
	json_decref(doc);
}

unsigned kube_retry_after(const struct http_transfer *t)
{
	const char *text = http_transfer_header(t, "Retry-After");
	uint64_t v;

	if (!text || str_to_u64(text, UINT32_MAX, &v) < 0)
		return 0;
	return (unsigned)MIN(v, (uint64_t)RETRY_AFTER_MAX);
}

uint64_t kube_backoff(unsigned failures)
{
	uint64_t most = BACKOFF_FIRST_MS << MIN(failures, 10u);
	uint32_t dice;

	most = MIN(most, (uint64_t)BACKOFF_LAST_MS);
	random_bytes(&dice, sizeof(dice));
	return most / 2 + most / 2 * (dice >> 8) / (UINT32_MAX >> 8);
}

void kube_count(struct kube *k, int result)
{
	k->stats.by_class[result < 0 ? 0 : MIN(result / 100, KUBE_CLASSES - 1)]++;
}

/* --- discovery ---------------------------------------------------------- */

static void discover(struct kube *k);

static void discover_later(struct kube *k, const struct err *e, unsigned seconds)
{
	uint64_t ms = MAX(kube_backoff(k->failures), seconds * 1000ull);
	struct timeval tv = ms_to_tv(ms);

	k->failures++;
	trouble(k, LOG_WARNING, e);
	event_add(k->retry, &tv);
}

/* v1 where the server has it, else v1beta1, else NULL. */
static const char *pick_version(const char *body, size_t n)
{
	json_t *doc = json_loadb(body, n, 0, NULL), *item;
	const char *best = NULL;
	size_t i;

	json_array_foreach(json_object_get(doc, "versions"), i, item)
	{
		const char *v = json_string_value(json_object_get(item, "version"));

		if (v && str_eq(v, "v1"))
			best = "v1";
		else if (v && str_eq(v, "v1beta1") && !best)
			best = "v1beta1";
	}
	json_decref(doc);
	return best;
}

static void on_discovered(struct http_transfer *t, int result, void *arg)
{
	struct kube *k = arg;
	struct str *body = http_transfer_body(t);
	struct err e = ERR_INIT;

	k->discovery = NULL;
	kube_count(k, result);
	if (result == 200)
		k->version = pick_version(str_get(body), body->len);
	if (!k->version) {
		kube_explain(t, result, str_get(body), body->len, &e);
		if (result == 200)
			err_set(&e, -EPROTO,
			    "the API server has neither v1 nor v1beta1 of "
			    "certificates.k8s.io");
		discover_later(k, &e, kube_retry_after(t));
		return;
	}
	k->failures = 0;
	k->trouble = (struct err)ERR_INIT;
	log_info("the API server at %s has certificates.k8s.io/%s", k->config->server,
	    k->version);
	k->ops->up(k->arg);
}

static void discover(struct kube *k)
{
	struct err e = ERR_INIT;
	int r = kube_start(k, &k->discovery,
	    &(struct kube_request){
		.path = KUBE_GROUP,
		.timeout_ms = DISCOVERY_TIMEOUT_MS,
		.max_response = ANSWER_MAX,
		.on_done = on_discovered,
		.arg = k,
	    },
	    &e);

	if (r < 0)
		discover_later(k, &e, 0);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	discover(arg);
}

/* --- the kubeconfig ----------------------------------------------------- */

static void disconnect(struct kube *k)
{
	bool was_up = k->version != NULL;

	k->discovery = http_transfer_cancel(k->discovery);
	event_del(k->retry);
	k->version = NULL;
	k->failures = 0;
	if (was_up)
		k->ops->down(k->arg);
}

static void load(struct kube *k)
{
	struct kubeconfig *config = NULL;
	struct err e = ERR_INIT;
	int r;

	r = kubeconfig_load(&config, k->paths, &e);
	if (r < 0) {
		/* None yet is the usual state before the cluster is installed. */
		trouble(k, r == -ENOENT ? LOG_INFO : LOG_WARNING, &e);
		return;
	}
	disconnect(k);
	kubeconfig_free(k->config);
	k->config = config;
	if (config->insecure)
		log_warning("insecure-skip-tls-verify: whoever sits between this host "
			    "and %s can approve what he likes",
		    config->server);
	discover(k);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct kube *k = arg;

	/* A file that became unreadable leaves the credentials in force. */
	if (!k->config || kubeconfig_is_stale(k->config, k->paths))
		load(k);
}

void kube_configure(struct kube *k, const struct conf_list *paths)
{
	k->paths = paths;
	if (!k->config || kubeconfig_is_stale(k->config, paths))
		load(k);
}

/* --- life --------------------------------------------------------------- */

int kube_new(struct kube **ret, struct loop *l, const struct kube_ops *ops, void *arg)
{
	const struct http_client_options options = { .host_connections = 12,
		.idle_connections = 2 };
	_cleanup_(kube_freep) struct kube *k = calloc(1, sizeof(*k));
	const struct timeval look = ms_to_tv(LOOK_MS);
	int r;

	if (!k)
		return -ENOMEM;
	k->loop = l;
	k->ops = ops;
	k->arg = arg;
	r = http_client_new(&k->client, l, &options);
	if (r < 0)
		return r;
	k->look = event_new(loop_base(l), -1, EV_TIMEOUT | EV_PERSIST, on_look, k);
	k->retry = evtimer_new(loop_base(l), on_retry, k);
	if (!k->look || !k->retry || event_add(k->look, &look) < 0)
		return -ENOMEM;

	*ret = TAKE(k);
	return 0;
}

struct kube *kube_free(struct kube *k)
{
	if (!k)
		return NULL;
	http_transfer_cancel(k->discovery);
	k->client = http_client_free(k->client);
	if (k->look)
		event_free(k->look);
	if (k->retry)
		event_free(k->retry);
	kubeconfig_free(k->config);
	free(k);
	return NULL;
}

const char *kube_version(const struct kube *k)
{
	return k->version;
}

struct http_client *kube_client(struct kube *k)
{
	return k->client;
}

const char *kube_trouble(const struct kube *k)
{
	return k->trouble.text;
}

const char *kube_server(const struct kube *k)
{
	return k->config ? k->config->server : "";
}

const struct kube_stats *kube_stats(const struct kube *k)
{
	return &k->stats;
}
