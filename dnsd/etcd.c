/*
 * Following an etcd cluster: see etcd.h.
 *
 *   begin -> (AUTH ->) CHECK -> LIST -> WATCH   the first time, and when a gap is possible
 *   begin -> (AUTH ->) CHECK -> WATCH           after a lost connection
 *   WATCH: once in a while a CHECK beside it, some of which compare the keys
 *
 * The CHECK before a list finds out soon whether a member answers at all: a list may take
 * its time.
 *
 * Whatever fails leads to etcd_fail(), which goes on to the next endpoint after a pause.
 */
#include "dnsd/etcd.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/http_client.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "dnsd/etcd_impl.h"
#include "dnsd/etcd_reply.h"

/* etcd counts all keys for each page, which makes many small ones slow. */
#define PAGE 20000
#define PAGE_MAX (64 << 20)
#define LINE_MAX_BYTES (64 << 20)
#define LIST_TIMEOUT_MS 30000
#define AUTH_TIMEOUT_MS 5000 /* a password is hashed on purpose slowly */
/* With what a connection attempt repeats within CHECK_TIMEOUT_MS, somebody knocks every
 * second and a half. */
#define RETRY_MAX_MS 500
#define META_KEY "meta"

static const char *const apis[] = { "/v3", "/v3beta", "/v3alpha" };

static void ask_leases(struct etcd *e);

const char *etcd_endpoint(const struct etcd *e)
{
	return conf_list_items(&e->now.s.endpoints, char *)[e->endpoint];
}

/* --- keys --------------------------------------------------------------- */

/* value NULL: the key is gone. */
static void set_key(
    struct etcd *e, const char *key, size_t n_key, const char *value, size_t n_value)
{
	struct err why = ERR_INIT;
	int r =
	    skydns_put(e->now.tree, key, n_key, value, n_value, e->generation, &why);

	if (value && r < 0)
		etcd_bad_note(&e->bad, key, n_key, e->generation,
		    why.text[0] ? why.text : strerror(-r));
	else
		etcd_bad_forget(&e->bad, key, n_key);
}

/* A key that goes with its lease must not be kept by others for longer. */
static void set_lease(struct etcd *e, const struct etcd_kv *kv)
{
	const char *key = str_get(&kv->key);
	uint32_t ttl = 0;

	if (kv->lease && !kv->deleted)
		ttl = etcd_leases_add(&e->leases, kv->lease, key, kv->key.len);
	else if (e->leases.keys.n)
		etcd_leases_forget(&e->leases, key, kv->key.len);
	if (ttl)
		skydns_limit_ttl(e->now.tree, key, kv->key.len, ttl);
}

size_t etcd_count_keys(const struct etcd *e)
{
	return skydns_count(e->now.tree) + e->bad.keys.n;
}

/* --- the last good state ------------------------------------------------ */

static void on_row(
    void *arg, const char *key, size_t n_key, const char *value, size_t n_value)
{
	struct etcd *e = arg;
	size_t n = strlen(e->now.prefix);
	long long cluster, revision;

	/* Keys of another path are from before the settings changed. */
	if (n_key && key[0] == '/') {
		if (n_key >= n && memcmp(key, e->now.prefix, n) == 0)
			set_key(e, key, n_key, value, n_value);
	} else if (sscanf(value, "%lld %lld", &cluster, &revision) == 2) {
		e->cluster_id = cluster;
		e->revision = revision;
	}
}

/* Without memory the file stays as it is, which is a state that there was, until the next
 * list. */
static bool batch_new(struct etcd *e, enum kv_part part)
{
	e->unsaved = e->unsaved || !e->file || kv_batch_new(&e->batch) < 0;
	if (!e->unsaved)
		e->batch->part = part;
	return !e->unsaved;
}

static void batch_add(
    struct etcd *e, const char *key, size_t n_key, const char *value, size_t n_value)
{
	if (e->unsaved || (!e->batch && !batch_new(e, KV_WHOLE)))
		return;
	if (kv_batch_add(e->batch, key, n_key, value, n_value) == 0)
		return;
	e->batch = kv_batch_free(e->batch);
	e->unsaved = true;
}

