/*
 * From a request to a file: see server.h.
 *
 * Images go to anybody, or to nodes alone; a .ign goes to its own node, after it was
 * found whole, readable for that node, and its certificates in force.  What a node is to
 * try again later gets 503, what it will never get 403 or 404.
 */
#include "ignd/server.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/ratelimit.h"
#include "common/tls.h"
#include "ignd/accesslog.h"
#include "ignd/checksum.h"
#include "ignd/configs.h"
#include "ignd/file.h"
#include "ignd/ignfile.h"
#include "ignd/ipxe.h"
#include "ignd/merge.h"
#include "ignd/neigh.h"
#include "ignd/node.h"
#include "ignd/page.h"
#include "ignd/progress.h"
#include "ignd/stats.h"
#include "ignd/transfer.h"

enum { MAX_LISTENERS = 64, TOKEN_MAX = 256, HOST_MAX = 256, QUICK_MS = 500 };

/* Refusals are events, but not more of them than a person can read. */
#define REFUSALS_PER_SECOND 1
#define REFUSALS_AT_ONCE 20

struct server {
	struct loop *loop;
	struct progress *progress;
	const struct ignd_conf *conf;
	struct http_server *http;
	struct http_service service;
	struct http_listener *listeners[MAX_LISTENERS];
	unsigned n_listeners;
	struct tls_context *tls;
	struct root install, nodes;
	struct ignfiles *ignition;
	struct checksums *checksums;
	struct page *page;
	struct transfers *transfers;
	struct accesslog *log;
	struct ratelimit *refusals;
	struct configs configs;
	struct event *quick; /* runs while something moves or somebody watches */
	struct stats stats;
};

/* --- what moves and who watches ------------------------------------------ */

static void quicken(struct server *s)
{
	struct timeval tv = ms_to_tv(QUICK_MS);

	if (!evtimer_pending(s->quick, NULL))
		(void)event_add(s->quick, &tv);
}

static void on_quick(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	if (transfers_poll(s->transfers))
		page_changed(s->page);
	page_tick(s->page);
	if (transfers_any(s->transfers) || page_is_watched(s->page))
		quicken(s);
}

/* --- who asks ----------------------------------------------------------- */

static const struct cluster_node *node_of(
    const struct server *s, const struct net_ip *ip)
{
	return s->conf->cluster ? cluster_node_by_ip(s->conf->cluster, ip) : NULL;
}

/* One log line at most a second for one address, after a first few. */
static bool worth_a_line(struct server *s, const struct net_ip *ip)
{
	return ratelimit_take(s->refusals, ip, 1, clock_boot_ms());
}

static void event(struct server *s, struct http_req *r, const char *id,
    const char *what, const char *why)
{
	struct net_ip ip = http_req_peer(r, NULL);
	const struct cluster_node *n = node_of(s, &ip);
	const char *path = conf_show(http_req_path(r)); /* it may hold anything */

	if (!worth_a_line(s, &ip))
		return;
	log_with(LOG_WARNING,
	    LOG_FIELDS("MESSAGE_ID", id, "OKD_CLIENT", net_ip_str(&ip), "OKD_NODE",
		n ? n->name : NULL, "OKD_PATH", path),
	    "%s%s (%s) %s %s: %s", n ? "node " : "", n ? n->name : "an unknown address",
	    net_ip_str(&ip), what, path, why);
}

#define EVENT_REFUSED "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b10"
#define EVENT_WITHHELD "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b11"

static void wait_reply(
    struct server *s, struct http_req *r, const char *code, const char *why)
{
	counter_add(&s->stats.waits, 1);
	http_reply_header(r, "Retry-After", "%llu",
	    (unsigned long long)(s->conf->window.retry_after / 1000));
	http_reply_error(r, 503, code, "%s", why);
}

/* A file that is there, but must not go out as it is. */
static int withhold(
    struct server *s, struct http_req *r, struct counter *count, const char *why)
{
	struct net_ip ip = http_req_peer(r, NULL);
	const struct cluster_node *n = node_of(s, &ip);
	struct node_state *state = n ? progress_find(s->progress, n->name) : NULL;

	counter_add(count, 1);
	event(s, r, EVENT_WITHHELD, "does not get", why);
	if (state && str_starts(http_req_path(r), "/ignition/"))
		progress_wait(s->progress, state, "its file is not fit to be served");
	wait_reply(s, r, "WITHHELD",
	    "the file is not fit to be served; the server's log says why");
	return 0;
}

