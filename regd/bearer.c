/* Bearer tokens: see bearer.h. */
#include "regd/bearer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"
#include "common/htable.h"
#include "common/http_reply.h"
#include "common/jwt.h"
#include "common/list.h"
#include "common/log.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/token.h"

#define OWN_ISSUER "okd-regd"

enum {
	REMEMBERED_MAX = 2048,
	HOST_MAX = 256,
};

/* A token that was verified, under a keyed hash of its text. */
struct remembered {
	struct hnode node;
	struct list_link age; /* oldest first */
	uint8_t key[DIGEST_SHA256_SIZE];
	struct token *token;
};

/* A copy, so that a configuration that fails elsewhere leaves nothing dangling. */
struct issuer {
	char *name, *path;
	struct conf_list audience; /* char * */
	struct jwt_keys *keys;
	struct stat seen;
};

struct issuers {
	size_t n;
	struct issuer v[];
};

struct bearer {
	struct regd *regd;
	uint8_t secret[JWT_SECRET_SIZE];
	struct issuers *issuers;
	struct htable table;
	struct list_link by_age;
	size_t n;
};

/* --- what was verified ------------------------------------------------------ */

static void forget(struct bearer *b, struct remembered *m)
{
	htable_remove(&b->table, &m->node);
	list_remove(&m->age);
	token_unref(m->token);
	free(m);
	b->n--;
}

static void forget_all(struct bearer *b)
{
	list_for_each_safe (it, &b->by_age)
		forget(b, CONTAINER_OF(it, struct remembered, age));
}

static uint64_t key_of(const struct bearer *b, const char *text, uint8_t *key)
{
	uint64_t hash;

	hmac_sha256(b->secret, sizeof(b->secret), text, strlen(text), key);
	memcpy(&hash, key, sizeof(hash));
	return hash;
}

/* Without memory it is verified again the next time. */
static void remember(struct bearer *b, const char *text, struct token *t)
{
	struct remembered *m = calloc(1, sizeof(*m));
	uint64_t hash;

	if (!m)
		return;
	hash = key_of(b, text, m->key);
	if (htable_insert(&b->table, &m->node, hash) < 0) {
		free(m);
		return;
	}
	m->token = token_ref(t);
	list_append(&b->by_age, &m->age);
	if (++b->n > REMEMBERED_MAX)
		forget(b, CONTAINER_OF(list_first(&b->by_age), struct remembered, age));
}

struct token *bearer_recall(struct bearer *b, const char *text)
{
	uint8_t key[DIGEST_SHA256_SIZE];
	uint64_t hash = key_of(b, text, key);

	for (struct hnode *n = htable_first(&b->table, hash); n; n = htable_next(n)) {
		struct remembered *m = CONTAINER_OF(n, struct remembered, node);

		if (memcmp(m->key, key, sizeof(key)) != 0)
			continue;
		if (m->token->expires > clock_real_s())
			return token_ref(m->token);
		forget(b, m);
		return NULL;
	}
	return NULL;
}

/* --- verifying ---------------------------------------------------------------- */

/* What own tokens are meant for, and others' where no audience is named. */
static struct conf_list own_audience(const struct conf *conf, char **word)
{
	*word = conf->auth.tokens.service;
	return (struct conf_list){ .items = word, .n = 1 };
}

static int judge(const struct bearer *b, const struct jwt *j, const char *text,
    struct token **ret, struct err *err)
{
	const char *iss = token_issuer(j->claims);
	const struct issuer *all = b->issuers->v;
	struct token_demand d = { .now = clock_real_s() };
	struct conf_list audience;
	char *word;