/* A page of a list. */
static void batch_part(struct etcd *e, enum kv_part next)
{
	if (e->unsaved)
		return;
	kvfile_write(e->file, TAKE(e->batch));
	batch_new(e, next);
}

/* Writes what was gathered, and up to where it goes. */
static void batch_write(struct etcd *e)
{
	char meta[64];
	int n = snprintf(meta, sizeof(meta), "%lld %lld", (long long)e->cluster_id,
	    (long long)e->revision);

	batch_add(e, META_KEY, strlen(META_KEY), meta, (size_t)n);
	if (e->batch)
		kvfile_write(e->file, TAKE(e->batch));
}

/* --- requests ----------------------------------------------------------- */

int etcd_request(struct etcd *e, struct http_transfer **ret, const char *path,
    const struct str *body, struct http_client_request *rq)
{
	_cleanup_(str_deinit) struct str url = STR_INIT, auth = STR_INIT;
	const char *headers[] = { "Content-Type: application/json", NULL, NULL };
	struct err why = ERR_INIT;
	int r;

	str_addz(&url, etcd_endpoint(e));
	while (url.len && url.s[url.len - 1] == '/')
		url.s[--url.len] = '\0';
	str_addf(&url, "%s%s", apis[e->api], path);
	if (e->token && *e->token) {
		str_addf(&auth, "Authorization: %s", e->token);
		headers[1] = str_get(&auth);
	}
	if (str_err(&url) || str_err(&auth) || str_err(body))
		return -ENOMEM;
	rq->method = "POST";
	rq->url = str_get(&url);
	rq->headers = headers;
	rq->body = str_get(body);
	rq->body_len = body->len;
	rq->ca_file = e->now.s.ca;
	rq->certificate_file = e->now.s.certificate;
	rq->key_file = e->now.s.key;
	rq->connect_timeout_ms = CHECK_TIMEOUT_MS;
	rq->silent_ms = SILENT_MS;
	rq->arg = e;
	r = http_client_start(e->http, ret, rq, &why);
	if (r < 0 && !e->trouble)
		log_err("etcd: %s", why.text);
	return r;
}

void etcd_after(struct etcd *e, unsigned ms)
{
	struct timeval tv = ms_to_tv(ms);

	e->state = WAITING;
	event_add(&e->retry, &tv);
}

void etcd_stop(struct etcd *e)
{
	e->request = http_transfer_cancel(e->request);
	e->watch = http_transfer_cancel(e->watch);
	e->lease = http_transfer_cancel(e->lease);
	event_del(&e->check);
	event_del(&e->retry);
	e->batch = kv_batch_free(e->batch);
	if (e->holding) {
		e->holding = false;
		e->stale = true;
		catalog_hold(e->catalog, e->now.tree, false);
	}
}

void etcd_fail(struct etcd *e, const char *why)
{
	etcd_stop(e);
	e->n_failures++;
	snprintf(e->why, sizeof(e->why), "%s", why);
	if (!e->trouble)
		log_warning("etcd: %s; what was known goes on being served", why);
	e->trouble = true;
	e->endpoint = (e->endpoint + 1) % (unsigned)e->now.s.endpoints.n;
	etcd_after(e, e->retry_ms);
	e->retry_ms = MIN(2 * e->retry_ms, (unsigned)RETRY_MAX_MS);
}

/* What a reply says, as JSON; NULL: nothing. */
static json_t *body_of(struct http_transfer *t, int result)
{
	const struct str *body = result >= 0 ? http_transfer_body(t) : NULL;
	json_t *root = NULL;

	if (!body ||
	    json_load_limited(&root, NULL, str_get(body), body->len, 0, NULL) < 0)
		return NULL;
	return root;
}

/* A token that is not good any more: its time is over, its member began anew, users or
 * roles were changed since it was given, or none was given and users are switched on. */