static int refuse(struct server *s, struct http_req *r, const struct cluster_node *n,
    const struct node_answer *a)
{
	struct node_state *state = n ? progress_find(s->progress, n->name) : NULL;
	const char *why = node_reason_text(a->reason);

	counter_add(&s->stats.refused[a->reason], 1);
	event(s, r, EVENT_REFUSED, "may not have", why);
	if (state)
		state->refused++;
	if (a->status != 503) {
		http_reply_error(r, a->status, NULL, "%s", why);
		return 0;
	}
	if (state)
		progress_wait(s->progress, state, why);
	wait_reply(s, r, "WINDOW", why);
	return 0;
}

/* Nothing to open: the status, where the reason is the client's business. */
static int open_failed(int r)
{
	switch (r) {
	case -ENOENT:
	case -EXDEV:
		return 404;
	case -EACCES:
	case -EPERM:
		return 403;
	}
	return r;
}

/* --- where we are ------------------------------------------------------- */

/* Whether a Host line can stand in an answer: a name or an address, and a port. */
static bool host_is_plain(const char *host)
{
	size_t n = host ? strlen(host) : 0;

	return n > 0 && n < HOST_MAX &&
	    strspn(host,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:["
		"]") == n;
}

/* As the client calls us, so that no answer needs an address of its own. */
static void base_url(struct http_req *r, char *to, size_t size)
{
	const char *host = http_req_head(r)->host;
	const char *scheme = http_req_tls(r) ? "https" : "http";
	uint16_t port;
	struct net_ip ip = http_req_local(r, &port);
	bool v6 = ip.family == 6;

	if (host_is_plain(host))
		snprintf(to, size, "%s://%s", scheme, host);
	else
		snprintf(to, size, "%s://%s%s%s:%u", scheme, v6 ? "[" : "",
		    net_ip_str(&ip), v6 ? "]" : "", port);
}

/* --- images ------------------------------------------------------------- */

static enum file_kind kind_of(const char *name)
{
	static const char *const images[] = { ".raw", ".raw.xz", ".raw.gz",
		".raw.zst" };

	if (str_ends(name, ".sig"))
		return FILE_SIGNATURE;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++)
		if (str_ends(name, images[i]))
			return FILE_IMAGE;
	return FILE_OTHER;
}

static int follow(struct server *s, struct http_req *r, const struct cluster_node *n,
    enum file_kind kind, const char *path, uint64_t total)
{
	struct transfer_info info = {
		.node = n ? n->name : NULL,
		.kind = kind,
		.path = path,
		.total = total,
	};

	if (!n && !transfers_limited(s->transfers))
		return 0;
	quicken(s);
	return transfer_follow(s->transfers, r, &info);
}

/* A digest that is known takes the place of a file that is not there. */
static bool digest_reply(struct server *s, struct http_req *r, const char *name)
{
	struct str text = STR_INIT;

	if (!s->conf->checksums || !checksums_text(s->checksums, name, &text))
		return false;
	http_reply_str(r, 200, http_mime(name), &text);
	return true;
}

/* A folder without its final slash is elsewhere, as web servers have it; there is
 * nothing to see there. */
static bool folder_reply(struct server *s, struct http_req *r, const char *name)
{
	_cleanup_(str_deinit) struct str url = STR_INIT;
	char base[HOST_MAX + 16];

	if (!*name || str_ends(name, "/") || !root_is_dir(&s->install, name))
		return false;
	base_url(r, base, sizeof(base));
	str_addf(&url, "%s/install/", base);
	for (const char *p = name; *p; p++)
		str_addf(&url,
		    isalnum((unsigned char)*p) || strchr("-._~/", *p) ? "%c" : "%%%02X",
		    (unsigned char)*p);
	str_addc(&url, '/');
	if (str_err(&url))
		return false;
	http_reply_header(r, "Location", "%s", url.s);
	http_reply_empty(r, 301);
	return true;
}