	audience = own_audience(b->regd->conf, &word);
	d.audience = &audience;
	if (iss && str_eq(iss, OWN_ISSUER)) {
		if (!jwt_verify_secret(b->secret, j, text))
			return err_set(err, -EBADMSG, "its signature is not ours");
		d.issuer = OWN_ISSUER;
		d.own = true;
		return token_judge(ret, j->claims, &d, err);
	}
	for (size_t i = 0; iss && i < b->issuers->n; i++) {
		if (!str_eq(all[i].name, iss))
			continue;
		if (!jwt_verify(all[i].keys, j, text))
			return err_set(
			    err, -EBADMSG, "its signature is by none of the keys");
		d.issuer = all[i].name;
		d.leeway = TOKEN_LEEWAY_S;
		if (all[i].audience.n)
			d.audience = &all[i].audience;
		return token_judge(ret, j->claims, &d, err);
	}
	return err_set(err, -EBADMSG, "no issuer of that name is configured");
}

int bearer_verify(
    struct bearer *b, const char *text, struct token **ret, struct err *err)
{
	struct jwt j;
	int r = jwt_parse(&j, text, strlen(text));

	if (r == -EINVAL)
		return err_set(err, -EBADMSG, "it is no JSON Web Token");
	if (r < 0)
		return r;
	r = judge(b, &j, text, ret, err);
	jwt_deinit(&j);
	if (r == -EINVAL)
		r = -EBADMSG;
	if (r == 0)
		remember(b, text, *ret);
	return r;
}

void bearer_seal(const struct bearer *b, const char *hash, char *out, size_t size)
{
	uint8_t mac[DIGEST_SHA256_SIZE];
	char text[2 * sizeof(mac) + 1];

	hmac_sha256(b->secret, sizeof(b->secret), hash, strlen(hash), mac);
	snprintf(out, size, "%s", hex_encode(mac, sizeof(mac), text));
}

/* --- challenging ---------------------------------------------------------------- */

/* The host that the client used, if it is one; else something that is no lie. */
static const char *host_of(struct call *c, char buf[HOST_MAX])
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789.-_:[]";
	const char *host = http_req_header(c->req, "Host");
	struct net_endpoint at;
	size_t n = host ? strlen(host) : 0;

	if (n && n < HOST_MAX && strspn(host, set) == n)
		return host;
	at.ip = http_req_local(c->req, &at.port);
	snprintf(buf, HOST_MAX, "%s", net_endpoint_str(&at));
	return buf;
}

static void basic_challenge(struct call *c)
{
	http_reply_header(c->req, "WWW-Authenticate", "Basic realm=\"%s\"",
	    c->regd->conf->auth.realm);
}

void bearer_challenge(struct call *c, unsigned rights, const char *error)
{
	const struct conf_auth *auth = &c->regd->conf->auth;
	char host[HOST_MAX], realm[HOST_MAX + 32], scope[NAME_MAX_LEN + 64] = "";
	char why[64] = "";

	/* Browsers fetch no tokens. */
	if (auth->challenge != CHALLENGE_BEARER || c->route.kind == ROUTE_TOKEN ||
	    c->route.kind == ROUTE_PAGE) {
		basic_challenge(c);
		return;
	}
	snprintf(realm, sizeof(realm), "%s://%s/token",
	    http_req_tls(c->req) ? "https" : "http", host_of(c, host));
	if (c->route.name[0])
		snprintf(scope, sizeof(scope), ",scope=\"repository:%s:%s\"",
		    c->route.name,
		    scope_actions(
			rights == ACCESS_PUSH ? ACCESS_PULL | ACCESS_PUSH : rights));
	else if (c->route.kind == ROUTE_CATALOG)
		snprintf(scope, sizeof(scope), ",scope=\"registry:catalog:*\"");
	if (error)
		snprintf(why, sizeof(why), ",error=\"%s\"", error);
	http_reply_header(c->req, "WWW-Authenticate",
	    "Bearer realm=\"%s\",service=\"%s\"%s%s",
	    auth->tokens.realm ? auth->tokens.realm : realm, auth->tokens.service,
	    scope, why);
}

/* --- issuing -------------------------------------------------------------------- */