static bool is_token_refused(const struct etcd *e, int result, const char *message)
{
	static const char *const words[] = { "token", "revision of auth store is old",
		"user name is empty" };

	for (size_t i = 0; message && i < ARRAY_SIZE(words); i++)
		if (strstr(message, words[i]))
			return e->token;
	return e->token && result == 401;
}

bool etcd_handle_status(struct etcd *e, struct http_transfer *t, int result)
{
	_cleanup_(json_freep) json_t *root = NULL;
	const char *message;
	bool proven = e->proven;
	char why[256];

	if (result == 200)
		return false;
	root = body_of(t, result);
	message = json_str(root, "message");
	if (result == 404 && e->api + 1 < ARRAY_SIZE(apis)) {
		e->api++;
		etcd_stop(e);
		etcd_after(e, 0);
		return true;
	}
	if (message && strstr(message, "compacted")) {
		etcd_stop(e);
		e->stale = true;
		etcd_after(e, 0);
		return true;
	}
	if (is_token_refused(e, result, message)) {
		free(TAKE(e->token));
		e->proven = false;
		/* One that was never good is a failure like others. */
		if (proven) {
			etcd_stop(e);
			etcd_after(e, RETRY_MIN_MS);
			return true;
		}
	}
	if (result < 0)
		snprintf(why, sizeof(why), "%s", http_transfer_why(t));
	else
		snprintf(why, sizeof(why), "%s answers %d: %.128s", etcd_endpoint(e),
		    result, message ? message : "no reason");
	if (result == 404)
		e->api = 0;
	etcd_fail(e, why);
	return true;
}

void etcd_take_range(struct etcd *e, struct http_transfer *t, int result,
    void (*take)(struct etcd *e, const struct etcd_reply *p))
{
	struct err why = ERR_INIT;
	const struct str *body;
	struct etcd_reply p;

	e->request = NULL;
	if (etcd_handle_status(e, t, result))
		return;
	e->proven = true;
	body = http_transfer_body(t);
	if (etcd_reply_range(&p, str_get(body), body->len, &why) < 0)
		etcd_fail(e, why.text);
	else
		take(e, &p);
	etcd_reply_deinit(&p);
}

/* --- authentication ----------------------------------------------------- */

static void on_auth(struct http_transfer *t, int result, void *arg)
{
	_cleanup_(json_freep) json_t *root = body_of(t, result);
	const char *message = json_str(root, "message"), *token;
	struct etcd *e = arg;

	e->request = NULL;
	/* As etcd's own client has it. */
	if (message && strstr(message, "authentication is not enabled"))
		token = "";
	else if (etcd_handle_status(e, t, result))
		return;
	else
		token = json_str(root, "token");
	if (!token || strpbrk(token, "\r\n")) {
		etcd_fail(e, "etcd gives no token");
		return;
	}
	e->token = strdup(token);
	etcd_begin(e);
}

static void start_auth(struct etcd *e)
{
	struct http_client_request rq = { .on_done = on_auth,
		.timeout_ms = AUTH_TIMEOUT_MS };
	_cleanup_(str_deinit) struct str password = STR_INIT, body = STR_INIT;
	_cleanup_(json_freep) json_t *o = NULL;
	int r = e->now.s.password_file
	    ? file_read(e->now.s.password_file, 4096, &password)
	    : 0;

	e->state = AUTH;
	if (r < 0) {
		etcd_fail(e, "the password file cannot be read");
		return;
	}
	while (password.len && strchr("\r\n", password.s[password.len - 1]))
		password.s[--password.len] = '\0';
	o = json_pack(
	    "{s:s, s:s}", "name", e->now.s.username, "password", str_get(&password));
	r = o ? json_dump_str(o, &body) : -EINVAL;
	if (r == 0)
		r = etcd_request(e, &e->request, "/auth/authenticate", &body, &rq);
	if (r < 0)
		etcd_fail(e, "cannot ask for a token");
}