static int send_install(struct server *s, struct http_req *r,
    const struct cluster_node *n, const char *name)
{
	struct stat st = { 0 };
	int fd = root_open(&s->install, name, &st), result;
	const char *fault;

	if (fd == -ENOENT && (digest_reply(s, r, name) || folder_reply(s, r, name)))
		return 0;
	fault =
	    fd >= 0 && s->conf->checksums ? checksums_fault(s->checksums, &st) : NULL;
	if (fault) {
		fd_close(fd);
		return withhold(s, r, &s->stats.bad_images, fault);
	}
	result = follow(s, r, n, kind_of(name), name, (uint64_t)st.st_size);
	if (result < 0 || fd < 0) {
		fd_close(fd);
		return fd < 0 ? open_failed(fd) : result;
	}
	http_reply_static(r,
	    &(struct http_static){ .fd = fd, .name = name, .flags = HTTP_FILE_STABLE });
	return 0;
}

static int get_install(struct http_req *r, void *arg)
{
	struct server *s = arg;
	struct net_ip ip = http_req_peer(r, NULL);
	const struct cluster_node *n = node_of(s, &ip);
	struct node_ask ask = { .node = n };
	struct node_answer answer;

	ask.name = http_route_rest("/install/*", http_req_path(r));
	answer = node_decide(s->conf, &ask);
	if (answer.status == 200 && str_ends(ask.name, ".ign"))
		answer = (struct node_answer){ 403, REASON_ROLE, NULL };
	if (answer.status != 200)
		return refuse(s, r, n, &answer);
	return send_install(s, r, n, ask.name);
}

/* --- ignition ----------------------------------------------------------- */

/* Whether the certificates let it out; else the reply was made. */
static bool clock_lets(struct server *s, struct http_req *r, const struct ignition *ign)
{
	_cleanup_(str_deinit) struct str why = STR_INIT;
	int64_t now = clock_real_s();
	enum certclock_state state = certclock_judge(
	    &ign->certs, now, (int64_t)(s->conf->certificates.warn_before / 1000));

	if (!s->conf->certificates.refuse ||
	    (state != CERTCLOCK_EXPIRED && state != CERTCLOCK_EARLY))
		return true;
	certclock_describe(&ign->certs, state, now, &why);
	withhold(s, r, &s->stats.bad_certificates, str_get(&why));
	return false;
}

/* Whether the node's Ignition reads this version; else the reply was made. */
static bool version_fits(
    struct server *s, struct http_req *r, const struct ignition *ign)
{
	struct ignition_accept accept;
	char why[160];

	ignition_accept_parse(http_req_header(r, "accept"), &accept);
	ignition_accept_agent(http_req_header(r, "user-agent"), &accept);
	if (ignition_accept_reads(&accept, ign->major, ign->minor))
		return true;
	snprintf(why, sizeof(why),
	    "its Ignition reads up to spec version %u.%u, the file is of %u.%u",
	    accept.major, accept.minor, ign->major, ign->minor);
	withhold(s, r, &s->stats.bad_versions, why);
	return false;
}

/* Takes fd over.  etag is NULL for a file of the folder. */
static int send_ignition(struct server *s, struct http_req *r,
    const struct cluster_node *n, const char *name, uint64_t size, int fd,
    const char *etag)
{
	int result = follow(s, r, n, FILE_IGNITION, name, size);

	if (result < 0) {
		fd_close(fd);
		return result;
	}
	http_reply_header(r, "Cache-Control", "no-store");
	http_reply_static(r,
	    &(struct http_static){
		.fd = fd, .name = name, .etag = etag, .flags = HTTP_FILE_STABLE });
	return 0;
}

/* A file in memory, so that ranges and conditions are judged as for any other. */
static int memory_file(const struct str *text)
{
	_cleanup_(fd_closep) int fd = memfd_create("ignition", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, str_get(text), text->len);
	return r < 0 ? r : TAKE_FD(fd);
}

/* The role's config with the node's own behind it. */
static int send_merged(struct server *s, struct http_req *r,
    const struct cluster_node *n, const struct ignfile *file)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	uint8_t digest[DIGEST_SHA256_SIZE];
	char hex[2 * DIGEST_SHA256_SIZE + 1], etag[40];
	struct err e = ERR_INIT;
	int fd;

	if (merge_build(&text, s->conf, &s->nodes, n, file, &e) < 0)
		return withhold(s, r, &s->stats.bad_files, err_str(&e));
	digest_of(DIGEST_SHA256, text.s, text.len, digest);
	snprintf(
	    etag, sizeof(etag), "\"%.32s\"", hex_encode(digest, sizeof(digest), hex));
	fd = memory_file(&text);
	return fd < 0 ? fd : send_ignition(s, r, n, file->name, text.len, fd, etag);
}