/* What the query asks for, cut down to what the user may. */
static int grant_scope(struct call *c, struct scope *ret)
{
	struct scope asked = { .grants = NULL };
	struct auth *auth = c->regd->auth;
	const char *query = http_req_query(c->req);
	char text[4096];
	int r = 0;

	for (; query && r == 0; query = strchr(query, '&'), query += query != NULL)
		if (str_starts(query, "scope=") &&
		    http_query_get(query, "scope", text, sizeof(text)) > 0)
			r = scope_parse(&asked, text);
	for (size_t i = 0; i < asked.n && r == 0; i++) {
		const struct grant *g = &asked.grants[i];
		unsigned rights = g->rights & auth_rights(auth, c->user, g->repository);

		if (rights)
			r = scope_grant(ret, g->repository, rights);
	}
	ret->catalog = asked.catalog;
	scope_deinit(&asked);
	return r;
}

/* The claims of a token for the call's user: NULL without memory, or when the user's
 * name is no text. */
static json_t *make_claims(struct call *c, struct token *t, int64_t now)
{
	const struct conf_auth *conf = &c->regd->conf->auth;

	t->expires = now + (int64_t)(conf->tokens.lifetime / 1000);
	if (c->user) {
		snprintf(t->user, sizeof(t->user), "%s", c->user);
		auth_seal(c->regd->auth, c->user, t->seal, sizeof(t->seal));
	}
	return token_claims(t, OWN_ISSUER, conf->tokens.service, now);
}

static int send_token(struct call *c, const char *text, int64_t now)
{
	const struct conf_auth *conf = &c->regd->conf->auth;
	char issued[REPLY_TIME_MAX];
	json_t *body;
	char *out;

	reply_time(now, issued);
	body = json_pack("{s:s,s:s,s:I,s:s}", "token", text, "access_token", text,
	    "expires_in", (json_int_t)(conf->tokens.lifetime / 1000), "issued_at",
	    issued);
	out = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (!out)
		return -ENOMEM;
	http_reply_header(c->req, "Cache-Control", "no-store");
	http_reply_owned(c->req, 200, "application/json", out, strlen(out), free, out);
	return 0;
}

int bearer_issue(struct call *c)
{
	struct bearer *b = auth_bearer(c->regd->auth);
	struct token t = { .own = true };
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int64_t now = clock_real_s();
	json_t *claims;
	int r;

	if (!b)
		return reply_oci(c->req, 404, "UNSUPPORTED", "auth is off");
	r = grant_scope(c, &t.scope);
	/* A token must not beget tokens; and nobody gets one that is good for nothing. */
	if (c->token || (!c->user && !t.scope.n)) {
		scope_deinit(&t.scope);
		basic_challenge(c);
		return reply_oci(
		    c->req, 401, "UNAUTHORIZED", "authentication is required");
	}
	claims = r < 0 ? NULL : make_claims(c, &t, now);
	scope_deinit(&t.scope);
	if (r == -E2BIG)
		return reply_oci(c->req, 400, "UNSUPPORTED",
		    "at most %d repositories for one token", SCOPE_GRANTS_MAX);
	if (!claims)
		return -ENOMEM;
	r = jwt_make(&text, b->secret, claims);
	json_decref(claims);
	counter_add(&c->regd->stats.tokens_issued, 1);
	return r < 0 ? r : send_token(c, str_get(&text), now);
}

/* --- life ------------------------------------------------------------------------- */

struct issuers *issuers_free(struct issuers *is)
{
	if (!is)
		return NULL;
	for (size_t i = 0; i < is->n; i++) {
		char **words = conf_list_items(&is->v[i].audience, char *);

		for (size_t k = 0; k < is->v[i].audience.n; k++)
			free(words[k]);
		free(words);
		free(is->v[i].name);
		free(is->v[i].path);
		jwt_keys_free(is->v[i].keys);
	}
	free(is);
	return NULL;
}