/* --- the list ----------------------------------------------------------- */

static void request_page(struct etcd *e);

static void finish_list(struct etcd *e)
{
	size_t gone;

	etcd_bad_sweep(&e->bad, e->generation);
	gone = skydns_prune(e->now.tree, e->generation);
	etcd_deletions_count(&e->deletions, loop_now_ms(e->loop), e->known, gone);
	e->revision = e->list_revision;
	e->stale = false;
	e->n_lists++;
	e->compare = false;
	e->compared_ms = e->listed_ms = loop_now_ms(e->loop);
	e->holding = false;
	catalog_hold(e->catalog, e->now.tree, false);
	catalog_flush(e->catalog);
	batch_write(e);
	log_info("etcd: %zu keys of %s at revision %lld%s", etcd_count_keys(e),
	    etcd_endpoint(e), (long long)e->revision, gone ? ", others are gone" : "");
	etcd_watch(e);
}

static void take_page(struct etcd *e, const struct etcd_reply *p)
{
	if (!e->list_revision) {
		e->list_revision = p->revision;
		e->cluster_id = p->cluster_id;
		e->term = p->term;
	}
	for (size_t i = 0; i < p->n_kvs; i++) {
		const struct etcd_kv *kv = &p->kvs[i];

		set_key(e, str_get(&kv->key), kv->key.len, str_get(&kv->value),
		    kv->value.len);
		set_lease(e, kv);
		batch_add(e, str_get(&kv->key), kv->key.len, str_get(&kv->value),
		    kv->value.len);
	}
	if (!p->more || !p->n_kvs) {
		batch_part(e, KV_LAST);
		finish_list(e);
		return;
	}
	batch_part(e, KV_MORE);
	str_reset(&e->from);
	str_add(
	    &e->from, str_get(&p->kvs[p->n_kvs - 1].key), p->kvs[p->n_kvs - 1].key.len);
	str_add(&e->from, "", 1);
	request_page(e);
}

static void on_page(struct http_transfer *t, int result, void *arg)
{
	struct etcd *e = arg;

	if (result == -EFBIG && e->page > 1) {
		e->request = NULL;
		e->page = MAX(e->page / 4, 1u);
		request_page(e);
		return;
	}
	etcd_take_range(e, t, result, take_page);
}

static void request_page(struct etcd *e)
{
	struct http_client_request rq = { .on_done = on_page,
		.timeout_ms = LIST_TIMEOUT_MS,
		.max_response = PAGE_MAX };
	_cleanup_(str_deinit) struct str body = STR_INIT;
	int r = etcd_request_range(&body, str_get(&e->from), e->from.len, e->now.prefix,
	    e->list_revision, e->page, false);

	if (r == 0)
		r = etcd_request(e, &e->request, "/kv/range", &body, &rq);
	if (r < 0)
		etcd_fail(e, "cannot ask for the keys");
}

void etcd_list(struct etcd *e)
{
	e->state = LISTING;
	e->list_revision = 0;
	e->behind = 0;
	e->known = skydns_count(e->now.tree);
	e->page = PAGE;
	e->generation++;
	/* Each key tells its own again. */
	etcd_leases_deinit(&e->leases);
	etcd_leases_init(&e->leases);
	e->holding = true;
	catalog_hold(e->catalog, e->now.tree, true);
	e->batch = kv_batch_free(e->batch);
	e->unsaved = false;
	batch_new(e, KV_FIRST);
	str_reset(&e->from);
	str_addz(&e->from, e->now.prefix);
	request_page(e);
}

/* --- leases ------------------------------------------------------------- */

static void limit_key(const char *key, size_t n, uint32_t ttl, void *arg)
{
	skydns_limit_ttl(((struct etcd *)arg)->now.tree, key, n, ttl);
}

/* Until a lease is known, and where etcd does not tell, its keys have the TTLs that they
 * say. */