static int get_file(struct server *s, struct http_req *r, const struct cluster_node *n,
    const char *name)
{
	const struct ignfile *file;
	_cleanup_(fd_closep) int fd = ignfiles_open(s->ignition, name, &file);

	if (fd == -ENOENT && n)
		event(s, r, EVENT_WITHHELD, "does not get", "there is no such file");
	if (fd == -EBUSY)
		return withhold(
		    s, r, &s->stats.bad_files, "it changes while it is read");
	if (fd < 0)
		return open_failed(fd);
	if (!file->ign)
		return withhold(s, r, &s->stats.bad_files, err_str(&file->err));
	if (!clock_lets(s, r, file->ign) || !version_fits(s, r, file->ign))
		return 0;
	if (n && merge_wanted(s->conf, &s->nodes, n))
		return send_merged(s, r, n, file);
	return send_ignition(s, r, n, file->name, file->text.len, TAKE_FD(fd), NULL);
}

static int get_ignition(struct http_req *r, void *arg)
{
	static const struct window always = { 0 };
	struct server *s = arg;
	struct net_ip ip = http_req_peer(r, NULL);
	const struct cluster_node *n = node_of(s, &ip);
	struct node_state *state = n ? progress_find(s->progress, n->name) : NULL;
	struct node_answer answer;
	char token[TOKEN_MAX];
	uint8_t mac[6];
	struct node_ask ask = {
		.ignition = true,
		.name = http_route_rest("/ignition/*", http_req_path(r)),
		.node = n,
		.window = state ? &state->window : &always,
		.boot_ms = clock_boot_ms(),
	};

	if (http_req_param(r, "t", token, sizeof(token)) >= 0)
		ask.token = token;
	if (n && n->has_mac && s->conf->check_mac && neigh_lookup(&ip, mac))
		ask.mac = mac;
	answer = node_decide(s->conf, &ask);
	if (answer.status != 200)
		return refuse(s, r, n, &answer);
	return get_file(s, r, n, answer.role_file ? answer.role_file : ask.name);
}

/* --- booting ------------------------------------------------------------ */

static int get_boot(struct http_req *r, void *arg)
{
	http_reply(
	    r, 200, http_mime(".ipxe"), ipxe_boot_script, strlen(ipxe_boot_script));
	return 0;
}

/* A token goes only to the network card that it is for. */
static const char *token_for(
    struct server *s, struct http_req *r, const struct cluster_node *n)
{
	struct net_ip ip = http_req_peer(r, NULL);
	uint8_t mac[6];

	return neigh_lookup(&ip, mac) && memcmp(mac, n->mac, sizeof(mac)) == 0
	    ? ignd_conf_token(s->conf, n->name)
	    : NULL;
}

static int get_script(struct http_req *r, void *arg)
{
	struct server *s = arg;
	const char *name = http_route_rest("/ipxe/*", http_req_path(r));
	const struct cluster_node *n = NULL;
	struct err e = ERR_INIT;
	struct str out = STR_INIT;
	struct ipxe_files files;
	char base[HOST_MAX + 16];
	uint8_t mac[6];

	if (s->conf->cluster && ipxe_parse_name(name, mac) == 0)
		n = cluster_node_by_mac(s->conf->cluster, mac);
	if (!n)
		return 404;
	base_url(r, base, sizeof(base));
	if (ipxe_find_files(&files, s->conf, &s->install, &e) < 0 ||
	    ipxe_script(&out, s->conf, n, &files, base, token_for(s, r, n), &e) < 0) {
		str_deinit(&out);
		event(s, r, EVENT_WITHHELD, "does not get", e.text);
		http_reply_error(r, 404, "BOOT", "%s", e.text);
		return 0;
	}
	http_reply_str(r, 200, http_mime(".ipxe"), &out);
	return 0;
}

/* --- the page ----------------------------------------------------------- */