static int load_keys(struct issuer *is, struct err *err)
{
	struct jwt_keys *keys;
	int r;

	if (stat(is->path, &is->seen) < 0)
		memset(&is->seen, 0, sizeof(is->seen));
	r = jwt_keys_load(&keys, is->path, err);
	if (r < 0)
		return r;
	jwt_keys_free(is->keys);
	is->keys = keys;
	return 0;
}

static int copy_issuer(
    struct issuer *to, const struct conf_issuer *from, struct err *err)
{
	char **words = conf_list_items(&from->audience, char *), **copy;

	to->name = strdup(from->issuer);
	to->path = strdup(from->jwks);
	to->audience.items = copy = calloc(from->audience.n + 1, sizeof(*copy));
	if (!to->name || !to->path || !copy)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < from->audience.n; i++, to->audience.n++) {
		copy[i] = strdup(words[i]);
		if (!copy[i])
			return err_set(err, -ENOMEM, "out of memory");
	}
	return load_keys(to, err);
}

int issuers_new(struct issuers **ret, const struct conf *conf, struct err *err)
{
	const struct conf_issuer *from =
	    conf_list_items(&conf->auth.issuers, struct conf_issuer);
	size_t n = conf->auth.off ? 0 : conf->auth.issuers.n;
	_cleanup_(issuers_freep) struct issuers *is =
	    calloc(1, sizeof(*is) + n * sizeof(is->v[0]));
	int r = 0;

	if (!is)
		return err_set(err, -ENOMEM, "out of memory");
	is->n = n;
	for (size_t i = 0; i < n && r == 0; i++)
		r = copy_issuer(&is->v[i], &from[i], err);
	if (r < 0)
		return r;

	*ret = TAKE(is);
	return 0;
}

void bearer_take(struct bearer *b, struct issuers *is)
{
	issuers_free(b->issuers);
	b->issuers = is;
	forget_all(b);
}

void bearer_tick(struct bearer *b)
{
	for (size_t i = 0; i < b->issuers->n; i++) {
		struct issuer *is = &b->issuers->v[i];
		struct err e = ERR_INIT;
		struct stat st;

		if (stat(is->path, &st) < 0 || auth_same_file(&st, &is->seen))
			continue;
		if (load_keys(is, &e) < 0) {
			log_err(
			    "keys of %s kept as they were: %s", is->name, err_str(&e));
			continue;
		}
		forget_all(b);
		log_info("read %zu keys of %s", jwt_keys_count(is->keys), is->name);
	}
}

/* Outlives the process: tokens must, over a restart and an upgrade in place. */
static int load_secret(struct bearer *b, struct err *err)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/token.key", daemon_state_dir(b->regd->daemon));
	r = file_read(path, JWT_SECRET_SIZE, &text);
	if (r == 0 && text.len == JWT_SECRET_SIZE) {
		memcpy(b->secret, text.s, JWT_SECRET_SIZE);
		explicit_bzero(text.s, text.len);
		return 0;
	}
	random_bytes(b->secret, JWT_SECRET_SIZE);
	r = file_replace(path, 0600, b->secret, JWT_SECRET_SIZE);
	return r < 0 ? err_set(err, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

int bearer_new(struct bearer **ret, struct regd *g, struct err *err)
{
	_cleanup_(bearer_freep) struct bearer *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(err, -ENOMEM, "out of memory");
	b->regd = g;
	htable_init(&b->table);
	list_init(&b->by_age);
	r = load_secret(b, err);
	if (r == 0)
		r = issuers_new(&b->issuers, g->conf, err);
	if (r < 0)
		return r;

	*ret = TAKE(b);
	return 0;
}

struct bearer *bearer_free(struct bearer *b)
{
	if (!b)
		return NULL;
	forget_all(b);
	htable_deinit(&b->table);
	issuers_free(b->issuers);
	explicit_bzero(b->secret, sizeof(b->secret));
	free(b);
	return NULL;
}