static void on_lease(struct http_transfer *t, int result, void *arg)
{
	struct etcd *e = arg;
	const struct str *body;
	int64_t ttl = INT64_MAX;

	e->lease = NULL;
	/* Asked for again once etcd is there again, or takes us for who we are. */
	if (result < 0 || result == 401 || result >= 500)
		return;
	body = http_transfer_body(t);
	if (result == 200 && etcd_reply_lease(&ttl, str_get(body), body->len, NULL) < 0)
		ttl = INT64_MAX;
	etcd_leases_known(&e->leases, e->lease_id, ttl, limit_key, e);
	catalog_changed(e->catalog);
	ask_leases(e);
}

static void ask_leases(struct etcd *e)
{
	struct http_client_request rq = { .on_done = on_lease,
		.timeout_ms = CHECK_TIMEOUT_MS };
	_cleanup_(str_deinit) struct str body = STR_INIT;
	int64_t id = e->lease ? 0 : etcd_leases_next(&e->leases);

	if (!id)
		return;
	e->lease_id = id;
	/* The path that every version has. */
	str_addf(&body, "{\"ID\":\"%lld\"}", (long long)id);
	if (etcd_request(e, &e->lease, "/kv/lease/timetolive", &body, &rq) < 0)
		e->lease = NULL;
}

/* --- the watch ---------------------------------------------------------- */

static void take_events(struct etcd *e, const struct etcd_reply *w)
{
	size_t before = etcd_count_keys(e), deleted = 0;

	for (size_t i = 0; i < w->n_kvs; i++) {
		struct etcd_kv *kv = &w->kvs[i];
		const char *value = kv->deleted ? NULL : str_get(&kv->value);

		set_key(e, str_get(&kv->key), kv->key.len, value, kv->value.len);
		set_lease(e, kv);
		batch_add(e, str_get(&kv->key), kv->key.len, value, kv->value.len);
		deleted += kv->deleted;
		e->revision = MAX(e->revision, kv->mod_revision);
	}
	/* Without events it tells how far the watch has come. */
	if (!w->n_kvs && !w->created)
		e->revision = MAX(e->revision, w->revision);
	if (!w->n_kvs)
		return;
	e->n_events += w->n_kvs;
	e->stirred_ms = loop_now_ms(e->loop);
	e->behind = 0;
	etcd_deletions_count(&e->deletions, loop_now_ms(e->loop), before, deleted);
	catalog_changed(e->catalog);
	batch_write(e);
	ask_leases(e);
}

static void take_created(struct etcd *e)
{
	e->state = WATCHING;
	e->stirred_ms = loop_now_ms(e->loop);
	if (!e->behind)
		e->good_ms = loop_now_ms(e->loop);
	e->retry_ms = RETRY_MIN_MS;
	e->why[0] = '\0';
	if (e->trouble)
		log_info("etcd: following %s again", etcd_endpoint(e));
	e->trouble = false;
	etcd_check_created(e);
	ask_leases(e);
}

static void take_canceled(struct etcd *e, const struct etcd_reply *w)
{
	char why[320];

	if (w->compact_revision) {
		log_warning(
		    "etcd: what happened since is compacted: all keys are listed "
		    "again");
		etcd_stop(e);
		e->stale = true;
		etcd_begin(e);
		return;
	}
	free(TAKE(e->token));
	snprintf(why, sizeof(why), "%s ends the watch: %s", etcd_endpoint(e), w->why);
	etcd_fail(e, why);
}

/* False when the watch is over. */
static bool take_line(struct etcd *e, const char *line, size_t n)
{
	struct err why = ERR_INIT;
	struct etcd_reply w;
	int r = etcd_reply_watch(&w, line, n, &why);
	bool over = r < 0 || w.canceled;

	if (r < 0) {
		free(TAKE(e->token));
		etcd_fail(e, why.text);
	} else if (w.canceled) {
		take_canceled(e, &w);
	} else {
		if (w.created)
			take_created(e);
		take_events(e, &w);
	}
	etcd_reply_deinit(&w);
	return !over;
}