static json_t *page_model(void *arg)
{
	struct server *s = arg;
	const struct ignd_conf *c = s->conf;
	int64_t now = clock_real_s();

	return json_pack("{s:s,s:I,s:o,s:o,s:o}", "cluster",
	    c->cluster ? c->cluster->domain : "no cluster", "now", (json_int_t)now,
	    "nodes", progress_json(s->progress, c, now), "configs",
	    configs_json(s->ignition, c, now, true), "images",
	    checksums_json(s->checksums));
}

/* Each hands on to page.c, or there is no page. */
static int get_page(struct http_req *r, void *arg)
{
	struct server *s = arg;

	return s->conf->page ? page_html(r, s->page) : 404;
}

static int get_page_script(struct http_req *r, void *arg)
{
	struct server *s = arg;

	return s->conf->page ? page_script(r, s->page) : 404;
}

static int get_page_json(struct http_req *r, void *arg)
{
	struct server *s = arg;

	return s->conf->page ? page_json(r, s->page) : 404;
}

static int get_page_events(struct http_req *r, void *arg)
{
	struct server *s = arg;

	if (!s->conf->page)
		return 404;
	quicken(s);
	return page_events(r, s->page);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/install/*", get_install },
	{ HTTP_GET, "/ignition/*", get_ignition },
	{ HTTP_GET, "/boot.ipxe", get_boot },
	{ HTTP_GET, "/ipxe/*", get_script },
	{ HTTP_GET, "/", get_page },
	{ HTTP_GET, "/page.js", get_page_script },
	{ HTTP_GET, "/progress.json", get_page_json },
	{ HTTP_GET, "/events", get_page_events },
	{ 0, NULL, NULL },
};

static int on_request(struct http_req *r, void *arg)
{
	return http_route(r, routes, arg);
}

static void on_log(const struct http_log *l, void *arg)
{
	struct server *s = arg;
	const struct cluster_node *n = node_of(s, &l->peer);

	accesslog_add(s->log, l, (enum log_class)s->conf->log, n ? n->name : "-");
}

static void on_refused(const struct http_refusal *f, void *arg)
{
	struct server *s = arg;
	const struct cluster_node *n = node_of(s, &f->peer);

	accesslog_refusal(f, n ? n->name : NULL, s->conf->tls.certificate);
}

/* --- life --------------------------------------------------------------- */

int server_new(struct server **ret, struct loop *l, struct progress *p)
{
	_cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));
	const struct ratelimit_options refusals = {
		.rate = REFUSALS_PER_SECOND,
		.burst = REFUSALS_AT_ONCE,
	};
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->progress = p;
	s->install.fd = s->nodes.fd = -1;
	s->service = (struct http_service){ on_request, on_log, s, on_refused };
	r = http_server_new(&s->http, l, NULL);
	if (r == 0)
		r = transfers_new(&s->transfers, l, p);
	if (r == 0)
		r = accesslog_new(&s->log);
	if (r == 0)
		r = ratelimit_new(&s->refusals, &refusals);
	if (r == 0)
		r = checksums_new(&s->checksums, l);
	if (r == 0)
		r = page_new(&s->page, l, page_model, s);
	if (r == 0 && !(s->quick = evtimer_new(loop_base(l), on_quick, s)))
		r = -ENOMEM;
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	s->http = http_server_free(s->http);
	if (s->quick)
		event_free(s->quick);
	transfers_free(s->transfers);
	page_free(s->page);
	checksums_free(s->checksums);
	accesslog_free(s->log);
	ratelimit_free(s->refusals);
	ignfiles_free(s->ignition);
	root_deinit(&s->install);
	root_deinit(&s->nodes);
	tls_context_free(s->tls);
	free(s);
	return NULL;
}

/* What a configuration needs before it can be in force. */
struct prepared {
	struct root install, nodes;
	struct ignfiles *ignition;
	struct tls_context *tls;
};

static void prepared_deinit(struct prepared *p)
{
	root_deinit(&p->install);
	root_deinit(&p->nodes);
	ignfiles_free(p->ignition);
	tls_context_free(p->tls);
}

static int prepare(
    struct server *s, const struct ignd_conf *c, struct prepared *p, struct err *e)
{
	struct tls_server_options tls = {
		.certificate = c->tls.certificate,
		.key = c->tls.key,
	};
	int r = root_init(&p->install, c->install_dir);

	if (r == 0)
		r = root_init(&p->nodes, c->nodes_dir);
	if (r == 0)
		r = ignfiles_new(&p->ignition, c->ignition_dir);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (p->install.fd < 0)
		log_warning("there is no folder %s (setting install): no image can be "
			    "served",
		    c->install_dir);
	r = c->tls.listen.n ? tls_server_new(&p->tls, &tls, e) : 0;
	if (r < 0)
		return r;
	r = transfers_limit(s->transfers, c->limits.client_rate, c->limits.total_rate);
	return r < 0 ? err_set(e, r, "out of memory") : 0;
}

static void set_options(struct server *s, const struct ignd_conf *c)
{
	struct http_options o = {
		.connections = (unsigned)c->limits.connections,
		.per_address = (unsigned)c->limits.per_address,
	};

	http_server_set_options(s->http, &o);
}

static void listen_on(struct server *s, const int *fds, unsigned n)
{
	unsigned plain = (unsigned)s->conf->listen.n;

	while (s->n_listeners) {
		s->n_listeners--;
		http_listener_free(s->listeners[s->n_listeners]);
	}
	for (unsigned i = 0; i < n; i++) {
		int r = http_server_listen(&s->listeners[s->n_listeners], s->http,
		    fds[i], &s->service, i < plain ? NULL : s->tls);

		if (r == 0)
			s->n_listeners++;
		else
			log_err("a socket is not served: %s", strerror(-r));
	}
}

int server_configure(struct server *s, const struct ignd_conf *c, const int *fds,
    unsigned n, struct err *e)
{
	_cleanup_(
	    prepared_deinit) struct prepared p = { .install.fd = -1, .nodes.fd = -1 };
	struct tls_context *old_tls = s->tls;
	int r;

	if (n > MAX_LISTENERS)
		return err_set(
		    e, -E2BIG, "listen: at most %d addresses", MAX_LISTENERS);
	r = prepare(s, c, &p, e);
	if (r == 0 && progress_set_cluster(s->progress, c->cluster) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	root_deinit(&s->install);
	root_deinit(&s->nodes);
	ignfiles_free(s->ignition);
	s->install = p.install;
	s->nodes = p.nodes;
	s->ignition = TAKE(p.ignition);
	s->tls = TAKE(p.tls);
	p.install = p.nodes = (struct root){ .fd = -1 };
	s->conf = c;
	s->configs.looked = false;
	configs_look(&s->configs, s->ignition, c, clock_real_s());
	set_options(s, c);
	listen_on(s, fds, n);
	tls_context_free(old_tls);
	return 0;
}

void server_drain(struct server *s, void (*done)(void *arg), void *arg)
{
	page_drain(s->page);
	http_server_drain(s->http, UINT32_MAX, done, arg);
}

void server_look(struct server *s)
{
	configs_look(&s->configs, s->ignition, s->conf, clock_real_s());
	if (s->conf->checksums)
		checksums_look(s->checksums, &s->install);
	page_changed(s->page);
}

void server_changed(struct server *s)
{
	if (s->page)
		page_changed(s->page);
}

void server_windows_closed(struct server *s)
{
	transfers_cut(s->transfers);
}

struct checksums *server_checksums(struct server *s)
{
	return s->checksums;
}

/* --- what is shown ------------------------------------------------------ */

void server_metrics(struct server *s, struct str *out)
{
	stats_metrics(&s->stats, http_server_stats(s->http), s->progress, out);
	metric_single(out, "okd_ignd_log_lines_dropped_total", METRIC_COUNTER,
	    "Lines of the request log that the writer could not take.",
	    (double)accesslog_dropped(s->log));
	configs_metrics(s->ignition, out);
	metric_single(out, "okd_ignd_images_bad", METRIC_GAUGE,
	    "Files that are not served because a checksum or their format is wrong.",
	    (double)checksums_bad(s->checksums));
}

void server_status(struct server *s, json_t *obj)
{
	stats_status(&s->stats, http_server_stats(s->http), obj);
	json_object_set_new(obj, "folders",
	    json_pack("{s:s,s:s}", "install", s->conf->install_dir, "ignition",
		s->conf->ignition_dir));
	json_object_set_new(
	    obj, "configs", configs_json(s->ignition, s->conf, clock_real_s(), false));
	json_object_set_new(obj, "images", checksums_json(s->checksums));
	json_object_set_new(
	    obj, "nodes", progress_json(s->progress, s->conf, clock_real_s()));
}