static void on_watch_data(struct http_transfer *t, const void *p, size_t n, void *arg)
{
	struct etcd *e = arg;
	size_t pos = 0;

	if (http_transfer_status(t) != 200)
		return;
	str_add(&e->line, p, n);
	if (str_err(&e->line) || e->line.len > LINE_MAX_BYTES) {
		str_deinit(&e->line);
		e->stale = true;
		etcd_fail(e, "the watch sent more than fits memory");
		return;
	}
	for (;;) {
		const char *s = e->line.s + pos;
		const char *end = memchr(s, '\n', e->line.len - pos);

		if (!end)
			break;
		if (end > s && !take_line(e, s, (size_t)(end - s)))
			return;
		pos += (size_t)(end - s) + 1;
	}
	memmove(e->line.s, e->line.s + pos, e->line.len - pos);
	e->line.len -= pos;
}

static void on_watch_done(struct http_transfer *t, int result, void *arg)
{
	struct etcd *e = arg;

	e->watch = NULL;
	if (!etcd_handle_status(e, t, result))
		etcd_fail(e, "the watch ended");
}

void etcd_watch(struct etcd *e)
{
	struct http_client_request rq = { .on_data = on_watch_data,
		.on_done = on_watch_done,
		.max_response = SIZE_MAX };
	_cleanup_(str_deinit) struct str body = STR_INIT;
	int r = etcd_request_watch(&body, e->now.prefix, e->revision + 1);

	str_deinit(&e->line);
	e->line = (struct str)STR_INIT;
	if (r == 0)
		r = etcd_request(e, &e->watch, "/watch", &body, &rq);
	if (r < 0)
		etcd_fail(e, "cannot watch");
	else
		/* What never begins is found out as what ends without a word. */
		etcd_check_soon(e);
}

void etcd_begin(struct etcd *e)
{
	if (e->now.s.username && !e->token) {
		start_auth(e);
	} else {
		e->state = CHECKING;
		etcd_check(e);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	etcd_begin(arg);
}

/* --- life --------------------------------------------------------------- */

int etcd_new(struct etcd **ret, struct loop *l, struct catalog *c,
    struct http_client *http, struct mailbox *home,
    const struct etcd_settings *settings, const char *file, struct err *err)
{
	_cleanup_(etcd_freep) struct etcd *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	e->loop = l;
	e->catalog = c;
	e->http = http;
	e->home = home;
	e->retry_ms = RETRY_MIN_MS;
	etcd_bad_init(&e->bad);
	etcd_leases_init(&e->leases);
	evtimer_assign(&e->retry, loop_base(l), on_retry, e);
	evtimer_assign(&e->check, loop_base(l), etcd_on_check_timer, e);
	r = etcd_source_init(e, &e->now, settings);
	if (r < 0)
		return err_set(err, r, "out of memory");
	skydns_set_zones(e->now.tree, TAKE(e->now.zones), e->now.n_zones);
	if (file)
		r = kvfile_open(&e->file, home, file, false, on_row, e, err);
	if (r < 0)
		return r;
	if (e->revision)
		log_info("etcd: %zu keys of the last known state, revision %lld",
		    etcd_count_keys(e), (long long)e->revision);
	/* What is on disk may be older than what it says: a list is cheap once. */
	e->stale = true;
	etcd_after(e, 0);
	*ret = TAKE(e);
	return 0;
}

struct etcd *etcd_free(struct etcd *e)
{
	if (!e)
		return NULL;
	etcd_stop(e);
	kvfile_close(e->file);
	etcd_source_deinit(e, &e->other);
	if (e->now.tree)
		e->now.tree = catalog_drop_source(e->catalog, e->now.tree);
	etcd_source_deinit(e, &e->now);
	etcd_bad_deinit(&e->bad);
	etcd_leases_deinit(&e->leases);
	str_deinit(&e->from);
	str_deinit(&e->line);
	free(e->token);
	free(e);
	return NULL;
}
